"""Where a body ends: Content-Length, Transfer-Encoding, chunks (RFC 9112 §6, §7)."""

from __future__ import annotations

import asyncio
import gzip

from tests.servers.behaviours import (
    BODY,
    CHUNKED,
    LENGTH,
    OK,
    WHOLE,
    answer,
    chunks,
    either,
    endless,
    fails,
    fields,
    keep,
    ok,
    passing,
    reset,
    stall,
)
from tests.servers.fault import Case, Exchange

PACKED = gzip.compress(b"unpacked", mtime=0)
_A_BODY = b"8\r\n" + BODY + b"\r\n"
_END = b"0\r\n\r\n"


def _length(name: str, *values: bytes) -> Case:
    """Return a case whose lengths cannot be believed; a slow client would wait for more bytes."""
    lines = [b"Content-Length:" + value for value in values]
    return Case(f"length-{name}", stall(fields(*lines)), fails("protocol"))


_BAD_LENGTHS = [
    _length("negative", b" -8"),
    _length("minus-zero", b" -0"),
    _length("plus", b" +8"),
    _length("hex", b" 0x8"),
    _length("letters", b" eight"),
    _length("space-inside", b" 8 8"),
    _length("tab-inside", b" 8\t8"),
    _length("comma-other", b" 8, 9"),
    _length("comma-other-tight", b" 8,9"),
    _length("semicolon", b" 8;"),
    _length("fraction", b" 8.0"),
    _length("exponent", b" 8e0"),
    _length("underscore", b" 0_8"),  # int() takes it
    _length("vertical-tab", b" \x0b8"),  # int() strips it
    _length("no-break-space", b" \xa08"),  # so does it this, once decoded
    _length("superscript", b" \xb2"),  # str.isdigit() takes it
    _length("arabic-digit", " \u0668".encode()),
    _length("quoted", b' "8"'),
    _length("empty", b""),
    _length("blank", b"   "),
    _length("over-64-bits", b" 18446744073709551624"),  # 8 modulo 2**64
    _length("over-32-bits-negative", b" -4294967288"),
    _length("thousands-of-digits", b" " + b"9" * 5000),
    _length("two-different", b" 8", b" 9"),
    _length("two-different-later-right", b" 9", b" 8"),
    _length("one-good-one-not", b" 8", b" x"),
]

_LENGTHS = [
    Case("length-right", keep(fields(b"Content-Length: 8")), ok(wire_bytes=8)),
    Case("length-zero", keep(OK + b"Content-Length: 0\r\n\r\n"), ok(b"", wire_bytes=0)),
    Case("length-leading-zeros", keep(fields(b"Content-Length: 0008")), ok()),
    Case("length-outer-blanks", keep(fields(b"Content-Length: \t 8 \t")), ok()),
    Case("length-no-blank", keep(fields(b"content-LENGTH:8")), ok()),
    Case("length-twice-same", keep(fields(b"Content-Length: 8", LENGTH[:-2])), ok(wire_bytes=8)),
    Case("length-thrice-same", keep(fields(*[LENGTH[:-2]] * 3)), ok(wire_bytes=8)),
    Case("length-comma-same", keep(fields(b"Content-Length: 8, 8")), ok(wire_bytes=8)),
    Case("length-comma-tight-same", keep(fields(b"Content-Length: 8,8 ,\t8")), ok(wire_bytes=8)),
    Case("length-comma-and-twice", keep(fields(b"Content-Length: 8, 8", LENGTH[:-2])), ok()),
    Case("length-space-before-colon", answer(fields(b"Content-Length : 8")), fails("protocol")),
    Case("length-tab-before-colon", answer(fields(b"Content-Length\t: 8")), fails("protocol")),
    Case("length-declared-huge", stall(fields(b"Content-Length: 9000000000")), fails("too_big")),
    Case(
        "length-63-bits",
        stall(fields(b"Content-Length: 9223372036854775807")),
        fails("too_big", "protocol"),
    ),
    Case("length-short", answer(fields(b"Content-Length: 9")), passing("truncated")),
    Case("length-nothing-came", answer(OK + LENGTH + b"\r\n"), passing("truncated")),
    Case("length-reset", reset(fields(b"Content-Length: 9")), passing("truncated")),
    Case("length-surplus-same-packet", keep(fields(b"Content-Length: 8") + b"surplus"), ok()),
    Case("length-surplus-line-end", keep(fields(b"Content-Length: 8") + b"\r\n"), ok()),
    Case("length-surplus-endless", endless(fields(b"Content-Length: 8"), b"surplus " * 512), ok()),
    Case("no-length-closed", answer(fields()), ok(wire_bytes=8)),
    Case("no-length-closed-empty", answer(OK + b"\r\n"), ok(b"")),
    Case("no-length-http-1.0", answer(b"HTTP/1.0 200 OK\r\n\r\n" + BODY), ok()),
    Case("no-length-connection-close", answer(fields(b"Connection: close")), ok()),
    Case("no-length-keep-alive-said", answer(fields(b"Connection: keep-alive")), ok()),
    Case("no-length-reset", reset(fields()), passing("truncated")),
    Case("no-length-reset-http-1.0", reset(b"HTTP/1.0 200 OK\r\n\r\n"), passing("truncated")),
    Case("length-surplus-answer", keep(fields(b"Content-Length: 8") + WHOLE), ok()),
    Case("length-zero-surplus", keep(OK + b"Content-Length: 0\r\n\r\nsurplus"), ok(b"")),
    Case(
        "length-folded-other",
        answer(OK + b"Content-Length: 8\r\n 9\r\n\r\n" + BODY),
        fails("protocol"),
    ),
]


def _transfer(name: str, *values: bytes, body: bytes = _A_BODY + _END) -> Case:
    """Return a case whose transfer codings cannot be believed."""
    lines = b"".join(b"Transfer-Encoding:" + value + b"\r\n" for value in values)
    return Case(f"transfer-{name}", answer(OK + lines + b"\r\n" + body), fails("protocol"))


def _packed_chunked(*lines: bytes) -> bytes:
    """Return an answer with a gzip *transfer* coding: legal, though nobody asked for it."""
    head = OK + b"".join(b"Transfer-Encoding: " + line + b"\r\n" for line in lines)
    return head + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(PACKED), PACKED)


_unpacked = either("protocol", "decode", body=b"unpacked")

_TRANSFERS = [
    Case("transfer-chunked", keep(chunks(_A_BODY + _END)), ok(wire_bytes=8)),
    Case("transfer-case", keep(OK + b"TRANSFER-encoding: ChunKed\r\n\r\n" + _A_BODY + _END), ok()),
    Case(
        "transfer-blanks",
        keep(OK + b"Transfer-Encoding: \t chunked \t \r\n\r\n" + _A_BODY + _END),
        ok(wire_bytes=8),
    ),
    Case(
        "transfer-and-length",
        answer(OK + CHUNKED + LENGTH + b"\r\n" + _A_BODY + _END),
        fails("protocol"),
    ),
    Case(
        "length-and-transfer",
        answer(OK + LENGTH + CHUNKED + b"\r\n" + _A_BODY + _END),
        fails("protocol"),
    ),
    Case(
        "transfer-and-right-length",
        answer(OK + CHUNKED + b"Content-Length: 18\r\n\r\n" + _A_BODY + _END),
        fails("protocol"),
    ),
    _transfer("chunked-twice", b" chunked, chunked"),
    _transfer("chunked-two-lines", b" chunked", b" chunked"),
    _transfer("chunked-not-last", b" chunked, gzip"),
    _transfer("chunked-then-identity", b" chunked", b" identity"),
    _transfer("xchunked", b" xchunked"),
    _transfer("chunkedx", b" chunkedx"),
    _transfer("quoted", b' "chunked"'),
    _transfer("vertical-tab", b" \x0bchunked"),
    _transfer("two-words", b" chunked chunked"),
    _transfer("unknown-with-chunked", b" lzw9, chunked"),
    Case(
        "transfer-unknown",
        answer(OK + b"Transfer-Encoding: lzw9\r\n\r\n" + BODY),
        fails("protocol", "decode"),
    ),
    Case(
        "transfer-identity",
        answer(OK + b"Transfer-Encoding: identity\r\n\r\n" + BODY),
        ok(wire_bytes=8),
    ),
    Case(
        "transfer-identity-case",
        answer(OK + b"transfer-encoding:\tIDENTITY \r\n\r\n" + BODY),
        ok(wire_bytes=8),
    ),
    Case(
        "transfer-identity-and-length",
        answer(OK + b"Transfer-Encoding: identity\r\n" + LENGTH + b"\r\n" + BODY),
        fails("protocol"),
    ),
    _transfer("identity-chunked", b" identity, chunked"),
    _transfer("identity-then-chunked", b" identity", b" chunked"),
    Case(
        "transfer-empty",
        answer(OK + b"Transfer-Encoding:\r\n" + LENGTH + b"\r\n" + BODY),
        either("protocol"),
    ),
    Case("transfer-gzip-chunked", answer(_packed_chunked(b"gzip, chunked")), _unpacked),
    Case("transfer-gzip-chunked-tight", answer(_packed_chunked(b"gzip,chunked")), _unpacked),
    Case("transfer-gzip-chunked-lines", answer(_packed_chunked(b"gzip", b"chunked")), _unpacked),
    Case(
        "transfer-http-1.0",
        answer(b"HTTP/1.0 200 OK\r\n" + CHUNKED + b"\r\n" + _A_BODY + _END),
        either("protocol"),
    ),
]


def _size(name: str, size: bytes) -> Case:
    """Return a case with a chunk size that is none."""
    data = size + b"\r\n" + BODY + b"\r\n" + _END
    return Case(f"chunk-{name}", stall(chunks(data)), fails("protocol"))


async def _one_byte_chunks(exchange: Exchange) -> None:
    """Send a body in chunks of one byte, each in a write of its own."""
    await exchange.send(chunks(b""))
    for byte in exchange.token:
        await exchange.send(b"1\r\n%c\r\n" % byte)
        await asyncio.sleep(0.01)
    await exchange.send(_END)
    exchange.ends = False


_CHUNKS = [
    _size("negative", b"-8"),
    _size("plus", b"+8"),
    _size("hex-prefix", b"0x8"),
    _size("empty", b""),
    _size("only-extension", b";a=b"),
    _size("two-numbers", b"8 8"),
    _size("not-hex", b"g"),
    _size("words", b"eight"),
    _size("underscore", b"0_8"),  # int(…, 16) takes it
    _size("over-64-bits", b"10000000000000008"),  # 8 modulo 2**64
    _size("hundreds-of-digits", b"F" * 400),
    _size("nul", b"8\0"),
    Case(
        "chunk-declared-huge",
        answer(chunks(b"7FFFFFFFFFFFFFFF\r\n" + BODY)),
        fails("too_big", "protocol", "truncated", retried=None),
    ),
    Case("chunk-upper-hex", keep(chunks(b"A\r\n" + BODY + b"!!\r\n" + _END)), ok(BODY + b"!!")),
    Case("chunk-leading-zeros", keep(chunks(b"000008\r\n" + BODY + b"\r\n0000\r\n\r\n")), ok()),
    Case(
        "chunk-space-before", answer(chunks(b" 8\r\n" + BODY + b"\r\n" + _END)), either("protocol")
    ),
    *(
        Case(
            f"chunk-blanks-{name}",
            keep(chunks(line + b"\r\n" + BODY + b"\r\n0" + line[1:] + b"\r\n\r\n")),
            ok(wire_bytes=8),
        )
        for name, line in {
            "after": b"8 ",
            "many-after": b"8" + b" " * 8,
            "tab-after": b"8\t",
            "before-extension": b"8 ; a=b",
            "tab-before-extension": b"8\t;a=b",
            "around-extension": b'8 ; a = "b" ; c ',
            "before-nothing": b"8 ;",
        }.items()
    ),
    *(
        _size(name, size)
        for name, size in {
            "cr-after": b"8\r",
            "cr-in-extension": b"8;a=\rb",
            "cr-in-quotes": b'8;a="\r"',
            "cr-before": b"\r8",
            "nul-in-extension": b"8;a=\0",
            "line-feed-in-extension": b"8;a=\nb",
        }.items()
    ),
    *(
        Case(
            f"chunk-trailer-{name}",
            stall(chunks(_A_BODY + b"0\r\n" + lines + b"\r\n")),
            fails("protocol"),
        )
        for name, lines in {
            "bare-cr": b"X: a\rb\r\n",
            "bare-cr-behind-colon": b"X:\r\r\n",
            "bare-cr-for-an-end": b"X: a\r\n\r",
            "nul": b"X: a\0\r\n",
            "nul-in-name": b"X\0: a\r\n",
            "no-colon": b"no colon\r\n",
            "first-folded": b" X: a\r\n",
            "frames": b"Content-Length: 8\r\n",
            "frames-in-chunks": b"Transfer-Encoding: chunked\r\n",
            "maybe-framing": b"Content-Length : 8\r\n",
        }.items()
    ),
    *(
        Case(
            f"chunk-trailer-{name}",
            keep(chunks(_A_BODY + b"0\r\n" + lines + b"\r\n")),
            ok(wire_bytes=8),
        )
        for name, lines in {
            "no-field": b"X Y: 1\r\n",
            "folded": b"X: a\r\n b\r\n",
            "line-feed": b"X: a\n",
            "several": b"X: a\r\nX: b\r\nETag: c\r\n",
        }.items()
    ),
    Case(
        "chunk-bare-cr-after-data", stall(chunks(b"8\r\n" + BODY + b"\r" + _END)), fails("protocol")
    ),
    Case(
        "chunk-cr-cr-lf-after-data",
        stall(chunks(b"8\r\n" + BODY + b"\r\r\n" + _END)),
        fails("protocol"),
    ),
    Case("chunk-bare-line-feeds", answer(chunks(b"8\n" + BODY + b"\n0\n\n")), either("protocol")),
    Case("chunk-extension", keep(chunks(b'8;a=b;c="d"\r\n' + BODY + b"\r\n" + _END)), ok()),
    Case(
        "chunk-extension-200-kb",
        stall(chunks(b"8;a=" + b"x" * 200_000 + b"\r\n" + BODY + b"\r\n" + _END)),
        fails("protocol"),
    ),
    Case("chunk-extension-endless", endless(chunks(b"8;a="), b"x" * 4096), fails("protocol")),
    Case("chunk-size-endless", endless(chunks(b""), b"0" * 4096), fails("protocol")),
    Case("chunk-trailer", keep(chunks(_A_BODY + b"0\r\nX-Sum: 1\r\n\r\n")), ok()),
    Case(
        "chunk-trailers-endless",
        endless(chunks(_A_BODY + b"0\r\n"), b"X-Sum: 1\r\n" * 400),
        fails("protocol"),
    ),
    Case(
        "chunk-trailer-endless",
        endless(chunks(_A_BODY + b"0\r\nX-Sum: "), b"1" * 4096),
        fails("protocol"),
    ),
    Case("chunk-without-line-end", stall(chunks(b"8\r\n" + BODY + _END)), fails("protocol")),
    Case(
        "chunk-longer-than-size", stall(chunks(b"5\r\n" + BODY + b"\r\n" + _END)), fails("protocol")
    ),
    Case("chunk-plain-body", answer(chunks(b"<html>not chunked</html>\r\n")), fails("protocol")),
    Case("chunk-one-byte-each", _one_byte_chunks, ok(wire_bytes=8)),
    Case("chunk-empty-body", keep(chunks(_END)), ok(b"", wire_bytes=0)),
    Case("chunk-cut-before-size", answer(chunks(b"")), passing("truncated")),
    Case("chunk-cut-in-size", answer(chunks(b"8")), passing("truncated")),
    Case("chunk-cut-in-data", answer(chunks(b"9\r\n" + BODY)), passing("truncated")),
    Case("chunk-cut-after-data", answer(chunks(b"8\r\n" + BODY)), passing("truncated")),
    Case("chunk-cut-before-last", answer(chunks(_A_BODY)), passing("truncated")),
    Case("chunk-cut-in-last", answer(chunks(_A_BODY + b"0\r\n")), passing("truncated")),
    Case("chunk-reset", reset(chunks(_A_BODY)), passing("truncated")),
    Case("chunk-surplus", keep(chunks(_A_BODY + _END + b"surplus")), ok()),
    Case("chunk-surplus-answer", keep(chunks(_A_BODY + _END) + WHOLE), ok()),
    Case("chunk-surplus-endless", endless(chunks(_A_BODY + _END), b"0\r\n\r\n" * 800), ok()),
    Case(
        "chunk-extensions-endless",
        endless(chunks(b""), b"1;" + b"x" * 4000 + b"\r\nx\r\n"),
        fails("protocol"),
    ),
    Case(
        "chunk-extension-small-each",
        keep(chunks(b"4;n=1\r\n%s\r\n4;n=2\r\n%s\r\n" % (b"half", b"half") + _END)),
        ok(b"halfhalf"),
    ),
]

CASES = _BAD_LENGTHS + _LENGTHS + _TRANSFERS + _CHUNKS

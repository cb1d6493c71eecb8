"""Status lines, header fields and interim answers (RFC 9112 §4, §5; RFC 9110 §15.2)."""

from __future__ import annotations

from tests.servers.behaviours import (
    BODY,
    CHUNKED,
    LENGTH,
    OK,
    WHOLE,
    answer,
    answered,
    either,
    endless,
    fails,
    fields,
    keep,
    ok,
    stall,
)
from tests.servers.fault import Case, Expect

_REST = LENGTH + b"\r\n" + BODY


def _line(name: str, line: bytes) -> Case:
    """Return a case whose status line is none."""
    return Case(f"line-{name}", answer(line + b"\r\n" + _REST), fails("protocol", sent=None))


def _no_http(name: str, data: bytes, *, speaks_first: bool = False) -> Case:
    """Return a case of a server that speaks something else."""
    return Case(
        f"other-{name}", stall(data), fails("protocol", sent=None), speaks_first=speaks_first
    )


_LINES = [
    _line("000", b"HTTP/1.1 000 Zero"),
    _line("099", b"HTTP/1.1 099 Low"),
    _line("20", b"HTTP/1.1 20 OK"),
    _line("2", b"HTTP/1.1 2 OK"),
    _line("abc", b"HTTP/1.1 abc OK"),
    _line("1000", b"HTTP/1.1 1000 OK"),
    _line("2000", b"HTTP/1.1 2000 OK"),
    _line("200x", b"HTTP/1.1 200x OK"),
    _line("plus", b"HTTP/1.1 +200 OK"),
    _line("plus-three", b"HTTP/1.1 +20 OK"),
    _line("minus", b"HTTP/1.1 -200 OK"),
    _line("fraction", b"HTTP/1.1 200.0 OK"),
    _line("underscore", b"HTTP/1.1 2_0 OK"),
    _line("superscript", b"HTTP/1.1 2\xb20 OK"),
    _line("arabic-digits", "HTTP/1.1 \u0662\u0660\u0660 OK".encode()),
    _line("no-code", b"HTTP/1.1 OK"),
    _line("only-version", b"HTTP/1.1"),
    _line("no-space", b"HTTP/1.1200 OK"),
    _line("no-version", b"HTTP/ 200 OK"),
    _line("version-0.9", b"HTTP/0.9 200 OK"),
    _line("version-2.0", b"HTTP/2.0 200 OK"),
    _line("version-2", b"HTTP/2 200 OK"),
    _line("version-3", b"HTTP/3 200 OK"),
    _line("version-11.1", b"HTTP/11.1 200 OK"),
    _line("version-x", b"HTTP/x.y 200 OK"),
    _line("lower-case", b"http/1.1 200 OK"),
    _line("icy", b"ICY 200 OK"),
    _line("rtsp", b"RTSP/1.0 200 OK"),
    _line("request", b"GET / HTTP/1.1"),
    Case("line-endless", endless(b"HTTP/1.1 200 ", b"very " * 800), fails("protocol")),
    Case("line-999", answer(b"HTTP/1.1 999 Request Denied\r\n" + _REST), answered(999)),
    Case("line-600", answer(b"HTTP/1.1 600 Odd\r\n" + _REST), answered(600)),
    Case("line-404", keep(b"HTTP/1.1 404 Not Found\r\n" + _REST), answered(404)),
    Case(
        "line-410-no-body", keep(b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"), answered(410)
    ),
    Case("line-no-reason", keep(b"HTTP/1.1 200 \r\n" + _REST), ok()),
    Case("line-no-reason-no-space", keep(b"HTTP/1.1 200\r\n" + _REST), ok()),
    Case("line-reason-latin-1", keep(b"HTTP/1.1 200 Tr\xe8s bien\r\n" + _REST), ok()),
    Case("line-reason-utf-8", keep("HTTP/1.1 200 \u597d\r\n".encode() + _REST), ok()),
    Case("line-reason-escape", keep(b"HTTP/1.1 200 \x1b[31mred\r\n" + _REST), ok()),
    Case("line-reason-escape-404", keep(b"HTTP/1.1 404 \x1b[2J\x9b31m\r\n" + _REST), answered(404)),
    Case("line-reason-tab", keep(b"HTTP/1.1 200 O\tK\r\n" + _REST), ok()),
    Case("line-two-spaces", answer(b"HTTP/1.1  200 OK\r\n" + _REST), either("protocol")),
    Case("line-tab", answer(b"HTTP/1.1\t200 OK\r\n" + _REST), either("protocol")),
    Case("line-version-1.0", answer(b"HTTP/1.0 200 OK\r\n" + _REST), ok()),
    Case("line-version-1.2", answer(b"HTTP/1.2 200 OK\r\n" + _REST), either("protocol")),
    Case("line-empty-before", answer(b"\r\n" + WHOLE), either("protocol")),
    Case("line-blank-before", answer(b"  \r\n" + WHOLE), either("protocol")),
    _line("nul-in-reason", b"HTTP/1.1 200 O\0K"),
    _line("cr-in-reason", b"HTTP/1.1 200 O\rK"),
    _line("cr-in-reason-frames", b"HTTP/1.1 200 OK\rContent-Length: 3"),
    _line("cr-behind-code", b"HTTP/1.1 200\r OK"),
    _line("cr-before", b"\rHTTP/1.1 200 OK"),
    _line("two-crs", b"HTTP/1.1 200 OK\r"),
    Case("line-201", keep(b"HTTP/1.1 201 Created\r\n" + _REST), ok(status=201)),
    Case(
        "line-206-unasked",  # a part nobody asked for: an answer, or none; never retried
        keep(b"HTTP/1.1 206 Partial\r\n" + _REST),
        Expect(errors=frozenset({None, "protocol"}), statuses=frozenset({206}), retried=False),
    ),
    Case("line-299", keep(b"HTTP/1.1 299 Odd\r\n" + _REST), ok(status=299)),
]

_OTHERS = [
    _no_http("ssh", b"SSH-2.0-OpenSSH_9.6\r\n", speaks_first=True),
    _no_http("smtp", b"220 mail.example ESMTP\r\n", speaks_first=True),
    _no_http("ftp", b"220-Welcome\r\n220 ready\r\n", speaks_first=True),
    _no_http("http-2-settings", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00\x03\x00\x00" * 4),
    _no_http("http-2-settings-at-once", b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", speaks_first=True),
    _no_http("http-2-at-once", b"HTTP/2 200\r\n\r\n", speaks_first=True),
    _no_http("imap", b"* OK ready\r\n", speaks_first=True),
    _no_http("nothing-much", b"\0", speaks_first=True),
    _no_http("bad-head-at-once", b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", speaks_first=True),
    _no_http("tls-alert", b"\x15\x03\x03\x00\x02\x02\x46"),
    _no_http("html", b"<html>hello, this is HTTP/0.9</html>\r\n"),
    _no_http("text", b"hello\r\n\r\n"),
    _no_http("nuls", b"\0" * 1000),
    _no_http("redis", b"-ERR unknown command 'GET'\r\n"),
    _no_http("random", bytes(range(255, 127, -1)) * 8),
    Case("other-http-0.9-closed", answer(b"<html>old</html>"), fails("protocol", sent=None)),
    Case("other-endless", endless(b"", b"\xff" * 4096), fails("protocol", sent=None)),
    Case("other-endless-line-ends", endless(b"", b"\r\n" * 2048), fails("protocol", sent=None)),
]


def _field(name: str, *lines: bytes) -> Case:
    """Return a case whose head holds a line that is no header field."""
    return Case(f"field-{name}", answer(fields(LENGTH[:-2], *lines)), fails("protocol"))


_MANY = [b"X-%d: %d" % (n, n) for n in range(200)]

_FIELDS = [
    _field("no-colon", b"no colon here"),
    _field("no-colon-word", b"Nonsense"),
    _field("nul-in-value", b"X-Nul: a\0b"),
    _field("nul-in-name", b"X\0Nul: a"),
    _field("nul-alone", b"\0"),
    _field("nul-in-no-field", b"X Y: \0"),
    _field("bare-cr", b"X: a\rb"),
    _field("bare-cr-smuggles", b"X: a\rContent-Length: 3"),
    _field("bare-cr-behind-colon", b"X:\r"),
    _field("bare-cr-behind-colon-frames", b"X:\rTransfer-Encoding: chunked"),
    _field("bare-cr-at-end", b"X: a\r"),
    _field("bare-cr-in-name", b"X\r: a"),
    _field("bare-cr-first", b"\rX: a"),
    _field("bare-cr-alone", b"\r"),
    _field("bare-cr-in-fold", b"X: a", b" b\rc"),
    _field("bare-cr-in-no-field", b"X Y: a\rb"),
    *(
        Case(f"field-bare-cr-{name}", keep(data), fails("protocol", sent=None))
        for name, data in {
            "then-length": OK + b"X:\r\r\nContent-Length: 8\r\n\r\n" + BODY,
            "then-chunked": OK + b"X:\rTransfer-Encoding: chunked\r\n\r\n8\r\n" + BODY,
            "everywhere": (OK + LENGTH + b"\r\n").replace(b"\r\n", b"\r") + BODY,
            "for-the-last-line": OK + LENGTH + b"\r" + BODY,
            "line-feeds": b"HTTP/1.1 200 OK\nX:\r\rContent-Length: 8\n\n" + BODY,
            "in-interim": b"HTTP/1.1 103 H\r\nLink:\r\r\n\r\n" + WHOLE,
        }.items()
    ),
    *(
        Case(f"field-first-{name}", answer(OK + line + b"\r\n" + rest), fails("protocol"))
        for name, line, rest in (
            ("folded", b" X: folded", _REST),
            ("folded-tab", b"\tX: folded", _REST),
            ("folded-frames", b" Content-Length: 8", b"\r\n" + BODY),
            ("folded-frames-in-chunks", b" Transfer-Encoding: chunked", b"\r\n" + BODY),
            ("blank", b" ", _REST),
        )
    ),
    Case("field-folded", keep(fields(LENGTH[:-2], b"X-Fold: a", b"  b")), ok()),
    Case("field-folded-tab", keep(fields(b"X-Fold:", b"\ta", LENGTH[:-2])), ok()),
    *(
        Case(f"field-none-{name}", keep(fields(line, LENGTH[:-2])), ok(wire_bytes=8))
        for name, line in {
            "space-in-name": b"X Y: 1",
            "parentheses": b"X(a): 1",
            "latin-1": b"X-\xe9: a",
            "utf-8": "X-\u00e9: a".encode(),
            "empty-name": b": value",
            "slash": b"a/b: c",
            "quotes": b'"X": 1',
            "brackets": b"[X]: 1",
            "at": b"x@y: 1",
            "comma": b"X,Y: 1",
            "escape": b"X\x1b[31m: 1",
            "blank-before-colon": b"Server : x",
            "tab-before-colon": b"Server\t: x",
            "status-line": b"HTTP/1.1 200 OK: again",
            "url": b"http://h.example/: 1",
            "folded": b"X Y: 1\r\n and: more",
        }.items()
    ),
    *(
        _field(f"maybe-framing-{name}", line)
        for name, line in {
            "length": b"Content-Length : 3",
            "length-tab": b"Content-Length\t: 3",
            "same-length": b"Content-Length : 8",
            "coding": b"Transfer-Encoding : chunked",
            "coding-case": b"transfer-ENCODING : identity",
            "length-in-words": b"Content Length: 3",
            "length-behind-word": b"X Content-Length: 3",
            "length-no-break-space": b"Content-Length\xa0: 3",
            "length-escape": b"\x1bContent-Length: 3",
            "length-vertical-tab": b"Content-Length\x0b: 3",
            "length-quoted": b'"Content-Length": 3',
            "length-behind-colon": b":Content-Length: 3\r\nContent-Length;: 3",
            "folded": b"X Y: 1\r\n Content-Length: 3",
            "packed": b"Content-Encoding : gzip",
        }.items()
    ),
    Case("field-bare-line-feeds", keep(b"HTTP/1.1 200 OK\nContent-Length: 8\n\n" + BODY), ok()),
    Case(
        "field-line-feeds-mixed",
        keep(b"HTTP/1.1 200 OK\r\nX: 1\nContent-Length: 8\r\n\n" + BODY),
        ok(),
    ),
    Case("field-9-kb", keep(fields(LENGTH[:-2], b"X-Long: " + b"a" * 9 * 1024)), ok()),
    Case("field-9-kb-reason", keep(b"HTTP/1.1 200 " + b"a" * 9 * 1024 + b"\r\n" + _REST), ok()),
    Case("field-30-kb-cookie", keep(fields(LENGTH[:-2], b"Set-Cookie: a=" + b"b" * 30_000)), ok()),
    Case("field-200", keep(fields(*_MANY, LENGTH[:-2])), ok()),
    Case(
        "field-1-mb", stall(fields(b"X-Long: " + b"a" * 1_000_000, LENGTH[:-2])), fails("protocol")
    ),
    Case("field-endless-value", endless(OK + b"X: ", b"a" * 4096), fails("protocol")),
    Case("field-endless-name", endless(OK, b"a" * 4096), fails("protocol")),
    Case("field-endless-many", endless(OK, b"X-A: b\r\n" * 512), fails("protocol")),
    Case("field-endless-folds", endless(OK + b"X: a\r\n", b" b\r\n" * 512), fails("protocol")),
    Case("field-100000", stall(fields(*[b"X: 1"] * 100_000)), fails("protocol")),
    Case("field-escape", keep(fields(LENGTH[:-2], b"Server: \x1b]0;title\x07")), ok()),
    Case("field-latin-1", keep(fields(LENGTH[:-2], b"Server: caf\xe9")), ok()),
    Case("field-utf-8", keep(fields(LENGTH[:-2], "Server: \u597d".encode())), ok()),
    Case("field-c1", keep(fields(LENGTH[:-2], b"Server: \x9b31m")), ok()),
    Case("field-empty-value", keep(fields(LENGTH[:-2], b"X-Empty:")), ok()),
    Case("field-none", answer(OK + b"\r\n" + BODY), ok()),
    Case(
        "field-type",
        keep(fields(LENGTH[:-2], b"Content-Type: Text/HTML; charset=x")),
        ok(content_type="Text/HTML; charset=x"),
    ),
    Case(
        "field-type-latin-1",
        keep(fields(LENGTH[:-2], b"Content-Type: caf\xe9")),
        ok(content_type="caf\xe9"),
    ),
    Case("field-type-escape", keep(fields(LENGTH[:-2], b"Content-Type: a\x1b[31mb")), ok()),
    Case(
        "field-set-cookie",
        keep(fields(LENGTH[:-2], b"Set-Cookie: stolen=1; Path=/")),
        ok(),
        suffixes=("/1", "/2"),
    ),
]

_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

_INTERIM = [
    Case("interim-100", keep(_CONTINUE + WHOLE), ok()),
    Case("interim-103", keep(_HINTS + WHOLE), ok()),
    Case("interim-102-103", keep(b"HTTP/1.1 102 Processing\r\n\r\n" + _HINTS + WHOLE), ok()),
    *(
        Case(f"interim-{name}", keep(b"HTTP/1.1 " + head + b"\r\n\r\n" + WHOLE), ok(wire_bytes=8))
        for name, head in {
            "100-length": b"100 Continue\r\nContent-Length: 8",
            "100-length-zero": b"100 Continue\r\nContent-Length: 0",
            "103-length": b"103 Early Hints\r\nContent-Length: 3",
            "199-lengths": b"199 Odd\r\nContent-Length: 3\r\nContent-Length: 4",
            "102-chunked": b"102 Processing\r\nTransfer-Encoding: chunked",
            "100-close": b"100 Continue\r\nConnection: close",
            "100-no-field": b"100 Continue\r\nX Y: 1",
        }.items()
    ),
    Case(
        "interim-100-with-a-body",
        keep(b"HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n\r\nabc" + WHOLE),
        fails("protocol", sent=None),
    ),
    Case("interim-199", keep(b"HTTP/1.1 199 Odd\r\n\r\n" + WHOLE), ok()),
    Case("interim-103-then-404", keep(_HINTS + b"HTTP/1.1 404 No\r\n" + _REST), answered(404)),
    Case("interim-300-times", keep(_CONTINUE * 300 + WHOLE), fails("protocol", sent=None)),
    Case("interim-hints-300-times", keep(_HINTS * 300 + WHOLE), fails("protocol", sent=None)),
    Case(
        "interim-199-300-times",
        keep(b"HTTP/1.1 199 Odd\n\n" * 300 + WHOLE),
        fails("protocol", sent=None),
    ),
    Case(
        "interim-hint-endless",
        endless(b"HTTP/1.1 103 Early Hints\r\n", b"Link: </a.css>\r\n" * 300),
        fails("protocol", sent=None),
    ),
    Case(
        "interim-line-ends-endless",
        endless(_CONTINUE, b"\r\n" * 2048),
        fails("protocol", sent=None),
    ),
    Case("interim-then-other", answer(_HINTS + b"SSH-2.0-x\r\n"), fails("protocol", sent=None)),
    Case("interim-endless", endless(b"", _CONTINUE * 100), fails("protocol", sent=None)),
    Case(
        "interim-then-closed",
        answer(_HINTS),
        Expect(errors=frozenset({"connect"}), statuses=frozenset({None}), retried=True),
    ),
    Case("interim-101", stall(b"HTTP/1.1 101 Switching\r\n\r\n"), fails("protocol", sent=101)),
    Case(
        "interim-101-upgrade",
        stall(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"),
        fails("protocol", sent=101),
    ),
    Case(
        "interim-101-then-200",
        keep(b"HTTP/1.1 101 Switching\r\n\r\n" + WHOLE),
        fails("protocol", sent=101),
    ),
    Case(
        "interim-101-websocket",
        stall(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\0"),
        fails("protocol", sent=101),
    ),
]

_NO_CONTENT = b"HTTP/1.1 204 No Content\r\n"
_NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\n"

_BODILESS = [
    Case("bodiless-204", keep(_NO_CONTENT + b"\r\n"), ok(b"", status=204)),
    Case("bodiless-204-with-body", keep(_NO_CONTENT + _REST), ok(b"", status=204)),
    Case("bodiless-204-no-length", keep(_NO_CONTENT + b"\r\nsurplus"), ok(b"", status=204)),
    Case(
        "bodiless-204-chunked",
        keep(_NO_CONTENT + CHUNKED + b"\r\n8\r\n" + BODY + b"\r\n0\r\n\r\n"),
        ok(b"", status=204),
    ),
    Case("bodiless-204-whole-answer", keep(_NO_CONTENT + b"\r\n" + WHOLE), ok(b"", status=204)),
    Case(
        "bodiless-204-endless",
        endless(_NO_CONTENT + b"\r\n", b"surplus " * 512),
        ok(b"", status=204),
    ),
    Case("bodiless-304", keep(_NOT_MODIFIED + b"\r\n"), answered(304)),
    Case("bodiless-304-length", keep(_NOT_MODIFIED + LENGTH + b"\r\n"), answered(304)),
    Case("bodiless-304-with-body", keep(_NOT_MODIFIED + _REST), answered(304)),
]

CASES = _LINES + _OTHERS + _FIELDS + _INTERIM + _BODILESS

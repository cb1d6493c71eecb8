"""Content-Encoding: whole, cut, broken, layered, swollen (RFC 9110 §8.4, RFC 1952, RFC 8878)."""

from __future__ import annotations

import gzip
import sys
import zlib

import brotli  # type: ignore[import-untyped]

from tests.servers.behaviours import (
    BODY,
    CHUNKED,
    OK,
    answer,
    coded,
    either,
    endless,
    fails,
    keep,
    ok,
    passing,
    stall,
)
from tests.servers.fault import Case, Expect

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PLAIN = b"The quick brown fox jumps over the lazy dog. " * 40
GZIP = gzip.compress(PLAIN, mtime=0)
ZLIB = zlib.compress(PLAIN)
RAW = ZLIB[2:-4]
BROTLI = brotli.compress(PLAIN)
ZSTD = zstd.compress(PLAIN)
_EMPTY_MEMBER = gzip.compress(b"", mtime=0)
_MB = 1_000_000


def _zeros(count: int) -> bytes:
    """Return gzip of *count* zero bytes, made without holding them."""
    packer = zlib.compressobj(9, wbits=31)
    block = bytes(_MB)
    parts = [packer.compress(block) for _ in range(count // _MB)]
    return b"".join(parts) + packer.flush()


def _works(name: str, coding: bytes, body: bytes, plain: bytes = PLAIN) -> Case:
    return Case(f"coding-{name}", keep(coded(coding, body)), ok(plain, wire_bytes=len(body)))


def _cut(name: str, coding: bytes, body: bytes) -> Case:
    """Return a case cut inside the coding, in an answer that is complete as HTTP."""
    return Case(f"coding-{name}", keep(coded(coding, body)), passing("truncated"))


def _broken(name: str, coding: bytes, body: bytes) -> Case:
    return Case(f"coding-{name}", keep(coded(coding, body)), fails("decode"))


def _bomb(name: str, coding: bytes, body: bytes) -> Case:
    return Case(f"coding-bomb-{name}", stall(coded(coding, body)), fails("too_big"))


def _chunked(coding: bytes, body: bytes) -> bytes:
    """Return *body* in two chunks."""
    head = OK + b"Content-Encoding: " + coding + b"\r\n" + CHUNKED + b"\r\n"
    middle = len(body) // 2
    parts = [b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:middle], body[middle:]) if p]
    return head + b"".join(parts) + b"0\r\n\r\n"


_GOOD = [
    _works("gzip", b"gzip", GZIP),
    _works("gzip-upper", b"GZIP", GZIP),
    _works("gzip-blanks", b" \t gzip \t", GZIP),
    _works("x-gzip", b"x-gzip", GZIP),
    _works("x-gzip-mixed", b"X-Gzip", GZIP),
    _works("deflate-zlib", b"deflate", ZLIB),
    _works("deflate-raw", b"deflate", RAW),
    _works("deflate-case", b"Deflate", ZLIB),
    _works("brotli", b"br", BROTLI),
    _works("brotli-upper", b"BR", BROTLI),
    _works("zstd", b"zstd", ZSTD),
    _works("zstd-upper", b"ZSTD", ZSTD),
    _works("identity", b"identity", PLAIN),
    _works("identity-upper", b"Identity", PLAIN),
    _works("two-members", b"gzip", GZIP + GZIP, PLAIN * 2),
    _works("two-frames", b"zstd", ZSTD + ZSTD, PLAIN * 2),
    _works("gzip-of-nothing", b"gzip", _EMPTY_MEMBER, b""),
    _works("brotli-of-nothing", b"br", brotli.compress(b""), b""),
    _works("zstd-of-nothing", b"zstd", zstd.compress(b""), b""),
    _works("gzip-in-gzip", b"gzip, gzip", gzip.compress(GZIP)),
    _works("gzip-then-brotli", b"gzip, br", brotli.compress(GZIP)),
    _works("deflate-then-gzip", b"deflate,gzip", gzip.compress(ZLIB)),
    _works("identity-then-gzip", b"identity, gzip", GZIP),
    Case(
        "coding-two-lines",
        keep(coded(b"br", gzip.compress(BROTLI), more=b"Content-Encoding: gzip\r\n")),
        ok(PLAIN),
    ),
    Case("coding-gzip-chunked", keep(_chunked(b"gzip", GZIP)), ok(PLAIN, wire_bytes=len(GZIP))),
    Case("coding-zstd-chunked", keep(_chunked(b"zstd", ZSTD)), ok(PLAIN)),
    Case("coding-gzip-closed", answer(OK + b"Content-Encoding: gzip\r\n\r\n" + GZIP), ok(PLAIN)),
    Case("coding-empty-value", keep(coded(b"", BODY)), either("decode")),
    Case("coding-empty-items", keep(coded(b", gzip,", GZIP)), either("decode", body=PLAIN)),
    Case("coding-gzip-is-zlib", keep(coded(b"gzip", ZLIB)), either("decode", body=PLAIN)),
    Case(
        "coding-gzip-zero-padding",
        keep(coded(b"gzip", GZIP + bytes(512))),
        either("decode", body=PLAIN),
    ),
]

_UNREGISTERED = [
    Case(f"coding-none-{number}", keep(coded(label, BODY)), ok(BODY, wire_bytes=8))
    for number, label in enumerate(
        [
            *(b"none", b"None", b"utf-8", b"UTF8", b"binary", b"aws-chunked", b"8bit", b"7bit"),
            *(b"base64", b"lzw9", b"bzip2", b"snappy", b"*", b"text/html", b"true", b"null"),
            *(b"none, identity", b"identity,utf-8", b"none," * 200),
            *(b'"gzip"', b"gzip;q=1", b"g\xe9zip", b"gzipped", b"gzip br"),
        ]
    )
] + [
    _works("none-then-gzip", b"none, gzip", GZIP),
    _works("gzip-then-none", b"gzip, none", GZIP),
    _works("aws-chunked-gzip", b"aws-chunked,gzip", GZIP),
    _works("utf-8-then-gzip-then-brotli", b"utf-8, gzip, utf-8, br", brotli.compress(GZIP)),
    Case(
        "coding-none-and-gzip-in-two-lines",
        keep(coded(b"none", GZIP, more=b"Content-Encoding: gzip\r\n")),
        ok(PLAIN),
    ),
    Case("coding-none-chunked", keep(_chunked(b"none", PLAIN)), ok(PLAIN)),
]


def _file(
    name: str, suffix: str, coding: bytes, body: bytes, stored: bytes, *fields: bytes
) -> Case:
    """Return a case whose URL ends in *suffix*, and what of its *body* is *stored*."""
    more = b"".join(field + b"\r\n" for field in fields)
    answer = keep(coded(coding, body, more=more))
    expect = ok(stored, wire_bytes=len(body))
    return Case(f"coding-own-{name}", answer, expect, suffixes=(suffix,))


_TAR = bytes(512)
_TAR_GZ = gzip.compress(_TAR, mtime=0)
_TYPE = b"Content-Type: "
_OWN = [
    _file("by-name", "/x.tar.gz", b"gzip", _TAR_GZ, _TAR_GZ),
    _file("by-name-of-old", "/x.tgz", b"x-gzip", _TAR_GZ, _TAR_GZ),
    _file("by-name-upper", "/X.TAR.GZ", b"gzip", _TAR_GZ, _TAR_GZ),
    _file("by-name-escaped", "/x%2Egz", b"gzip", _TAR_GZ, _TAR_GZ),
    _file("by-name-with-query", "/x.svgz?a=b", b"gzip", _TAR_GZ, _TAR_GZ),
    _file("by-type", "/x", b"gzip", _TAR_GZ, _TAR_GZ, _TYPE + b"application/gzip"),
    _file("by-type-of-old", "/x", b"gzip", _TAR_GZ, _TAR_GZ, _TYPE + b"Application/X-Gzip; a=b"),
    _file("by-type-of-tar", "/x.tar.gz", b"gzip", _TAR_GZ, _TAR_GZ, _TYPE + b"application/x-tar"),
    _file("by-type-of-tgz", "/x", b"gzip", _TAR_GZ, _TAR_GZ, _TYPE + b"application/x-tgz"),
    _file("by-suffix", "/x", b"gzip", _TAR_GZ, _TAR_GZ, _TYPE + b"application/x-tar+gzip"),
    _file(
        "by-disposition",
        "/x",
        b"gzip",
        _TAR_GZ,
        _TAR_GZ,
        b'Content-Disposition: attachment; filename="x.tar.gz"',
    ),
    _file("twice", "/x.tar.gz", b"gzip", gzip.compress(_TAR_GZ), _TAR_GZ),
    _file("twice-said", "/x.tar.gz", b"gzip, gzip", gzip.compress(_TAR_GZ), _TAR_GZ),
    _file("then-brotli", "/x.tar.gz", b"gzip, br", brotli.compress(_TAR_GZ), _TAR_GZ),
    _file("only-brotli", "/x.tar.gz", b"br", brotli.compress(_TAR_GZ), _TAR_GZ),
    _file("of-nothing", "/x.gz", b"gzip", _EMPTY_MEMBER, _EMPTY_MEMBER),
    _file("empty", "/x.gz", b"gzip", b"", b""),
    _file("not-even-gzip", "/x.tar.gz", b"gzip", b"no gzip at all", b"no gzip at all"),
    _file("zstd", "/x.tar.zst", b"zstd", ZSTD, ZSTD),
    _file("zstd-twice", "/x.tar.zst", b"zstd", zstd.compress(ZSTD), ZSTD),
    _file("zstd-by-type", "/x", b"zstd", ZSTD, ZSTD, _TYPE + b"application/zstd"),
    _file("brotli", "/x.js.br", b"br", BROTLI, BROTLI),
    _file("deflate", "/x.zz", b"deflate", ZLIB, ZLIB),
    _file("deflate-twice", "/x.zz", b"deflate", zlib.compress(ZLIB), ZLIB),
    _file("compress", "/x.Z", b"x-compress", b"\x1f\x9d\x90", b"\x1f\x9d\x90"),
    _file("other-name", "/x.gzx", b"gzip", _TAR_GZ, _TAR),
    _file("name-in-the-query", "/x?f=x.tar.gz", b"gzip", _TAR_GZ, _TAR),
    _file("name-of-a-directory", "/x.gz/y", b"gzip", _TAR_GZ, _TAR),
    _file("name-of-another-coding", "/x.gz", b"br", BROTLI, PLAIN),
    _file("name-without-coding", "/x.tar.gz", b"identity", _TAR_GZ, _TAR_GZ),
]

_EMPTY = [
    *(
        Case(f"coding-empty-body-{coding}", keep(coded(coding.encode(), b"")), ok(b""))
        for coding in ("gzip", "deflate", "br", "zstd", "identity")
    ),
    Case("coding-empty-body-chunked", keep(_chunked(b"gzip", b"")), ok(b"")),
    Case("coding-empty-body-closed", answer(OK + b"Content-Encoding: gzip\r\n\r\n"), ok(b"")),
    Case(
        "coding-empty-body-204",
        keep(b"HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n"),
        ok(b"", status=204),
    ),
]

_CUT = [
    _cut("gzip-cut-in-data", b"gzip", GZIP[: len(GZIP) // 2]),
    _cut("gzip-cut-in-header", b"gzip", GZIP[:6]),
    _cut("gzip-cut-after-header", b"gzip", GZIP[:10]),
    _cut("gzip-cut-before-trailer", b"gzip", GZIP[:-8]),
    _cut("gzip-cut-in-trailer", b"gzip", GZIP[:-1]),
    _cut("gzip-cut-second-member", b"gzip", GZIP + GZIP[:-4]),
    _cut("deflate-cut", b"deflate", ZLIB[: len(ZLIB) // 2]),
    _cut("deflate-cut-checksum", b"deflate", ZLIB[:-2]),
    _cut("deflate-raw-cut", b"deflate", RAW[:-3]),
    _cut("brotli-cut", b"br", BROTLI[:-3]),
    _cut("zstd-cut", b"zstd", ZSTD[:-3]),
    _cut("two-layers-inner-cut", b"gzip, gzip", gzip.compress(GZIP[:-9])),
    _cut("two-layers-outer-cut", b"gzip, gzip", gzip.compress(GZIP)[:-9]),
    Case("coding-gzip-cut-chunked", keep(_chunked(b"gzip", GZIP[:-20])), passing("truncated")),
    Case(
        "coding-gzip-cut-closed",
        answer(OK + b"Content-Encoding: gzip\r\n\r\n" + GZIP[:-20]),
        passing("truncated"),
    ),
]

_ZSTD_HUGE_WINDOW = b"\x28\xb5\x2f\xfd\x00" + bytes((21 << 3,)) + b"\x01\x00\x00"
"""A zstd frame that asks for a window of 2 GiB and holds one empty last block (RFC 8878 §3.1.1)."""

_BROKEN = [
    _broken("gzip-bad-crc", b"gzip", GZIP[:-8] + b"\0\0\0\0" + GZIP[-4:]),
    _broken("gzip-bad-size", b"gzip", GZIP[:-4] + b"\xff\xff\xff\x00"),
    _broken("gzip-garbage", b"gzip", b"this is no gzip at all, though it says so"),
    _broken("gzip-garbage-inside", b"gzip", GZIP[:10] + b"\xff" * 64),
    _broken("gzip-trailing-junk", b"gzip", GZIP + b"junk"),
    _broken("gzip-trailing-half-magic", b"gzip", GZIP + b"\x1fjunk and more of it"),
    _broken("gzip-bad-method", b"gzip", GZIP[:2] + b"\x07" + GZIP[3:]),
    _broken("deflate-garbage", b"deflate", b"\xff" * 64),
    _broken("deflate-bad-checksum", b"deflate", ZLIB[:-4] + b"\0\0\0\0"),
    _broken("deflate-trailing-junk", b"deflate", ZLIB + b"junk"),
    _broken("brotli-garbage", b"br", b"\xff" * 64),
    _broken("brotli-trailing-junk", b"br", BROTLI + b"junk"),
    _broken("zstd-garbage", b"zstd", b"\xff" * 64),
    _broken("zstd-trailing-junk", b"zstd", ZSTD + b"junk"),
    *(
        _broken(f"lacking-{number}", label, BODY)
        for number, label in enumerate(
            [
                *(b"compress", b"x-compress", b"dcb", b"dcz", b"exi", b"pack200-gzip"),
                *(b"aes128gcm", b"gzip, exi", b"Compress , utf-8"),
            ]
        )
    ),
    _broken("three-layers", b"gzip, gzip, gzip", gzip.compress(gzip.compress(GZIP))),
    _broken("hundred-layers", b", ".join([b"gzip"] * 100), GZIP),
    Case(
        "coding-three-lines",
        keep(
            coded(
                b"gzip", gzip.compress(gzip.compress(GZIP)), more=b"Content-Encoding: gzip\r\n" * 2
            )
        ),
        fails("decode"),
    ),
    Case(
        "coding-zstd-huge-window",
        keep(coded(b"zstd", _ZSTD_HUGE_WINDOW)),
        fails("decode", "too_big"),
    ),
    Case(
        "coding-broken-404",
        keep(b"HTTP/1.1 404 No\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\n" + BODY),
        Expect(errors=frozenset({"status", "decode"}), statuses=frozenset({404}), retried=False),
    ),
]

_BOMBS = [
    _bomb("gzip", b"gzip", _zeros(100 * _MB)),
    _bomb("deflate", b"deflate", zlib.compress(bytes(20 * _MB))),
    _bomb("brotli", b"br", brotli.compress(bytes(50 * _MB), quality=5)),
    _bomb("zstd", b"zstd", zstd.compress(bytes(50 * _MB))),
    _bomb("in-gzip", b"gzip, gzip", gzip.compress(_zeros(100 * _MB))),
    _bomb("many-members", b"gzip", _zeros(2 * _MB) * 30),
    Case(
        "coding-endless-empty-members",
        endless(OK + b"Content-Encoding: gzip\r\n\r\n", _EMPTY_MEMBER * 200),
        fails("too_big", "decode"),
    ),
    Case(
        "coding-many-empty-members",
        stall(coded(b"gzip", _EMPTY_MEMBER * 40_000)),
        either("too_big", "decode", body=b""),
    ),
    Case(
        "coding-endless-empty-blocks",
        endless(OK + b"Content-Encoding: gzip\r\n\r\n" + GZIP[:10], b"\0\0\0\xff\xff" * 800),
        fails("too_big", "decode"),
    ),
]

CASES = _GOOD + _UNREGISTERED + _OWN + _EMPTY + _CUT + _BROKEN + _BOMBS

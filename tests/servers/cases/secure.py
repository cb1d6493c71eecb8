"""TLS that must be refused, stalls, or is none (run with the tests' own authority trusted)."""

from __future__ import annotations

import gzip
import ssl

import brotli  # type: ignore[import-untyped]

from tests.servers.behaviours import (
    BODY,
    CHUNKED,
    LENGTH,
    OK,
    WHOLE,
    answer,
    fails,
    keep,
    lands,
    ok,
    passing,
    redirect,
    reset,
    stall,
    tear,
)
from tests.servers.fault import Behaviour, Case, Exchange, Expect, Options


def _served(name: str, context: str) -> Case:
    """Return a case whose certificate or version must be refused; no answer is ever given."""
    expect = fails("tls", sent=None)
    return Case(f"tls-{name}", keep(WHOLE), expect, tls=context, scheme="https")


def _instead(name: str, data: bytes, *, greets: bool = False) -> Case:
    """Return a case of a server that says *data* where a handshake was due.

    It answers what it takes for a request, or *greets* before it has heard anything.
    """

    async def behave(exchange: Exchange) -> None:
        if not greets:
            await exchange.reader.read(1)
        await stall(data)(exchange)

    expect = fails("tls", sent=None)
    return Case(f"tls-{name}", behave, expect, speaks_first=True, scheme="https")


async def _old_version(exchange: Exchange) -> None:
    """Shake hands by hand as a server that knows nothing newer than TLS 1.1.

    asyncio resets the connection when a handshake fails, so that the alert a real server sends is
    lost: the program would not see TLS at all.
    """
    heard, said = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = exchange.server.authority.contexts["tls-1.1"]
    session = context.wrap_bio(heard, said, server_side=True)
    while data := await exchange.reader.read(65536):
        heard.write(data)
        try:
            session.do_handshake()
        except ssl.SSLWantReadError:
            await exchange.send(said.read())
        except ssl.SSLError:
            await exchange.send(said.read())
            return


def _torn(name: str, behaviour: Behaviour, expect: Expect) -> Case:
    """Return a case of a TLS connection that ends without a close_notify (RFC 9112 §9.8)."""
    return Case(f"tls-torn-{name}", behaviour, expect, tls="good", scheme="https")


_GZIP = gzip.compress(b"unpacked", mtime=0)
_BROTLI = brotli.compress(b"unpacked")
_GZIPPED = OK + b"Content-Encoding: gzip\r\n\r\n"

_TORN = [
    _torn("no-length", tear(OK + b"\r\n" + BODY), passing("truncated")),
    _torn("no-length-empty", tear(OK + b"\r\n"), passing("truncated")),
    _torn("no-length-long", tear(OK + b"\r\n" + b"x" * 40_000), passing("truncated")),
    _torn("no-length-1.0", tear(b"HTTP/1.0 200 OK\r\n\r\n" + BODY), passing("truncated")),
    _torn("no-length-close", tear(OK + b"Connection: close\r\n\r\n" + BODY), passing("truncated")),
    _torn(
        "identity",
        tear(OK + b"Transfer-Encoding: identity\r\n\r\n" + BODY),
        passing("truncated"),
    ),
    _torn(
        "coded-as-nothing",
        tear(OK + b"Content-Encoding: identity\r\n\r\n" + BODY),
        passing("truncated"),
    ),
    _torn("gzip", tear(_GZIPPED + _GZIP), ok(b"unpacked")),
    _torn("gzip-cut", tear(_GZIPPED + _GZIP[:-1]), passing("truncated")),
    _torn("gzip-empty", tear(_GZIPPED), passing("truncated")),
    _torn("br", tear(OK + b"Content-Encoding: br\r\n\r\n" + _BROTLI), ok(b"unpacked")),
    _torn("length", tear(WHOLE), ok(wire_bytes=8)),
    _torn("length-cut", tear(OK + b"Content-Length: 9\r\n\r\n" + BODY), passing("truncated")),
    _torn("chunks", tear(OK + CHUNKED + b"\r\n8\r\n" + BODY + b"\r\n0\r\n\r\n"), ok(wire_bytes=8)),
    _torn("chunks-cut", tear(OK + CHUNKED + b"\r\n8\r\n" + BODY + b"\r\n"), passing("truncated")),
    _torn("404", tear(b"HTTP/1.1 404 No\r\n\r\n" + BODY), passing("truncated", sent=404)),
    _torn("204", tear(b"HTTP/1.1 204 None\r\n\r\n"), ok(b"", status=204)),
    _torn("head", tear(OK + b"X: "), passing("connect")),
]

_PLAIN_400 = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

CASES = [
    Case("tls-good", keep(WHOLE), ok(wire_bytes=8), tls="good", scheme="https"),
    *(
        _served(name, name)
        for name in (
            "expired",
            "not-yet-valid",
            "wrong-host",
            "untrusted",
            "self-signed",
        )
    ),
    Case("tls-1.1", _old_version, fails("tls", sent=None), speaks_first=True, scheme="https"),
    _instead("plain-http", _PLAIN_400),
    _instead("ssh-banner", b"SSH-2.0-OpenSSH_9.6\r\n", greets=True),
    _instead("plain-http-at-once", _PLAIN_400, greets=True),
    _instead("garbage", b"\xff" * 400),
    _instead("fatal-alert", b"\x15\x03\x03\x00\x02\x02\x28"),  # handshake_failure
    _instead("unrecognized-name", b"\x15\x03\x03\x00\x02\x02\x70"),
    Case(
        "tls-handshake-stalls",
        stall(),
        passing("timeout", sent=None),
        Options.HURRIED,
        speaks_first=True,
        scheme="https",
    ),
    Case(
        "tls-handshake-half",
        stall(b"\x16\x03\x03\x40\x00\x02"),
        passing("timeout", sent=None),
        Options.HURRIED,
        speaks_first=True,
        scheme="https",
    ),
    Case(
        "tls-closed-in-handshake",
        answer(),
        fails("tls", "connect", retried=None, sent=None),
        speaks_first=True,
        scheme="https",
    ),
    Case(
        "tls-reset-in-handshake",
        reset(),
        fails("tls", "connect", retried=None, sent=None),
        speaks_first=True,
        scheme="https",
    ),
    Case(
        "tls-closed-after-handshake",
        answer(),
        passing("connect", sent=None),
        tls="good",
        speaks_first=True,
        scheme="https",
    ),
    Case(
        "tls-closed-after-request",
        answer(),
        passing("connect", sent=None),
        tls="good",
        scheme="https",
    ),
    Case(
        "tls-closed-in-body",
        answer(OK + b"Content-Length: 9\r\n\r\n" + BODY),
        passing("truncated"),
        tls="good",
        scheme="https",
    ),
    Case(
        "tls-reset-in-body",
        reset(OK + b"Content-Length: 9\r\n\r\n" + BODY),
        passing("truncated"),
        tls="good",
        scheme="https",
    ),
    *_TORN,
    Case("tls-no-length", answer(OK + b"\r\n" + BODY), ok(), tls="good", scheme="https"),
    Case(
        "tls-silent",
        stall(OK + LENGTH + b"\r\n"),
        passing("timeout"),
        Options.HURRIED,
        tls="good",
        scheme="https",
    ),
    Case(
        "tls-megabyte",
        keep(OK + b"Content-Length: 1000000\r\n\r\n" + b"0123456789" * 100_000),
        ok(b"0123456789" * 100_000),
        tls="good",
        scheme="https",
    ),
    Case("tls-to-http", redirect(b"{other}/x"), lands("{other}/x"), tls="good", scheme="https"),
]

"""Answers that come late, never, for ever, cut, or without having been asked for."""

from __future__ import annotations

import asyncio
import zlib

from tests.servers.behaviours import (
    BODY,
    CHUNKED,
    LENGTH,
    OK,
    WHOLE,
    answer,
    chunks,
    drip,
    endless,
    fails,
    ok,
    passing,
    reset,
    stall,
)
from tests.servers.fault import Behaviour, Case, Exchange, Expect, Options

_HEAD_CUTS = {
    "at-once": b"",
    "in-version": b"HT",
    "in-status-line": b"HTTP/1.1 20",
    "after-status": b"HTTP/1.1 200",
    "after-status-line": OK,
    "in-field": OK + b"Content-Le",
    "after-field": OK + LENGTH,
    "before-last-line-feed": OK + LENGTH + b"\r",
}

_CLOSED = [
    *(
        Case(f"closed-{name}", answer(data), passing("connect"))
        for name, data in _HEAD_CUTS.items()
    ),
    *(Case(f"reset-{name}", reset(data), passing("connect")) for name, data in _HEAD_CUTS.items()),
    Case("closed-unread", answer(), passing("connect", sent=None), speaks_first=True),
    Case("reset-unread", reset(), passing("connect", sent=None), speaks_first=True),
    Case("reset-after-whole-answer", reset(WHOLE), ok()),
]


def _silent(name: str, data: bytes) -> Case:
    return Case(f"silent-{name}", stall(data), passing("timeout"), Options.HURRIED)


_SILENT = [
    *(_silent(name, data) for name, data in _HEAD_CUTS.items()),
    _silent("before-body", OK + LENGTH + b"\r\n"),
    _silent("in-body", OK + b"Content-Length: 9\r\n\r\n" + BODY),
    _silent("in-body-without-length", OK + b"\r\n" + BODY),
    _silent("before-chunk", OK + CHUNKED + b"\r\n"),
    _silent("in-chunk-size", chunks(b"8")),
    _silent("in-chunk", chunks(b"9\r\n" + BODY)),
    _silent("before-last-chunk", chunks(b"8\r\n" + BODY + b"\r\n")),
    _silent("in-last-chunk", chunks(b"8\r\n" + BODY + b"\r\n0\r\n")),
    _silent("after-interim", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    Case(
        "silent-unread", stall(), passing("timeout", sent=None), Options.HURRIED, speaks_first=True
    ),
]


def _dripping(name: str, behaviour: Behaviour) -> Case:
    """Return a case that never falls silent: only a limit on the whole or on speed ends it."""
    return Case(f"drip-{name}", behaviour, passing("timeout"), Options.HURRIED)


_DRIPPING = [
    _dripping("in-status-line", drip(b"", b"HTTP/1.1 200 Fine")),
    _dripping("in-field", drip(OK + b"X: ", b"slow")),
    _dripping("in-fields", drip(OK, b"X: y\r\n")),
    _dripping("in-body", drip(OK + b"Content-Length: 900\r\n\r\n", b"slow")),
    _dripping("in-body-without-length", drip(OK + b"\r\n", b"slow")),
    _dripping("in-chunks", drip(chunks(b""), b"1\r\nx\r\n")),
    _dripping("in-chunk-extension", drip(chunks(b"8;"), b"slow")),
    _dripping("in-trailer", drip(chunks(b"8\r\n" + BODY + b"\r\n0\r\nX: "), b"slow")),
]

_BLOCK = b"endless " * 512
# Gzip that can be sent for ever: after a full flush each block stands by itself.
_PACKER = zlib.compressobj(wbits=31)
PACKED_START = _PACKER.compress(b"\0" * 65536) + _PACKER.flush(zlib.Z_FULL_FLUSH)
PACKED_AGAIN = _PACKER.compress(b"\0" * 65536) + _PACKER.flush(zlib.Z_FULL_FLUSH)

_ENDLESS = [
    Case("endless-body", endless(OK + b"\r\n", _BLOCK), fails("too_big")),
    Case("endless-chunks", endless(chunks(b""), b"1000\r\n" + _BLOCK + b"\r\n"), fails("too_big")),
    Case("endless-tiny-chunks", endless(chunks(b""), b"1\r\nx\r\n" * 512), fails("too_big")),
    Case(
        "endless-404",
        endless(b"HTTP/1.1 404 No\r\n\r\n", _BLOCK),
        Expect(errors=frozenset({"too_big", "status"}), statuses=frozenset({404}), retried=False),
    ),
    Case(
        "endless-gzip",
        endless(OK + b"Content-Encoding: gzip\r\n\r\n" + PACKED_START, PACKED_AGAIN),
        fails("too_big"),
    ),
    Case("just-small-enough", answer(OK + b"\r\n" + b"x" * 2**20), ok(b"x" * 2**20)),
    Case("a-byte-too-big", stall(OK + b"\r\n" + b"x" * (2**20 + 1)), fails("too_big")),
]

_POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
_LATE_408 = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 6\r\nConnection: close\r\n\r\npoison"
_FIVE = tuple(f"/{n}" for n in range(5))


def _unasked(extra: bytes, *, pause_s: float = 0.0, cut: bool = False) -> Behaviour:
    """Answer each request with its own target, then send *extra*, which nobody asked for.

    With a pause the connection lies idle by then; with *cut* the surplus comes in the same write.
    """

    async def behave(exchange: Exchange) -> None:
        body = exchange.target.encode("ascii")
        whole = OK + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        if cut:
            await exchange.send(whole + extra)
        else:
            await exchange.send(whole)
            await asyncio.sleep(pause_s)
            await exchange.send(extra)
        exchange.ends = False

    return behave


_OWN_TARGET = ok(b"{target}")
"""Five URLs of one host; the test puts in what each of them asked for."""

_UNASKED = [
    Case(f"unasked-{name}", behaviour, _OWN_TARGET, Options.SPACED, suffixes=_FIVE)
    for name, behaviour in {
        "same-write": _unasked(_POISON, cut=True),
        "many-same-write": _unasked(_POISON * 20, cut=True),
        "half-same-write": _unasked(_POISON[:20], cut=True),
        "next-write": _unasked(_POISON),
        "later": _unasked(_POISON, pause_s=0.02),
        "late-408": _unasked(_LATE_408, pause_s=0.02),
        "line-end-later": _unasked(b"\r\n", pause_s=0.02),
        "junk-later": _unasked(b"junk", pause_s=0.02),
        "interim-later": _unasked(b"HTTP/1.1 100 Continue\r\n\r\n", pause_s=0.02),
        "nothing": _unasked(b""),
    }.items()
] + [
    *(
        Case(
            f"unasked-tls-{name}",
            behaviour,
            _OWN_TARGET,
            Options.SPACED,
            tls="good",
            scheme="https",
            suffixes=_FIVE,
        )
        for name, behaviour in {
            "same-write": _unasked(_POISON, cut=True),
            "later": _unasked(_POISON, pause_s=0.02),
        }.items()
    ),
    Case(
        "unasked-on-accept",
        stall(_POISON),
        Expect(errors=frozenset({None, "protocol"}), body=b"poison"),
        speaks_first=True,
    ),
]

CASES = _CLOSED + _SILENT + _DRIPPING + _ENDLESS + _UNASKED

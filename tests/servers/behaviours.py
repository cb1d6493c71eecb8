"""The vocabulary of hostile cases: things a server does, and what is expected of the program."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

from tests.servers.fault import TOKEN, Behaviour, Exchange, Expect, land

# --- what a server does


def answer(*parts: bytes) -> Behaviour:
    """Send *parts* and close: an orderly end, wherever in an answer it comes."""

    async def behave(exchange: Exchange) -> None:
        for part in parts:
            await exchange.send(part)

    return behave


def keep(*parts: bytes) -> Behaviour:
    """Send *parts* and wait for the next request on the same connection."""

    async def behave(exchange: Exchange) -> None:
        await answer(*parts)(exchange)
        exchange.ends = False

    return behave


def stall(*parts: bytes) -> Behaviour:
    """Send *parts*, then nothing, with the connection open."""

    async def behave(exchange: Exchange) -> None:
        await answer(*parts)(exchange)
        await exchange.silence()

    return behave


def reset(*parts: bytes) -> Behaviour:
    """Send *parts*, then reset the connection."""

    async def behave(exchange: Exchange) -> None:
        await answer(*parts)(exchange)
        await exchange.reset()

    return behave


def tear(*parts: bytes) -> Behaviour:
    """Send *parts*, then end the connection without a word: under TLS, without a close_notify."""

    async def behave(exchange: Exchange) -> None:
        await answer(*parts)(exchange)
        exchange.writer.transport.abort()

    return behave


def drip(start: bytes, rest: bytes, *, pause_s: float = 0.3) -> Behaviour:
    """Send *start* at once and *rest* byte by byte, slowly, over and over."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(start)
        while True:
            for byte in rest:
                await exchange.send(bytes((byte,)))
                await asyncio.sleep(pause_s)

    return behave


def endless(start: bytes, again: bytes) -> Behaviour:
    """Send *start*, then *again* for as long as anybody reads."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(start)
        while True:
            await exchange.send(again)
            await asyncio.sleep(0)  # drain() alone never yields while the peer keeps up

    return behave


def redirect(
    location: bytes | None, *, status: int = 302, fields: bytes = b"", body: bytes = b""
) -> Behaviour:
    """Send the list's URL on to *location*, and answer what comes back there with `land`.

    `{own}`, `{other}` in *location* are the origins of the case and of its landing.
    """

    async def behave(exchange: Exchange) -> None:
        if exchange.target not in {f"/{exchange.case.name}{s}" for s in exchange.case.suffixes}:
            await land(exchange)
            return
        head = b"HTTP/1.1 %d Moved\r\n" % status
        if location is not None:
            filled = exchange.server.fill(location.decode("latin-1"), exchange.case)
            head += b"Location: " + filled.encode("latin-1") + b"\r\n"
        extra = exchange.server.fill(fields.decode("latin-1"), exchange.case).encode("latin-1")
        if not re.search(rb"(?im)^(content-length|transfer-encoding):", fields):
            head += b"Content-Length: %d\r\n" % len(body)
        await exchange.send(head + extra + b"\r\n" + body)
        exchange.ends = b"close" in fields.lower()

    return behave


# --- pieces of answers

OK = b"HTTP/1.1 200 OK\r\n"
BODY = TOKEN
LENGTH = b"Content-Length: 8\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
WHOLE = OK + LENGTH + b"\r\n" + BODY
"""A faultless answer."""


def fields(*lines: bytes) -> bytes:
    """Return a 200 with *lines* as its only header fields, and the body."""
    return OK + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + BODY


def chunks(data: bytes) -> bytes:
    """Return a chunked 200 with *data* as all that follows the head."""
    return OK + CHUNKED + b"\r\n" + data


def coded(coding: bytes, body: bytes, *, more: bytes = b"") -> bytes:
    """Return a 200 whose body is *body*, said to be coded as *coding*."""
    head = b"Content-Encoding: %s\r\nContent-Length: %d\r\n" % (coding, len(body))
    return OK + head + more + b"\r\n" + body


def halves(data: bytes) -> Iterator[bytes]:
    """Yield *data* in two parts, so that a head and its body come in separate reads."""
    yield data[: len(data) // 2]
    yield data[len(data) // 2 :]


# --- what is expected


def ok(
    body: bytes | None = BODY,
    *,
    status: int = 200,
    wire_bytes: int | None = None,
    content_type: str | None = None,
) -> Expect:
    """A complete 2xx answer with exactly *body*, at the first attempt."""
    return Expect(
        errors=frozenset({None}),
        statuses=frozenset({status}),
        body=body,
        wire_bytes=wire_bytes,
        content_type=content_type,
        redirects=0,
        final="",
        retried=False,
    )


def fails(kind: str, *others: str, retried: bool | None = False, sent: int | None = 200) -> Expect:
    """A failure of *kind* (or one of *others*), never with a status the server didn't send."""
    return Expect(
        errors=frozenset({kind, *others}), statuses=frozenset({None, sent}), retried=retried
    )


def passing(kind: str, *others: str, sent: int | None = 200) -> Expect:
    """A failure that is worth another attempt, and was given it."""
    return fails(kind, *others, retried=True, sent=sent)


def either(*kinds: str, body: bytes = BODY, retried: bool | None = False) -> Expect:
    """Read as meant, or refused: the specifications leave it open, but *body* is not."""
    return Expect(
        errors=frozenset({None, *kinds}),
        statuses=frozenset({None, 200}),
        body=body,
        retried=retried,
    )


def answered(status: int) -> Expect:
    """A complete answer that is not 2xx."""
    return Expect(errors=frozenset({"status"}), statuses=frozenset({status}), retried=None)


def lands(final: str, *, redirects: int = 1) -> Expect:
    """A redirect followed to *final*, whose body says which target was asked for there."""
    target = "/" + final.split("}", 1)[1].partition("/")[2]
    return Expect(
        errors=frozenset({None}),
        statuses=frozenset({200}),
        body=b"landed " + target.encode("ascii"),
        redirects=redirects,
        final=final,
        retried=False,
    )

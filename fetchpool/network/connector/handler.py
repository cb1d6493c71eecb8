"""aiohttp's protocol with eyes: a connection's bytes go by its watcher and its guard first.

transport ──bytes──▶ Handler ──▶ watcher   (time, amount)
                        └─────▶ guard     (what of it is the answer, or why it is none)
                                  └─────▶ aiohttp's parser
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, Protocol

import aiohttp
from aiohttp.client_proto import ResponseHandler

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ConnectionKey

    from fetchpool.model.values import Phase
    from fetchpool.network.connector import FetchConnector


_READ_BYTES = 256 * 1024


class Guard(Protocol):
    """Who judges an answer's bytes before aiohttp's parser has them (see `http.guard`)."""

    refusal: BaseException | None
    """Why the answer is none: set by the guard, or here."""
    surplus: bool
    """Whether something came that isn't the answer's."""

    def feed(self, data: bytes) -> bytes:
        """Return what the parser is to have for *data*; raise what its reader is to get."""
        ...

    def ended(self, *, proven: bool) -> None:
        """The connection has ended in an orderly way; *proven*: see `Handler.is_end_proven`."""


class Watcher(Protocol):
    """Who wants to know what happens on the connection of an exchange (see `http.watch`)."""

    fresh: bool
    """Whether it needs a connection that has carried nothing before."""

    def entered(self, phase: Phase) -> None: ...
    def connected(self, now: float, peer: str | None, *, reused: bool) -> None: ...
    def received(self, length: int, now: float) -> None: ...


watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
"""Set by a worker before it asks for a connection."""

guard: ContextVar[Guard | None] = ContextVar("guard", default=None)
"""Set, like `watcher`, by who lets aiohttp read the answer; for one answer."""


class Handler(ResponseHandler):
    """aiohttp's protocol, telling its watcher what arrives and trusting nothing unasked."""

    watcher: Watcher | None = None
    guard: Guard | None = None
    idle_in: FetchConnector | None = None
    idle_key: ConnectionKey | None = None
    peer: str | None = None
    """The address connected to; None for a proxy's."""
    borrower: asyncio.BaseProtocol | None = None
    """Who has the transport's events instead of this protocol; passes `connection_lost` on."""
    is_noted = False
    """Whether its TLS session was looked at."""
    _poll: select.poll | None = None
    _is_paused = False  # by aiohttp, whose reader has more than it wants
    _is_left = False  # by `left_unread`
    _held_end: tuple[BaseException | None] | None = None  # the connection's, told after its bytes

    def data_received(self, data: bytes) -> None:
        if not data:  # nobody's bytes: aiohttp resumes a paused parser this way
            pass
        elif self.watcher is not None:
            self.watcher.received(len(data), monotonic())
        elif self.idle_in is not None:
            self.end_idle()
            self.abort()  # nobody asked: never another URL's answer
            return
        if data and self.guard is not None:
            if self.guard.refusal is None:
                self._receive_guarded(self.guard, data)
        else:
            super().data_received(data)

    def _receive_guarded(self, guard: Guard, data: bytes) -> None:
        """Let aiohttp have what *guard* makes of *data*.

        The transport stays open after a refusal: it may come before the request has left, and
        aiohttp, finding it closed, would tell of that instead.
        """
        try:
            passed = guard.feed(data)
        except Exception as error:  # noqa: BLE001 - raised where the answer is awaited
            guard.refusal = error
            self._refuse(error)
            return
        if guard.surplus:
            self.force_close()  # before the answer's end: at that, the connection is given back
        if passed:
            super().data_received(passed)
        if guard.refusal is not None:
            self._refuse(guard.refusal)
        elif passed:
            refusal = guard.refusal = self.exception()
            if refusal is not None:  # aiohttp tells it to whom waits for a head alone
                self._fail_payload(aiohttp.ClientPayloadError(str(refusal)))

    def _refuse(self, error: BaseException) -> None:
        """Raise *error* where the head is awaited; end an unfinished body.

        What was found of a body is to be read as through the other exchange: with an exception set
        aiohttp would drop it. So who reads one looks at the guard's `refusal` at its end.
        """
        self.set_exception(error)
        payload = getattr(self, "_payload", None)
        if payload is not None and not payload.is_eof():
            payload.feed_eof()

    def _fail_payload(self, error: BaseException) -> None:
        """Raise *error* where an unfinished body is read."""
        payload = getattr(self, "_payload", None)
        if payload is not None and not payload.is_eof():
            payload.set_exception(error)

    def pause_reading(self) -> None:
        self._is_paused = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        self._is_paused = False
        super().resume_reading(resume_parser)  # which may pause it again
        self._tell_held_end_soon()

    @contextmanager
    def left_unread(self) -> Iterator[None]:
        """Leave with the system what else comes, and the connection's end, until the block ends.

        To aiohttp a lost connection comes before what it has buffered.
        """
        transport = self.transport
        self._is_left = True
        pauses = transport is not None and not transport.is_closing() and transport.is_reading()
        if transport is not None and pauses:
            transport.pause_reading()
        yield
        self._is_left = False
        if transport is not None and pauses and not transport.is_closing():
            transport.resume_reading()
        self._tell_held_end_soon()

    def close(self) -> None:
        self._is_paused = self._is_left = False
        self._tell_held_end()
        super().close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.end_idle()
        rest = self.take_undelivered()
        if rest and self.guard is not None:
            self.data_received(rest)
        self.force_close()
        self._held_end = (exc,)
        self._tell_held_end()

    def _tell_held_end_soon(self) -> None:
        if self._held_end is not None:  # what is buffered is about to be read
            asyncio.get_running_loop().call_soon(self._tell_held_end)

    def _tell_held_end(self) -> None:
        """Tell aiohttp of the connection's end, unless something is unread that came before."""
        if self._held_end is not None and not (self._is_paused or self._is_left):
            (exc,), self._held_end = self._held_end, None
            self._end(exc)

    def _end(self, exc: BaseException | None) -> None:
        if exc is not None:  # for aiohttp's parser this, too, is the end of a body without length
            self._fail_payload(aiohttp.ClientOSError(*exc.args))
        elif self.guard is not None:
            self.guard.ended(proven=self.is_end_proven())
        super().connection_lost(exc)

    def take_undelivered(self) -> bytes:
        """Return what of a TLS connection that has ended was never handed on.

        uvloop tells of the end at once, though reading was paused, and drops what it has decrypted.
        """
        secure = None if self.transport is None else self.transport.get_extra_info("ssl_object")
        pieces: list[bytes] = []
        if secure is not None:
            with suppress(ssl.SSLError, ValueError):
                while piece := secure.read(_READ_BYTES):
                    pieces.append(piece)
        return b"".join(pieces)

    def is_end_proven(self) -> bool:
        """Return False if the connection is TLS and has ended without its peer saying so.

        Then anybody on the way may have ended it (RFC 8446 §6.1). An event loop tells the two
        ends alike (asyncio) or not (uvloop); the TLS object knows, which after a close_notify reads
        nothing, and without one waits for more.
        """
        secure = None if self.transport is None else self.transport.get_extra_info("ssl_object")
        if secure is None:
            return True
        try:
            return not secure.read(1)
        except ssl.SSLZeroReturnError:
            return True
        except (ssl.SSLError, ValueError):
            return False

    def has_unread(self) -> bool:
        """Return True if something the event loop has not read yet has come, or the end.

        On an idle connection it was not asked for. Costs one system call, 1 µs.
        """
        if self._poll is None:
            assert self.transport is not None
            end = self.transport.get_extra_info("socket")
            if end is None or end.fileno() < 0:  # closed meanwhile: a tunnel whose proxy went
                return True
            self._poll = select.poll()
            self._poll.register(end.fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    def spoke_first(self) -> bool:
        """Return True if the server has sent something before it was asked; costs what `has_unread`
        does."""
        if self._tail:
            return True
        is_tls = self.transport is None or self.transport.get_extra_info("ssl_object") is not None
        return not is_tls and self.has_unread()  # in TLS there is more than answers

    def take_early(self) -> bytes:
        """Return, once, what the server sent before anybody asked it anything."""
        early, self._tail = self._tail, b""
        return early

    def leave_idle(self) -> None:
        """Take the connection off its connector's list of idle ones."""
        if self.idle_in is not None:
            self.idle_in.idle.pop(self, None)
            self.idle_in = None

    def end_idle(self) -> None:
        """Do so for good: the connection is not to be found any more."""
        connector, key = self.idle_in, self.idle_key
        self.leave_idle()
        if connector is not None and key is not None:
            connector.discard(key, self)


def why_not_guardable(loop: asyncio.AbstractEventLoop) -> str | None:
    """Return the part of aiohttp's inside that isn't as a guarded answer needs it; None: all is."""
    handler = Handler(loop)
    handler.set_response_params(read_until_eof=True)
    handler.data_received(b"HTTP/1.1 200 OK\r\n\r\nx")
    if not isinstance(getattr(handler, "_payload", None), aiohttp.StreamReader):
        return "ResponseHandler._payload"
    if handler.exception() is not None or handler.should_close is not True:
        return "ResponseHandler.should_close"
    return None

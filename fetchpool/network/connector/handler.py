"""aiohttp's protocol, which shows received bytes to the watcher and the guard first.

transport ──bytes──▶ Handler ──▶ watcher   (time, amount)
                        └─────▶ guard     (which bytes belong to the response, or why it is none)
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
    """Checks the bytes of a response before aiohttp's parser gets them (see `http.guard`)."""

    refusal: BaseException | None
    """Why the response is refused: set by the guard, or here."""
    surplus: bool
    """Whether bytes came that don't belong to the response."""

    def feed(self, data: bytes) -> bytes:
        """Return what the parser gets for *data*; raise what the reader of the response gets."""
        ...

    def ended(self, *, proven: bool) -> None:
        """Handle the orderly end of the connection; *proven*: see `Handler.is_end_proven`."""


class Watcher(Protocol):
    """Is told what happens on the connection of an attempt (see `http.watch`)."""

    fresh: bool
    """Whether it needs a connection that has carried nothing before."""

    def entered(self, phase: Phase, now: float) -> None: ...
    def connected(self, now: float, peer: str | None, *, reused: bool) -> None: ...
    def waiting(self) -> None: ...
    def received(self, length: int, now: float) -> None: ...


watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
"""Set by a task before it asks for a connection."""

guard: ContextVar[Guard | None] = ContextVar("guard", default=None)
"""Set, like `watcher`, where aiohttp reads the response; for one response."""


class Handler(ResponseHandler):
    """aiohttp's protocol, which tells its watcher what arrives and drops unrequested bytes."""

    watcher: Watcher | None = None
    guard: Guard | None = None
    idle_in: FetchConnector | None = None
    idle_key: ConnectionKey | None = None
    peer: str | None = None
    """The address connected to; None for a proxy."""
    borrower: asyncio.BaseProtocol | None = None
    """Receives the transport's events in place of this protocol; passes `connection_lost` on."""
    is_broken = False
    """Whether an error or a time-out has ended its use."""
    is_cut = False
    """Whether nobody wanted the rest of its last response."""
    is_spent = False
    """Whether it must not serve another request, as far as is known while it serves one."""
    was_kept = False
    """Whether its connector has kept it before: then there is nothing of it left to be noted."""
    is_noted = False
    """Whether `note_session` has seen its TLS session."""
    _poll: select.poll | None = None
    _is_paused = False  # by aiohttp, whose reader has all it wants for now
    _is_left = False  # by `left_unread`
    _held_end: tuple[BaseException | None] | None = None  # of the connection; told after its bytes

    def force_close(self) -> None:
        self.is_spent = True
        super().force_close()

    def data_received(self, data: bytes) -> None:
        if not data:  # aiohttp resumes a paused parser this way
            pass
        elif self.watcher is not None:
            self.watcher.received(len(data), monotonic())
        elif self.idle_in is not None:
            self.idle_in.counts.broken += 1
            self.end_idle()
            self.abort()  # unrequested: must never become another URL's response
            return
        if data and self.guard is not None:
            if self.guard.refusal is None:
                self._receive_guarded(self.guard, data)
        else:
            super().data_received(data)

    def _receive_guarded(self, guard: Guard, data: bytes) -> None:
        """Pass to aiohttp what *guard* makes of *data*.

        The transport stays open after a refusal: the request may not have left yet, and aiohttp
        would report the closed transport instead.
        """
        try:
            passed = guard.feed(data)
        except Exception as error:  # noqa: BLE001 - raised where the response is awaited
            guard.refusal = error
            self._refuse(error)
            return
        if guard.surplus:
            self.force_close()  # before the response ends, as the connection is given back then
        if passed:
            super().data_received(passed)
        if guard.refusal is not None:
            self._refuse(guard.refusal)
        elif passed:
            refusal = guard.refusal = self.exception()
            if refusal is not None:  # aiohttp tells only a reader who waits for the head
                self._fail_payload(aiohttp.ClientPayloadError(str(refusal)))

    def _refuse(self, error: BaseException) -> None:
        """Raise *error* where the head is awaited; end an unfinished body.

        What was found of a body must stay readable, and aiohttp would drop it if an exception were
        set. So the reader of a body looks at the guard's `refusal` when the body ends.
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
        """Stop reading until the block ends; hold back the end of the connection, too.

        aiohttp handles a lost connection before the bytes that it has buffered.
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
        self.end_idle(by_server=True)
        rest = self.take_undelivered()
        if rest and self.guard is not None:
            self.data_received(rest)
        self.force_close()
        self._held_end = (exc,)
        self._tell_held_end()

    def _tell_held_end_soon(self) -> None:
        if self._held_end is not None:  # aiohttp is about to read what is buffered
            asyncio.get_running_loop().call_soon(self._tell_held_end)

    def _tell_held_end(self) -> None:
        """Tell aiohttp that the connection has ended, unless earlier bytes are still unread."""
        if self._held_end is not None and not (self._is_paused or self._is_left):
            (exc,), self._held_end = self._held_end, None
            self._end(exc)

    def _end(self, exc: BaseException | None) -> None:
        if exc is not None:  # aiohttp's parser takes this for the end of a body, too
            self._fail_payload(aiohttp.ClientOSError(*exc.args))
        elif self.guard is not None:
            self.guard.ended(proven=self.is_end_proven())
        super().connection_lost(exc)

    def take_undelivered(self) -> bytes:
        """Return the bytes of an ended TLS connection that the event loop never delivered.

        uvloop reports the end at once, even while reading is paused, and drops decrypted bytes.
        """
        secure = None if self.transport is None else self.transport.get_extra_info("ssl_object")
        pieces: list[bytes] = []
        if secure is not None:
            with suppress(ssl.SSLError, ValueError):
                while piece := secure.read(_READ_BYTES):
                    pieces.append(piece)
        return b"".join(pieces)

    def is_end_proven(self) -> bool:
        """Return False if the connection is TLS and ended without its peer's close_notify.

        Then anybody on the path may have ended it (RFC 8446 §6.1). Only uvloop tells the two ends
        apart. The TLS object knows: after a close_notify it reads nothing, else it wants more.
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
        """Return True if the connection has bytes that the event loop has not read, or has ended.

        On an idle connection nobody has requested them. Costs one system call, 1 µs.
        """
        if self._poll is None:
            assert self.transport is not None
            end = self.transport.get_extra_info("socket")
            if end is None or end.fileno() < 0:  # closed: a tunnel whose proxy is gone
                return True
            self._poll = select.poll()
            self._poll.register(end.fileno(), select.POLLIN)
        return bool(self._poll.poll(0))

    def spoke_first(self) -> bool:
        """Return True if the server sent something before any request; costs as `has_unread`."""
        if self._tail:
            return True
        is_tls = self.transport is None or self.transport.get_extra_info("ssl_object") is not None
        return not is_tls and self.has_unread()  # TLS has messages of its own

    def take_early(self) -> bytes:
        """Return, once, what the server sent before any request."""
        early, self._tail = self._tail, b""
        return early

    def leave_idle(self) -> None:
        """Take the connection off its connector's list of idle ones."""
        if self.idle_in is not None:
            self.idle_in.idle.pop(self, None)
            self.idle_in = None

    def end_idle(self, *, by_server: bool = False) -> None:
        """Take it off, and close it for good in the connector, too."""
        connector, key = self.idle_in, self.idle_key
        if connector is not None and by_server:
            connector.counts.closed_by_server += 1
        self.leave_idle()
        if connector is not None and key is not None:
            connector.discard(key, self)


def why_not_guardable(loop: asyncio.AbstractEventLoop) -> str | None:
    """Return the part of aiohttp that can't serve a guarded response; None: all can."""
    handler = Handler(loop)
    handler.set_response_params(read_until_eof=True)
    handler.data_received(b"HTTP/1.1 200 OK\r\n\r\nx")
    if not isinstance(getattr(handler, "_payload", None), aiohttp.StreamReader):
        return "ResponseHandler._payload"
    if handler.exception() is not None or handler.should_close is not True:
        return "ResponseHandler.should_close"
    return None

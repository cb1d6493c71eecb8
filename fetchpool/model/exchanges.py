"""One exchange as it went over the wire, for a sink that keeps whole messages.

    attempt ──▶ Recording (bytes as they come) ──▶ Exchanged ──▶ Receipt.exchanges ──▶ Sink.append

What a server sends is kept byte for byte: the head of the final response and its body with its
chunks and codings, from the head's first byte to the message's last one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Protocol, TypeAlias

import msgspec

Truncation: TypeAlias = Literal["length", "time", "disconnect", "unspecified"]
"""Why not all of a message was kept: no more was wanted, a time limit, the connection's end, or
something else. The words are those of WARC 1.1 (ISO 28500 §5.13)."""


class Recording(Protocol):
    """Where the bytes of one response are kept until they are written to their place."""

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes; the caller may reuse the memory after the call.

        Raises StoreError.
        """
        ...

    def pieces(self) -> Iterator[bytes]:
        """Yield all bytes from the first on, from any thread, once nothing more is written.

        Raises OSError.
        """
        ...

    def close(self) -> None:
        """Forget the bytes. May be called again; what is no longer referred to is closed, too."""
        ...


class InMemory:
    """A recording that is complete: of a redirect that another process was sent on by."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes."""
        self._data += data

    def pieces(self) -> Iterator[bytes]:
        """Yield all bytes at once."""
        if self._data:
            yield self._data

    def close(self) -> None:
        """Forget the bytes."""
        self._data = b""


class Exchanged(msgspec.Struct, frozen=True, eq=False):
    """A request that was sent and the response to it, at least its complete head."""

    url: str
    """Asked for; without userinfo, but as the list has it otherwise: it may hold secrets."""
    method: str
    request: bytes
    """The head of the request as it was sent: it may hold secrets."""
    body: bytes | None
    """The body of the request; None = it had none."""
    sent_at: float
    """When the request left, in seconds since the epoch."""
    peer: str | None
    """The address connected to; None where that is a proxy's."""
    status: int
    recording: Recording
    """The response, `length` bytes."""
    head_length: int
    """How many of them are the head with the blank line behind it."""
    length: int
    chunked: bool
    """Whether the body is in chunks."""
    truncated: Truncation | None = None
    """Why it isn't the whole message; None = it is."""

    def __repr__(self) -> str:
        """Show neither URL nor fields: they hold what is secret."""
        return f"Exchanged({self.method}, status={self.status}, length={self.length})"


class ExchangedState(msgspec.Struct, array_like=True):
    """An `Exchanged` as bytes, for another process."""

    url: str
    method: str
    request: bytes
    body: bytes | None
    sent_at: float
    peer: str | None
    status: int
    response: bytes
    head_length: int
    chunked: bool
    truncated: Truncation | None

    @classmethod
    def of(cls, exchanged: Exchanged) -> ExchangedState:
        """Return the state of *exchanged*, whose response is small. Raises OSError."""
        return cls(
            exchanged.url,
            exchanged.method,
            exchanged.request,
            exchanged.body,
            exchanged.sent_at,
            exchanged.peer,
            exchanged.status,
            b"".join(exchanged.recording.pieces()),
            exchanged.head_length,
            exchanged.chunked,
            exchanged.truncated,
        )

    def exchanged(self) -> Exchanged:
        """Return the exchange again."""
        return Exchanged(
            self.url,
            self.method,
            self.request,
            self.body,
            self.sent_at,
            self.peer,
            self.status,
            InMemory(self.response),
            self.head_length,
            len(self.response),
            self.chunked,
            self.truncated,
        )

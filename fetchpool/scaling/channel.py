"""Messages over a pair of sockets: each its length (four bytes), then itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Generic, TypeVar

from fetchpool.scaling.messages import Message, encode

M = TypeVar("M")

LENGTH_BYTES = 4
READ_AHEAD = 1 << 18
"""Bytes read before anybody wants them; beyond, the sender waits."""


class Channel(Generic[M]):
    """One end of a connection; make it with `open_channel`."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        decode: Callable[[bytes], M],
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._decode = decode

    def send(self, message: Message) -> None:
        """Send *message*; what the other end has no room for waits in memory until `drain`."""
        self.send_encoded(encode(message))

    def send_encoded(self, data: bytes) -> None:
        """Send a message that `encode` made *data* of."""
        # The other end may be gone: `messages` ends then, which is where that is dealt with. What
        # is written all the same, asyncio complains of on standard error.
        if self._writer.is_closing():
            return
        self._writer.write(len(data).to_bytes(LENGTH_BYTES, "big"))
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the other end has room for more, or is gone."""
        with suppress(ConnectionError):
            await self._writer.drain()

    async def messages(self) -> AsyncIterator[M]:
        """Yield what the other end sends until it is gone; half a message is none."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length = int.from_bytes(await self._reader.readexactly(LENGTH_BYTES), "big")
                yield self._decode(await self._reader.readexactly(length))

    async def until_hung_up(self) -> None:
        """Wait until the other end has closed; what it still says is heard by nobody.

        To be awaited by the end that goes, behind its last message: a write to a connection that
        is closed already fails, and with it goes what lies there unread.
        """
        with suppress(ConnectionError):
            while await self._reader.read(READ_AHEAD):
                pass

    async def close(self) -> None:
        """Send what waits and close; returns also where the other end is gone."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


async def open_channel(end: socket.socket, decode: Callable[[bytes], M]) -> Channel[M]:
    """Return a channel over *end*, one of a pair of Unix sockets, which it takes over."""
    end.setblocking(False)
    reader, writer = await asyncio.open_unix_connection(sock=end, limit=READ_AHEAD)
    return Channel(reader, writer, decode)

"""The link over a pair of Unix sockets: each message is its length (four bytes), then itself."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

_LENGTH_BYTES = 4
READ_AHEAD = 1 << 18
"""Bytes read before anybody wants them; beyond, the sender waits."""


class SocketLink:
    """One end of it (see `Link`); make it with `open_socket_link`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def closed(self) -> bool:
        """True once this end was closed, or a write to the other one has failed."""
        return self._writer.is_closing()

    def send(self, data: bytes) -> None:
        """Send a message, unless the link is closed."""
        if self.closed:  # asyncio would complain on standard error
            return
        self._writer.write(len(data).to_bytes(_LENGTH_BYTES, "big"))
        self._writer.write(data)

    async def drain(self) -> None:
        """Wait until the other end has room for more, or is gone."""
        with suppress(ConnectionError):
            await self._writer.drain()

    async def receive(self) -> bytes | None:
        """Return the next message, or None at the end; half a message is none."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
            return await self._reader.readexactly(length)
        return None

    async def close(self) -> None:
        """Send what waits, and close; returns also where the other end is gone."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


async def open_socket_link(end: socket.socket) -> SocketLink:
    """Return the link over *end*, one of a pair of Unix sockets, which it takes over."""
    try:
        end.setblocking(False)
        reader, writer = await asyncio.open_unix_connection(sock=end, limit=READ_AHEAD)
    except BaseException:
        end.close()
        raise
    return SocketLink(reader, writer)


def receive_blocking(end: socket.socket) -> bytes:
    """Return the first message from *end*, before there is an event loop; EOFError at the end."""
    length = int.from_bytes(_receive(end, _LENGTH_BYTES), "big")
    return _receive(end, length)


def _receive(end: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = end.recv(count - len(data))
        if not piece:
            raise EOFError("the parent is gone")
        data += piece
    return bytes(data)

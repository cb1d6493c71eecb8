"""A link within one process: what one end sends, the other one receives."""

from __future__ import annotations

import asyncio

Messages = asyncio.Queue[bytes | None]
"""On their way to one end; None is the end."""


class MemoryLink:
    """One end of it (see `Link`); `link_pair` makes both."""

    def __init__(self, incoming: Messages, outgoing: Messages) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self.closed = False

    def send(self, data: bytes) -> None:
        if not self.closed:
            self._outgoing.put_nowait(data)

    async def drain(self) -> None:
        await asyncio.sleep(0)

    async def receive(self) -> bytes | None:
        data = await self._incoming.get()
        if data is None:
            self._incoming.put_nowait(None)  # it stays the end
        return data

    def end(self) -> None:
        """Send nothing more, which the other end learns; what it sends can be received still."""
        if not self.closed:
            self.closed = True
            self._outgoing.put_nowait(None)

    async def close(self) -> None:
        self.end()


def link_pair() -> tuple[MemoryLink, MemoryLink]:
    """Return both ends of a new link."""
    one, other = Messages(), Messages()
    return MemoryLink(one, other), MemoryLink(other, one)

"""A SOCKS proxy, 5 and 4a, that keeps what it was asked; it may refuse, hang up or say nonsense."""

from __future__ import annotations

import asyncio
import socket

from tests.servers.proxy import both_ways
from tests.servers.thread import ThreadedServer


class SocksProxy(ThreadedServer):
    """Connects to wherever it is asked; `asked` holds every place in order."""

    def __init__(self, user: tuple[str, str] | None = None) -> None:
        super().__init__()
        self.asked: list[str] = []
        """`HOST:PORT` as they came: names, or addresses."""
        self.user = user
        """Whom alone it serves."""
        self.reply: int | None = None
        """What each request is answered instead of being served."""
        self.says: bytes | None = None
        """What is said to whoever comes, before hanging up; None: it speaks SOCKS."""
        self.port = 0
        self._server: asyncio.Server

    def url(self, scheme: str = "socks5", user: str = "") -> str:
        """Return the proxy's URL; *user* with its `@`."""
        return f"{scheme}://{user}127.0.0.1:{self.port}"

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            version = (await reader.readexactly(1))[0]
            if self.says is not None:
                writer.write(self.says)
            elif version == 5:
                await self._five(reader, writer)
            elif version == 4:
                await self._four(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            return  # either side left
        finally:
            writer.close()

    async def _five(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        methods = await reader.readexactly((await reader.readexactly(1))[0])
        wanted = 0 if self.user is None else 2
        writer.write(bytes([5, wanted if wanted in methods else 0xFF]))
        if wanted not in methods:
            return
        if self.user is not None:
            await reader.readexactly(1)
            given = [(await _counted(reader)).decode() for _ in range(2)]
            writer.write(bytes([1, given != [*self.user]]))
            if given != [*self.user]:
                return
        kind = (await reader.readexactly(4))[3]
        if kind == 3:
            host = (await _counted(reader)).decode()
        else:
            size, family = (4, socket.AF_INET) if kind == 1 else (16, socket.AF_INET6)
            host = socket.inet_ntop(family, await reader.readexactly(size))
        port = int.from_bytes(await reader.readexactly(2), "big")
        await self._connect(reader, writer, host, port, b"\5%c\0\1\0\0\0\0\0\0", (0, 5))

    async def _four(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readexactly(7)
        user = (await reader.readuntil(b"\0"))[:-1].decode()
        host = socket.inet_ntop(socket.AF_INET, head[3:])
        if host.startswith("0.0.0."):
            host = (await reader.readuntil(b"\0"))[:-1].decode()
        port = int.from_bytes(head[1:3], "big")
        answer = b"\0%c\0\0\0\0\0\0"
        if self.user is not None and user != self.user[0]:
            writer.write(answer % 0x5D)
            return
        await self._connect(reader, writer, host, port, answer, (0x5A, 0x5B))

    async def _connect(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        host: str,
        port: int,
        answer: bytes,
        codes: tuple[int, int],
    ) -> None:
        self.asked.append(f"{host}:{port}")
        if self.reply is not None:
            writer.write(answer % self.reply)
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(host.rstrip("."), port)
        except OSError:
            writer.write(answer % codes[1])
            return
        try:
            writer.write(answer % codes[0])
            await both_ways(reader, writer, far_reader, far_writer)
        finally:
            far_writer.close()


async def _counted(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly((await reader.readexactly(1))[0])

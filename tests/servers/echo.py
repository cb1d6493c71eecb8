"""A server that tells back what it was asked with, and counts: for other requests than GET.

A URL says itself how it wants to be answered, in its query:

    ?status=503&first=2      the first 2 requests for this target get 503, later ones 200
    ?to=http%3A%2F%2F…&code=307   a redirect there (302, if no code is given)
    ?hang=1                  read, then hung up without a word; a second time answered
    ?after=1                 with `Retry-After: 1` on what isn't 200
    ?until=3                 once the server has read 3 requests

The body of a 200 is the method, a line feed, and the body of the request.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from tests.servers.thread import ThreadedServer


@dataclass(frozen=True, slots=True)
class Told:
    """A request as it was read, body and all."""

    method: str
    target: str
    headers: dict[str, str]
    """By name in lower case."""
    body: bytes
    connection: int


class EchoServer(ThreadedServer):
    """Listens on one port of *addresses*; read `told` when the program has ended."""

    def __init__(self, addresses: Sequence[str] = ("127.0.0.1",)) -> None:
        super().__init__()
        self._addresses = addresses
        self._servers: list[asyncio.Server] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.told: list[Told] = []
        self.port = 0
        self.connections = 0

    async def _open(self) -> None:
        self._seen: Counter[str] = Counter()
        self._news = asyncio.Condition()
        for address in self._addresses:
            server = await asyncio.start_server(self._begin, address, self.port, limit=2**24)
            self._servers.append(server)
            self.port = server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """Return the URL of *path*; another *host* is another origin, and the same server."""
        return f"http://{host}:{self.port}{path}"

    def asked(self) -> list[tuple[str, str, bytes]]:
        """Return method, target and body of each request."""
        return [(each.method, each.target, each.body) for each in self.told]

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.append(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while (answer := await self._answer(reader, number)) is not None:
                writer.write(answer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the program went away, as it may
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, number: int) -> bytes | None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head[:-4].split("\r\n")
        method, target, _ = line.split(" ")
        pairs = (each.partition(": ") for each in fields)
        headers = {name.lower(): value for name, _, value in pairs}
        assert len(headers) == len(fields), "a field came twice"
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self._seen[target] += 1
        async with self._news:
            self.told.append(Told(method, target, headers, body, number))
            self._news.notify_all()
        wishes = dict(parse_qsl(urlsplit(target).query))
        async with self._news:
            await self._news.wait_for(lambda: len(self.told) >= int(wishes.get("until", 0)))
        if "hang" in wishes and self._seen[target] == 1:
            return None
        status, extra, said = 200, "", f"{method}\n".encode() + body
        if "to" in wishes:
            status, extra = int(wishes.get("code", 302)), f"Location: {wishes['to']}\r\n"
        elif self._seen[target] <= int(wishes.get("first", 10**9)):
            status = int(wishes.get("status", 200))
        if status != 200 and "after" in wishes:
            extra = f"Retry-After: {wishes['after']}\r\n"
        start = f"HTTP/1.1 {status} Told\r\nContent-Length: {len(said)}\r\n{extra}\r\n".encode()
        return start if method == "HEAD" else start + said

"""A well-behaved server that counts: connections, requests, how many at once, and when.

A URL says itself how it wants to be answered, in its query:

    /any/path?delay=0.1          after so many seconds
    ?until=40                    once the server has given 40 answers
    ?size=1000                   with a body of that length
    ?to=http%3A%2F%2F…           302 to there
    ?status=503&first=2          the first 2 requests for this target get 503, later ones 200
    ?status=404                  always 404
    ?after=1                     with `Retry-After: 1` on what isn't 200
    ?stale=1                     a second request on its connection is read and not answered: closed
    ?hangup=1                    no request is answered: closed

What can't say so (`/robots.txt`) has an entry in `wishes`, which may hold the body's `text`, too.
The body of a 200 starts with `HOST TARGET`, so that no answer can be taken for another's.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from tests.servers.thread import ThreadedServer


@dataclass(frozen=True, slots=True)
class Hit:
    """A request as it came over the wire."""

    at: float
    """When it was complete, in seconds of the monotonic clock."""
    host: str
    """The Host header."""
    target: str
    headers: tuple[tuple[str, str], ...]
    """Names in lower case."""
    address: str
    """The server's address it came to."""
    connection: int
    turn: int
    """How many requests this connection had carried, this one included."""

    def get(self, name: str) -> str | None:
        """Return the first value of header *name* (lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(slots=True)
class Counts:
    """What a CountingServer saw; read it when the program has ended."""

    hits: list[Hit] = field(default_factory=list)
    connections: int = 0
    peak: int = 0
    """Most requests in progress at one time, over all hosts."""
    peaks: Counter[str] = field(default_factory=Counter)
    """The same of each Host.

    A request counts from its last byte until just before its answer is written: never longer than
    the program itself has it in progress, so a peak above a limit is always the program's fault.
    """

    def targets(self) -> list[str]:
        """Return the targets asked for, in order."""
        return [hit.target for hit in self.hits]

    def most_within(self, window_s: float) -> int:
        """Return the largest number of requests in any *window_s* seconds."""
        times = sorted(hit.at for hit in self.hits)
        return max(sum(start <= at < start + window_s for at in times) for start in times)

    def of_host(self, host: str) -> Counts:
        """Return the hits of one Host alone (without connections and peaks)."""
        return Counts([hit for hit in self.hits if hit.host == host])


class CountingServer(ThreadedServer):
    """Listens on one port of each of *addresses*.

    With *gate* no request is answered until so many are held at once; from then on all are. A
    program that cannot get there times out: so its reaching a limit is seen without a clock.
    Requests for `/warm…` are answered all the same: a program may want to see good answers before
    it trusts a host with many requests at once.
    """

    def __init__(
        self,
        addresses: Sequence[str] = ("127.0.0.1",),
        *,
        context: ssl.SSLContext | None = None,
        gate: int = 0,
    ) -> None:
        super().__init__()
        self.addresses = list(addresses)
        self.counts = Counts()
        self.sets: dict[str, list[str]] = {}
        """What is answered in Set-Cookie, by the path: in a URL it would be in the records."""
        self.port = 0
        self.wishes: dict[str, dict[str, str]] = {}
        """How URLs want to be answered, by Host header and target."""
        self._context = context
        self._gate = gate
        self._held: list[_Connection] = []
        self._answers = 0
        self._waiting: list[tuple[int, _Connection]] = []
        self._servers: list[asyncio.Server] = []
        self._connections: set[_Connection] = set()
        self._numbers = itertools.count(1)
        self._now: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        for address in self.addresses:
            server = await loop.create_server(
                lambda: _Connection(self), address, self.port, ssl=self._context, backlog=1024
            )
            self._servers.append(server)
            self.port = server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for connection in list(self._connections):
            connection.drop()

    def url(self, path: str = "/", host: str | None = None) -> str:
        """Return the URL of *path* at *host* (default: the first address)."""
        name = host or self.addresses[0]
        scheme = "https" if self._context else "http"
        return f"{scheme}://{f'[{name}]' if ':' in name else name}:{self.port}{path}"

    def host(self, address: str) -> str:
        """Return the Host header of requests to *address*."""
        return f"{address}:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many connections there are at this moment."""
        return len(self._connections)

    # called on the loop by connections

    def opened(self, connection: _Connection) -> int:
        self._connections.add(connection)
        self.counts.connections += 1
        return next(self._numbers)

    def lost(self, connection: _Connection) -> None:
        self._connections.discard(connection)

    def began(self, hit: Hit, connection: _Connection) -> bool:
        """Count *hit*; return whether it may be answered now."""
        counts, now = self.counts, self._now
        counts.hits.append(hit)
        now[hit.host] += 1
        counts.peak = max(counts.peak, now.total())
        counts.peaks[hit.host] = max(counts.peaks[hit.host], now[hit.host])
        if not self._gate or hit.target.startswith("/warm"):
            return True
        self._held.append(connection)
        if len(self._held) >= self._gate:
            self._gate = 0
            held, self._held = self._held, []
            for each in held:
                each.answer_soon()
        return False

    def ended(self, hit: Hit) -> None:
        self._now[hit.host] -= 1

    def answered(self) -> None:
        """Count an answer; wake the connections that waited for so many."""
        self._answers += 1
        due = [each for least, each in self._waiting if least <= self._answers]
        self._waiting = [each for each in self._waiting if each[0] > self._answers]
        for connection in due:
            connection.answer()

    def wait_for(self, answers: int, connection: _Connection) -> None:
        """Let *connection* answer once so many *answers* have been given."""
        if self._answers >= answers:
            connection.answer()
        else:
            self._waiting.append((answers, connection))

    def times_seen(self, hit: Hit) -> int:
        """Count and return how often this target was asked for, *hit* included."""
        self._seen[hit.host + hit.target] += 1
        return self._seen[hit.host + hit.target]


class _Connection(asyncio.Protocol):
    """One connection: reads a head, answers, reads the next."""

    def __init__(self, server: CountingServer) -> None:
        self._server = server
        self._buffer = b""
        self._turn = 0
        self._hit: Hit | None = None
        self._wishes: dict[str, str] = {}
        self._number = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._number = self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.lost(self)
        self._finish()

    def drop(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def _next(self) -> None:
        if self._hit is not None or b"\r\n\r\n" not in self._buffer:
            return
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = tuple(
            (name.strip().lower(), value.strip())
            for name, _, value in (each.partition(":") for each in fields)
        )
        self._turn += 1
        target = line.split(" ")[1]
        hit = self._hit = Hit(
            at=time.monotonic(),
            host=dict(headers).get("host", ""),
            target=target,
            headers=headers,
            address=self._transport.get_extra_info("sockname")[0],
            connection=self._number,
            turn=self._turn,
        )
        wishes = self._server.wishes.get(hit.host + target, {})
        self._wishes = dict(parse_qsl(urlsplit(target).query)) | wishes
        if self._server.began(hit, self):
            self.answer_soon()

    def answer_soon(self) -> None:
        """Answer the request now, or when it asked to be answered."""
        if "until" in self._wishes:
            self._server.wait_for(int(self._wishes["until"]), self)
        elif "delay" in self._wishes:
            asyncio.get_running_loop().call_later(float(self._wishes["delay"]), self.answer)
        else:
            self.answer()

    def answer(self) -> None:
        """Answer the request, if the program still waits for it."""
        hit = self._hit
        if hit is None:  # lost meanwhile
            return
        if "hangup" in self._wishes or ("stale" in self._wishes and self._turn > 1):
            self._transport.close()
            return
        data = self._compose(hit)
        self._finish()
        self._transport.write(data)
        self._server.answered()
        if hit.get("connection") == "close":
            self._transport.close()
        else:
            self._next()

    def _finish(self) -> None:
        if self._hit is not None:
            self._server.ended(self._hit)
            self._hit = None

    def _compose(self, hit: Hit) -> bytes:
        wishes = self._wishes
        extra = ""
        status = 200
        if "to" in wishes:
            status, extra = 302, f"Location: {wishes['to']}\r\n"
        elif "status" in wishes:
            seen = self._server.times_seen(hit)
            status = int(wishes["status"]) if seen <= int(wishes.get("first", seen)) else 200
        if status != 200 and "after" in wishes:
            extra += f"Retry-After: {wishes['after']}\r\n"
        for line in self._server.sets.get(urlsplit(hit.target).path, ()):
            extra += f"Set-Cookie: {line}\r\n"
        body = wishes.get("text", f"{hit.host} {hit.target}").encode("latin-1")
        body = body.ljust(int(wishes.get("size", 0)), b".")
        head = f"HTTP/1.1 {status} Counted\r\nContent-Length: {len(body)}\r\n{extra}\r\n"
        return head.encode("latin-1") + body

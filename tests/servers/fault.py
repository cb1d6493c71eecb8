"""A server that answers as badly as its cases say, one listening socket a case.

    Case(name, behaviour, expect) ──▶ http://127.0.0.1:PORT/name ──▶ behaviour(Exchange)

A case has a port, hence a host, of its own: a program that stops asking a host which keeps failing
must not give up on the next case, and a connection can be told to belong to one case only.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from tests.servers.thread import ThreadedServer
from tests.servers.tls import Authority

TOKEN = b"<token!>"
"""Stands for the eight bytes that only this case's body has; see `token_of`."""


def token_of(name: str) -> bytes:
    """Return the eight bytes that tell the body of case *name* from all others."""
    return b"%08x" % zlib.crc32(name.encode())


class Options(StrEnum):
    """Which options of the program a case needs: cases that share them run in one process."""

    PATIENT = "patient"
    """Long time-outs: an answer that only seems right after a time-out is found out."""
    HURRIED = "hurried"
    """Short time-outs, for silence and trickles."""
    SPACED = "spaced"
    """A pause between two requests to one host, so that its connection lies idle in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expect:
    """What the record of a case must say; None (or an empty `statuses`) = not looked at."""

    errors: frozenset[str | None]
    """Allowed values of `error`; more than one only where the specifications leave it open."""
    statuses: frozenset[int | None] = frozenset()
    body: bytes | None = None
    """The stored body, when `error` is null; may hold TOKEN."""
    wire_bytes: int | None = None
    content_type: str | None = None
    redirects: int | None = None
    final: str | None = None
    """`final_url`, with `{own}` and `{other}` for the origins of the case and of its landing."""
    retried: bool | None = None
    """Whether the attempts were used up. A server must never see more requests than attempts."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as it came over the wire."""

    case: str
    target: str
    headers: tuple[tuple[str, str], ...]
    """Names in lower case."""
    connection: int
    landed: bool
    """Came to the landing origin, not to the case's own."""

    def get(self, name: str) -> str | None:
        """Return the first value of header *name* (lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(slots=True)
class Exchange:
    """One connection (and the request on it, if one was read) that a behaviour deals with."""

    server: FaultServer
    case: Case
    seen: Seen | None
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ends: bool = True
    """Close after the behaviour; a behaviour that clears it waits for the next request."""

    @property
    def token(self) -> bytes:
        """The eight bytes that belong to this case's body."""
        return token_of(self.case.name)

    @property
    def target(self) -> str:
        """The request's target, path and query."""
        return self.seen.target if self.seen else ""

    async def send(self, data: bytes) -> None:
        """Send *data*, TOKEN replaced; raises ConnectionError once the peer is gone."""
        if self.writer.transport.is_closing():
            raise ConnectionResetError
        self.writer.write(data.replace(TOKEN, self.token))
        await self.writer.drain()

    async def silence(self) -> None:
        """Say nothing more; return when the peer has closed."""
        while await self.reader.read(65536):
            pass

    async def reset(self) -> None:
        """End the connection with RST instead of FIN.

        What was sent is given time to be read first: a reset may throw away what lies unread.
        """
        await asyncio.sleep(0.3)
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Behaviour = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing a server may do, and what must come of it."""

    name: str
    behaviour: Behaviour
    expect: Expect
    options: Options = Options.PATIENT
    speaks_first: bool = False
    """The behaviour starts when the connection does, before any request was read."""
    tls: str | None = None
    """Name of a context of `Authority`: the case is served over TLS."""
    scheme: str = "http"
    suffixes: tuple[str, ...] = ("",)
    """What is added to `/name`: one URL of the list each."""

    def __str__(self) -> str:
        return self.name


@dataclass(slots=True)
class _Door:
    """A listening socket: a case's own, or the landing its redirects lead to."""

    case: Case
    server: asyncio.Server
    port: int
    landing: bool = False


@dataclass(slots=True)
class _Log:
    requests: list[Seen] = field(default_factory=list)
    connections: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


async def land(exchange: Exchange) -> None:
    """Answer 200 with the request's target as body: what a redirect must arrive at."""
    body = b"landed " + exchange.target.encode("latin-1")
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    exchange.ends = False


class FaultServer(ThreadedServer):
    """Serves many cases at once on 127.0.0.1 and keeps what it saw of each."""

    def __init__(self, cases: Iterable[Case], authority: Authority | None = None) -> None:
        super().__init__()
        self.cases = list(cases)
        self.authority = authority or Authority()
        self._doors: dict[tuple[str, bool], _Door] = {}
        self._log = _Log()

    async def _open(self) -> None:
        for case in self.cases:
            for landing in (False, True):
                await self._open_door(case, landing)

    async def _open_door(self, case: Case, landing: bool) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve(door, reader, writer)

        context: ssl.SSLContext | None = None
        if case.tls and not landing:
            context = self.authority.contexts[case.tls]
        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=64)
        door = _Door(case, server, server.sockets[0].getsockname()[1], landing)
        self._doors[case.name, landing] = door

    async def _close(self) -> None:
        for door in self._doors.values():
            door.server.close()

    def origin(self, case: Case, *, landing: bool = False) -> str:
        """Return the `scheme://host:port` of *case*, or of the landing of its redirects."""
        scheme = "http" if landing else case.scheme
        return f"{scheme}://127.0.0.1:{self._doors[case.name, landing].port}"

    def urls(self, case: Case) -> list[str]:
        """Return the URLs of *case* for a list."""
        return [f"{self.origin(case)}/{case.name}{suffix}" for suffix in case.suffixes]

    def fill(self, text: str, case: Case) -> str:
        """Return *text* with `{own}` and `{other}` set to the origins of *case* and its landing.

        `{own_authority}` and `{other_authority}` are the same without scheme, `{other_port}` is
        the port alone.
        """
        own, other = self.origin(case), self.origin(case, landing=True)
        for mark, value in (
            ("{own}", own),
            ("{other}", other),
            ("{own_authority}", own.partition("//")[2]),
            ("{other_authority}", other.partition("//")[2]),
            ("{other_port}", other.rpartition(":")[2]),
        ):
            text = text.replace(mark, value)
        return text

    def requests(self, case: Case | None = None) -> list[Seen]:
        """Return the requests seen so far, of *case* or of all, in order."""
        with self._log.lock:
            return [r for r in self._log.requests if case is None or r.case == case.name]

    def connections(self, case: Case) -> int:
        """Return how many connections the case's own port accepted."""
        with self._log.lock:
            return self._log.connections[case.name]

    async def _serve(
        self, door: _Door, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        case = door.case
        with self._log.lock:
            if not door.landing:
                self._log.connections[case.name] += 1
            connection = self._log.connections[case.name]
        try:
            if case.speaks_first and not door.landing:
                await case.behaviour(Exchange(self, case, None, reader, writer))
                return
            while True:
                seen = await self._read_request(door, connection, reader)
                exchange = Exchange(self, case, seen, reader, writer)
                await (land if door.landing else case.behaviour)(exchange)
                if exchange.ends:
                    return
        except (OSError, asyncio.IncompleteReadError):
            return  # the program went away, as it should when it has seen enough
        finally:
            writer.close()

    async def _read_request(
        self, door: _Door, connection: int, reader: asyncio.StreamReader
    ) -> Seen:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.split("\r\n")[:-2]
        headers = tuple(
            (name.strip().lower(), value.strip())
            for name, _, value in (field.partition(":") for field in fields)
        )
        target = line.split(" ")[1]
        seen = Seen(door.case.name, target, headers, connection, door.landing)
        with self._log.lock:
            self._log.requests.append(seen)
        return seen

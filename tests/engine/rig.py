"""An engine with one way of exchanging, and a raw server for it to talk to, on one event loop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from fetchpool.http import Engine
from fetchpool.http.direct import DirectExchange
from fetchpool.http.exchange import Exchange
from fetchpool.http.receiver import BodyPolicy
from fetchpool.http.session import SessionExchange
from fetchpool.http.watch import Timeouts
from fetchpool.model.attempts import FailedAttempt, Plan, Proxy, Response
from fetchpool.model.bodies import Store
from fetchpool.model.urls import parse_url
from fetchpool.network.connector import FetchConnector
from fetchpool.output.sinks.memory import MemoryStore

HEADERS = (("Accept", "*/*"),)


@dataclass(slots=True)
class Visit:
    """One connection to a `Site`."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int
    """Of the connection, from 1."""
    site: Site

    async def request(self) -> str:
        """Return the next request's head."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.site.requests.append((self.number, head))
        self.site.asked.set()
        return head

    async def send(self, data: bytes) -> None:
        """Write *data* and wait until it has left."""
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Return when the client has closed."""
        with suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        self.site.closed.set()


Behaviour = Callable[[Visit], Awaitable[None]]


@dataclass(slots=True)
class Site:
    """A server whose connections each go through *behaviour*."""

    behaviour: Behaviour
    port: int = 0
    connections: int = 0
    requests: list[tuple[int, str]] = field(default_factory=list)
    """Connection and head of each."""
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the first request has come."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when `Visit.gone` has seen the client go."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Deal with one connection."""
        self.connections += 1
        try:
            await self.behaviour(Visit(reader, writer, self.connections, self))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away, as it may
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


@dataclass(slots=True)
class Rig:
    """What a test holds in its hands."""

    site: Site
    engine: Engine
    connector: FetchConnector
    exchange: Exchange
    scheme: str
    host: str = "127.0.0.1"
    route: Proxy | None = None

    def go_through(self, proxy: str, way: str) -> None:
        """Exchange *way* from now on, all through *proxy*."""
        self.engine._exchange = self.exchange = exchange_of(way, self.connector)
        self.route = Proxy(proxy)

    def plan(self, path: str = "/", *, public_only: bool = False) -> Plan:
        """Return the plan for *path* of the site."""
        target = parse_url(f"{self.scheme}://{self.host}:{self.site.port}{path}")
        return Plan(target, HEADERS, public_only, route=self.route)

    async def get(self, path: str = "/", *, public_only: bool = False) -> Response | FailedAttempt:
        """Make an attempt at *path* of the site."""
        result = await self.engine.attempt(self.plan(path, public_only=public_only), None)
        await asyncio.sleep(0)  # at the end of the turn its connection is given back
        return result


def body_of(result: Response | FailedAttempt) -> bytes:
    """Return the body of a complete answer."""
    assert isinstance(result, Response), result
    assert result.stored is not None
    assert result.stored.body is not None
    return result.stored.body


def exchange_of(way: str, connector: FetchConnector) -> Exchange:
    """Return the exchange of the name *way*."""
    return (DirectExchange if way == "direct" else SessionExchange)(connector)


@asynccontextmanager
async def rig(
    behaviour: Behaviour,
    *,
    way: str = "direct",
    server_tls: ssl.SSLContext | None = None,
    client_tls: ssl.SSLContext | None = None,
    timeouts: Timeouts | None = None,
    policy: BodyPolicy | None = None,
    idle_limit: int = 100,
    store: Store | None = None,
    **options: Any,
) -> AsyncIterator[Rig]:
    """Serve *behaviour* and yield an engine that exchanges *way*, its connector with *options*."""
    site = Site(behaviour)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=server_tls, limit=2**24)
    site.port = server.sockets[0].getsockname()[1]
    connector = FetchConnector(idle_limit=idle_limit, ssl=client_tls or True, **options)
    exchange: Exchange = exchange_of(way, connector)
    engine = Engine(
        exchange, connector, timeouts or Timeouts(), policy or BodyPolicy(), store or MemoryStore()
    )
    try:
        yield Rig(site, engine, connector, exchange, "https" if server_tls else "http")
    finally:
        await engine.close()
        server.close()
        await asyncio.sleep(0)

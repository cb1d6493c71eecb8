"""Borrows a connection from the connector, writes a request, waits for its answer."""

from __future__ import annotations

import asyncio
import re
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, cast

import aiohttp
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from yarl import URL

from fetchpool.http.direct.protocol import ClientProtocol
from fetchpool.http.direct.sending import Departures
from fetchpool.http.exchange import ExchangeError
from fetchpool.http.faults import translate
from fetchpool.http.gateway import Gateway, Gateways
from fetchpool.http.receiver import BodyAction, Receiver
from fetchpool.model.attempts import Plan, Proxy
from fetchpool.model.values import Target
from fetchpool.network.connector import (
    FetchConnector,
    refuse_literal,
    refuse_non_public,
    watcher,
)
from fetchpool.network.connector import close as close_connector

if TYPE_CHECKING:
    from fetchpool.http.watch import Watch
    from fetchpool.network.connector import Handler

MAX_ORIGINS = 4096
"""Origins whose requests are kept half-made; making one costs 15 µs."""

_CLOSE = BodyAction.CLOSE
_UNFIT = re.compile(r"[\0\r\n]")


class Origin:
    """What all requests to one scheme, host and port share, through one proxy or none.

    Answers what a connector asks of aiohttp's `ClientRequest`, which takes 50 µs to make.
    """

    __slots__ = (
        *("_fields", "_force_close", "_rest", "_to_proxy"),
        *("connection_key", "fresh", "gateway", "host", "port", "proxy", "proxy_headers"),
        *("public_only", "shelf", "url"),
    )

    server_hostname = None
    ssl = True

    def __init__(
        self, target: Target, gateway: Gateway | None = None, *, force_close: bool
    ) -> None:
        self.url = URL(target.url, encoded=True)
        self.host = self.url.raw_host or ""
        self.port = target.port
        self.public_only = False
        """See `connector.policy`; True in a copy that is made for one connection."""
        self.fresh = False
        """The same."""
        self._force_close = force_close
        self._fields: tuple[tuple[str, str], ...] | None = None
        self._rest = b""
        self.gateway = gateway
        self._to_proxy: dict[str, str] = {}
        self.proxy = None if gateway is None else gateway.address
        self.proxy_headers = None if gateway is None else gateway.fields()
        who = hash(tuple(self.proxy_headers.items())) if self.proxy_headers else None
        self.connection_key = ConnectionKey(
            self.host, self.port, self.is_ssl(), self.ssl, self.proxy, None, who, None
        )
        self.shelf: ConnectionKey | None = None
        """Under which the proxy's connections are kept for any origin of plain http; a tunnel is
        its origin's alone."""
        if gateway is not None and not (gateway.is_socks or self.is_ssl()):
            is_tls = gateway.address.scheme == "https"
            self.shelf = ConnectionKey("", None, is_tls, self.ssl, self.proxy, None, who, None)
            self._to_proxy = self.proxy_headers or {}

    def is_ssl(self) -> bool:
        """Return True for https."""
        return self.url.scheme == "https"

    def wanted(self, *, public_only: bool, fresh: bool) -> ClientRequest:
        """Return what a connector is asked a connection for."""
        wanted = self
        if public_only or fresh:
            wanted = copy(self)
            wanted.public_only, wanted.fresh = public_only, fresh
        return cast("ClientRequest", wanted)

    def request(self, plan: Plan) -> bytes:
        """Return the head of *plan*, with a whole URL to a proxy, as it goes over the wire.

        Raises ValueError for a field that holds a line end: it would be a field of its own.
        """
        if plan.headers is not self._fields:  # mostly the same object again
            self._rest = self._compose(plan.headers)
            self._fields = plan.headers
        target, method = plan.target, plan.method
        path = (target.path if self.shelf is None else target.url).encode("ascii")
        if method == "GET" and plan.body is None:
            return b"GET " + path + self._rest
        more = "" if plan.length is None else f"Content-Length: {plan.length}\r\n"
        if plan.once and not self._force_close:
            more += "Connection: close\r\n"
        return f"{method} ".encode() + path + self._rest[:-2] + f"{more}\r\n".encode()

    def _compose(self, fields: tuple[tuple[str, str], ...]) -> bytes:
        if self._to_proxy:
            ours = {name.lower() for name in self._to_proxy}
            others = (field for field in fields if field[0].lower() not in ours)
            fields = (*others, *self._to_proxy.items())
        given = {name.lower() for name, _ in fields}
        lines = ["" if "host" in given else f"Host: {self.url.host_port_subcomponent}\r\n"]
        lines += (f"{name}: {value}\r\n" for name, value in fields)
        if self._force_close and "connection" not in given:
            lines.append("Connection: close\r\n")
        if any(_UNFIT.search(part) for field in fields for part in field):
            raise ValueError("a request header holds a line end")
        return f" HTTP/1.1\r\n{''.join(lines)}\r\n".encode()


class DirectExchange:
    """Exchanges over the connections of *connector*, to origins and to proxies."""

    def __init__(self, connector: FetchConnector) -> None:
        self._connector = connector
        self._gateways = Gateways(connector)
        self._loop = asyncio.get_running_loop()
        self._departures = Departures(self._loop)
        self._origins: dict[tuple[str | int, ...], Origin] = {}

    async def send(self, plan: Plan, watch: Watch, receiver: Receiver) -> None:
        """Send *plan*; see `Exchange.send`."""
        target, connector = plan.target, self._connector
        handler = protocol = approve = None
        broken = True
        try:
            address: tuple[str | int, ...] = (target.scheme, target.host, target.port)
            if plan.route is not None:
                address = (plan.route.url, *address)
            origin = self._origins.get(address) or self._meet(address, target, plan.route)
            if origin.gateway is not None:
                approve = partial(origin.gateway.judge, plan)
                if plan.public_only:
                    refuse_literal(origin.host)
            request = origin.request(plan)
            if watch.transcript is not None:
                watch.transcript.request = request
            is_new = plan.once or watch.fresh
            key = origin.connection_key
            if not is_new:
                handler = connector.at_hand.take(key)
                if handler is None:
                    handler = connector.take(key, origin.shelf)
            if handler is None:
                watcher.set(watch)
                wanted = origin.wanted(public_only=plan.public_only, fresh=plan.once)
                handler = await connector.open(wanted)
            else:
                watch.connected(watch.started_at, handler.peer, reused=True)
                if plan.public_only and handler.peer is not None:
                    refuse_non_public(handler.peer)
            borrower = handler.borrower
            protocol = borrower if isinstance(borrower, ClientProtocol) else self._borrow(handler)
            if plan.method == "GET" and plan.body is None:
                answer = protocol.send(request, watch, receiver, approve)
            else:
                answer = protocol.send(request, watch, receiver, approve, plan.method, plan.body)
            while not await answer:
                answer = await protocol.catch_up()
            broken = False
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RuntimeError) as error:
            at = watch.phase(answering=False)
            raise translate(error, at=at, reused=watch.reused) from error
        finally:
            if protocol is not None and watch.transcript is not None:
                watch.transcript.whole = protocol.whole
                watch.transcript.proven = protocol.proven
            if handler is not None:
                reusable = protocol is not None and protocol.reusable
                if not reusable:
                    handler.is_broken = broken
                    handler.is_cut = receiver.action is _CLOSE
                if not reusable or not connector.at_hand.keep(key, handler, origin.shelf):
                    connector.release(key, handler, reusable=reusable, shelf=origin.shelf)
        if receiver.action is not _CLOSE:
            receiver.finish(proven=protocol.proven)

    def _borrow(self, handler: Handler) -> ClientProtocol:
        """Return the protocol that has the events of *handler*'s connection from now on."""
        if not handler.is_connected():  # closed while this task was waking up
            raise aiohttp.ServerDisconnectedError
        return ClientProtocol(handler, self._loop, self._departures)

    def _meet(self, address: tuple[str | int, ...], target: Target, route: Proxy | None) -> Origin:
        """Return the origin of *target*, to be found under *address* from now on."""
        if len(self._origins) >= MAX_ORIGINS:
            self._origins.clear()
        gateway = self._gateways.of(route)
        origin = Origin(target, gateway, force_close=self._connector.force_close)
        self._origins[address] = origin
        return origin

    async def weigh(self, plan: Plan, error: ExchangeError) -> ExchangeError:
        """See `Exchange.weigh`."""
        return await self._gateways.weigh(plan, error)

    async def reachable(self, target: Target, route: Proxy | None) -> bool:
        """See `Exchange.reachable`."""
        return await self._gateways.reachable(target, route)

    async def close(self) -> None:
        """Close every connection."""
        await self._gateways.close()
        await close_connector(self._connector)

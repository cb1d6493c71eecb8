"""Turns the user's flags into the one `TCPConnector`: limits, reuse, DNS, address policy.

What it adds to aiohttp's connector, each for a measured reason:

- an idle connection on which bytes arrive is closed at once, and one with unread bytes is never
  reused: they would be taken for the *next* request's response;
- received bytes go to the watcher and the guard before aiohttp gets them;
- idle connections are bounded, and the oldest is closed first: aiohttp's `limit` doesn't count
  them, and many hosts times 15 s of keep-alive need more descriptors than there are;
- an idle connection is closed when its time is up, not up to twice as late;
- each address is checked before the connection is made, where a request demands a public one;
- TLS connections are aborted, not shut down: a peer that ignores the shutdown keeps the
  descriptor for 30 s;
- the direct exchange takes kept connections and gives them back without waiting (`take`,
  `release`), counted like all others.

Only this room and `http/` import aiohttp's client. Parts of it that aren't public are overridden
here and nowhere else.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import warnings
from collections import OrderedDict
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from msgspec.structs import replace

from fetchpool.model.slot_time import Connections, Lookups
from fetchpool.network.connector.at_hand import AtHand
from fetchpool.network.connector.dialling import Dialler, family_of, refuse_literal
from fetchpool.network.connector.handler import (
    Guard,
    Handler,
    Watcher,
    guard,
    watcher,
    why_not_guardable,
)
from fetchpool.network.connector.lending import (
    UnfitLibraryError,
    check_new,
    why_not_lendable,
    why_unfit,
)
from fetchpool.network.connector.looks import ProxyLook, is_reachable, look_at_proxy
from fetchpool.network.connector.policy import (
    BlockedAddressError,
    PolicedRequest,
    demand_fresh,
    demand_public,
    demands_fresh,
    demands_public,
    refuse_non_public,
)
from fetchpool.network.connector.tunnel import (
    AUTHORIZATION,
    ProxyEnd,
    ProxyError,
    ProxyHungUpError,
    ProxyNotHTTPError,
    ProxyRefusedError,
    ProxyUnreachableError,
    SocksRefusedError,
    connect_request,
    connect_through_proxy,
    is_socks,
)
from fetchpool.network.resolver import RememberingResolver
from fetchpool.network.tls import ClientContext, load_certificate

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.tracing import Trace
    from yarl import URL

    from fetchpool.config import Config
    from fetchpool.model.values import Target


__all__ = [
    "AUTHORIZATION",
    "BlockedAddressError",
    "FetchConnector",
    "Guard",
    "Handler",
    "PolicedRequest",
    "ProxyError",
    "ProxyHungUpError",
    "ProxyLook",
    "ProxyNotHTTPError",
    "ProxyRefusedError",
    "ProxyUnreachableError",
    "SocksRefusedError",
    "UnfitLibraryError",
    "Watcher",
    "close",
    "connect_request",
    "demand_fresh",
    "demand_public",
    "guard",
    "is_socks",
    "make_connector",
    "refuse_literal",
    "refuse_non_public",
    "watcher",
    "why_not_guardable",
    "why_not_lendable",
    "why_unfit",
]

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=None)


class FetchConnector(Dialler):
    """A `TCPConnector` that counts, bounds and guards its connections."""

    def __init__(
        self,
        *,
        idle_limit: int,
        dns_ttl_s: float = float("inf"),
        public_only: bool = False,
        **options: Any,
    ) -> None:
        self._lookups = Lookups()
        resolver = RememberingResolver(dns_ttl_s, counts=self._lookups)
        super().__init__(resolver=resolver, **options)
        check_new(self)
        self._resolver_owner = True
        self._factory = cast(
            "functools.partial[ResponseHandler]", functools.partial(Handler, loop=self._loop)
        )
        self._public_only = public_only
        self.idle_limit = idle_limit
        self.idle: OrderedDict[Handler, float] = OrderedDict()
        """Idle connections and since when, the oldest first."""
        self.at_hand = AtHand(self)
        """Where connections are that may serve the next request of the same turn of the loop."""
        self.counts = Connections()
        """What became of connections; those in use aside."""

    @property
    def opened(self) -> int:
        """Connections opened so far."""
        return self.counts.opened

    @property
    def lookups(self) -> Lookups:
        """What became of the names that connections were made to."""
        asked = self._lookups.asked
        return replace(self._lookups, cached=max(0, self.names - asked))

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> Connection:
        """Return a connection for *req*, new or kept, and tell the watcher which.

        A request that demands a fresh connection gets a new one, which serves once. Through a proxy
        only an address in the URL itself can be checked, as the proxy resolves names.
        """
        policed, fresh = demands_public(req), demands_fresh(req)
        if policed and req.proxy is not None:
            refuse_literal(req.host)
        while True:
            connection = await super().connect(req, traces, timeout)
            handler = connection.protocol
            assert isinstance(handler, Handler)
            reused = handler.idle_in is not None
            handler.leave_idle()
            if handler.borrower is not None and handler.transport is not None:
                handler.borrower = None
                handler.transport.set_protocol(handler)
            # Bytes came between its release and now: nobody asked for them.
            if reused and (fresh or handler.should_close or handler.has_unread()):
                connection.close()
                continue
            if fresh or (not reused and handler.spoke_first()):
                handler.force_close()  # bytes sent early may be this response, but no other
            break
        try:
            peer = self._peer(handler) if req.proxy is None else None
            if policed and peer is not None:
                refuse_non_public(peer)
        except BlockedAddressError:
            connection.close()
            raise
        handler.peer = peer
        handler.guard = guard.get()
        handler.watcher = current = watcher.get()
        if current is not None:
            current.connected(monotonic(), peer, reused=reused)
        return connection

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        """Return a kept connection, None if there is none or the watcher needs a new one."""
        current = watcher.get()
        if current is not None and current.fresh:
            return None
        return await super()._get(key, traces)

    @staticmethod
    def _peer(handler: Handler) -> str | None:
        name = handler.transport.get_extra_info("peername") if handler.transport else None
        return str(name[0]) if name else None

    async def _create_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> ResponseHandler:
        make = functools.partial(super()._create_connection, req, traces, timeout)
        handler = await self.resuming(req.host, make)
        counts = self.counts
        counts.opened += 1
        secure = handler.transport and handler.transport.get_extra_info("ssl_object")
        if secure:
            counts.tls_resumed += bool(secure.session_reused)
            counts.tls_full += not secure.session_reused
        return handler

    async def _create_proxy_connection(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> tuple[asyncio.BaseTransport, ResponseHandler]:
        assert req.proxy is not None
        if is_socks(req.proxy):
            from fetchpool.network.connector.socks import connect_through_socks

            return await connect_through_socks(self, req, timeout)
        return await connect_through_proxy(self, req, timeout)

    def _update_proxy_auth_header_and_build_proxy_req(self, req: ClientRequest) -> ClientRequest:
        assert req.proxy is not None
        return cast("ClientRequest", ProxyEnd(req.proxy, req.ssl))  # requests carry the credentials

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[ResolveResult]:
        if self._family and family_of(host) not in (self._family, None):
            flag = "-4" if self._family == socket.AF_INET else "-6"
            raise BlockedAddressError(f"{host} is of the family that {flag} leaves out")
        return await super()._resolve_host(host, port, traces)

    def _release(
        self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False
    ) -> None:
        assert isinstance(protocol, Handler)
        protocol.watcher = protocol.guard = None
        closing = self.force_close or should_close or protocol.should_close or not self.idle_limit
        if key.is_ssl or (key.proxy is not None and key.proxy.scheme == "https"):
            if not protocol.is_noted:
                protocol.is_noted = True
                self.note_session(protocol.transport)
            if closing:
                protocol.abort()
        if closing:
            self._count_closed(protocol)
        super()._release(key, protocol, should_close=closing)
        if not closing and not self.closed:
            self._keep_idle(key, protocol, monotonic())

    def _keep_idle(self, key: ConnectionKey, handler: Handler, now: float) -> None:
        handler.was_kept = True
        handler.idle_in = self
        handler.idle_key = key
        self.idle[handler] = now
        if len(self.idle) > self.idle_limit:
            self._drop_oldest()

    # -- for the direct exchange -----------------------------------------------------------------

    def take(self, key: ConnectionKey, shelf: ConnectionKey | None = None) -> Handler | None:
        """Return a kept connection for *key*, or None, without waiting.

        Give it back with `release`.
        With a *shelf*, take one that was kept under that; `limit_per_host` counts it under *key*.
        The connection given back last is taken, as its server has least likely closed it. The
        caller checks whether its address is allowed and whether unread bytes have arrived on it.
        """
        shelf = shelf or key
        kept = self._conns.get(shelf)
        if kept is None:
            return None
        taken: Handler | None = None
        while kept and taken is None:
            handler: Handler = kept.pop()[0]  # type: ignore[assignment]
            handler.leave_idle()
            if handler.is_connected():
                taken = handler
        if not kept:
            del self._conns[shelf]
        if taken is not None:
            self._acquired.add(taken)
            if self._limit_per_host:
                self._acquired_per_host[key].add(taken)
        return taken

    async def open(self, request: ClientRequest) -> Handler:
        """Return a connection for *request* as `connect` does; give it back with `release`.

        Only the watcher limits the time.
        """
        self.at_hand.clear()  # they count against the limits
        connection = await self.connect(request, [], _NO_TIMEOUT)
        handler, connection._protocol = connection.protocol, None  # or it warns when it is freed
        assert isinstance(handler, Handler)
        handler.watcher = handler.guard = None
        return handler

    def release(
        self,
        key: ConnectionKey,
        handler: Handler,
        *,
        reusable: bool,
        shelf: ConnectionKey | None = None,
    ) -> None:
        """Take back what `take` or `open` returned: keep it where *reusable*, else close it.

        With a *shelf* it is kept under that.
        """
        if shelf is not None:
            self._acquired_per_host[key].discard(handler)
            if not self._acquired_per_host[key]:
                del self._acquired_per_host[key]
            key = shelf
        if (
            not reusable
            or key.is_ssl
            or self._force_close
            or not self.idle_limit
            or self._waiters
            or self._closed
            or self._cleanup_handle is None
            or handler.should_close
        ):
            self._release(key, handler, should_close=not reusable)
            return
        # The same as `_release` for a plain connection that is kept, in a third of its time.
        self._acquired.discard(handler)
        if self._limit_per_host:
            taken = self._acquired_per_host[key]
            taken.discard(handler)
            if not taken:
                del self._acquired_per_host[key]
        now = monotonic()
        self._conns[key].append((handler, now))
        self._keep_idle(key, handler, now)

    # -- upkeep ----------------------------------------------------------------------------------

    def _count_closed(self, handler: Handler) -> None:
        """Count a connection that ends with its request."""
        counts = self.counts
        if handler.is_broken:
            counts.broken += 1
        elif self.force_close or handler.is_cut or not self.idle_limit:
            counts.closed_by_us += 1
        else:
            counts.closed_by_server += 1

    def _drop_oldest(self) -> None:
        self.counts.closed_idle += 1
        handler = next(iter(self.idle))
        handler.end_idle()
        handler.abort()

    def discard(self, key: ConnectionKey, handler: Handler) -> None:
        """Close the useless *handler*, which is idle under *key*, and forget it.

        aiohttp itself does so once in a keep-alive time: hosts met once would add up.
        """
        kept = self._conns.get(key)
        if kept is None:
            return
        for entry in kept:
            if entry[0] is handler:
                kept.remove(entry)
                break
        if not kept:
            del self._conns[key]

    async def reachable(self, host: str, port: int) -> bool:
        """Return True if *host* accepts or refuses a connection; send no request.

        With `--public-only` connect to public addresses only.
        """
        return await is_reachable(self, host, port, public_only=self._public_only)

    async def look_at_proxy(self, proxy: URL, request: bytes | None, timeout_s: float) -> ProxyLook:
        """Connect to *proxy*, send *request* if there is one, and return what came back."""
        return await look_at_proxy(self, proxy, request, timeout_s)

    async def look_through_socks(
        self, proxy: URL, authorization: str | None, target: Target, timeout_s: float
    ) -> ProxyLook:
        """Have *proxy* connect to *target*'s server, say nothing there, and return what came."""
        from fetchpool.network.connector.socks import look_through

        return await look_through(self, proxy, authorization, target, timeout_s)

    def sweep(self, now: float) -> None:
        """Close the connections that have been idle for longer than the keep-alive time-out."""
        if self._keepalive_timeout is None:
            return
        deadline = now - self._keepalive_timeout
        while self.idle and next(iter(self.idle.values())) <= deadline:
            self._drop_oldest()


def make_connector(config: Config, *, limit: int, idle_limit: int) -> FetchConnector:
    """Return the connector that *config* describes; needs a running loop.

    *limit* is `--limit` after descriptors were counted; *idle_limit* bounds the idle connections.
    """
    options: dict[str, Any] = {
        "limit": limit,
        "limit_per_host": config.connections_per_host,
        "force_close": config.force_close,
        "enable_cleanup_closed": config.cleanup_closed,
        "use_dns_cache": config.dns_ttl > 0,
        "ttl_dns_cache": config.dns_ttl or None,
        "dns_cache_max_size": 100_000,
        "family": address_family(config),
        "ssl": tls_context(config),
    }
    if not config.force_close:
        options["keepalive_timeout"] = config.keepalive_s
    with warnings.catch_warnings():
        # Where Python needs no clean-up, aiohttp says so here; our users get a plain line instead.
        warnings.filterwarnings("ignore", "enable_cleanup_closed", DeprecationWarning)
        return FetchConnector(
            idle_limit=0 if config.force_close else idle_limit,
            dns_ttl_s=config.dns_ttl,
            public_only=config.public_only,
            **options,
        )


def cleanup_closed_is_needless() -> bool:
    """Return True where `enable_cleanup_closed` does nothing: this Python closes TLS by itself."""
    from aiohttp.connector import NEEDS_CLEANUP_CLOSED

    return not NEEDS_CLEANUP_CLOSED


def address_family(config: Config) -> socket.AddressFamily:
    """Return which address family `-4` and `-6` ask for."""
    if config.ipv4:
        return socket.AF_INET
    return socket.AF_INET6 if config.ipv6 else socket.AF_UNSPEC


def tls_context(config: Config) -> ssl.SSLContext | bool:
    """Return what aiohttp's `ssl=` takes: a context, or False for no verification.

    Built once: a context is part of the key under which connections are kept.
    """
    if config.cert is None and config.insecure:
        return False
    if config.cert is None and config.cacert is None:
        return ClientContext(ssl.create_default_context)
    context = ssl.create_default_context()
    if config.cacert is not None:
        context.load_verify_locations(cafile=config.cacert)
    if config.cert is not None:
        load_certificate(context, config.cert, config.key)
    if config.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return ClientContext(lambda: context)


async def close(connector: FetchConnector) -> None:
    """Close every connection and wait until the transports are gone."""
    for handler in list(connector.idle):
        handler.abort()
    await connector.close()
    await asyncio.sleep(0)

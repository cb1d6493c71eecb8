"""Connections through an HTTP proxy: to the proxy itself, or a tunnel opened by CONNECT.

    connection to the proxy ──(http)──▶ requests in absolute form, whatever their origin
              └──CONNECT──▶ any 2xx ──▶ TLS with the origin (https)

aiohttp itself takes only 200 for a tunnel, and reports the proxy's failures of TLS and DNS as the
origin's.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import TYPE_CHECKING, cast

import aiohttp
from aiohttp.client_reqrep import ConnectionKey

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from aiohttp import Fingerprint
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from yarl import URL

    from fetchpool.network.connector import FetchConnector

MAX_HEAD_BYTES = 64 * 1024

AUTHORIZATION = "Proxy-Authorization"

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")


class ProxyError(aiohttp.ClientConnectionError):
    """A failure of the proxy, or its refusal, where a connection was wanted."""


class ProxyUnreachableError(ProxyError):
    """No connection to the proxy itself could be made; `__cause__` says why."""


_HUNG_UP = "the proxy closed the connection when it was asked for a tunnel"


class ProxyHungUpError(ProxyError):
    """The proxy closed the connection instead of responding."""


class ProxyNotHTTPError(ProxyError):
    """The proxy's response is not HTTP, nor SOCKS where that is spoken."""


class ProxyRefusedError(ProxyError):
    """The proxy responded that it opens no tunnel."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the proxy answered {status}")
        self.status = status


class SocksRefusedError(ProxyError):
    """A SOCKS proxy answered that it makes no connection to the host."""

    def __init__(self, why: str, *, wants_credentials: bool, passing: bool) -> None:
        super().__init__(why)
        self.wants_credentials = wants_credentials
        """Whether it refused us, rather than the host."""
        self.passing = passing
        """Whether it may take the host another time."""


def is_socks(proxy: URL) -> bool:
    """Return True if *proxy* speaks SOCKS instead of HTTP."""
    return proxy.scheme.startswith("socks")


class ProxyEnd:
    """Stands for a request where the connection is to a proxy itself.

    Has the attributes that a connector reads of a `ClientRequest`, which takes 50 µs to make. The
    address policy of a request doesn't hold here: a proxy may have any address.
    """

    proxy = None
    proxy_headers = None
    server_hostname = None

    def __init__(self, proxy: URL, tls: ssl.SSLContext | bool | Fingerprint) -> None:
        self.url = proxy
        self.host = proxy.raw_host or ""
        self.port = proxy.port
        self.ssl = tls
        self.connection_key = ConnectionKey(
            self.host, self.port, self.is_ssl(), tls, None, None, None, None
        )

    def is_ssl(self) -> bool:
        """Return True if the connection to the proxy is over TLS."""
        return self.url.scheme == "https"


class WithoutDot:
    """A request for TLS in a tunnel, without the dot at the end of its host: no certificate has it.

    aiohttp itself removes the dot where there is no tunnel.
    """

    def __init__(self, request: ClientRequest) -> None:
        self._request = request
        self.server_hostname = (request.server_hostname or request.host).rstrip(".")

    def __getattr__(self, name: str) -> object:
        return getattr(self._request, name)


class AnswerHead(asyncio.Protocol):
    """Reads the head of a proxy's response; `status` gets its number, or `ProxyError`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, opens_tunnel: bool = False) -> None:
        self._opens_tunnel = opens_tunnel
        self.status: asyncio.Future[int] = loop.create_future()
        self.status.add_done_callback(_look_at)
        self.heard = False
        """True once bytes have come, or the end."""
        self._data = bytearray()

    def data_received(self, data: bytes) -> None:
        self.heard = True
        self._data += data
        while not self.status.done() and (end := _HEAD_END.search(self._data)) is not None:
            line = _STATUS_LINE.match(self._data)
            if line is None:
                self._fail(ProxyNotHTTPError("what the proxy sent is no HTTP"))
                return
            status = int(line[1])
            del self._data[: end.end()]
            if status >= 200:  # a lower one announces another response (RFC 9110 §15.2)
                self._end(status)
        if len(self._data) > MAX_HEAD_BYTES:
            self._fail(ProxyNotHTTPError("what the proxy sent is no HTTP"))

    def _end(self, status: int) -> None:
        # A tunnel is silent until we begin TLS, so any bytes before that are an error.
        if self._opens_tunnel and self._data and status < 300:
            self._fail(ProxyNotHTTPError("the proxy sent something before it was asked"))
        else:
            self.status.set_result(status)

    def connection_lost(self, exc: Exception | None) -> None:
        self.heard = True
        self._fail(ProxyHungUpError(_HUNG_UP))

    def _fail(self, error: ProxyError) -> None:
        if not self.status.done():
            self.status.set_exception(error)


def _look_at(status: asyncio.Future[int]) -> None:
    """Take the exception out of a future that perhaps nobody awaits any more."""
    if not status.cancelled():
        status.exception()


def connect_request(authority: str, authorization: str | None) -> bytes:
    """Return the request that asks a proxy for a tunnel to *authority* (host and port)."""
    field = f"{AUTHORIZATION}: {authorization}\r\n" if authorization else ""
    return f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{field}\r\n".encode("latin-1")


async def connect_through_proxy(
    connector: FetchConnector,
    request: ClientRequest,
    timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
) -> tuple[asyncio.BaseTransport, ResponseHandler]:
    """Return a connection to *request*'s proxy; for https, a tunnel with TLS in it.

    Raises `ProxyError`, or what aiohttp raises for TLS in the tunnel.
    """
    to_proxy = connector._update_proxy_auth_header_and_build_proxy_req(request)
    try:
        transport, handler = await connector.resuming(
            to_proxy.host,
            partial(
                connector._create_direct_connection,
                to_proxy,
                [],
                timeout,
                client_error=aiohttp.ClientProxyConnectionError,
            ),
        )
    except (aiohttp.ClientError, OSError) as error:
        raise ProxyUnreachableError from error
    if not request.is_ssl():
        return transport, handler
    try:
        await _open_tunnel(transport, request)
        connector.note_session(transport)
        inside = cast("ClientRequest", WithoutDot(request))
        return await connector._start_tls_connection(transport, inside, timeout)
    except BaseException:
        transport.abort()
        raise


async def _open_tunnel(transport: asyncio.Transport, request: ClientRequest) -> None:
    """Ask for a tunnel; any 2xx opens it (RFC 9110 §9.3.6)."""
    head = AnswerHead(asyncio.get_running_loop(), opens_tunnel=True)
    transport.set_protocol(head)
    if transport.is_closing():
        raise ProxyHungUpError(_HUNG_UP)
    host = f"[{request.host}]" if ":" in request.host else request.host
    fields = cast("Mapping[str, str]", request.proxy_headers or {})
    authorization = fields.get(AUTHORIZATION)
    transport.write(connect_request(f"{host}:{request.port}", authorization))
    status = await head.status
    if not 200 <= status < 300:
        raise ProxyRefusedError(status)

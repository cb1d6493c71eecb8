"""Probes of a server or a proxy: does it take connections, and what does a proxy answer?

A probe has a connection of its own, which the connector doesn't count, and inherits nothing from
the request that caused it.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, NamedTuple

import aiohttp

from fetchpool.model.addresses import why_not_public
from fetchpool.network.connector.tunnel import AnswerHead, is_socks
from fetchpool.network.resolver import LookupFailedError, RememberingResolver

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult
    from yarl import URL

    from fetchpool.network.connector import FetchConnector


SOCKS_PORT = 1080
"""Where a SOCKS proxy listens whose URL names no port."""


class FirstBytes(AnswerHead):
    """Takes whatever a SOCKS proxy says first for an answer."""

    def data_received(self, data: bytes) -> None:
        self.heard = True
        if not self.status.done():
            self.status.set_result(200)


class ProxyLook(NamedTuple):
    """What a probe of a proxy showed."""

    connected: bool
    """A connection was made, with TLS where the proxy wants it."""
    heard: bool
    """Bytes came over it, or its end."""
    status: int | None
    """The status of the response; None: there was none, or it was not HTTP."""


async def is_reachable(
    connector: FetchConnector, host: str, port: int, *, public_only: bool
) -> bool:
    """Return True if *host* accepts or refuses a connection, or its name doesn't exist.

    With *public_only* connect to public addresses only.
    """
    try:
        addresses = await _resolve(connector, host, port)
    except LookupFailedError as error:
        return not (error.temporary or error.unasked)
    except OSError:
        return False
    loop = asyncio.get_running_loop()
    for found in addresses:
        if public_only and why_not_public(found["host"]) is not None:
            continue
        try:
            transport, _ = await loop.create_connection(
                asyncio.Protocol, found["host"], found["port"]
            )
        except ConnectionError:
            return True
        except OSError:
            continue  # no route to this address, as for IPv6 where there is none
        transport.abort()
        return True
    return False


async def _resolve(connector: FetchConnector, host: str, port: int) -> list[ResolveResult]:
    """Return *host*'s addresses, asked anew: a remembered failure would show nothing."""
    if isinstance(connector._resolver, RememberingResolver):
        connector._resolver.forget(host)
    return await connector._resolve_host(host, port)


async def look_at_proxy(
    connector: FetchConnector, proxy: URL, request: bytes | None, timeout_s: float
) -> ProxyLook:
    """Connect to *proxy*, send *request* if there is one, and wait for the response.

    Takes *timeout_s* at most.
    """
    loop = asyncio.get_running_loop()
    head = FirstBytes(loop) if is_socks(proxy) else AnswerHead(loop)
    transport: asyncio.Transport | None = None
    status: int | None = None
    try:
        async with asyncio.timeout(timeout_s):
            transport = await _connect(connector, proxy, head)
            if request is not None:
                transport.write(request)
                status = await head.status
    except (OSError, aiohttp.ClientError):  # a time-out is an OSError, too
        pass
    finally:
        if transport is not None:
            transport.abort()
    return ProxyLook(transport is not None, head.heard, status)


async def _connect(
    connector: FetchConnector, proxy: URL, protocol: asyncio.Protocol
) -> asyncio.Transport:
    """Connect *protocol* to the first of *proxy*'s addresses that works; raises OSError."""
    host, port = proxy.raw_host, proxy.port or SOCKS_PORT
    assert host is not None
    tls = _context(connector) if proxy.scheme == "https" else None
    failure = OSError("no address")
    for found in await _resolve(connector, host, port):
        try:
            transport, _ = await asyncio.get_running_loop().create_connection(
                lambda: protocol,
                found["host"],
                found["port"],
                ssl=tls,
                server_hostname=host.rstrip(".") if tls else None,
            )
        except OSError as error:
            failure = error
        else:
            return transport
    raise failure


def _context(connector: FetchConnector) -> ssl.SSLContext:
    """Return the context for TLS with a proxy, the one that aiohttp uses for it."""
    if isinstance(connector._ssl, ssl.SSLContext):
        return connector._ssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

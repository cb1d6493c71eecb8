"""Looks whether somebody is there: a server, or a proxy and what it says.

A look is a connection of its own, outside the connector's books, and inherits nothing from the
request that gave rise to it.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, NamedTuple

import aiohttp

from fetchpool.model.addresses import why_not_public
from fetchpool.network.connector.tunnel import AnswerHead
from fetchpool.network.resolver import LookupFailedError, RememberingResolver

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult
    from yarl import URL

    from fetchpool.network.connector import FetchConnector


class ProxyLook(NamedTuple):
    """What a look at a proxy showed."""

    connected: bool
    """A connection was made, TLS included where the proxy wants it."""
    heard: bool
    """Something came over it, be it only its end."""
    status: int | None
    """Of the answer; None: there was none, or it was no HTTP."""


async def is_reachable(
    connector: FetchConnector, host: str, port: int, *, public_only: bool
) -> bool:
    """Return True if *host* can be connected to, refuses, or is said not to exist.

    With *public_only* no packet is sent to another than a public address.
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
            continue  # no way to this one: IPv6, say, where there is none
        transport.abort()
        return True
    return False


async def _resolve(connector: FetchConnector, host: str, port: int) -> list[ResolveResult]:
    """Return *host*'s addresses as they are now: a failure that is remembered is no look."""
    if isinstance(connector._resolver, RememberingResolver):
        connector._resolver.forget(host)
    return await connector._resolve_host(host, port)


async def look_at_proxy(
    connector: FetchConnector, proxy: URL, request: bytes | None, timeout_s: float
) -> ProxyLook:
    """Connect to *proxy*, send *request* if there is one, and wait for an answer to that.

    All of it takes *timeout_s* at most.
    """
    head = AnswerHead(asyncio.get_running_loop())
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
    """Connect *protocol* to the first of *proxy*'s addresses that will do; raises OSError."""
    host, port = proxy.raw_host, proxy.port
    assert host is not None
    assert port is not None
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
    """Return what TLS with a proxy is verified by, which is what aiohttp does it by."""
    if isinstance(connector._ssl, ssl.SSLContext):
        return connector._ssl
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context

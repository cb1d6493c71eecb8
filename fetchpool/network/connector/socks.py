"""Connections through a SOCKS proxy, by python-socks where it is installed.

    TCP with the proxy ──SOCKS──▶ a connection to the host ──▶ TLS with it (https)

`socks5` gets the host's address, looked up here; `socks5h` and `socks4a` get its name.
"""

from __future__ import annotations

import asyncio
import socket
from base64 import b64decode
from typing import TYPE_CHECKING, NamedTuple, cast

import aiohappyeyeballs

from fetchpool.model.values import Phase
from fetchpool.network.connector.dialling import HAPPY_EYEBALLS_DELAY_S, enter_phase, family_of
from fetchpool.network.connector.looks import SOCKS_PORT, ProxyLook
from fetchpool.network.connector.policy import demands_public, refuse_non_public
from fetchpool.network.connector.tunnel import (
    AUTHORIZATION,
    ProxyError,
    ProxyHungUpError,
    ProxyNotHTTPError,
    ProxyUnreachableError,
    SocksRefusedError,
    WithoutDot,
)
from fetchpool.network.resolver import LookupFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import AddrInfoType
    from python_socks import ProxyError as SocksError
    from python_socks.async_.asyncio import Proxy
    from yarl import URL

    from fetchpool.model.values import Target
    from fetchpool.network.connector import FetchConnector

REFUSED_US = 407
"""What an HTTP proxy would answer."""

NO_TIMEOUT_S = 1e6
"""python-socks wants a time-out; ours (`http.watch`) is shorter."""

_UNREACHED = frozenset({1, 3, 4, 5, 6, 0x5B})
"""Replies by which the proxy says that it got no connection to the host this time (RFC 1928 §6;
0x5B is SOCKS4's only one). 1 is a general failure: many say so of a name they can't look up."""

_IDENT_REFUSED = frozenset({0x5C, 0x5D})
"""Replies of SOCKS4 by which it refuses us."""


class Place(NamedTuple):
    """Where a connection is to lead."""

    host: str
    """A name, or an address."""
    port: int


async def connect_through_socks(
    connector: FetchConnector,
    request: ClientRequest,
    timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's
) -> tuple[asyncio.BaseTransport, ResponseHandler]:
    """Return a connection to *request*'s host through its proxy, with TLS in it for https.

    Raises `ProxyError`, `LookupFailedError` or `BlockedAddressError` for a host that is looked up
    here, or what aiohttp raises for TLS.
    """
    assert request.proxy is not None
    assert request.port is not None
    fields = cast("Mapping[str, str]", request.proxy_headers or {})
    sock = await reach(
        connector,
        request.proxy,
        fields.get(AUTHORIZATION),
        Place(request.host, request.port),
        public_only=demands_public(request),
    )
    loop = asyncio.get_running_loop()
    if not request.is_ssl():
        return await loop.create_connection(connector._factory, sock=sock)
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=sock)
    try:
        inside = cast("ClientRequest", WithoutDot(request))
        return await connector._start_tls_connection(transport, inside, timeout)
    except BaseException:
        transport.abort()
        raise


async def reach(
    connector: FetchConnector,
    proxy: URL,
    authorization: str | None,
    place: Place,
    *,
    public_only: bool = False,
) -> socket.socket:
    """Return a socket that *proxy* has connected to *place*.

    *authorization* has user and password, as for an HTTP proxy. Where names are looked up here,
    *public_only* refuses addresses that aren't public, and one address after the other is tried.
    """
    hosts = [place.host]
    if proxy.scheme == "socks5":
        found = await connector._resolve_host(place.host, place.port)
        hosts = [each["host"] for each in found]
        if public_only:
            for address in hosts:
                refuse_non_public(address)
    *others, last = hosts
    for host in others:
        try:
            return await _ask(connector, proxy, authorization, Place(host, place.port))
        except SocksRefusedError as error:
            if error.wants_credentials:
                raise
    return await _ask(connector, proxy, authorization, Place(last, place.port))


async def _ask(
    connector: FetchConnector, proxy: URL, authorization: str | None, place: Place
) -> socket.socket:
    from python_socks import ProxyError as SocksError
    from python_socks import ProxyType
    from python_socks.async_.asyncio import Proxy

    kind = ProxyType.SOCKS4 if proxy.scheme == "socks4a" else ProxyType.SOCKS5
    user, password = _credentials(authorization)
    sock = await dial(connector, proxy)
    enter_phase(Phase.TUNNEL)
    try:
        through = cast("Proxy", _Dialled(sock))
        asked = Proxy(kind, "", 0, user, password, rdns=True, forward=through)
        return await asked.connect(place.host, place.port, timeout=NO_TIMEOUT_S)
    except SocksError as error:
        raise _understood(error) from error
    except ConnectionError as error:
        raise ProxyHungUpError(_HUNG_UP) from error
    except BaseException:
        sock.close()
        raise


class _Dialled:
    """Stands for a proxy through which python-socks reaches the one to be asked."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def connect(self, **_: object) -> socket.socket:
        """Return the socket that is connected already."""
        return self._sock


async def dial(connector: FetchConnector, proxy: URL) -> socket.socket:
    """Return a socket connected to *proxy* itself, or raise `ProxyUnreachableError`."""
    assert proxy.raw_host is not None
    try:
        found = await connector._resolve_host(proxy.raw_host, proxy.port or SOCKS_PORT)
        enter_phase(Phase.CONNECT)
        return await aiohappyeyeballs.start_connection(
            [_info(each["host"], each["port"]) for each in found],
            happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY_S,
        )
    except OSError as error:
        raise ProxyUnreachableError from error


def _info(address: str, port: int) -> AddrInfoType:
    family = family_of(address)
    assert family is not None
    return (family, socket.SOCK_STREAM, 0, "", (address, port))


def _credentials(authorization: str | None) -> tuple[str | None, str | None]:
    """Return user and password of a field `Basic …`."""
    if authorization is None:
        return None, None
    user, _, password = b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
    return user, password


_HUNG_UP = "the proxy closed the connection when it was asked for one to the host"


def _understood(error: SocksError) -> ProxyError:
    """Return what python-socks' *error* means; where it has no number, its words tell."""
    words = str(error)
    if error.error_code is not None:
        refuses_us = error.error_code in _IDENT_REFUSED
        passing = error.error_code in _UNREACHED
        why = f"the proxy answered: {words[:1].lower()}{words[1:]}"
        return SocksRefusedError(why, wants_credentials=refuses_us, passing=passing)
    if "authentication" in words.lower():
        why = "the proxy wants other credentials"
        return SocksRefusedError(why, wants_credentials=True, passing=False)
    if "closed" in words:
        return ProxyHungUpError(_HUNG_UP)
    return ProxyNotHTTPError("what the proxy sent is no SOCKS")


async def look_through(
    connector: FetchConnector,
    proxy: URL,
    authorization: str | None,
    target: Target,
    timeout_s: float,
) -> ProxyLook:
    """See `FetchConnector.look_through_socks`; status 407 means that *proxy* doesn't take us."""
    place = Place(target.host, target.port)
    try:
        async with asyncio.timeout(timeout_s):
            sock = await reach(connector, proxy, authorization, place)
    except ProxyUnreachableError:
        return ProxyLook(connected=False, heard=False, status=None)
    except SocksRefusedError as error:
        status = REFUSED_US if error.wants_credentials else 200
        return ProxyLook(connected=True, heard=True, status=status)
    except LookupFailedError:  # nothing can be asked for it: that takes us as well as it can
        return ProxyLook(connected=True, heard=True, status=200)
    except ProxyError:
        return ProxyLook(connected=True, heard=True, status=None)
    except TimeoutError:
        return ProxyLook(connected=True, heard=False, status=None)
    sock.close()
    return ProxyLook(connected=True, heard=True, status=200)

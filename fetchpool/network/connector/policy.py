"""Which addresses a request may be connected to: an attribute of the request.

A context variable would be inherited by every task that is started meanwhile, such as a probe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp.client_reqrep import ClientRequest

from fetchpool.model.addresses import why_not_public

if TYPE_CHECKING:
    from aiohttp import ClientHandlerType, ClientResponse


class BlockedAddressError(PermissionError):
    """An address that policy forbids to connect to."""


class PolicedRequest(ClientRequest):
    """A request that may demand that its connection leads to a public address."""

    public_only = False
    fresh = False


async def demand_fresh(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Make *request* use a new connection that serves no other; a middleware, too."""
    assert isinstance(request, PolicedRequest)
    request.fresh = True
    return await handler(request)


async def demand_public(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Make *request* go to public addresses only; a middleware of aiohttp's client."""
    assert isinstance(request, PolicedRequest)
    request.public_only = True
    return await handler(request)


def demands_public(request: object) -> bool:
    """Return True if *request*, aiohttp's or its stand-in, demands a public address."""
    return bool(getattr(request, "public_only", False))


def demands_fresh(request: object) -> bool:
    """Return True if *request*, aiohttp's or its stand-in, demands a new connection."""
    return bool(getattr(request, "fresh", False))


def refuse_non_public(address: str) -> None:
    """Raise `BlockedAddressError` if *address* isn't public."""
    reason = why_not_public(address)
    if reason is not None:
        raise BlockedAddressError(f"{address} is not public: {reason}")

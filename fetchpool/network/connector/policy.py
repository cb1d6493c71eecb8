"""Which addresses a request may be connected to: said by the request, never by who runs it.

A context variable would be inherited by every task that is started meanwhile: a probe, say.
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
    """Let *request* be sent on a new connection, that carries no other: a middleware, too."""
    assert isinstance(request, PolicedRequest)
    request.fresh = True
    return await handler(request)


async def demand_public(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Let *request* be sent to public addresses only: a middleware of aiohttp's client."""
    assert isinstance(request, PolicedRequest)
    request.public_only = True
    return await handler(request)


def demands_public(request: object) -> bool:
    """Return True if *request*, aiohttp's or what stands for it, demands a public address."""
    return bool(getattr(request, "public_only", False))


def demands_fresh(request: object) -> bool:
    """Return True if *request*, as `demands_public` has it, demands a connection of its own."""
    return bool(getattr(request, "fresh", False))


def refuse_non_public(address: str) -> None:
    """Raise `BlockedAddressError` if *address* isn't public."""
    reason = why_not_public(address)
    if reason is not None:
        raise BlockedAddressError(f"{address} is not public: {reason}")

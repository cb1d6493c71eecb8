"""Makes a resolver's result of an address."""

from __future__ import annotations

import socket

from aiohttp.abc import ResolveResult


def numeric_result(name: str, address: str) -> ResolveResult:
    """Return *address* of *name* as aiohttp wants it, without a port."""
    return ResolveResult(
        hostname=name,
        host=address,
        port=0,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )

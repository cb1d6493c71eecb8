"""What of aiohttp's inside lending a connection takes (`FetchConnector.take`, `open`, `release`).

Looked at when a pool starts: with another aiohttp, `ClientSession` does the work, which costs speed
only.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable
from types import NoneType
from typing import TYPE_CHECKING

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection

if TYPE_CHECKING:
    from fetchpool.connector import FetchConnector

KEY_FIELDS = (
    "host", "port", "is_ssl", "ssl", "proxy", "proxy_auth", "proxy_headers_hash", "server_hostname",
)  # fmt: skip
"""What aiohttp tells connections apart by; `engine.direct` makes such keys."""


def why_not_lendable(connector: FetchConnector) -> str | None:
    """Return the part of it that isn't as it has to be in a new *connector*; None: all of it is."""
    handler = connector._factory()
    attributes: tuple[tuple[object, str, type], ...] = (
        (connector, "_conns", defaultdict),
        (connector, "_acquired", set),
        (connector, "_acquired_per_host", defaultdict),
        (connector, "_limit_per_host", int),
        (connector, "_waiters", defaultdict),
        (connector, "_force_close", bool),
        (connector, "_closed", bool),
        (connector, "_cleanup_handle", NoneType),
        (handler, "_tail", bytes),
    )
    for owner, name, kind in attributes:
        if not isinstance(getattr(owner, name, None), kind):
            return f"{type(owner).__name__}.{name}"
    signatures: tuple[tuple[Callable[..., object], str], ...] = (
        (aiohttp.TCPConnector.connect, "self req traces timeout"),
        (aiohttp.TCPConnector._release, "self key protocol should_close"),
        (Connection.__init__, "self connector key protocol loop"),
    )
    for function, names in signatures:
        if list(inspect.signature(function).parameters) != names.split():
            return function.__qualname__
    if "_protocol" not in Connection.__init__.__code__.co_names:
        return "Connection._protocol"
    if not issubclass(ConnectionKey, tuple) or ConnectionKey._fields != KEY_FIELDS:
        return "ConnectionKey"
    return None

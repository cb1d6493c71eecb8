"""The parts of aiohttp's inside that fetchpool uses, and whether the installed one has them.

`why_unfit` is called before a command does anything: without a part that every request needs, the
command ends with a line that names it (`UnfitLibraryError`). `why_not_lendable` is called when a
pool starts, for the parts that only the direct exchange needs (`FetchConnector.take`, `open`,
`release`): without them `ClientSession` does the work, which costs only speed.
All of it takes 0.1 ms.
All of it takes 0.1 ms.
"""

from __future__ import annotations

import builtins
import inspect
from collections import defaultdict
from types import CodeType, NoneType
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
import aiohttp.connector
import aiohttp.resolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection

from fetchpool.config import ConfigError

if TYPE_CHECKING:
    from fetchpool.network.connector import FetchConnector

FIT_VERSIONS = ">=3.14.5,<3.15"
"""Of aiohttp; those of pyproject.toml."""


class UnfitLibraryError(ConfigError):
    """The installed aiohttp lacks what fetchpool needs."""

    def __init__(self, missing: str) -> None:
        super().__init__(
            f"aiohttp {aiohttp.__version__} can't be used because it lacks {missing}: "
            f"pip install 'aiohttp{FIT_VERSIONS}'"
        )


class Part(NamedTuple):
    """One thing in aiohttp that no documentation promises."""

    owner: type
    name: str
    takes: str | None = None
    """Of a method that is overridden or called: its parameters; `…` = and others."""
    is_a: type | None = None
    """Of an attribute: the type of its value in a new object."""


NEEDED = (
    # Overridden, so their signatures must be the same; the last two are called as well.
    Part(aiohttp.TCPConnector, "connect", "self req traces timeout"),
    Part(aiohttp.TCPConnector, "_get", "self key traces"),
    Part(aiohttp.TCPConnector, "_create_connection", "self req traces timeout"),
    Part(aiohttp.TCPConnector, "_wrap_create_connection", "self addr_infos …"),
    Part(aiohttp.TCPConnector, "_release", "self key protocol should_close"),
    Part(aiohttp.TCPConnector, "_resolve_host", "self host port traces"),
    Part(aiohttp.TCPConnector, "_create_proxy_connection", "self req traces timeout"),
    Part(
        aiohttp.TCPConnector,
        "_start_tls_connection",
        "self underlying_transport req timeout client_error",
    ),
    Part(aiohttp.TCPConnector, "_update_proxy_auth_header_and_build_proxy_req", "self req"),
    # Called.
    Part(aiohttp.TCPConnector, "_create_direct_connection", "self req traces timeout client_error"),
    # Set here, and read by aiohttp.
    Part(aiohttp.TCPConnector, "_factory"),
    Part(aiohttp.TCPConnector, "_resolver_owner"),
    Part(aiohttp.ClientSession, "_retry_connection"),
    # Read, or changed.
    Part(aiohttp.TCPConnector, "_conns", is_a=defaultdict),
    Part(aiohttp.TCPConnector, "_family"),
    Part(aiohttp.TCPConnector, "_keepalive_timeout"),
    Part(aiohttp.TCPConnector, "_loop"),
    Part(aiohttp.TCPConnector, "_resolver"),
    Part(aiohttp.TCPConnector, "_ssl"),
    Part(ResponseHandler, "_payload"),
    Part(ResponseHandler, "_tail", is_a=bytes),
)
"""What every request needs."""

LENDING = (
    Part(Connection, "__init__", "self connector key protocol loop"),
    Part(Connection, "_protocol"),
    Part(aiohttp.TCPConnector, "_acquired", is_a=set),
    Part(aiohttp.TCPConnector, "_acquired_per_host", is_a=defaultdict),
    Part(aiohttp.TCPConnector, "_cleanup_handle", is_a=NoneType),
    Part(aiohttp.TCPConnector, "_closed", is_a=bool),
    Part(aiohttp.TCPConnector, "_force_close", is_a=bool),
    Part(aiohttp.TCPConnector, "_limit_per_host", is_a=int),
    Part(aiohttp.TCPConnector, "_waiters", is_a=defaultdict),
)
"""What only the direct exchange needs, beside connection keys and its stand-in for a request."""

USEFUL = (Part(aiohttp.TCPConnector, "_wrap_existing_connection", "self req timeout …"),)
"""What is used only where it is there."""

KEY_FIELDS = (
    "host", "port", "is_ssl", "ssl", "proxy", "proxy_auth", "proxy_headers_hash", "server_hostname",
)  # fmt: skip
"""What aiohttp tells connections apart by; `http.direct` makes such keys."""

REQUEST_FIELDS = frozenset({
    "connection_key", "host", "is_ssl", "port", "proxy", "proxy_headers", "server_hostname", "ssl",
    "url",
})  # fmt: skip
"""The attributes of a request that a connector may read. The stand-ins for a request in
`http.direct` and `tunnel` have them."""

_ASKING = (
    "connect",
    "_create_connection",
    "_create_direct_connection",
    "_get_ssl_context",
    "_get_fingerprint",
    "_start_tls_connection",
)
"""Methods of `TCPConnector` that read them; those that are overridden whole aren't listed."""

_OF_OTHERS = frozenset({"_ssl", "add", "close", "errno", "raw_host", "version_info"})
"""Attributes of other objects with the names of a request's attributes or methods."""


def why_unfit(*, lending: bool = False) -> str | None:
    """Return the part that this aiohttp lacks of those that every request needs, or None.

    With *lending*, also of those that the direct exchange needs. Reads classes only: an
    attribute counts as present if `__init__` names it.
    """
    for part in NEEDED + (LENDING if lending else ()):
        if not is_there(part):
            return f"{part.owner.__name__}.{part.name}"
    if "aiodns" not in vars(aiohttp.resolver):  # loaded late, in place of None
        return "aiohttp.resolver.aiodns"
    return _why_keys_or_requests_differ() if lending else None


def check_new(made: object) -> None:
    """Raise `UnfitLibraryError` if *made*, a new object of aiohttp's, lacks a part."""
    for part in NEEDED:
        if isinstance(made, part.owner) and part.takes is None and not hasattr(made, part.name):
            raise UnfitLibraryError(f"{part.owner.__name__}.{part.name}")


def why_not_lendable(connector: FetchConnector) -> str | None:
    """Return the part of a new *connector* that the direct exchange can't use; None: all fit."""
    handler = connector._factory()
    for part in NEEDED + LENDING:
        if part.is_a is not None:
            owner = handler if part.owner is ResponseHandler else connector
            if not isinstance(getattr(owner, part.name, None), part.is_a):
                return f"{part.owner.__name__}.{part.name}"
    return why_unfit(lending=True)


def is_there(part: Part) -> bool:
    """Tell whether this aiohttp has *part*, as far as classes show."""
    if part.takes is not None:
        code = _code_of(getattr(part.owner, part.name, None))
        if code is None or "NotImplementedError" in code.co_names:  # left to a subclass
            return False
        return _fits(code, part.takes.split())
    return any(
        part.name in vars(kind) or part.name in _names_in(vars(kind).get("__init__"))
        for kind in part.owner.__mro__
    )


def _fits(code: CodeType, wanted: list[str]) -> bool:
    named = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    if wanted[-1] == "…":
        return set(wanted[:-1]) <= set(named)
    return list(named) == wanted


def _code_of(function: object) -> CodeType | None:
    """Return the code of *function*, or of the function that it wraps."""
    code = getattr(function, "__code__", None)
    if hasattr(function, "__wrapped__"):
        code = getattr(inspect.unwrap(function), "__code__", None)  # type: ignore[arg-type]
    return code if isinstance(code, CodeType) else None


def _names_in(function: object) -> tuple[str, ...]:
    code = _code_of(function)
    return () if code is None else code.co_names


def _why_keys_or_requests_differ() -> str | None:
    if not issubclass(ConnectionKey, tuple) or ConnectionKey._fields != KEY_FIELDS:
        return "the ConnectionKey known here"
    return _why_not_to_be_stood_in_for()


def _why_not_to_be_stood_in_for() -> str | None:
    """Return what a connector reads of a `ClientRequest` beyond `REQUEST_FIELDS`, or None."""
    has = set(vars(ClientRequest)) - set(vars(object))
    for function in vars(ClientRequest).values():
        has.update(_names_in(function))
    asked: set[str] = set()
    for name in _ASKING:
        function = getattr(aiohttp.TCPConnector, name, None)
        if function is None:
            return f"TCPConnector.{name}"
        asked.update(_names_in(function))
    surplus = (asked & has) - REQUEST_FIELDS - _OF_OTHERS
    surplus -= vars(aiohttp.connector).keys() | vars(builtins).keys()
    if not surplus:
        return None
    return f"the ClientRequest known here (a connector asks it for {min(surplus)})"

"""c-ares, through aiodns: loaded for the first name."""

from __future__ import annotations

import socket

import aiodns
import aiohttp.resolver
from aiohttp.abc import AbstractResolver

_UNKNOWN = frozenset({aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_ENODATA})
_REASONS = {
    aiodns.error.ARES_ENOTFOUND: "no such name",
    aiodns.error.ARES_ENODATA: "the name has no address",
    aiodns.error.ARES_ESERVFAIL: "the name server failed",
    aiodns.error.ARES_ETIMEOUT: "the name server did not answer",
    aiodns.error.ARES_ECONNREFUSED: "the name server refused the connection",
    aiodns.error.ARES_EREFUSED: "the name server refused to answer",
    aiodns.error.ARES_EBADRESP: "the name server's answer is malformed",
    aiodns.error.ARES_EBADNAME: "not a valid name",
}


def make_resolver() -> AbstractResolver:
    """Return a new resolver with a cache of its own; one with threads where c-ares fails."""
    vars(aiohttp.resolver)["aiodns"] = aiodns  # hidden by `tls.import_aiohttp_sparingly`
    try:
        # The arguments give it a cache of its own. Two tries, of 2 s and 4 s, end before the
        # default --connect-timeout, so that the failure names the silent name server.
        return aiohttp.AsyncResolver(timeout=2.0, tries=2)
    except (aiodns.error.DNSError, OSError, RuntimeError):
        return aiohttp.ThreadedResolver()  # no usable c-ares here (no inotify, say)


def is_malformed(error: OSError) -> bool:
    """Tell whether the name server sent something malformed, perhaps about another name."""
    cause = error.__cause__
    return isinstance(cause, aiodns.error.DNSError) and cause.args[0] == aiodns.error.ARES_EBADRESP


def explained(error: OSError) -> tuple[str, bool]:
    """Return why a look-up failed, in a few words, and whether the failure is temporary."""
    cause = error.__cause__
    if isinstance(cause, aiodns.error.DNSError):
        code = cause.args[0]
        return _REASONS.get(code, "the name can't be resolved"), code not in _UNKNOWN
    if isinstance(error, socket.gaierror):
        unknown = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None))
        return "no such name" if unknown else "the name can't be resolved", not unknown
    return "the name can't be resolved", True

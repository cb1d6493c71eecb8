"""Names → addresses, with failures remembered for a while.

aiohttp caches what was found but not what wasn't: a dead name would be asked for again for each of
its URLs (AIOHTTP: "failures are not cached").
"""

from __future__ import annotations

import asyncio
import socket
from time import monotonic

import aiodns
from aiohttp import AsyncResolver, ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

REMEMBER_UNKNOWN_S = 60.0
"""How long a name that doesn't exist is not asked for again (RFC 2308 §5 allows hours)."""

REMEMBER_TROUBLE_S = 2.0
"""The same for a passing trouble: below the first pause of a retry, so that the retry asks."""

REMEMBER_NAMES = 100_000

_UNKNOWN = frozenset({aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_ENODATA})
_REASONS = {
    aiodns.error.ARES_ENOTFOUND: "no such name",
    aiodns.error.ARES_ENODATA: "the name has no address",
    aiodns.error.ARES_ESERVFAIL: "the name server failed",
    aiodns.error.ARES_ETIMEOUT: "the name server did not answer",
    aiodns.error.ARES_ECONNREFUSED: "the name server refused the connection",
    aiodns.error.ARES_EREFUSED: "the name server refused to answer",
    aiodns.error.ARES_EBADNAME: "not a valid name",
}


class LookupFailedError(OSError):
    """A name without an address; `temporary`: it may have one in a while."""

    def __init__(self, reason: str, *, temporary: bool) -> None:
        super().__init__(None, reason)
        self.reason = reason
        self.temporary = temporary

    def __str__(self) -> str:
        return self.reason


class RememberingResolver(AbstractResolver):
    """aiodns (c-ares: no threads, so thirty dead names block nobody), remembering failures."""

    def __init__(self) -> None:
        try:
            self._resolver: AbstractResolver = AsyncResolver()
        except (aiodns.error.DNSError, OSError, RuntimeError):
            self._resolver = ThreadedResolver()  # no usable c-ares here (no inotify, say)
        self._failed: dict[tuple[str, int], tuple[float, LookupFailedError]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return *host*'s addresses; raises `LookupFailedError`."""
        key = (host, family)
        known = self._failed.get(key)
        if known is not None:
            if monotonic() < known[0]:
                raise LookupFailedError(known[1].reason, temporary=known[1].temporary)
            del self._failed[key]
        try:
            found = await self._resolver.resolve(host, port, family)
        except OSError as error:
            failure = _failure(error)
        else:
            if found:
                return found
            failure = LookupFailedError("the name has no address", temporary=False)
        self._remember(key, failure)
        raise failure

    def _remember(self, key: tuple[str, int], failure: LookupFailedError) -> None:
        if len(self._failed) >= REMEMBER_NAMES:
            self._failed.pop(next(iter(self._failed)))
        keep_s = REMEMBER_TROUBLE_S if failure.temporary else REMEMBER_UNKNOWN_S
        self._failed[key] = (monotonic() + keep_s, failure)

    async def close(self) -> None:
        """Free the resolver's sockets."""
        await self._resolver.close()
        await asyncio.sleep(0)


def _failure(error: OSError) -> LookupFailedError:
    cause = error.__cause__
    if isinstance(cause, aiodns.error.DNSError):
        code = cause.args[0]
        reason = _REASONS.get(code, "the name can't be resolved")
        return LookupFailedError(reason, temporary=code not in _UNKNOWN)
    if isinstance(error, socket.gaierror):
        unknown = error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None))
        reason = "no such name" if unknown else "the name can't be resolved"
        return LookupFailedError(reason, temporary=not unknown)
    return LookupFailedError("the name can't be resolved", temporary=True)

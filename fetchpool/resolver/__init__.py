"""Names → addresses, with failures remembered for a while.

aiohttp caches what was found but not what wasn't: a dead name would be asked for again for each of
its URLs (AIOHTTP: "failures are not cached").
"""

from __future__ import annotations

import asyncio
import socket
from time import monotonic
from typing import cast

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
    """aiodns (c-ares: no threads, so thirty dead names block nobody), remembering failures.

    c-ares keeps answers by itself, for as long as the name server said: a resolver older than
    *ttl_s* is replaced by a new one, so that no address outlives `--dns-ttl`.
    """

    def __init__(self, ttl_s: float = float("inf")) -> None:
        self._ttl_s = ttl_s
        # Made when the first name is asked for: c-ares watches its configuration, and to let go of
        # that takes 12 ms at the end of a process.
        self._current: _Lookups | None = None
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
            found = await self._look_up(host, port, family)
        except OSError as error:
            failure = _failure(error)
        else:
            if found:
                return found
            failure = LookupFailedError("the name has no address", temporary=False)
        self._remember(key, failure)
        raise failure

    async def _look_up(
        self, host: str, port: int, family: socket.AddressFamily
    ) -> list[ResolveResult]:
        lookups = self._current
        if lookups is None or monotonic() - lookups.made_at >= self._ttl_s:
            old = lookups
            lookups = self._current = _Lookups(_make_resolver(), monotonic())
            if old is not None:
                await self._close_if_done(old)
        lookups.running += 1
        try:
            # Without a port: c-ares would look each up in /etc/services, also a number.
            found = await lookups.resolver.resolve(host, cast("int", None), family)
            for address in found:
                address["port"] = port
            return found
        finally:
            lookups.running -= 1
            await self._close_if_done(lookups)

    async def _close_if_done(self, lookups: _Lookups) -> None:
        if lookups is not self._current and not lookups.running:
            await lookups.resolver.close()

    def _remember(self, key: tuple[str, int], failure: LookupFailedError) -> None:
        if len(self._failed) >= REMEMBER_NAMES:
            self._failed.pop(next(iter(self._failed)))
        keep_s = REMEMBER_TROUBLE_S if failure.temporary else REMEMBER_UNKNOWN_S
        self._failed[key] = (monotonic() + keep_s, failure)

    async def close(self) -> None:
        """Free the resolver's sockets."""
        if self._current is not None:
            await self._current.resolver.close()
            await asyncio.sleep(0)


class _Lookups:
    """A resolver, and how many look-ups it is busy with: it must not be closed before they end."""

    __slots__ = ("made_at", "resolver", "running")

    def __init__(self, resolver: AbstractResolver, made_at: float) -> None:
        self.resolver = resolver
        self.made_at = made_at
        self.running = 0


def _make_resolver() -> AbstractResolver:
    try:
        # Arguments make it one of our own, with a cache of its own. Two tries, of 2 s and 4 s, end
        # before --connect-timeout does by default: so a silent name server is called by its name.
        return AsyncResolver(timeout=2.0, tries=2)
    except (aiodns.error.DNSError, OSError, RuntimeError):
        return ThreadedResolver()  # no usable c-ares here (no inotify, say)


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

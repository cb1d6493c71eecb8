"""Resolves names to addresses, and remembers failures for a while.

aiohttp caches only what was found: a dead name would be looked up for each of its URLs.
"""

from __future__ import annotations

import asyncio
import socket
from time import monotonic
from typing import cast

from aiohttp.abc import AbstractResolver, ResolveResult

from fetchpool.model.slot_time import Lookups
from fetchpool.network.resolver.hosts import HOSTS_FILE, HostsFile
from fetchpool.network.resolver.numeric import numeric_result
from fetchpool.network.resolver.system import SystemResolver, TooBusyError, may_know

REMEMBER_UNKNOWN_S = 60.0
"""How long a name that doesn't exist is not asked for again (RFC 2308 §5 allows hours)."""

REMEMBER_TROUBLE_S = 0.4
"""The same for a temporary failure: less than the shortest back-off, so that a retry looks up."""

REMEMBER_NAMES = 100_000

ALONE_AT_MOST = 16
"""Names looked up at once with a resolver each: systems allow 128 that watch their configuration
(fs.inotify.max_user_instances)."""

_NO_PORT = cast("int", None)
"""With a port, c-ares would look it up in /etc/services, even a number."""


class LookupFailedError(OSError):
    """A name without an address; `temporary`: a later look-up may find one."""

    def __init__(self, reason: str, *, temporary: bool, unasked: bool = False) -> None:
        super().__init__(None, reason)
        self.reason = reason
        self.temporary = temporary
        self.unasked = unasked
        """The failure is remembered, not new: it says nothing about the network now."""

    def __str__(self) -> str:
        return self.reason


class RememberingResolver(AbstractResolver):
    """Looks names up with aiodns and remembers failures.

    c-ares uses no threads, so many dead names block no other. Names with several addresses in
    /etc/hosts are looked for first (`resolver.hosts`); names that only the system may know come
    last (`resolver.system`).

    c-ares itself caches addresses for as long as the name server said. A resolver older than
    *ttl_s* is replaced by a new one, so that no address outlives `--dns-ttl`.
    """

    def __init__(
        self,
        ttl_s: float = float("inf"),
        hosts_file: str = HOSTS_FILE,
        *,
        counts: Lookups | None = None,
    ) -> None:
        """Count look-ups in *counts*."""
        self._ttl_s = ttl_s
        self._counts = counts or Lookups()
        self._hosts = HostsFile(hosts_file)
        self._system = SystemResolver()
        # Made for the first name: loading c-ares takes 15 ms, and releasing the configuration
        # that it watches takes 12 ms at the end of a process.
        self._current: _Lookups | None = None
        self._alone = asyncio.Semaphore(ALONE_AT_MOST)
        self._failed: dict[tuple[str, int], tuple[float, LookupFailedError]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return *host*'s addresses; raises `LookupFailedError`."""
        key = (host, family)
        known = self._failed.get(key)
        if known is not None:
            if monotonic() < known[0]:
                raise LookupFailedError(known[1].reason, temporary=known[1].temporary, unasked=True)
            del self._failed[key]
        counts, began = self._counts, monotonic()
        counts.asked += 1
        try:
            found = self._from_file(host, family) or await self._ask(host, family)
        except LookupFailedError as failure:
            counts.failed += 1
            self._remember(key, failure)
            raise
        finally:
            counts.seconds += monotonic() - began
        for address in found:
            address["port"] = port
        return found

    def _from_file(self, host: str, family: socket.AddressFamily) -> list[ResolveResult]:
        return [numeric_result(host, each) for each in self._hosts.addresses(host, family)]

    async def _ask(self, host: str, family: socket.AddressFamily) -> list[ResolveResult]:
        """Return *host*'s addresses, at least one; raises `LookupFailedError`."""
        from fetchpool.network.resolver.cares import explained

        failure = LookupFailedError("the name has no address", temporary=False)
        try:
            found = await self._look_up(host, family)
        except OSError as error:
            reason, temporary = explained(error)
            failure = LookupFailedError(reason, temporary=temporary)
            found = []
        if not found and not failure.temporary and may_know(host):
            try:
                found = await self._system.resolve(host, family)
            except TooBusyError as error:
                raise LookupFailedError(str(error.strerror), temporary=True) from error
        if not found:
            raise failure
        return found

    async def _look_up(self, host: str, family: socket.AddressFamily) -> list[ResolveResult]:
        """Return *host*'s addresses, unharmed by a malformed response for another name.

        c-ares fails every question on the socket that such a response came to: each of them is
        asked once more on a socket of its own.
        """
        from fetchpool.network.resolver.cares import is_malformed, make_resolver

        try:
            return await self._look_up_together(host, family)
        except OSError as error:
            if not is_malformed(error):
                raise
        async with self._alone:
            resolver = make_resolver()
            try:
                return await resolver.resolve(host, _NO_PORT, family)
            finally:
                await resolver.close()

    async def _look_up_together(
        self, host: str, family: socket.AddressFamily
    ) -> list[ResolveResult]:
        from fetchpool.network.resolver.cares import make_resolver

        lookups = self._current
        if lookups is None or monotonic() - lookups.made_at >= self._ttl_s:
            old = lookups
            lookups = self._current = _Lookups(make_resolver(), monotonic())
            if old is not None:
                await self._close_if_done(old)
        lookups.running += 1
        try:
            return await lookups.resolver.resolve(host, _NO_PORT, family)
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

    def forget(self, host: str) -> None:
        """Look *host* up the next time, even if it failed before."""
        for family in (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6):
            self._failed.pop((host, family), None)

    async def close(self) -> None:
        """Close the resolver's sockets."""
        if self._current is not None:
            await self._current.resolver.close()
            await asyncio.sleep(0)


class _Lookups:
    """A resolver and its running look-ups: it must not be closed before they end."""

    __slots__ = ("made_at", "resolver", "running")

    def __init__(self, resolver: AbstractResolver, made_at: float) -> None:
        self.resolver = resolver
        self.made_at = made_at
        self.running = 0

"""Probes whether hosts can be reached when many are silent.

    suspicion ──▶ probe ──(somebody answers)──▶ on_life: it was them, or it is over
                   ▲  └───(nobody, or late)──▶ it is us ──▶ probe again, a second later
                   └──────────────────────────────────────────┘

`scheduling.outage` decides whom to probe and what follows; here is what takes time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from fetchpool.scheduling.outage import PROBE_EVERY_S

if TYPE_CHECKING:
    from fetchpool.http import Engine
    from fetchpool.model.attempts import Proxy
    from fetchpool.model.values import Target
    from fetchpool.network.proxies import Choose
    from fetchpool.scheduling.judge import Held
    from fetchpool.scheduling.outage import Outage
    from fetchpool.scheduling.proxy_pool import ProxyPool

LATE_S = 0.9
"""A probe that takes longer than this lost its first packet, which is sent again after a second
(RFC 6298 §2.1): so the network is gone now, even if it comes back meanwhile."""

LATE_AT_MOST = 20
"""How often that is believed in a run: further than this away, everything is always late."""


class OutageObserver(Protocol):
    """Who wants to know when our side's network goes and comes."""

    def outage(self, began: bool) -> None:
        """Our side's network is down, or back."""


class OutageProbe:
    """Probes hosts while *outage* is paused, and tells it what that showed."""

    def __init__(
        self,
        engine: Engine,
        outage: Outage[Held],
        on_life: Callable[[], Awaitable[None]],
        choose: Choose | None = None,
        proxies: ProxyPool | None = None,
    ) -> None:
        """Call *on_life* when somebody was reached: it is to tell *outage* so.

        *choose* says which proxy a host is asked through; *proxies* are there where it may be one
        of several.
        """
        self._engine = engine
        self._outage = outage
        self._on_life = on_life
        self._choose = choose
        self._proxies = proxies
        self._late = 0

    async def until_calm(self) -> bool:
        """Probe once a second until requests may start again; return False if that is hopeless."""
        outage = self._outage
        while outage.paused:
            if outage.proxy_lost:  # it was probed just now
                await asyncio.sleep(PROBE_EVERY_S)
            reachable = await self._reach_out()
            if not self._outage.paused:  # a request that was under way has been answered
                break
            now = monotonic()
            if reachable and outage.reached(now):
                await self._on_life()
                continue  # it may be silent again by now
            outage.confirm(now)
            if outage.hopeless(now):
                return False
            if not outage.proxy_lost:
                await asyncio.sleep(PROBE_EVERY_S)
        return True

    async def _reach_out(self) -> bool:
        """Return whether anybody can be reached; while that takes long, it is an outage."""
        outage = self._outage
        probe = asyncio.ensure_future(self._probe())
        try:
            await asyncio.wait((probe,), timeout=LATE_S)
            late = outage.suspected and not probe.done() and self._late < LATE_AT_MOST
            if late:
                outage.confirm(monotonic())
            reachable = await probe
            self._late += late and reachable
            return reachable
        finally:
            probe.cancel()
            await asyncio.gather(probe, return_exceptions=True)

    async def _probe(self) -> bool:
        """Probe each proxy that is lost; where none is, hosts, of which one will do."""
        probes = [asyncio.ensure_future(self._reach(target)) for target in self._outage.to_probe]
        try:
            if self._outage.proxy_lost:
                return all(await asyncio.gather(*probes))
            for probe in asyncio.as_completed(probes):
                if await probe:
                    return True
            return False
        finally:
            for probe in probes:
                probe.cancel()
            await asyncio.gather(*probes, return_exceptions=True)

    async def _reach(self, target: Target) -> bool:
        route = self._choose(target) if self._choose else None
        if self._outage.proxy_lost and self._proxies is not None and self._proxies.has(route):
            return await self._probe_pool(self._proxies, target)
        return await self._engine.reachable(target, route)

    async def _probe_pool(self, proxies: ProxyPool, target: Target) -> bool:
        """Probe some of *proxies*, which may take us for *target*; one that is there will do."""

        async def probe(proxy: Proxy) -> bool:
            if found := await self._engine.reachable(target, proxy):
                proxies.found(proxy)
            else:
                proxies.still_gone(proxy, monotonic())
            return found

        return any(await asyncio.gather(*map(probe, proxies.to_probe())))

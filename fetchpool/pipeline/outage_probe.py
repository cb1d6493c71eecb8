"""Looks whether the world is there when many hosts are silent, and tells who waits for it.

    suspicion ──▶ look ──(somebody answers)──▶ on_life: it was them, or it is over
                   ▲  └──(nobody, or late)──▶ it is us ──▶ look again, a second later
                   └──────────────────────────────────────────┘

`outage` decides what that means; here is what takes time: reaching out, and waiting.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from fetchpool.scheduling.outage import PROBE_EVERY_S

if TYPE_CHECKING:
    from fetchpool.http import Engine
    from fetchpool.model.values import Target
    from fetchpool.scheduling.judge import Held
    from fetchpool.scheduling.outage import Outage

KNOWN_ALIVE = 5
"""Hosts that answered lately, remembered to look whether the network is there."""

LATE_S = 0.9
"""A look that takes longer than this lost its first packet, which is sent again after a second
(RFC 6298 §2.1): so the network is gone now, even if it comes back while we look."""

LATE_AT_MOST = 20
"""How often that is believed in a run: further than this away, everything is always late."""


NOTHING_REACHABLE = "nothing can be reached from here any more"


class OutageObserver(Protocol):
    """Who wants to know when our side's network goes and comes."""

    def outage(self, began: bool) -> None:
        """Take note that our side's network is down, or back."""


class Lookout:
    """Knows whom to ask whether the network is there, and asks while *outage* is paused."""

    def __init__(
        self,
        engine: Engine,
        outage: Outage[Held],
        on_life: Callable[[], Awaitable[None]],
        observer: OutageObserver | None,
    ) -> None:
        """Call *on_life* when somebody was reached: it is to tell *outage* so."""
        self._engine = engine
        self._outage = outage
        self._on_life = on_life
        self._observer = observer
        self._alive: deque[Target] = deque(maxlen=KNOWN_ALIVE)
        self._suspects: deque[Target] = deque(maxlen=KNOWN_ALIVE)
        self._lost: dict[str, Target] = {}
        self._told = False
        self._late = 0
        self.why = NOTHING_REACHABLE
        """What is down, as far as is known: for whom the run ends by it."""

    # -- what attempts show ----------------------------------------------------------------------

    def answered(self, target: Target) -> None:
        """Remember a host that has just answered."""
        if not self._alive or self._alive[-1].host_key != target.host_key:
            self._alive.append(target)

    def silent(self, target: Target, detail: str) -> None:
        """Remember one that has not, and how: asked in want of any that ever answered."""
        self._suspects.append(target)
        self.why = f"{NOTHING_REACHABLE}: {detail}"

    def lost(self, target: Target, detail: str) -> None:
        """Remember whose proxy can't be reached, or doesn't take us: it alone is looked at.

        One for each scheme is enough: that is what proxies are named for.
        """
        self._lost[target.scheme] = target
        self.why = detail

    @property
    def latest(self) -> Target | None:
        """The host that answered last."""
        return self._alive[-1] if self._alive else None

    @property
    def knows_somebody(self) -> bool:
        """True once a host has answered."""
        return bool(self._alive)

    def tell(self) -> None:
        """Tell the observer once when an outage has begun or ended."""
        going_on = self._outage.going_on
        if going_on != self._told:
            self._told = going_on
            if self._observer is not None:
                self._observer.outage(began=going_on)

    # -- looking ---------------------------------------------------------------------------------

    async def until_calm(self) -> bool:
        """Look, once a second, until requests may start again; return False if that is hopeless."""
        outage = self._outage
        self.tell()
        while outage.paused:
            if outage.proxy_lost:  # it was looked at just now
                await asyncio.sleep(PROBE_EVERY_S)
            reachable = await self._reach_out()
            if not self._outage.paused:  # a request that was under way has been answered
                break
            now = monotonic()
            if reachable and not (outage.relapsed and outage.hopeless(now)):
                self._lost.clear()
                self.why = NOTHING_REACHABLE
                await self._on_life()
                continue  # it may be silent again by now
            outage.confirm(now)
            self.tell()
            if outage.hopeless(now):
                return False
            if not outage.proxy_lost:
                await asyncio.sleep(PROBE_EVERY_S)
        self.tell()
        return True

    async def _reach_out(self) -> bool:
        """Return whether anybody can be reached; while that takes long, it is an outage."""
        outage = self._outage
        look = asyncio.ensure_future(self._look())
        try:
            await asyncio.wait((look,), timeout=LATE_S)
            late = outage.suspected and not look.done() and self._late < LATE_AT_MOST
            if late:
                outage.confirm(monotonic())
                self.tell()
            reachable = await look
            self._late += late and reachable
            return reachable
        finally:
            look.cancel()
            await asyncio.gather(look, return_exceptions=True)

    async def _look(self) -> bool:
        """Look at each proxy that is lost; where none is, at hosts, of which one will do."""
        if not self._outage.proxy_lost:
            return await self._any_reachable(list(self._alive or self._suspects))
        looks = [self._engine.reachable(target) for target in self._lost.values()]
        return all(await asyncio.gather(*looks))

    async def _any_reachable(self, targets: list[Target]) -> bool:
        looks = [asyncio.ensure_future(self._engine.reachable(target)) for target in targets]
        try:
            for look in asyncio.as_completed(looks):
                if await look:
                    return True
            return False
        finally:
            for look in looks:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)

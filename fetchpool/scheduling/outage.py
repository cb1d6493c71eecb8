"""Is it them, or is it us? Tells a list of dead hosts from a network that is down on our side.

    calm ──(silence at many hosts in a row)──▶ suspected ──(probe silent, too)──▶ outage
      ▲                                          │                                  │
      └──────(something is heard: it was them)───┴──(something is heard: it was us)─┘

Evidence of life is anything that came from outside: an answer, a refused connection, a name server
saying that there is no such name. A *silent* failure may be our own trouble, so its outcome is held
back until something is heard. While an outage is suspected or going on nothing starts, and a probe
a second looks whether the world is there. If it is while we only suspect, what was held was the
hosts' own failure; if it comes back after an outage, what was held is tried again, unspent.

A proxy that can't be reached, or doesn't take us, is known to be ours: there is nothing to suspect
and nothing to hold, and only a probe of the proxy itself ends it, not what was still on its way.

All of it is decided here: `judge` tells it what attempts brought, `pipeline.outage_probe` what
probes found, and `pipeline.fetching` starts nothing while it is `paused`. Pure: `now` is monotonic
seconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from fetchpool.model.values import Target

T = TypeVar("T")

SILENT_HOSTS = 5
"""Hosts silent in a row, nothing heard from any between, that make us suspect ourselves."""

PROBE_EVERY_S = 1.0

HELD_AT_MOST = 100
"""Silent failures held back before we look for ourselves: hosts that accept connections and then
say nothing would otherwise have their outcomes at the end of the list only."""

GIVE_UP_AFTER_S = 180.0
"""How long an outage may last before the run stops, where nobody says otherwise."""


KNOWN_ALIVE = 5
"""Hosts that answered lately, remembered to probe whether the network is there."""

NOTHING_REACHABLE = "nothing can be reached from here any more"


class Outage(Generic[T]):
    """Watches all hosts together; holds what failed silently until it is known why."""

    def __init__(
        self, patience_s: float | None = None, on_change: Callable[[bool], None] | None = None
    ) -> None:
        """Give up after *patience_s* of an outage (None = `GIVE_UP_AFTER_S`).

        Call *on_change* with True when one begins, with False when it ends.
        """
        self._patience_s = patience_s
        self._on_change = on_change
        self.why = NOTHING_REACHABLE
        """What is down, as far as is known: for whom the run ends by it."""
        self._alive: deque[Target] = deque(maxlen=KNOWN_ALIVE)
        self._unanswered: deque[Target] = deque(maxlen=KNOWN_ALIVE)
        self._behind_lost: dict[str, Target] = {}
        self.suspected = False
        self.paused = False
        """True while nothing may start: it is suspected, or going on."""
        self.calm = True
        """True while nobody is silent and nothing is held: a sign of life would change nothing."""
        self.local_error = False
        """True while it is suspected for what our own system reported: a response may have been on
        its way since before that, so only a probe can tell."""
        self.since: float | None = None
        """When the outage began; None while there is none."""
        self.proxy_lost = False
        """True while it goes on for a proxy's sake."""
        self.held: list[T] = []
        self._unproven: float | None = None
        """When a proxy was lost that has been found since, but brought no answer yet."""
        self._silent: set[str] = set()

    @property
    def going_on(self) -> bool:
        """True once our side's network is known to be down."""
        return self.since is not None

    # -- whom to probe ---------------------------------------------------------------------------

    def answered(self, target: Target) -> None:
        """Remember a host that has just answered."""
        if not self._alive or self._alive[-1].host_key != target.host_key:
            self._alive.append(target)

    def unanswered(self, target: Target, detail: str) -> None:
        """Remember one that has not, and how: probed where no host has ever answered."""
        self._unanswered.append(target)
        if not self.proxy_lost:
            self.why = f"{NOTHING_REACHABLE}: {detail}"

    def behind_lost_proxy(self, target: Target, detail: str) -> None:
        """Remember whose proxy can't be reached, or doesn't take us: it alone is probed.

        One for each scheme is enough: that is what proxies are named for.
        """
        self._behind_lost[target.scheme] = target
        self.why = detail

    @property
    def latest(self) -> Target | None:
        """The host that answered last."""
        return self._alive[-1] if self._alive else None

    @property
    def to_probe(self) -> list[Target]:
        """Whom to probe: all of them where a proxy is lost, else one that is reached will do."""
        if self.proxy_lost:
            return list(self._behind_lost.values())
        return list(self._alive or self._unanswered)

    # -- what attempts and probes show -----------------------------------------------------------

    def silent(self, host: str) -> None:
        """Count a silent failure at *host*."""
        self._silent.add(host)
        self.calm = False
        if len(self._silent) >= SILENT_HOSTS:
            self.suspect()

    def suspect(self, *, local_error: bool = False) -> None:
        """Have hosts probed; *local_error*: our own system reported it, such as no route."""
        self.suspected = not self.going_on
        self.paused, self.calm = True, False
        self.local_error = self.proxy_lost or (self.suspected and (self.local_error or local_error))

    def lose_proxy(self, now: float) -> None:
        """A proxy can't be reached, or doesn't take us."""
        self.suspected = False
        self.proxy_lost = self.local_error = True
        self._begin(now if self._unproven is None else self._unproven)

    def proxy_served(self) -> None:
        """A response came through a proxy: it works again."""
        self._unproven = None

    @property
    def relapsed(self) -> bool:
        """True if a proxy was lost, found, and lost again without an answer between."""
        return self.proxy_lost and self._unproven is not None

    def hold(self, item: T) -> None:
        """Keep *item* until it is known whose its failure is."""
        self.held.append(item)
        self.calm = False
        if len(self.held) >= HELD_AT_MOST:
            self.suspect()

    def confirm(self, now: float) -> None:
        """A probe was silent, too: it is us."""
        self.suspected = False
        self.local_error = self.proxy_lost
        self._begin(now)

    def reached(self, now: float) -> bool:
        """A probe reached somebody; return whether that ends it: not where a proxy comes and goes
        for too long."""
        if self.relapsed and self.hopeless(now):
            return False
        self._behind_lost.clear()
        self.why = NOTHING_REACHABLE
        return True

    def sign_of_life(self) -> tuple[list[T], bool]:
        """Something came from outside; return what was held, and whether it was our trouble."""
        ours = self.going_on
        if self.proxy_lost:
            self._unproven = self.since
        self.since = None
        self.proxy_lost = False
        self.suspected = self.local_error = self.paused = False
        self.calm = True
        self._silent.clear()
        held, self.held = self.held, []
        if ours and self._on_change is not None:
            self._on_change(False)
        return held, ours

    def _begin(self, since: float) -> None:
        self.paused, self.calm = True, False
        if self.since is None:
            self.since = since
            if self._on_change is not None:
                self._on_change(True)

    def hopeless(self, now: float) -> bool:
        """Return True if the outage has lasted too long for this run."""
        patience_s = GIVE_UP_AFTER_S if self._patience_s is None else self._patience_s
        return self.since is not None and now - self.since >= patience_s

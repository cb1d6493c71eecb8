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
and nothing to hold, and only a look at the proxy itself ends it, not what was still on its way.

Pure: `now` is monotonic seconds.
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")

SILENT_HOSTS = 5
"""Hosts silent in a row, nothing heard from any between, that make us suspect ourselves."""

PROBE_EVERY_S = 1.0

HELD_AT_MOST = 100
"""Silent failures held back before we look for ourselves: hosts that accept connections and then
say nothing would otherwise have their outcomes at the end of the list only."""

GIVE_UP_AFTER_S = 180.0
"""How long an outage may last before the run stops, where nobody says otherwise."""


class Outage(Generic[T]):
    """Watches all hosts together; holds what failed silently until it is known why."""

    def __init__(self, patience_s: float | None = None) -> None:
        """Give up after *patience_s* of an outage (None = `GIVE_UP_AFTER_S`)."""
        self._patience_s = patience_s
        self.suspected = False
        self.near = False
        """True while it is suspected for trouble near us: an answer may have been on its way since
        before that, so only a look can tell."""
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

    @property
    def calm(self) -> bool:
        """True while nobody is silent and nothing is held: a sign of life would change nothing."""
        return not (self._silent or self.held or self.suspected or self.since is not None)

    @property
    def paused(self) -> bool:
        """True while nothing may start."""
        return self.suspected or self.since is not None

    def silent(self, host: str) -> None:
        """Take note of a silent failure at *host*."""
        self._silent.add(host)
        if len(self._silent) >= SILENT_HOSTS:
            self.suspect()

    def suspect(self, *, near: bool = False) -> None:
        """Look whether it is us; *near*: trouble is near us already, such as no route."""
        self.suspected = not self.going_on
        self.near = self.proxy_lost or (self.suspected and (self.near or near))

    def lose_proxy(self, now: float) -> None:
        """A proxy can't be reached, or doesn't take us."""
        if self.since is None:
            self.since = now if self._unproven is None else self._unproven
        self.suspected = False
        self.proxy_lost = self.near = True

    def proxy_served(self) -> None:
        """Take note of an answer that came through a proxy."""
        self._unproven = None

    @property
    def relapsed(self) -> bool:
        """True if a proxy was lost, found, and lost again without an answer between."""
        return self.proxy_lost and self._unproven is not None

    def hold(self, item: T) -> None:
        """Keep *item* until it is known whose its failure is."""
        self.held.append(item)
        if len(self.held) >= HELD_AT_MOST:
            self.suspect()

    def confirm(self, now: float) -> None:
        """A probe was silent, too: it is us."""
        self.suspected = False
        self.near = self.proxy_lost
        if self.since is None:
            self.since = now

    def heard(self) -> tuple[list[T], bool]:
        """Take note of evidence of life; return what was held, and whether it was our trouble."""
        ours = self.going_on
        if self.proxy_lost:
            self._unproven = self.since
        self.since = None
        self.proxy_lost = False
        self.suspected = self.near = False
        self._silent.clear()
        held, self.held = self.held, []
        return held, ours

    def hopeless(self, now: float) -> bool:
        """Return True if the outage has lasted too long for this run."""
        patience_s = GIVE_UP_AFTER_S if self._patience_s is None else self._patience_s
        return self.since is not None and now - self.since >= patience_s

"""One host of a run: what waits for it, what runs on it; and which hosts are worth showing.

Pure: time is an argument called `now` (monotonic seconds).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection
from typing import Generic, TypeVar

from fetchpool.model.hosts import HostState
from fetchpool.scheduling.host_health import HostHealth
from fetchpool.scheduling.limit_finding import Usual
from fetchpool.scheduling.rate_limit import RateLimit

T = TypeVar("T")

LOOKED_AT = 4096
"""Hosts looked at each time somebody asks for the busiest: 2 ms, four times a second. A look at
100,000 takes 50."""


GOLDEN = 0.6180339887498949


class HostSlot(Generic[T]):
    """What waits for a host, what runs on it, and when it may be asked next."""

    __slots__ = ("again", "backlogged", "competes", "counted_at", "had_s", "health", "held",
                 "host", "own", "probes", "queue", "rate_limit", "ready", "refused", "running",
                 "timer", "usual")  # fmt: skip

    def __init__(self, host: str, most: int, host_rate: float, *, finds: bool = False) -> None:
        """Where it *finds* how many requests run at once, these are never more than *most*."""
        self.host = host
        self.queue: deque[T] = deque()
        self.again: list[tuple[float, int, T]] = []  # heap of retries and hops by their time
        self.refused: list[tuple[float, int, T]] = []  # heap of retries of refused requests
        self.own: list[tuple[float, int, T]] = []  # heap of requests that policies make
        self.held = False
        """True while nothing starts but what is in `own`."""
        self.backlogged = 0
        self.running = 0
        self.health = HostHealth(most, finds=finds)
        self.rate_limit = RateLimit(host_rate) if host_rate else None
        self.ready: int | None = None  # ticket of its entry among the ready
        self.timer: float | None = None
        self.had_s = 0.0
        """Slot time it has had, in seconds times slots: at least the fair share when it came."""
        self.counted_at = 0.0
        """Up to when; so also since when nothing has changed about what runs."""
        self.competes = False
        self.probes = 0
        self.usual: Usual | None = None
        """What its latencies are compared with, where the limit of the run is to be found."""

    @property
    def waiting(self) -> int:
        """Requests that have not started, retries included."""
        again = len(self.again) + len(self.refused) + len(self.own)
        return len(self.queue) + again + self.backlogged

    def is_full(self) -> bool:
        """True if the host is well and has as much running as it gets: more waiting is no news."""
        return self.running >= self.health.window and self.health.probe_at is None

    def may_start_at(self) -> float | None:
        """Return the earliest time a request may start; None if only an event can change it."""
        health = self.health
        if self.running >= health.window:
            return None
        if self.refused or self.own or self.held:
            earliest = (
                self._earliest_with_own() if self.own or self.held else self._earliest_of_all()
            )
            if earliest is None:
                return None
            at = earliest
        elif self.queue or self.backlogged:
            at = 0.0
        elif self.again:
            at = self.again[0][0]
        else:
            return None
        if health.parked_until > at:
            at = health.parked_until
        if self.rate_limit is not None and self.rate_limit.ready_at > at:
            at = self.rate_limit.ready_at
        return at

    def _earliest_with_own(self) -> float | None:
        """Return when one may start where policies make requests, but for pauses and rates."""
        at = self.own[0][0] if self.own else None
        others = None if self.held else self._earliest_of_all()
        return others if at is None or (others is not None and others < at) else at

    def _earliest_of_all(self) -> float | None:
        """Return when one may start, but for pauses and rates, where refused ones wait, too."""
        fair_at = self.fair_at() if self.refused else None
        if self.refused and self._keeps_rest(fair_at):
            return fair_at
        if self.queue or self.backlogged:
            return 0.0
        if self.again and (fair_at is None or self.again[0][0] < fair_at):
            return self.again[0][0]
        return fair_at

    def why_not(self, now: float) -> str | None:
        """Return why none of what waits may start at *now* (a key of `slot_time.FREE`); None = it
        may."""
        health = self.health
        if self.held:
            return "robots"
        if self.running >= health.window:
            if health.window >= health.most:
                return "per_host"
            if health.throttling is not None:
                return "paused"
            if health.failures:
                return "unreachable"
            return "gentle" if health.found.most is None else "per_host"
        if health.parked_until > now:
            is_asked = health.why is not None and health.why.isdigit()
            return "paused" if is_asked else "unreachable"
        at = self.may_start_at()
        if at is not None and at <= now:
            return None
        if self.rate_limit is not None and self.rate_limit.ready_at == at:
            return "host_rate"
        return "paused" if self.refused else "retry"

    def fair_at(self) -> float | None:
        """Return when a refused request may be tried again; None = an event decides.

        That is at once at a host that serves well; else alone, after a rest.
        """
        due = self.refused[0][0]
        throttling = self.health.throttling
        if throttling is None or throttling.serves_well:
            return due
        if self.running:
            return None
        if throttling.wants_repeat or throttling.repeats_help:
            return due
        return max(due, self.counted_at + throttling.rest_s)

    def _keeps_rest(self, fair_at: float | None) -> bool:
        """Return True if nothing else may start, so that a refused request has its fair moment.

        Its turn comes whenever another URL had a good response; before that, fresh ones go first.
        """
        throttling = self.health.throttling
        if throttling is None or self.health.doubtful or not throttling.needs_rests:
            return False
        return fair_at is None or self.refused[0][0] <= self.counted_at + throttling.rest_s

    def takes_refused(self, now: float) -> bool:
        """Return True if a refused request goes next at *now*."""
        fair_at = self.fair_at()
        if fair_at is None or fair_at > now:
            return False
        throttling = self.health.throttling
        if throttling is not None and throttling.wants_repeat:
            return True
        return not (self.health.doubtful and (self.has_fresh or self.has_due(now)))

    def takes_again(self, now: float) -> bool:
        """Return True if a retry or hop goes next at *now*: before fresh ones, but after doubt."""
        return self.has_due(now) and not (self.health.doubtful and self.has_fresh)

    def has_due(self, now: float) -> bool:
        """Return True if a retry or hop may go at *now*."""
        return bool(self.again) and self.again[0][0] <= now

    @property
    def fresh(self) -> int:
        """Requests that have not been asked yet."""
        return len(self.queue) + self.backlogged

    @property
    def has_fresh(self) -> bool:
        """True if there are any."""
        return bool(self.queue) or self.backlogged > 0

    def pick_probe(self) -> T:
        """Take a fresh request from the queue: bad lines often stand together in a list.

        Multiples of the golden ratio spread evenly over it, however many are taken.
        """
        self.probes += 1
        at = int(self.probes * GOLDEN % 1.0 * len(self.queue))
        item = self.queue[at]
        del self.queue[at]
        return item

    def forgettable_at(self) -> float:
        """Return when nothing about the (empty) host will matter any more."""
        at = self.health.parked_until
        if self.health.probe_at is not None:
            at = max(at, self.health.probe_at)
        return max(at, self.rate_limit.full_at) if self.rate_limit is not None else at


class Spotlight(Generic[T]):
    """Finds the hosts that hold things up; of a great many in turns, without losing any found."""

    def __init__(self) -> None:
        self._unseen: list[HostSlot[T]] = []
        self._shown: list[HostSlot[T]] = []

    def busiest(self, slots: Collection[HostSlot[T]], now: float, count: int) -> list[HostState]:
        """Return up to *count* of *slots*: parked ones first, then by what waits, and then those
        whose URLs fail fast.

        Of more than `LOOKED_AT` only so many are looked at, the next ones each time, beside those
        returned before.
        """

        def weight(slot: HostSlot[T]) -> tuple[bool, int]:
            return (slot.health.parked_until > now and slot.waiting > 0, slot.waiting)

        self._shown = heapq.nlargest(count, self._candidates(slots), key=weight)
        return [
            HostState(
                slot.host,
                slot.running,
                slot.waiting,
                slot.health.window,
                slot.health.slowed,
                max(0.0, slot.health.parked_until - now, slot.health.fails_fast_s(now)),
                f"failing fast: {slot.health.why}"
                if slot.health.fails_fast(now)
                else slot.health.why,
                slot.health.finder is not None,
            )
            for slot in self._shown
            if slot.running or slot.waiting or slot.health.fails_fast(now)
        ]

    def some(self, slots: Collection[HostSlot[T]]) -> Collection[HostSlot[T]]:
        """Return all of *slots*, or the next `LOOKED_AT` of more than those."""
        return self._candidates(slots)

    def _candidates(self, slots: Collection[HostSlot[T]]) -> Collection[HostSlot[T]]:
        if len(slots) <= LOOKED_AT:
            return slots
        if not self._unseen:
            self._unseen = list(slots)
        some = self._unseen[-LOOKED_AT:]
        del self._unseen[-LOOKED_AT:]
        return dict.fromkeys([*self._shown, *some])

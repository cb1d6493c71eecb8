"""One host of a run: what waits for it, what runs on it; and which hosts are worth showing.

Pure: time is an argument called `now` (monotonic seconds).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection
from typing import Generic, TypeVar

import msgspec

from fetchpool.health import HostHealth
from fetchpool.pacing import Pace

T = TypeVar("T")

LOOKED_AT = 4096
"""Hosts looked at each time somebody asks for the busiest: 2 ms, four times a second. A look at
100,000 takes 50."""


class HostState(msgspec.Struct, frozen=True):
    """What a person wants to know about a host that holds things up."""

    host: str
    running: int
    waiting: int
    window: int
    slowed: bool
    """True if *window* was lowered; else it may still be growing, as a host starts gently."""
    parked_s: float
    """Seconds until it may be asked again; 0 = now."""
    why: str | None


class HostSlot(Generic[T]):
    """What waits for a host, what runs on it, and when it may be asked next."""

    __slots__ = ("again", "backlogged", "competes", "counted_at", "had_s", "health", "host",
                 "pace", "queue", "ready", "running", "timer")  # fmt: skip

    def __init__(self, host: str, most: int, host_rate: float) -> None:
        self.host = host
        self.queue: deque[T] = deque()
        self.again: list[tuple[float, int, T]] = []  # heap of retries and hops by their time
        self.backlogged = 0
        self.running = 0
        self.health = HostHealth(most)
        self.pace = Pace(host_rate) if host_rate else None
        self.ready: int | None = None  # ticket of its entry among the ready
        self.timer: float | None = None
        self.had_s = 0.0
        """Slot time it has had, in seconds times slots: at least the fair share when it came."""
        self.counted_at = 0.0
        """Up to when."""
        self.competes = False

    @property
    def waiting(self) -> int:
        """Requests that have not started, retries included."""
        return len(self.queue) + len(self.again) + self.backlogged

    @property
    def is_full(self) -> bool:
        """True if the host is well and has as much running as it gets: more waiting is no news."""
        return self.running >= self.health.window and self.health.probe_at is None

    def may_start_at(self) -> float | None:
        """Return the earliest time a request may start; None if only an event can change it."""
        if self.running >= self.health.window:
            return None
        if self.queue or self.backlogged:
            at = 0.0
        elif self.again:
            at = self.again[0][0]
        else:
            return None
        if self.health.parked_until > at:
            at = self.health.parked_until
        if self.pace is not None and self.pace.ready_at > at:
            at = self.pace.ready_at
        return at

    def forgettable_at(self) -> float:
        """Return when nothing about the (empty) host will matter any more."""
        at = self.health.parked_until
        if self.health.probe_at is not None:
            at = max(at, self.health.probe_at)
        return max(at, self.pace.settled_at) if self.pace is not None else at


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
            )
            for slot in self._shown
            if slot.running or slot.waiting or slot.health.fails_fast(now)
        ]

    def _candidates(self, slots: Collection[HostSlot[T]]) -> Collection[HostSlot[T]]:
        if len(slots) <= LOOKED_AT:
            return slots
        if not self._unseen:
            self._unseen = list(slots)
        some = self._unseen[-LOOKED_AT:]
        del self._unseen[-LOOKED_AT:]
        return dict.fromkeys([*self._shown, *some])

"""Looks at why slots are free, as often as it is worth it, and says where their time went."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Any

from fetchpool.model.slot_time import SlotTime
from fetchpool.scheduling.slot_clock import SlotClock

if TYPE_CHECKING:
    from fetchpool.model.attempts import Timeline
    from fetchpool.scheduling.scheduler import Scheduler

FIRST_S = 0.005
EVERY_S = 0.1
"""Seconds from one look to the next: a run of a second has ten; the first ones come sooner."""

RISE = 1.5

COST = 200
"""Times as long as a look took itself: half a percent of the time goes to them at most."""

SOONEST_S = 0.002
"""Between two looks, of which the second is made as something has changed."""


class Looks:
    """A `SlotClock` that is looked at while a list is fetched."""

    def __init__(
        self, scheduler: Scheduler[Any], hindrance: Callable[[], tuple[str | None, bool]]
    ) -> None:
        """Have *hindrance* return what keeps everything from starting, and if the list has ended"""
        self._hindrance = hindrance
        self._clock = SlotClock(scheduler)
        self.ended: Callable[[Timeline], None] = self._clock.ended.append
        """To be told of each attempt that held a slot."""
        self._began = 0.0
        self._cpu_began_s = 0.0
        self._pause_s = FIRST_S
        self._took_s = 0.0
        self._soonest = float("inf")
        self._timer: asyncio.TimerHandle | None = None
        self._is_over = False
        self._last: SlotTime | None = None

    def start(self) -> None:
        """Begin to measure."""
        self._began, self._cpu_began_s = monotonic(), thread_time()
        self._clock.begin(self._began)
        self._look()

    def nothing_started(self, now: float) -> None:
        """Look, unless that was done just before: a slot is free, and nothing may start."""
        if now >= self._soonest:
            self._look_at(now)

    def stop(self) -> None:
        """Look no more but once: when the account is asked for."""
        self._is_over = True
        self._soonest = float("inf")
        if self._timer is not None:
            self._timer.cancel()

    def account(self, under_way: Callable[[float], Iterable[Timeline]]) -> SlotTime:
        """Return where the time went; *under_way* returns the timelines of what goes on then."""
        if self._last is not None:
            return self._last
        if not self._began:
            return SlotTime()
        now = monotonic()
        self._look_at(now)
        time = self._clock.account(under_way(now))
        time.cpu_s = thread_time() - self._cpu_began_s
        time.busiest = min(1.0, time.cpu_s / (now - self._began)) if now > self._began else 0.0
        if self._is_over:
            self._last = time
        return time

    def _look(self) -> None:
        self._look_at(monotonic())
        self._pause_s = max(min(EVERY_S, self._pause_s * RISE), COST * self._took_s)
        self._timer = asyncio.get_running_loop().call_later(self._pause_s, self._look)

    def _look_at(self, now: float) -> None:
        cpu_s = thread_time()
        hindrance, list_ended = self._hindrance()
        self._clock.look(now, overall=hindrance, list_ended=list_ended)
        self._took_s = thread_time() - cpu_s
        if not self._is_over:
            self._soonest = now + max(SOONEST_S, COST * self._took_s)

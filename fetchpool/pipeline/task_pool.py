"""Workers that rest until there is something to do: as many are awake as have a request to start.

    work ends ──▶ its worker asks again        nothing may start ──▶ it rests
    a request may start ──▶ one is woken ──▶ takes it, and wakes the next, if there is more
    a request may start later ──▶ the alarm wakes one then

So nobody is woken for nothing, and no request waits while a worker rests.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

ALARM_SLACK_S = 0.0005
"""uvloop rounds timers to whole milliseconds: half of one keeps them from going off early."""


class TaskPool:
    """The workers at rest, up to *most* with those that work, and the alarm that wakes them."""

    def __init__(
        self, most: int, start_task: Callable[[], None], on_alarm: Callable[[], None]
    ) -> None:
        """Call *start_task* for one more worker, *on_alarm* when the alarm finds nobody at rest."""
        self._most = most
        self._start_task = start_task
        self._on_alarm = on_alarm
        self._hired = 0
        self._resting: deque[asyncio.Future[None]] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_due = 0.0

    def has_hands(self) -> bool:
        """True if somebody could do more: one rests, or may still be hired."""
        return bool(self._resting) or self._hired < self._most

    async def rest(self) -> None:
        """Wait to be woken."""
        waiting = asyncio.get_running_loop().create_future()
        self._resting.append(waiting)
        await waiting

    def call_one(self) -> None:
        """Wake a worker, or start_task one."""
        if not self._wake_one() and self._hired < self._most:
            self._hired += 1
            self._start_task()

    def wake_all(self) -> None:
        """Wake everybody: there is an end to hear of."""
        while self._wake_one():
            pass

    def call_at(self, at: float, now: float) -> None:
        """Have a worker called at *at*, unless one is to be called earlier."""
        loop = asyncio.get_running_loop()
        due = loop.time() + max(0.0, at - now) + ALARM_SLACK_S
        if self._alarm is not None:
            if loop.time() < self._alarm_due <= due:
                return
            self._alarm.cancel()
        # Kept here: what uvloop returns for a time within half a millisecond doesn't know it.
        self._alarm_due = due
        self._alarm = loop.call_at(due, self._ring)

    def close(self) -> None:
        """Turn the alarm off."""
        if self._alarm is not None:
            self._alarm.cancel()

    def _wake_one(self) -> bool:
        while self._resting:
            waiting = self._resting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                return True
        return False

    def _ring(self) -> None:
        self._alarm = None
        if not self._wake_one():
            self._on_alarm()

"""What ends a run before its list ends: signals and `--max-time`.

first      nothing more starts, what runs gets a few seconds (of --max-time: a tenth at most)
second     what runs is cut off
third      the process dies of the signal, as exact as after any other kill
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from fetchpool.model.exits import ExitStatus

GRACE_S = 5.0
"""How long what runs may go on after the first signal: a few seconds."""

GRACE_SHARE = 0.1
"""The same after `--max-time`, as a part of it: `GRACE_S` at most."""

_SIGNALS = {
    "SIGINT": ("Ctrl-C", ExitStatus.INTERRUPTED),
    "SIGTERM": ("SIGTERM", ExitStatus.TERMINATED),
    "SIGHUP": ("SIGHUP", ExitStatus.HANGUP),
}


class Stopper:
    """Asks a run to stop, for one reason, with one exit status; a context manager."""

    def __init__(self, on_first: Callable[[str], object]) -> None:
        """Call *on_first* with the reason when the run is asked to stop."""
        self._on_first = on_first
        self.reason: str | None = None
        """What follows "stopped by"; None while nothing asked to stop."""
        self.status: ExitStatus | None = None
        self.grace_ends_at: float | None = None
        """When what runs is cut off, by the clock of the event loop; None while nothing asked."""
        self._steps: tuple[Callable[[], object], ...] = ()
        self._asked = 0
        self._timers: list[asyncio.TimerHandle] = []
        self._before: dict[int, Any] = {}
        """What was done at each signal that is listened to."""

    def watch_signals(self) -> None:
        """Listen to SIGINT, SIGTERM and SIGHUP, unless they are ignored (`nohup`)."""
        loop = asyncio.get_running_loop()
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            before = None if number is None else signal.getsignal(number)
            if number is None or before in (
                signal.SIG_IGN,
                None,
            ):  # None: not Python's to give back
                continue
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self._on_signal, number)
                self._before[number] = before

    def after(self, seconds: float, reason: str, status: ExitStatus) -> None:
        """Stop in *seconds*, if the run is not over by then; what runs gets a tenth more."""
        grace_s = min(GRACE_S, GRACE_SHARE * seconds)
        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(seconds, self.ask, reason, status, grace_s))

    def steps(self, *steps: Callable[[], object]) -> None:
        """Say what from now on is done when first asked, and when asked again; at once if it was.

        A signal that finds no further step ends the process.
        """
        self._steps = steps
        for step in steps[: self._asked]:
            step()

    def ask(self, reason: str, status: ExitStatus, grace_s: float | None = None) -> None:
        """Take the next step: stop gently, within *grace_s* (`GRACE_S`); asked again: at once."""
        if self.reason is None:
            self.reason, self.status = reason, status
            loop = asyncio.get_running_loop()
            self.grace_ends_at = loop.time() + (GRACE_S if grace_s is None else grace_s)
            self._timers.append(loop.call_at(self.grace_ends_at, self._hurry))
        self._asked += 1
        for step in self._steps[self._asked - 1 : self._asked]:
            step()
        if self._asked == 1:
            self._on_first(reason)

    def _hurry(self) -> None:
        """The grace is over: as if asked a second time."""
        if self._asked == 1 and self.reason is not None and self.status is not None:
            self.ask(self.reason, self.status)

    def _on_signal(self, number: int) -> None:
        if self._asked >= len(self._steps):
            # Something in the system hangs: a disk, a settling of millions of records.
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.ask(*_SIGNALS[signal.Signals(number).name])

    def __enter__(self) -> Stopper:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening, and restore what was done at each signal."""
        for timer in self._timers:
            timer.cancel()
        loop = asyncio.get_running_loop()
        for number, before in self._before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, before)

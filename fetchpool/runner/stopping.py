"""What ends a run before its list ends: signals and `--max-time`.

The first signal: nothing more starts, what runs gets a few seconds. The second: now.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress

from fetchpool.exits import ExitStatus

GRACE_S = 5.0
"""How long what runs may go on after the first signal (CONTRACT: "a few seconds")."""

_SIGNALS = {
    "SIGINT": ("Ctrl-C", ExitStatus.INTERRUPTED),
    "SIGTERM": ("SIGTERM", ExitStatus.TERMINATED),
    "SIGHUP": ("SIGHUP", ExitStatus.HANGUP),
}


class Stopper:
    """Asks a run to stop, for one reason, with one exit status."""

    def __init__(self, stop: Callable[[], None], abort: Callable[[], None]) -> None:
        self._stop = stop
        self._abort = abort
        self.reason: str | None = None
        """What follows "stopped by"; None while nothing asked to stop."""
        self.status: ExitStatus | None = None
        self._timers: list[asyncio.TimerHandle] = []
        self._installed: list[int] = []

    def watch_signals(self) -> None:
        """Listen to SIGINT, SIGTERM and SIGHUP, unless they are ignored (`nohup`)."""
        loop = asyncio.get_running_loop()
        for name, (reason, status) in _SIGNALS.items():
            number = getattr(signal, name, None)
            if number is None or signal.getsignal(number) is signal.SIG_IGN:
                continue
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self.ask, reason, status)
                self._installed.append(number)

    def after(self, seconds: float, reason: str, status: ExitStatus) -> None:
        """Stop in *seconds*, if the run is not over by then."""
        self._timers.append(
            asyncio.get_running_loop().call_later(seconds, self.ask, reason, status)
        )

    def ask(self, reason: str, status: ExitStatus) -> None:
        """Stop gently; asked again: at once."""
        if self.reason is not None:
            self._abort()
            return
        self.reason, self.status = reason, status
        self._stop()
        self._timers.append(asyncio.get_running_loop().call_later(GRACE_S, self._abort))

    def close(self) -> None:
        """Listen no more."""
        for timer in self._timers:
            timer.cancel()
        loop = asyncio.get_running_loop()
        for number in self._installed:
            loop.remove_signal_handler(number)

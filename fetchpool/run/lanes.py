"""Lanes: blocking work outside the event loop, in order, in one daemon thread each.

The threads are daemons because a write to a pipe that nobody reads can't be interrupted, and must
not keep the program from ending (the threads of an executor would).
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

R = TypeVar("R")

_Work = tuple[asyncio.AbstractEventLoop, "asyncio.Future[Any]", Callable[[], Any]]


class Lane:
    """Runs callables in one thread, in the order given."""

    def __init__(self, name: str) -> None:
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"fetchpool-{name}", daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[], R]) -> asyncio.Future[R]:
        """Have *call* run; return a future of what it returns or raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._work.put((loop, future, call))
        return future

    def close(self) -> None:
        """End the thread after what was submitted; returns at once."""
        self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            loop, future, call = work
            result: Any = None
            error: BaseException | None = None
            try:
                result = call()
            except BaseException as caught:  # noqa: BLE001 - handed over to whoever awaits
                error = caught
            with suppress(RuntimeError):  # the loop is closed: nobody awaits any more
                loop.call_soon_threadsafe(_hand_over, future, result, error)


def _hand_over(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)

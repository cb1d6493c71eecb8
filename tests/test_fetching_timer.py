"""The timer that wakes a worker, on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from fetchpool.pipeline import task_pool as room
from tests.fake_engine import FakeEngine, fetching


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_next_start_may_be_due_now_more_than_once(
    monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    """For a time within half a millisecond uvloop returns a handle that doesn't know its time.

    That is where the slack lies, on one side of it or the other by the last bit of the clock.
    """
    monkeypatch.setattr(room, "ALARM_SLACK_S", 0.0004)
    factory: Callable[[], asyncio.AbstractEventLoop] = pytest.importorskip(loop).new_event_loop

    async def set_twice() -> None:
        async with fetching([], FakeEngine()) as fetch:
            for _ in range(2):
                fetch._pool.call_at(0.0, 0.0)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(set_twice())

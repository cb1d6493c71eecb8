"""What the display is told of a run beside its counters."""

from __future__ import annotations

import asyncio

from fetchpool.model.exits import ExitStatus
from fetchpool.run.screen import busiest, message
from fetchpool.run.stopping import Stopper
from fetchpool.scheduling.host_slot import HostState


class Run:
    """A run as the display sees it."""

    outage_since: float | None = None
    running = 0

    def busiest(self, now: float, count: int) -> list[HostState]:
        return [
            HostState("new.test", 2, 5, 2, slowed=False, parked_s=0.0, why=None),
            HostState("angry.test", 3, 5, 3, slowed=True, parked_s=1.0, why="429"),
        ]


async def test_stop_and_outage_are_said() -> None:
    run = Run()
    with Stopper(lambda reason: None) as stopper:
        assert message(run, stopper) is None
        run.outage_since = asyncio.get_running_loop().time()
        assert message(run, stopper) == "our network is down: waiting for it"
        run.running = 3
        stopper.ask("Ctrl-C", ExitStatus.INTERRUPTED)
        assert message(run, stopper) == (
            "Ctrl-C: 3 requests running, cut off within 5 s; Ctrl-C again cuts them off"
        )
        run.running = 0
        assert message(run, stopper) == "stopped by Ctrl-C: writing down what there is"


def test_window_is_shown_where_it_was_lowered() -> None:
    assert [state.window for state in busiest(Run(), 0.0)] == [None, 3]

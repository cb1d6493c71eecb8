"""What the display is told of a run beside its counters."""

from __future__ import annotations

from typing import cast

from fetchpool.model.exits import ExitStatus
from fetchpool.pipeline.fetcher import Fetcher
from fetchpool.run.screen import message
from fetchpool.run.stopping import Stopper


class Shown:
    """What the display asks of a `Fetcher`."""

    network_down = False
    running = 0


async def test_stop_and_outage_are_said() -> None:
    run = Shown()
    fetcher = cast("Fetcher", run)
    with Stopper(lambda reason: None) as stopper:
        assert message(fetcher, stopper) is None
        run.network_down = True
        assert message(fetcher, stopper) == "our network is down: waiting for it"
        run.running = 3
        stopper.ask("Ctrl-C", ExitStatus.INTERRUPTED)
        assert message(fetcher, stopper) == (
            "Ctrl-C: 3 requests running, cut off within 5 s; Ctrl-C again cuts them off"
        )
        run.running = 0
        assert message(fetcher, stopper) == "stopped by Ctrl-C: writing down what there is"

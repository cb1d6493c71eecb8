"""Tells the display a few times a second how far a run is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING

from fetchpool.reporting.stats import RunState
from fetchpool.reporting.terminal.formats import counted, span
from fetchpool.sources import RequestCounter

if TYPE_CHECKING:
    from fetchpool.pipeline.fetcher import Fetcher
    from fetchpool.reporting.terminal import Reporter
    from fetchpool.run.intake import Remaining
    from fetchpool.run.stopping import Stopper
    from fetchpool.run.telling import Telling
    from fetchpool.sources import Sources

EVERY_S = 0.25
WAITING_S = 0.5
"""How long a run that was asked to stop waits for what runs before it says so."""
HOSTS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Shown:
    """A run under way, as far as it is shown."""

    fetcher: Fetcher
    remaining: Remaining
    stopper: Stopper


@asynccontextmanager
async def displaying(
    telling: Telling, shown: Shown, lists: Sources
) -> AsyncIterator[RequestCounter | None]:
    """Keep the display up to date during the block, if there is one."""
    if not telling.reporter.wants_updates:
        yield None
        return
    # How many of a shard there are, nobody knows before all were looked at.
    counter = RequestCounter(lists) if lists.seekable and lists.split is None else None
    if counter is not None:
        counter.start()
    task = asyncio.create_task(_keep_showing(telling, shown, counter))
    try:
        yield counter
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if counter is not None:
            counter.stop()


async def _keep_showing(telling: Telling, shown: Shown, counter: RequestCounter | None) -> None:
    """Update the display until cancelled."""
    while True:
        now = monotonic()
        telling.stats.received_so_far(shown.fetcher.bytes_received)
        state = RunState(
            total=counter.total if counter else None,
            read=shown.remaining.requests,
            reading=not shown.remaining.ended,
            running=shown.fetcher.running,
            hosts=tuple(shown.fetcher.busiest(now, HOSTS_SHOWN)),
            message=message(shown.fetcher, shown.stopper),
        )
        telling.reporter.update(telling.stats.snapshot(now, state))
        await asyncio.sleep(EVERY_S)


def tell_of_waiting(reporter: Reporter, shown: Shown) -> None:
    """Say after a moment what a run that was asked to stop waits for, if it still waits."""

    def tell() -> None:
        if shown.fetcher.running and not shown.fetcher.ended:
            reporter.warn(stopping(shown.fetcher, shown.stopper))

    asyncio.get_running_loop().call_later(WAITING_S, tell)


def message(fetcher: Fetcher, stopper: Stopper) -> str | None:
    """Return what the whole run waits for, in words for a person."""
    if stopper.reason is not None:
        return stopping(fetcher, stopper)
    return "our network is down: waiting for it" if fetcher.network_down else None


def stopping(fetcher: Fetcher, stopper: Stopper) -> str:
    """Return what a run that was asked to stop waits for, and for how long."""
    ends_at, now = stopper.grace_ends_at, asyncio.get_running_loop().time()
    left_s = 0.0 if ends_at is None else ends_at - now
    if not fetcher.running or left_s <= 0:
        return f"stopped by {stopper.reason}: writing down what there is"
    running = counted(fetcher.running, "request")
    again = "; Ctrl-C again cuts them off" if stopper.reason == "Ctrl-C" else ""
    return f"{stopper.reason}: {running} running, cut off within {span(ceil(left_s))}{again}"

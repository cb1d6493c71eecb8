"""Tells the display a few times a second how far a run is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from fetchpool.reporting.stats import HostState, RunState
from fetchpool.reporting.terminal.formats import counted, span
from fetchpool.sources import RequestCounter

if TYPE_CHECKING:
    from fetchpool.pipeline.fetching import Fetching
    from fetchpool.pipeline.pool import FetchPool
    from fetchpool.reporting.terminal import Reporter
    from fetchpool.run.intake import Remaining
    from fetchpool.run.stopping import Stopper
    from fetchpool.run.telling import Telling
    from fetchpool.scaling.dispatch import Dispatch
    from fetchpool.scaling.fleet import Fleet
    from fetchpool.scheduling import scheduler
    from fetchpool.sources import Sources

EVERY_S = 0.25
WAITING_S = 0.5
"""How long a run that was asked to stop waits for what runs before it says so."""
HOSTS_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Shown:
    """A run under way, as far as it is shown."""

    pool: FetchPool | Fleet
    fetching: Fetching | Dispatch
    remaining: Remaining
    stopper: Stopper


@asynccontextmanager
async def displaying(
    telling: Telling, shown: Shown, lists: Sources
) -> AsyncIterator[RequestCounter | None]:
    """Keep a display up to date meanwhile, if somebody looks at it."""
    if not telling.reporter.wants_updates:
        yield None
        return
    counter = RequestCounter(lists) if lists.seekable else None
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
        telling.stats.received_so_far(shown.pool.bytes_received)
        state = RunState(
            total=counter.total if counter else None,
            read=shown.remaining.requests,
            reading=not shown.remaining.ended,
            running=shown.fetching.running,
            hosts=busiest(shown.fetching, now),
            message=message(shown.fetching, shown.stopper),
        )
        telling.reporter.update(telling.stats.snapshot(now, state))
        await asyncio.sleep(EVERY_S)


def tell_of_waiting(reporter: Reporter, shown: Shown) -> None:
    """Say after a moment what a run that was asked to stop waits for, if it does still."""

    def tell() -> None:
        if shown.fetching.running and not shown.fetching.ended:
            reporter.warn(stopping(shown.fetching, shown.stopper))

    asyncio.get_running_loop().call_later(WAITING_S, tell)


class Display(Protocol):
    """What of a fetching is shown beside its counters."""

    @property
    def running(self) -> int: ...
    @property
    def outage_since(self) -> float | None: ...
    def busiest(self, now: float, count: int) -> list[scheduler.HostState]: ...


def message(fetching: Display, stopper: Stopper) -> str | None:
    """Return what all of the run waits for, in words for a person."""
    if stopper.reason is not None:
        return stopping(fetching, stopper)
    return "our network is down: waiting for it" if fetching.outage_since else None


def stopping(fetching: Display, stopper: Stopper) -> str:
    """Return what a run that was asked to stop waits for, and for how long."""
    ends_at, now = stopper.grace_ends_at, asyncio.get_running_loop().time()
    left_s = 0.0 if ends_at is None else ends_at - now
    if not fetching.running or left_s <= 0:
        return f"stopped by {stopper.reason}: writing down what there is"
    running = counted(fetching.running, "request")
    again = "; Ctrl-C again cuts them off" if stopper.reason == "Ctrl-C" else ""
    return f"{stopper.reason}: {running} running, cut off within {span(ceil(left_s))}{again}"


def busiest(fetching: Display, now: float) -> tuple[HostState, ...]:
    """Return the hosts worth showing: parked ones and those with most waiting."""
    return tuple(
        HostState(
            host=state.host,
            running=state.running,
            waiting=state.waiting,
            parked_s=state.parked_s,
            why=state.why,
            window=state.window if state.slowed else None,
        )
        for state in fetching.busiest(now, HOSTS_SHOWN)
    )

"""Keeps the account of a command: sampled while it runs, and written to the run's state."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic, time
from typing import TYPE_CHECKING

from fetchpool.model.limits import AUTO
from fetchpool.model.slot_time import SAMPLES_KEPT, RunAccount, Sample, SlotTime, added
from fetchpool.output.ledger.accounts import read_accounts, write_accounts
from fetchpool.scaling.sharing import worker_count

if TYPE_CHECKING:
    from fetchpool.config import Config
    from fetchpool.output.ledger.layout import Layout
    from fetchpool.pipeline.fetcher import Fetcher
    from fetchpool.reporting.stats import Stats

SAMPLED_S = 0.5
"""Between two samples at first; twice as much each time that there are `SAMPLES_KEPT`."""

WRITTEN_S = 5.0
"""How old the account of a run that is on may be in its state."""


class Timekeeping:
    """The account of one command, from the first request on."""

    def __init__(
        self, config: Config, stats: Stats, layouts: Sequence[Layout], limit: int, *, anew: bool
    ) -> None:
        """Write it to *layouts*, behind those of the run's other commands unless it begins *anew*.

        These are one, or one for each shard of the run: the account is that of all of them.
        *limit* is what descriptors allow.
        """
        self._stats = stats
        self._began = monotonic()
        self._written = float("-inf")
        self._every_s = SAMPLED_S
        self._others = [(each, [] if anew else read_accounts(each)) for each in layouts]
        self._task: asyncio.Task[None] | None = None
        self._slowest_writer = "disk" if config.records is None else "records"
        self.account = RunAccount(
            began_at=time(),
            processes=min(worker_count(config), limit),
            limits=_limits(config, limit),
            samples=[],
        )

    def start(self, fetcher: Fetcher) -> None:
        """Keep the account of what *fetcher* does."""
        self._task = asyncio.create_task(self._keep(fetcher))

    async def end(self, fetcher: Fetcher, flushed_s: float) -> RunAccount:
        """Return the whole account, and write it down.

        All slots waited for *flushed_s* until what was fetched had been written down.
        """
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        time = fetcher.slot_time()
        waited_s = flushed_s * time.slots
        if waited_s > 0:
            time.busiest *= time.slot_s / (time.slot_s + waited_s)
        time.parts = added(time.parts, {self._slowest_writer: waited_s})
        time.slot_s += waited_s
        self._sample(fetcher, time)
        self.account.ended = True
        await self._write()
        return self.account

    async def _keep(self, fetcher: Fetcher) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            self._sample(fetcher, fetcher.slot_time())
            if monotonic() - self._written >= WRITTEN_S:
                await self._write()

    def _sample(self, fetcher: Fetcher, time: SlotTime) -> None:
        account = self.account
        account.time = time
        account.seconds = monotonic() - self._began
        account.done = self._stats.answered
        account.samples.append(
            Sample(
                account.seconds,
                account.time.parts,
                account.done,
                fetcher.running,
                fetcher.bytes_received,
                account.time.cpu_s,
            )
        )
        if len(account.samples) > SAMPLES_KEPT:
            del account.samples[::2]
            self._every_s *= 2

    async def _write(self) -> None:
        """Write the account; what can't be written is no reason to end a run."""
        self._written = monotonic()
        for layout, others in self._others:
            with suppress(OSError):
                await asyncio.to_thread(write_accounts, layout, [*others, self.account])


def _limits(config: Config, limit: int) -> dict[str, str]:
    """Return the settings that bound a run, as the user would write them."""
    found: dict[str, str] = {
        "limit": AUTO if config.limit == AUTO else str(limit),
        "per_host": str(config.per_host),
        "workers": str(config.workers),
        "retries": str(config.retries),
    }
    if config.force_close:
        found["force_close"] = "yes"
    for name in ("keepalive", "rate", "host_rate"):
        if value := getattr(config, name):
            found[name] = f"{value:g}"
    return found

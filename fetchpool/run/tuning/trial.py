"""Measures settings on a part of the sample: polite, and within a budget of requests."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

import msgspec

from fetchpool.config import Config
from fetchpool.model.slot_time import SlotTime
from fetchpool.model.values import Outcome, Request
from fetchpool.output.sinks import open_sink
from fetchpool.pipeline.event_loop import loop_factory
from fetchpool.pipeline.pool import FetchPool
from fetchpool.run.runner import run
from fetchpool.scheduling.job import target_of
from fetchpool.sources import requests_from

REFUSALS = frozenset({429, 503})


class Measured(msgspec.Struct, frozen=True):
    """What one trial came to."""

    rate: float
    """URLs a second, while it was at its full speed (see `steady_rate`)."""
    requests: int
    """Made: one for each URL."""
    time: SlotTime
    refused: frozenset[str] = frozenset()
    """Hosts that answered 429 or 503; in one process the trial ended with the first of them."""


class Trials:
    """Measures settings with requests of a sample, each list of them another part of it."""

    def __init__(self, sample: Sequence[Request], budget: int) -> None:
        """Make at most *budget* requests in all."""
        self._sample = list(sample)
        self._next = 0
        self.left = budget
        self.made = 0
        """Requests made so far."""
        self.refused: set[str] = set()
        """Hosts that have refused something: they are asked no more."""

    def measure(self, config: Config, count: int) -> Measured | None:
        """Return what *count* URLs come to with *config*; None where there is no budget for them.

        A trial in which a host refuses something says nothing of the settings: it is made again
        without that host.
        """
        while self._sample and count <= self.left:
            requests = self._part(count)
            if config.workers == 1:
                with asyncio.Runner(loop_factory=loop_factory(config)) as runner:
                    measured = runner.run(_tried(config, requests))
            else:
                measured = _tried_by_several(config, requests)
            self.made += measured.requests
            self.left -= count  # what a refusal cut off was made, too
            if not measured.refused:
                return measured
            self.refused |= measured.refused
            self._sample = [each for each in self._sample if _host(each) not in self.refused]
        return None

    def _part(self, count: int) -> list[Request]:
        """Return the next *count* of the sample, from its beginning again behind its end."""
        size = len(self._sample)
        part = [self._sample[(self._next + number) % size] for number in range(count)]
        self._next = (self._next + count) % size
        return part


def _host(request: Request) -> str:
    target = target_of(request)
    return "" if isinstance(target, Outcome) else target.host_key


def steady_rate(ends: Sequence[float]) -> float:
    """Return how many URLs a second ended, of those that ended at *ends*, in their order.

    The first quarter doesn't count, in which hosts are started gently, nor the last eighth, in
    which nothing is left to start.
    """
    first, last = len(ends) // 4, max(len(ends) - 1 - len(ends) // 8, 0)
    if last <= first:
        first, last = 0, len(ends) - 1
    passed = ends[last] - ends[first] if ends else 0.0
    return (last - first) / passed if passed > 0 else 0.0


def _for_trial(config: Config) -> Config:
    """Return *config* so that each URL takes one request, and nothing stays of it."""
    return replace(
        config,
        no_body=True,
        retries=0,
        max_redirects=0,
        records=None,
        log_file=None,
        metrics_file=None,
        save_cookies=None,
    )


async def _tried(config: Config, requests: Sequence[Request]) -> Measured:
    """Fetch *requests*, each once, and stop at the first refusal."""
    config = _for_trial(config)
    ends: list[float] = []
    refused: set[str] = set()
    async with FetchPool(config, store=open_sink(config)) as pool:
        fetching = pool.fetch_from(requests_from(requests))
        async for outcome in fetching:
            ends.append(monotonic())
            if outcome.status in REFUSALS:
                refused.add(outcome.host_key)
                break
        time = fetching.slot_time()
    return Measured(steady_rate(ends), len(ends), time, frozenset(refused))


class _Ended(msgspec.Struct):
    seq: int
    status: int | None = None
    started_at: datetime | None = None
    elapsed_s: float = 0.0


def _tried_by_several(config: Config, requests: Sequence[Request]) -> Measured:
    """Fetch *requests* with the processes that *config* says; their start doesn't count.

    They are made as plain lines are, without what rows say of fields.
    """
    with TemporaryDirectory(prefix="fetchpool-tune-") as scratch:
        listing, records = Path(scratch, "urls"), Path(scratch, "records.jsonl")
        listing.write_text("".join(f"{request.url}\n" for request in requests), encoding="utf-8")
        config = replace(_for_trial(config), records=str(records), input_format="lines", column=())
        summary = run(config, [str(listing)])
        found = [_decode(line) for line in records.read_bytes().splitlines()]
    refused = {_host(requests[each.seq - 1]) for each in found if each.status in REFUSALS}
    known = ((each.started_at, each.elapsed_s) for each in found)
    ends = sorted(start.timestamp() + elapsed for start, elapsed in known if start is not None)
    time = SlotTime() if summary.account is None else summary.account.time
    return Measured(steady_rate(ends), len(found), time, frozenset(refused))


_decode = msgspec.json.Decoder(_Ended).decode

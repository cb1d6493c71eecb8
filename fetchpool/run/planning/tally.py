"""Lists → URLs by host and by limits, with what a person is told of what was read."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from fetchpool.config import Config
from fetchpool.config.host_rules import ConfigAt
from fetchpool.config.plan_settings import PlanSettings
from fetchpool.model.values import Outcome
from fetchpool.run.planning.counts import HostCounts
from fetchpool.run.planning.pace import Pace, machine_rate
from fetchpool.run.planning.plan import Assumed, Plan, plan_for
from fetchpool.scheduling.job import target_of
from fetchpool.sources import Batch, Sources, open_sources

MOST_HOSTS = 200_000
"""Hosts that are counted exactly in any case; up to twice as many, some 90 MB, are kept."""
_LEAST_HOSTS = 10_000
"""The same for hosts of one table of the file, where there are many tables."""


class Read(NamedTuple):
    """What was read for a plan, for a person."""

    title: str
    """What the lists are called."""
    urls: int
    """URLs that were read."""
    refused: int
    """Lines that are no URL."""
    skipped: int
    """Blank lines and comments."""
    sitemaps: int
    """URLs of sitemaps, whose own URLs aren't known."""


class Tally:
    """What was read of lists."""

    def __init__(self, config: Config) -> None:
        self.counts: dict[Pace, HostCounts] = {}
        """By the limits of hosts, which tables may give some of them."""
        self.refused = self.skipped = self.sitemaps = self.read = 0
        """Lines: no URL; blank or a comment; a sitemap, whose URLs aren't known; URLs."""
        self.weight = 1.0
        """How many lines stand for one that was read, at most."""
        self.most_hosts = 0
        """Hosts seen at once, at most."""
        self._config = config
        self._at = ConfigAt(config) if config.host else None
        self._most = max(_LEAST_HOSTS, MOST_HOSTS // (1 + len(config.host.tables)))

    def add(self, batch: Batch, weight: float) -> None:
        """Count the requests of *batch*, each for *weight* lines of the list."""
        self.skipped += batch.skipped
        self.weight = max(self.weight, weight)
        counts = self._counts_of(Pace.of(self._config))
        for request in batch.requests:
            target = target_of(request)
            if isinstance(target, Outcome):
                self.refused += 1
                continue
            self.read += 1
            self.sitemaps += request.is_sitemap
            if self._at is not None:
                counts = self._counts_of(Pace.of(self._at(target.host_key)))
            counts.add(target.host_key, weight)
        self.most_hosts = max(
            self.most_hosts, sum(len(each.counts) for each in self.counts.values())
        )

    def _counts_of(self, pace: Pace) -> HostCounts:
        if pace not in self.counts:
            self.counts[pace] = HostCounts(self._most)
        return self.counts[pace]


def plan_of(
    config: Config,
    sources: Sequence[str],
    settings: PlanSettings,
    tell: Callable[[int], None] = lambda urls: None,
) -> tuple[Plan, Read]:
    """Read the lists *sources*; return the plan, and what was read.

    *tell* is called with the URLs read so far. Raises `InputError` for a list that can't be read,
    `SourceReadError` for one that fails on the way.
    """
    tally = Tally(config)
    stdin = sys.stdin.buffer if sys.stdin is not None else None
    with open_sources(sources, stdin, ask=config.ask, reading=config.reading) as lists:
        title = lists.title
        for batch, weight in _batches(lists, settings.sample):
            tally.add(batch, weight)
            tell(tally.read)
    machine = machine_rate(config, settings.rate_per_machine, settings.request_time)
    assumed = Assumed(machine, settings.request_time, config.rate)
    plan = plan_for(tally.counts, assumed, tally.most_hosts, tally.weight)
    return plan, Read(title, tally.read, tally.refused, tally.skipped, tally.sitemaps)


def _batches(lists: Sources, share: float | None) -> Iterator[tuple[Batch, float]]:
    if share is not None:
        return lists.sampled(share)
    return ((batch, 1.0) for batch in lists.batches())

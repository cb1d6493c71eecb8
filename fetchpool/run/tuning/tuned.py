"""A list → the settings found for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import msgspec

from fetchpool.config import Config
from fetchpool.pipeline.pool import check_surroundings
from fetchpool.run.tuning.sample import hosts_of, sample_of
from fetchpool.run.tuning.search import PARTS_OF_BUDGET, Found, search
from fetchpool.run.tuning.trial import Trials
from fetchpool.scaling.sharing import cores
from fetchpool.sources import open_sources


class Tuned(msgspec.Struct, frozen=True):
    """What came of it."""

    found: Found | None
    """None if nothing could be measured."""
    hosts: int
    """How many hosts the sample is of; 0 = no line of the list may be tried."""
    requests: int = 0
    """How many were made."""
    refused: tuple[str, ...] = ()
    """Hosts that refused one, and were asked no more; in their alphabetical order."""


def tuned(
    config: Config, sources: Sequence[str], budget: int, tell: Callable[[int], None]
) -> Tuned:
    """Measure settings for the lists *sources*, with *budget* requests at most.

    *tell* is called with the number of hosts before the first one. Raises `ConfigError`,
    `InputError` for a list that can't be read, `SourceReadError` for one that fails on the way.
    """
    check_surroundings(config)
    stdin = sys.stdin.buffer if sys.stdin is not None else None
    with open_sources(sources, stdin, ask=config.ask, reading=config.reading) as lists:
        sample = sample_of(lists, config, budget)
    hosts = len(hosts_of(sample))
    if not sample:
        return Tuned(None, hosts)
    tell(hosts)
    trials = Trials(sample, budget)
    found = search(config, trials.measure, max(1, budget // PARTS_OF_BUDGET), cores())
    return Tuned(found, hosts, trials.made, tuple(sorted(trials.refused)))

"""Which hosts each worker owns, and its part of the limits."""

from __future__ import annotations

import os
from zlib import crc32

from msgspec import Struct

from fetchpool.config import Config
from fetchpool.model.limits import AUTO
from fetchpool.model.sites import site_of
from fetchpool.scheduling.rate_limit import BURST_S


class Share(Struct, frozen=True):
    """One worker's part of a run."""

    index: int
    """Which of them it is, from 0."""
    count: int
    """How many there are."""
    limit: int
    """Requests in progress at most."""
    rate: float
    """Requests per second at most; 0 = no such limit."""
    by_url: bool
    """True if hosts are split: each URL, not each host, has its worker."""
    by_site: bool = False
    """True if hosts below one registrable domain have one worker: they share cookies."""

    def owner(self, host_key: str) -> int:
        """Return which worker makes the requests to *host_key*, where hosts aren't split."""
        return owner(site_of(host_key) if self.by_site else host_key, self.count)

    def owns(self, host_key: str) -> bool:
        """Tell whether requests to *host_key* may be made by this worker.

        Any worker may ask a host that has no limit of its own.
        """
        return self.by_url or self.count == 1 or self.owner(host_key) == self.index


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def worker_count(config: Config) -> int:
    """Return how many workers `--workers` means here: none without a request to make."""
    count = config.workers or cores()
    if config.rate_here:
        # Each may send its part of the burst at once, but at least one request: more workers would
        # send more than the burst of the whole rate.
        count = min(count, max(1, int(config.rate_here * BURST_S)))
    return min(count, config.limit) if config.limit and config.limit != AUTO else count


def shares(config: Config, limit: int) -> list[Share]:
    """Return the parts that add up to the run's *limit* and rate, one for each worker.

    Limits over the whole run hold because each part holds.
    """
    count = min(worker_count(config), limit)
    by_site = config.keeps_cookies
    limits = config.host.all_of("per_host", config.per_host)
    rates = config.host.all_of("host_rate", config.host_rate)
    # A robots.txt is asked for once, and may set its host a rate.
    by_url = not any((by_site, *limits, *rates, config.asks_robots))
    each, more = divmod(limit, count)
    return [
        Share(index, count, each + (index < more), config.rate_here / count, by_url, by_site)
        for index in range(count)
    ]


def longest_interval(config: Config, share: Share) -> float:
    """Return the longest time, in seconds, that the rates of a worker put between two requests."""
    rates = (share.rate, *config.host.all_of("host_rate", config.host_rate))
    return max((1 / rate for rate in rates if rate), default=0.0)


def owner(key: str, count: int) -> int:
    """Return which of *count* workers owns *key*; it depends on nothing else."""
    return crc32(key.encode()) % count

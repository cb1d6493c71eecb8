"""How far a shuffled list is after which time: URLs as a fluid, without waiting for whole requests.

A list is read no faster than slots are free. So while it is read, each host is asked as its URLs
come, but no faster than its pace; what is beyond that waits, and is done after the list was read.
All rates are constant until then: a host that keeps up ends with the list, another one when its
URLs are done at its pace.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Crowd(NamedTuple):
    """Hosts with the same number of URLs and the same pace."""

    urls: float
    """Of each."""
    pace: float
    """Requests per second at each; infinite without a limit."""
    hosts: float
    """How many; of an estimate, not whole."""

    @property
    def alone(self) -> float:
        """Seconds that a host takes at its pace."""
        return self.urls / self.pace

    @property
    def all_urls(self) -> float:
        """Those of all its hosts."""
        return self.urls * self.hosts


def moments(crowds: Iterable[Crowd], capacity: float, parts: Sequence[float]) -> list[float]:
    """Return after how many seconds each of *parts* of all URLs is done; *parts* rise, up to 1.

    *capacity* is what all machines do together, requests per second, above 0.
    """
    every = list(crowds)
    reading = time_to_read(every, capacity)
    ends = sorted((max(reading, crowd.alone), crowd.all_urls) for crowd in every)
    speed = sum(urls / end for end, urls in ends if end)
    wanted = [part * sum(urls for _, urls in ends) for part in parts]
    found: list[float] = []
    now = done = 0.0
    for end, urls in ends:
        then = done + speed * (end - now)
        while len(found) < len(wanted) and wanted[len(found)] <= then:
            found.append(now + (wanted[len(found)] - done) / speed if speed else end)
        now, done = end, then
        speed = max(0.0, speed - (urls / end if end else 0.0))
    # Rounding may leave something of the last URLs.
    return found + [now] * (len(wanted) - len(found))


def time_to_read(crowds: Iterable[Crowd], capacity: float) -> float:
    """Return after how many seconds the last line is read; 0 where the hosts are slower than that.

    Hosts that can't keep up take what their pace allows, the others share the rest of *capacity*
    in the proportion of their URLs.
    """
    slowest = sorted(crowds, key=_alone, reverse=True)
    rest, urls = capacity, sum(crowd.all_urls for crowd in slowest)
    for crowd in slowest:
        if crowd.alone * rest <= urls or rest <= 0:  # it keeps up, as all that follow do
            break
        rest -= crowd.pace * crowd.hosts
        urls -= crowd.all_urls
    # What rounding leaves where all hosts are slower.
    return urls / rest if urls > 0 and rest > 0 else 0.0


def _alone(crowd: Crowd) -> float:
    return crowd.alone

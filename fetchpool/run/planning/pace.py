"""How fast limits let a host, and a machine, be asked."""

from __future__ import annotations

from math import ceil, inf
from typing import NamedTuple

from fetchpool.config import Config
from fetchpool.model.limits import AUTO, most_per_host

MOST_AT_ONCE = 4096
"""What `--limit 0` and `--limit auto` come to at most."""


class Pace(NamedTuple):
    """The limits of a host."""

    per_host: int
    """Requests at once; 0 = no limit."""
    host_rate: float
    """Requests per second; 0 = no limit."""

    @classmethod
    def of(cls, config: Config) -> Pace:
        """Return what *config*, that of a host, says; of `auto` the most that may be found."""
        return cls(most_per_host(config.per_host), config.host_rate)

    def per_second(self, request_time: float) -> float:
        """Return the requests per second that they allow, each of *request_time* seconds.

        Infinite without a limit.
        """
        at_once = self.per_host / request_time if self.per_host else inf
        return min(at_once, self.host_rate or inf)

    def raised(self, times: int, request_time: float) -> Pace:
        """Return the limits that allow *times* as many requests per second.

        Only those are raised that would stand in the way.
        """
        wanted = times * self.per_second(request_time)
        per_host, host_rate = self
        if per_host and per_host / request_time < wanted:
            # Rounded first: of 100.00000000000001 one would be too many.
            per_host = ceil(round(wanted * request_time, 6))
        if host_rate and host_rate < wanted:
            host_rate = wanted
        return Pace(per_host, host_rate)


def machine_rate(config: Config, most: float, request_time: float) -> float:
    """Return the requests per second that a machine makes: *most*, or fewer for `--limit`.

    Of `auto`, too, the most that it may come to.
    """
    limit = 0 if config.limit == AUTO else config.limit
    return min(most, (limit or MOST_AT_ONCE) / request_time)

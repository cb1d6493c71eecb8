"""The least time a run can take: arithmetic, shown as it is done.

Nothing is allowed for starting a program, for connecting, for reading a list or for the server's
own work: a program that reached a bound would be perfect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Bound:
    """A part of the work, and the seconds it takes at least."""

    what: str
    seconds: float
    arithmetic: str

    def __str__(self) -> str:
        return f"{self.what}: {self.arithmetic} = {self.seconds:.2f} s"


@dataclass(frozen=True)
class Hosts:
    """Hosts of a kind, with the same number of URLs each."""

    what: str
    count: int
    urls: int
    service_s: float = 0.0
    """From request to answer."""
    window: tuple[int, float] | None = None
    """Answers in so many seconds; what is more gets 429."""
    backoffs_s: Sequence[float] = ()
    """Pauses between attempts that cannot succeed, the shortest that are allowed."""

    def bound(self, per_host: int) -> Bound:
        """Return what one of them takes with *per_host* requests at a time."""
        if self.window is not None:
            most, window_s = self.window
            windows = ceil(self.urls / most)
            return Bound(
                f"{self.what}, {most} answers in {window_s:g} s",
                (windows - 1) * window_s,
                f"({self.urls} / {most} − 1) × {window_s:g} s",
            )
        if self.backoffs_s:
            shown = " + ".join(f"{pause_s:g}" for pause_s in self.backoffs_s)
            return Bound(f"{self.what}, back-off", sum(self.backoffs_s), shown)
        turns = ceil(self.urls / per_host)
        return Bound(
            f"{self.what}, {per_host} at a time",
            turns * self.service_s,
            f"{self.urls} / {per_host} × {self.service_s:g} s",
        )


def all_slots(hosts: Sequence[Hosts], limit: int) -> Bound:
    """Return what all of them take together with *limit* requests at a time."""
    busy_s = sum(each.count * each.urls * each.service_s for each in hosts)
    shown = " + ".join(
        f"{each.count} × {each.urls} × {each.service_s:g} s" for each in hosts if each.service_s
    )
    return Bound(f"all, {limit} at a time", busy_s / limit, f"({shown}) / {limit}")


def lower_bounds(hosts: Sequence[Hosts], limit: int, per_host: int) -> list[Bound]:
    """Return all bounds of a run, the one that holds (the largest) first."""
    bounds = [all_slots(hosts, limit), *(each.bound(per_host) for each in hosts)]
    return sorted(bounds, key=lambda bound: bound.seconds, reverse=True)

"""`Plan`: what a list would take, from counts of its hosts. Arithmetic alone, no list, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from heapq import nlargest
from math import ceil, inf, isfinite
from typing import NamedTuple

from msgspec import Struct

from fetchpool.run.planning.counts import HostCounts
from fetchpool.run.planning.fluid import Crowd, moments
from fetchpool.run.planning.pace import Pace

PARTS = (0.5, 0.9, 0.99, 1.0)
"""Of all URLs; the rows of a plan say when they are done."""
RAISE = 10
"""How many times as fast a host would be asked by a rule that is looked at."""
_SHOWN = 8
_RAISED = (1, 10, 100)
"""How many of the slowest hosts a rule is looked at for."""
_WORTH_IT = 0.9
"""What a change must bring the time down to, as a part of it, to be told."""
_MOST_ROWS = 14
_BEYOND = 4
"""How many times as many machines as make sense the table goes to: parts of a list end sooner."""
_WITHOUT_BOUND = 64
"""The most machines of the table where no host sets a bound."""


class Host(NamedTuple):
    """A big host."""

    name: str
    urls: float
    pace: Pace
    """Its limits."""
    seconds: float
    """What its URLs alone take, however many machines there are; 0 without a limit."""


class Row(NamedTuple):
    """When a number of machines would be how far."""

    machines: int
    seconds: tuple[float, ...]
    """After which each of `PARTS` is done."""


class Change(NamedTuple):
    """What a rule for the slowest hosts would change."""

    hosts: tuple[str, ...]
    before: Pace
    pace: Pace
    """The limits of the rule."""
    bound: float
    """Seconds that no plan is below then."""
    machines: int | None


class Assumed(Struct, frozen=True):
    """What a plan rests on."""

    machine: float
    """Requests per second of one machine, `--limit` considered."""
    request_time: float
    """Seconds."""
    rate: float = 0.0
    """Requests per second over all machines; 0 = no such limit."""


class Plan(Struct, frozen=True):
    """What a list would take."""

    urls: float
    hosts: float
    """At least, where `error` or `weight` say that it is an estimate."""
    error: float
    """By how much a host's count may be too small, as memory is bounded."""
    weight: float
    """How many lines stand for one that was read; 1 = all were read."""
    assumed: Assumed
    biggest: tuple[Host, ...]
    """The hosts that take longest alone, then those with most URLs."""
    bound: float
    """Seconds that no number of machines is below; 0 = there is no such bound."""
    bound_by: Host | None
    """The host that sets the bound; None: `--rate` does, or nothing."""
    machines: int | None
    """How many are kept busy to the end; None: any number."""
    rows: tuple[Row, ...]
    changes: tuple[Change, ...]


def plan_for(
    counts: Mapping[Pace, HostCounts], assumed: Assumed, hosts: float = 0.0, weight: float = 1.0
) -> Plan:
    """Return the plan for URLs counted in *counts*, by host, and by the limits of hosts.

    *hosts*: how many there are at least, where more than *counts* has are known of.
    """
    urls = sum(each.total for each in counts.values())
    slowest = sorted(_slowest(counts, assumed, max(_RAISED) + 1), key=lambda host: -host.seconds)
    bound_by = slowest[0] if slowest else None
    bound = bound_by.seconds if bound_by else 0.0
    if assumed.rate and urls / assumed.rate >= bound:
        bound, bound_by = urls / assumed.rate, None
    machines = _machines(urls, bound, assumed)
    return Plan(
        urls,
        max(hosts, sum(len(each.counts) for each in counts.values())),
        max((each.error for each in counts.values()), default=0.0),
        weight,
        assumed,
        _biggest(counts, slowest, assumed),
        bound,
        bound_by,
        machines,
        tuple(_rows(counts, machines, assumed, weight)) if urls else (),
        tuple(_changes(slowest, urls, bound, assumed)) if bound_by else (),
    )


def _seconds(urls: float, pace: Pace, assumed: Assumed) -> float:
    """Return what *urls* of a host take alone; 0 without a limit, as machines share them then."""
    return urls / _cap(pace, assumed)


def _slowest(counts: Mapping[Pace, HostCounts], assumed: Assumed, most: int) -> list[Host]:
    """Return those hosts with a limit that take longest, the longest first."""
    found = [
        Host(name, urls, pace, _seconds(urls, pace, assumed))
        for pace, each in counts.items()
        if isfinite(pace.per_second(assumed.request_time))
        for name, urls in nlargest(most, each.counts.items(), key=lambda item: item[1])
    ]
    return nlargest(most, found, key=lambda host: host.seconds)


def _biggest(
    counts: Mapping[Pace, HostCounts], slowest: Sequence[Host], assumed: Assumed
) -> tuple[Host, ...]:
    without_limit = [
        Host(name, urls, pace, 0.0)
        for pace, each in counts.items()
        if not isfinite(pace.per_second(assumed.request_time))
        for name, urls in nlargest(_SHOWN, each.counts.items(), key=lambda item: item[1])
    ]
    shown = [*slowest[:_SHOWN], *nlargest(_SHOWN, without_limit, key=lambda host: host.urls)]
    return tuple(shown[:_SHOWN])


def _machines(urls: float, bound: float, assumed: Assumed) -> int | None:
    """Return how many machines are busy for all of *bound* seconds; None: any number."""
    if not bound:
        return None
    return max(1, ceil(urls / (assumed.machine * bound) - 1e-9))


def _rows(
    counts: Mapping[Pace, HostCounts], machines: int | None, assumed: Assumed, weight: float
) -> Iterator[Row]:
    crowds = [
        crowd
        for pace, each in counts.items()
        for crowd in _crowds(each, _cap(pace, assumed), weight)
    ]
    most = _BEYOND * machines if machines else _WITHOUT_BOUND
    numbers = {1 << power for power in range(most.bit_length())} | {machines or 1}
    for number in sorted(numbers)[-_MOST_ROWS:]:
        capacity = min(number * assumed.machine, assumed.rate or inf)
        yield Row(number, tuple(moments(crowds, capacity, PARTS)))


def _cap(pace: Pace, assumed: Assumed) -> float:
    """Return the requests per second at a host; one with a limit belongs to one machine."""
    rate = pace.per_second(assumed.request_time)
    return min(rate, assumed.machine) if isfinite(rate) else inf


def _crowds(counts: HostCounts, pace: float, weight: float) -> Iterator[Crowd]:
    """Yield the hosts by their number of URLs, the forgotten ones as small ones.

    A line that a sample holds once stands for as many hosts: one that was seen once rather has one
    URL than as many as the sample leaves out.
    """
    sizes = Counter(counts.counts.values())
    for urls, hosts in sizes.items():
        yield Crowd(1.0, pace, hosts * urls) if urls <= weight else Crowd(urls, pace, hosts)
    forgotten = counts.total - sum(urls * hosts for urls, hosts in sizes.items())
    small = counts.error if weight == 1 else 1.0
    if small and forgotten >= small:
        yield Crowd(small, pace, forgotten / small)


def _changes(
    slowest: Sequence[Host], urls: float, bound: float, assumed: Assumed
) -> Iterator[Change]:
    """Yield the rules for the slowest hosts that would make a difference."""
    reached = bound
    for number in _RAISED:
        raised = slowest[:number]
        first = raised[0]
        pace = first.pace.raised(RAISE, assumed.request_time)
        if len(raised) < number or any(host.pace != first.pace for host in raised):
            return
        after = [_seconds(host.urls, pace, assumed) for host in raised]
        after += [host.seconds for host in slowest[number:]]
        total_rate = urls / assumed.rate if assumed.rate else 0.0
        new_bound = max(*after, total_rate)
        if new_bound < _WORTH_IT * reached:
            reached = new_bound
            names = tuple(host.name for host in raised)
            machines = _machines(urls, new_bound, assumed)
            yield Change(names, first.pace, pace, new_bound, machines)

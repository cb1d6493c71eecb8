"""How long a list takes on many machines, by the way it is divided: simulated, nothing is fetched.

python -m benchmarks.simulate                   10⁹ URLs, the table of docs/scale/planning.md
python -m benchmarks.simulate --urls 1e7        another size

Lists are Zipf's: the host number k has a part of 1/k^s. URLs are a fluid, lists are shuffled: a
machine is done when it has done all its URLs at its rate, or its biggest host at that host's,
whichever is later (`fetchpool.run.planning.fluid`). The biggest hosts fall where chance has them,
those behind them evenly everywhere: each of these is too small to matter.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from heapq import heapify, heapreplace
from itertools import accumulate, pairwise
from math import inf
from random import Random
from statistics import median
from typing import NamedTuple

from fetchpool.run.planning.fluid import Crowd, moments

MACHINES = (16, 64, 256)
PARTITIONS = (8, 64)
"""A machine's, where a list is cut into many small ones that wait for their turn."""
PARTS = (0.9, 0.99, 1.0)


class Shape(NamedTuple):
    """How URLs are divided among hosts."""

    name: str
    exponent: float
    hosts: int


class Limits(NamedTuple):
    """What hosts are asked with."""

    name: str
    per_host: float
    of_biggest: float
    """Requests at once at each of the 100 biggest hosts."""


class Size(NamedTuple):
    """How large everything is."""

    urls: float = 1e9
    exact: int = 200_000
    """Hosts that are placed one by one."""
    rate: float = 2000.0
    """Requests per second of a machine."""
    request_s: float = 0.5
    seeds: int = 5


SHAPES = (
    Shape("host", 0.65, 47_500_000),
    Shape("domain", 0.80, 38_300_000),
    Shape("image", 0.95, 5_000_000),
)
TEN = Limits("per-host 10", 10, 10)
HUNDRED = Limits("100 biggest at 100", 10, 100)
FREE = Limits("100 biggest unlimited", 10, inf)
NONE = Limits("no limits", inf, inf)
CASES = (
    *((shape, TEN) for shape in SHAPES),
    (SHAPES[0], HUNDRED),
    (SHAPES[2], FREE),
    (SHAPES[1], NONE),
    (SHAPES[2], NONE),
)


class Hosts:
    """The hosts of a list: the biggest one by one, the rest in crowds."""

    def __init__(self, shape: Shape, limits: Limits, size: Size) -> None:
        exact = min(size.exact, shape.hosts)
        parts = [rank**-shape.exponent for rank in range(1, exact + 1)]
        # Hosts behind them, in crowds that each reach half as far again.
        edges = [exact]
        while edges[-1] < shape.hosts:
            edges.append(min(shape.hosts, edges[-1] + edges[-1] // 2 + 1))
        crowds = [(_sum(shape.exponent, a, b), b - a) for a, b in pairwise(edges)]
        unit = size.urls / (sum(parts) + sum(part for part, _ in crowds))
        self.urls = [part * unit for part in parts]
        self.paces = [
            (limits.of_biggest if rank < 100 else limits.per_host) / size.request_s
            for rank in range(exact)
        ]
        self.rest = sum(part for part, _ in crowds) * unit
        """URLs of all hosts behind them."""
        self.crowds = [
            Crowd(part * unit / number, limits.per_host / size.request_s, number)
            for part, number in crowds
        ] + [Crowd(urls, pace, 1) for urls, pace in zip(self.urls, self.paces, strict=True)]

    def alone(self, rate: float, *, split: bool) -> list[float]:
        """Return the seconds that each host takes alone; *split*: 0 where it has no limit."""
        return [
            0.0 if split and pace == inf else urls / min(pace, rate)
            for urls, pace in zip(self.urls, self.paces, strict=True)
        ]


def _sum(exponent: float, after: int, last: int) -> float:
    """Return the sum of k^-exponent for *after* < k ≤ *last*, by the integral of it."""
    power = 1 - exponent
    upper, lower = (float((end + 0.5) ** power) for end in (last, after))
    return (upper - lower) / power


def bound(hosts: Hosts, machines: int, size: Size) -> float:
    """Return the seconds that no way of dividing is below."""
    return max(size.urls / (machines * size.rate), *hosts.alone(size.rate, split=True))


def times(hosts: Hosts, parts: int, size: Size, seed: int, *, split: bool) -> list[float]:
    """Return what each of *parts* takes that hosts are divided among by a hash, drawn by *seed*.

    *split*: URLs of a host without a limit are divided among all parts.
    """
    draw = Random(seed).random
    even = hosts.rest
    of_part, slowest = [0.0] * parts, [0.0] * parts
    alone = hosts.alone(size.rate, split=split)
    for urls, pace, seconds in zip(hosts.urls, hosts.paces, alone, strict=True):
        if split and pace == inf:
            even += urls
            continue
        part = int(draw() * parts)
        of_part[part] += urls
        slowest[part] = max(slowest[part], seconds)
    each = even / parts
    return [max((own + each) / size.rate, most) for own, most in zip(of_part, slowest, strict=True)]


def longest_first(hosts: Hosts, machines: int, size: Size) -> float:
    """Return the seconds where all hosts were counted, and each went where least was yet."""
    loads = [(0.0, number) for number in range(machines)]
    slowest = [0.0] * machines
    for urls, seconds in zip(hosts.urls, hosts.alone(size.rate, split=False), strict=True):
        load, machine = loads[0]
        heapreplace(loads, (load + urls, machine))
        slowest[machine] = max(slowest[machine], seconds)
    # What is behind them fills the valleys.
    level = _filled(sorted(load for load, _ in loads), hosts.rest)
    return max(max(level, *(load for load, _ in loads)) / size.rate, *slowest)


def _filled(loads: Sequence[float], more: float) -> float:
    """Return how high *more* stands on rising *loads*."""
    for number, total in enumerate(accumulate(loads), 1):
        level = (total + more) / number
        if number == len(loads) or level <= loads[number]:
            return level
    raise AssertionError("there is a machine")


def in_turns(seconds: Sequence[float], machines: int) -> float:
    """Return when the last of many parts ends that *machines* take one after another."""
    ends = [0.0] * machines
    heapify(ends)
    for part in seconds:
        heapreplace(ends, ends[0] + part)
    return max(ends)


def divided(size: Size) -> Iterator[list[str]]:
    """Yield the rows of the table: what each way takes, as times of the bound."""
    yield [
        *("list, limits", "machines", "bound", "even share", "hash", "hash, split by URL"),
        *("biggest first, counted", *(f"{each} partitions a machine" for each in PARTITIONS)),
    ]
    for shape, limits in CASES:
        hosts = Hosts(shape, limits, size)
        for machines in MACHINES:
            least = bound(hosts, machines, size)
            seeds = range(size.seeds)
            ways = [
                median(max(times(hosts, machines, size, seed, split=split)) for seed in seeds)
                for split in (False, True)
            ]
            ways.append(longest_first(hosts, machines, size))
            ways += [
                median(
                    in_turns(times(hosts, each * machines, size, seed, split=False), machines)
                    for seed in seeds
                )
                for each in PARTITIONS
            ]
            even = size.urls / (machines * size.rate)
            yield [
                f"{shape.name}, {limits.name}",
                *(str(machines), _hours(least), _hours(even)),
                *(f"{way / least:.2f}" for way in ways),
            ]


def ends(size: Size) -> Iterator[list[str]]:
    """Yield the rows of the table: how many machines make sense, and when how much is done."""
    shown = [f"{part:.0%} on {number}" for number in MACHINES for part in PARTS[:-1]]
    yield ["list, per-host 10", "end", "machines that make sense", *shown]
    for shape in SHAPES:
        hosts = Hosts(shape, TEN, size)
        least = max(hosts.alone(size.rate, split=True))
        found = [moments(hosts.crowds, number * size.rate, PARTS) for number in MACHINES]
        cells = [_hours(seconds) for row in found for seconds in row[:-1]]
        sense = size.urls / (size.rate * least)
        yield [shape.name, _hours(least), f"{sense:.2g}", *cells]


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h"


def _table(rows: Iterator[list[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def report(size: Size) -> str:
    """Return both tables, in Markdown."""
    return f"{_table(divided(size))}\n\n{_table(ends(size))}\n"


def main() -> int:
    """Print the tables."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("benchmarks.simulate", None, __doc__, formatter_class=plain)
    parser.add_argument("--urls", type=float, default=Size().urls)
    parser.add_argument("--exact", type=int, default=Size().exact, help="hosts placed one by one")
    parser.add_argument("--seeds", type=int, default=Size().seeds, help="medians of so many")
    given = parser.parse_args()
    print(report(Size(given.urls, given.exact, seeds=given.seeds)), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())

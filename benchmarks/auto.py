"""`--per-host auto` and `--limit auto` beside the best fixed settings, found by search: simulated.

    python -m benchmarks.auto                the table of docs/concurrency.md
    python -m benchmarks.auto slow mixed     some of its rows

The scheduler is the real one. Hosts are functions and the clock is a number: a row comes out the
same each time, and nothing is measured that this machine could disturb.
"""

from __future__ import annotations

import argparse
import heapq
import math
import random
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from fetchpool.model.attempts import Timeline
from fetchpool.model.hosts import Found
from fetchpool.model.limits import AUTO_PER_HOST
from fetchpool.scheduling.scheduler import Limits, Scheduler
from fetchpool.scheduling.throttling import Refusal

PER_HOST = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32, 48, 64)
"""What `--per-host` is searched for."""

LIMIT = 4096
"""What `--limit auto` may come to, as with descriptors enough."""

LIMITS = (100, 200, 400, 800, 1600, LIMIT)
"""What `--limit` is searched for where there are many hosts."""

CLOSE = 0.995
"""Of fixed settings as good as this share of the best, the one with the fewest 429s is best."""

SEED = 16


class Host(Protocol):
    """What a host makes of requests."""

    def serve(self, now: float) -> tuple[float, bool]:
        """Return when the request that reaches it at *now* is answered, and whether it is served.

        Called in the order of time.
        """


class Spread:
    """How much single answers differ: a factor whose logarithm has this standard deviation."""

    def __init__(self, sigma: float, seed: int) -> None:
        self._sigma = sigma
        self._random = random.Random(seed)

    def __call__(self) -> float:
        """Return the factor of the next answer; 1 on average."""
        if not self._sigma:
            return 1.0
        return math.exp(self._random.gauss(-(self._sigma**2) / 2, self._sigma))


class Free:
    """Takes the same time for an answer, however many it is asked for at once."""

    def __init__(self, service_s: float, sigma: float = 0.0, seed: int = SEED) -> None:
        self._service_s = service_s
        self._spread = Spread(sigma, seed)

    def serve(self, now: float) -> tuple[float, bool]:
        return now + self._service_s * self._spread(), True


class Queueing:
    """Works on so many requests at once; the others wait in a queue."""

    def __init__(
        self, workers: int, service_s: float, sigma: float = 0.0, seed: int = SEED
    ) -> None:
        self._free_at = [0.0] * workers
        self._service_s = service_s
        self._spread = Spread(sigma, seed)

    def serve(self, now: float) -> tuple[float, bool]:
        ends = max(now, self._free_at[0]) + self._service_s * self._spread()
        heapq.heapreplace(self._free_at, ends)
        return ends, True


class Softening:
    """Slower by the same with each request that it works on: throughput grows, ever less."""

    def __init__(self, service_s: float, half_at: int) -> None:
        self._service_s = service_s
        self._half_at = half_at
        self._ends: list[float] = []

    def serve(self, now: float) -> tuple[float, bool]:
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        ends = now + self._service_s * (1 + (len(self._ends) + 1) / self._half_at)
        heapq.heappush(self._ends, ends)
        return ends, True


class Throttling:
    """Refuses what comes beyond so many a second, but for a burst: a bucket of tokens."""

    def __init__(self, rate: float, burst: int, service_s: float) -> None:
        self._rate, self._burst, self._service_s = rate, burst, service_s
        self._tokens, self._at = float(burst), 0.0

    def serve(self, now: float) -> tuple[float, bool]:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1.0:
            return now + self._service_s, False
        self._tokens -= 1.0
        return now + self._service_s, True


@dataclass
class Run:
    """What became of a list."""

    seconds: float = 0.0
    answered: int = 0
    refused: int = 0
    """Answers that were a 429."""
    cuts: int = 0
    """How often one, or a volley of them, halved a host's window."""
    found: Found = field(default_factory=Found)

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.answered / self.seconds


class Queues:
    """A backlog in memory."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[tuple[str, bool]]] = {}

    def push(self, host: str, item: tuple[str, bool]) -> None:
        self._queues.setdefault(host, deque()).append(item)

    def pull(self, host: str, limit: int) -> list[tuple[str, bool]]:
        queue = self._queues[host]
        return [queue.popleft() for _ in range(min(limit, len(queue)))]


class Simulation:
    """A list on its way through the scheduler to hosts that are functions."""

    def __init__(self, hosts: dict[str, Host], limits: Limits, cpu_s: float = 0.0) -> None:
        """Each answer takes *cpu_s* of our own time, one after the other."""
        self._hosts = hosts
        self._cpu_s = cpu_s
        self._cpu_free_at = 0.0
        self._now = 0.0
        self._scheduler: Scheduler[tuple[str, bool]] = Scheduler(limits, Queues())
        self._events: list[tuple[float, int, str, bool, float, bool | None]] = []
        self._ticket = count()
        self._random = random.Random(SEED)
        self.result = Run()

    def run(self, lines: Sequence[str]) -> Run:
        """Fetch a URL of a host for each of *lines*, names of hosts; return what became of it."""
        scheduler = self._scheduler
        for host in lines:
            scheduler.add(host, (host, False), self._now)
        while not scheduler.idle:
            while (item := scheduler.take(self._now)) is not None:
                self._start(*item)
            at = scheduler.next_start()
            if self._events and (at is None or self._events[0][0] <= at):
                self._happen(*heapq.heappop(self._events))
            else:
                assert at is not None
                self._now = max(self._now, at)
        self.result.seconds = self._now
        self.result.found = scheduler.found
        return self.result

    def _start(self, host: str, was_refused: bool) -> None:
        ends, good = self._hosts[host].serve(self._now)
        self._push(ends, host, was_refused, self._now, good)

    def _push(
        self, at: float, host: str, was_refused: bool, started: float, good: bool | None
    ) -> None:
        heapq.heappush(self._events, (at, next(self._ticket), host, was_refused, started, good))

    def _happen(
        self, at: float, _: int, host: str, was_refused: bool, started: float, good: bool | None
    ) -> None:
        self._now = max(self._now, at)
        if good and self._cpu_s:  # received: now it is our turn
            self._cpu_free_at = max(self._now, self._cpu_free_at) + self._cpu_s
            self._push(self._cpu_free_at, host, was_refused, started, None)
            return
        scheduler, now = self._scheduler, self._now
        if good is False:
            self.result.refused += 1
            refusal = Refusal(429, not was_refused)
            window = scheduler.health(host).window
            pause_s = scheduler.throttled(host, now, started, refusal, self._random.random())
            self.result.cuts += scheduler.health(host).window < window
            scheduler.again(host, (host, True), now + pause_s, now, refused=True)
        else:
            self.result.answered += 1
            timeline = Timeline(None, started, None, None, None, started, now, now, now)
            scheduler.answered(host, now, was_refused=was_refused, timeline=timeline)
        scheduler.done(host, now)


# -- the rows of the table ------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """A fixed setting."""

    limit: int
    per_host: int

    def __str__(self) -> str:
        limit = "" if self.limit == LIMIT else f"--limit {self.limit} "
        return f"{limit}--per-host {self.per_host}"


@dataclass(frozen=True)
class Row:
    """Hosts, and a list for them."""

    what: str
    make: Callable[[], dict[str, Host]]
    each: int
    """URLs a host."""
    cpu_s: float = 0.0
    limits: Sequence[int] = (LIMIT,)
    """What `--limit` is searched for; `auto` finds that, too, where these are several."""
    per_host: Sequence[int] = PER_HOST

    def fixed(self, setting: Setting) -> Run:
        """Return what becomes of the list with a fixed setting."""
        return self._run(Limits(setting.limit, setting.per_host))

    def auto(self) -> Run:
        """Return what becomes of it with limits that are found while running."""
        several = len(self.limits) > 1
        return self._run(Limits(LIMIT, AUTO_PER_HOST, finds_limit=several, finds_per_host=True))

    def search(self) -> tuple[Setting, Run]:
        """Return the best fixed setting, and what becomes of the list with it."""
        runs = {
            setting: self.fixed(setting)
            for setting in (
                Setting(limit, per_host) for limit in self.limits for per_host in self.per_host
            )
        }
        most = max(run.rate for run in runs.values())
        good = (setting for setting, run in runs.items() if run.rate >= CLOSE * most)
        best = min(good, key=lambda one: (runs[one].refused, one.per_host, one.limit))
        return best, runs[best]

    def _run(self, limits: Limits) -> Run:
        hosts = self.make()
        lines = [host for host in hosts for _ in range(self.each)]
        random.Random(SEED).shuffle(lines)
        return Simulation(hosts, limits, self.cpu_s).run(lines)


def one(make: Callable[[], Host]) -> Callable[[], dict[str, Host]]:
    """Return what makes a single host."""
    return lambda: {"host": make()}


def mixed_hosts(count: int = 1000) -> dict[str, Host]:
    """Return hosts that take 20 ms to 2 s; a fifth have 2 to 8 workers, one in twenty throttles."""
    draw = random.Random(SEED)
    hosts: dict[str, Host] = {}
    for number in range(count):
        service_s = math.exp(draw.uniform(math.log(0.02), math.log(2.0)))
        kind = draw.random()
        hosts[f"host-{number}"] = (
            Queueing(draw.randint(2, 8), service_s, 0.3, number)
            if kind < 0.2
            else Throttling(5.0, 10, service_s)
            if kind < 0.25
            else Free(service_s, 0.3, number)
        )
    return hosts


ROWS = {
    "fast": Row("a fast host: 5 ms", one(lambda: Free(0.005, 0.2)), 20_000),
    "slow": Row("a slow host: 200 ms", one(lambda: Free(0.2, 0.2)), 20_000),
    "queueing": Row(
        "8 at once, then it queues: 50 ms", one(lambda: Queueing(8, 0.05, 0.2)), 10_000
    ),
    "throttling": Row(
        "429 beyond 20/s, bursts of 20: 100 ms", one(lambda: Throttling(20.0, 20, 0.1)), 3_000
    ),
    "mixed": Row("1,000 mixed hosts", mixed_hosts, 60, 0.0002, LIMITS, (2, 4, 8, 16, 64)),
    "between": Row(
        "429 beyond 20/s, but 120 ms: 2 at once are too few, 3 too many",
        one(lambda: Throttling(20.0, 20, 0.12)),
        3_000,
    ),
    "uneven": Row("a slow host, sizes very uneven", one(lambda: Free(0.2, 1.0)), 20_000),
    "softening": Row(
        "slower with each at once: 50 ms and 6 ms more", one(lambda: Softening(0.05, 8)), 10_000
    ),
}
"""By name. The first five are those that were asked for."""

HEAD = ("hosts", "URLs", "best fixed", "found", "ratio", "429s: fixed", "auto", "volleys")


def cells(row: Row) -> tuple[str, ...]:
    """Return the cells of *row*, its simulations run."""
    setting, best = row.search()
    auto = row.auto()
    found = auto.found
    assert found.fewest is not None
    windows = f"{found.fewest}" if found.fewest == found.most else f"{found.fewest}-{found.most}"
    return (
        row.what,
        f"{auto.answered:,} in {auto.seconds:.0f} s",
        str(setting),
        windows if found.limit is None else f"{windows}, limit {found.limit:,}",
        f"{auto.rate / best.rate:.2f}",
        f"{best.refused:,}",
        f"{auto.refused:,}",
        f"{auto.cuts:,}",
    )


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.auto", description=str(__doc__).partition("\n")[0]
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    chosen = parser.parse_args().rows or list(ROWS)
    if unknown := set(chosen) - set(ROWS):
        parser.error(f"no row {', '.join(sorted(unknown))}")
    print(f"| {' | '.join(HEAD)} |\n|{' --- |' * len(HEAD)}")
    for name in chosen:
        print(f"| {' | '.join(cells(ROWS[name]))} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

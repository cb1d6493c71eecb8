"""How fair the scheduler is, in numbers: simulated time, requests of a fixed length, no clock."""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Iterable
from itertools import count
from typing import Protocol

from fetchpool.scheduling.scheduler import Limits
from tests.scheduling import scheduler


class Schedules(Protocol):
    """What the simulation drives."""

    def add(self, host: str, item: str, now: float) -> None: ...
    def take(self, now: float) -> str | None: ...
    def answered(self, host: str, now: float) -> None: ...
    def done(self, host: str, now: float) -> None: ...
    def hungry(self, low_water: int) -> bool: ...


class PlainTurns:
    """Hosts in turn, whoever holds how many slots: what fewest-in-progress is measured against."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.running: Counter[str] = Counter()
        self.queues: dict[str, deque[str]] = {}
        self.turns: deque[str] = deque()

    def add(self, host: str, item: str, now: float) -> None:
        if host not in self.queues:
            self.turns.append(host)
        self.queues.setdefault(host, deque()).append(item)

    def take(self, now: float) -> str | None:
        if self.running.total() >= self.limits.limit:
            return None
        for _ in range(len(self.turns)):
            host = self.turns[0]
            self.turns.rotate(-1)
            if self.queues[host] and self.running[host] < self.limits.per_host:
                self.running[host] += 1
                return self.queues[host].popleft()
        return None

    def answered(self, host: str, now: float) -> None:
        pass

    def done(self, host: str, now: float) -> None:
        self.running[host] -= 1

    def hungry(self, low_water: int) -> bool:
        return True


def simulate(
    sched: Schedules, lines: Iterable[str], service_s: dict[str, float], low_water: int = 200
) -> dict[str, float]:
    """Return when each host's last request ends; lines are hosts, read as `Fetching` reads."""
    source = iter(lines)
    line: str | None = next(source, None)
    ends: dict[str, float] = {}
    running: list[tuple[float, int, str]] = []
    ticket = count()
    now = 0.0
    while True:
        while (started := sched.take(now)) is not None:
            heapq.heappush(running, (now + service_s[started], next(ticket), started))
        if line is not None and sched.hungry(low_water):
            sched.add(line, line, now)
            line = next(source, None)
        elif running:
            now, _, host = heapq.heappop(running)
            ends[host] = now
            sched.answered(host, now)
            sched.done(host, now)
        else:
            assert line is None
            return ends


def fair_ends(
    limits: Limits, lines: Iterable[str], service_s: dict[str, float]
) -> dict[str, float]:
    """Return when each host would end if slots could be cut into slices, max-min fair at any time.

    Water filling (Bertsekas, Gallager: Data Networks, §6.5.2): all get the same, but nobody more
    than `per_host`; where somebody's work ends, the others share what it had.
    """
    work = {host: number * service_s[host] for host, number in Counter(lines).items()}
    ends: dict[str, float] = {}
    now = 0.0
    while work:
        share = min(limits.per_host, limits.limit / len(work))
        step = min(work.values()) / share
        now += step
        for host in list(work):
            work[host] -= step * share
            if work[host] < 1e-9:
                ends[host] = now
                del work[host]
    return ends


def last(ends: dict[str, float], prefix: str) -> float:
    return max(at for host, at in ends.items() if host.startswith(prefix))


def test_twelve_slow_hosts_listed_first_cost_twenty_fast_ones_little() -> None:
    limits = Limits(limit=16, per_host=2)
    slow = [f"slow{number}" for number in range(12)]
    fast = [f"fast{number}" for number in range(20)]
    service_s = dict.fromkeys(slow, 1.0) | dict.fromkeys(fast, 0.005)
    lines = slow * 30 + fast * 100
    ours = simulate(scheduler(limits), lines, service_s)
    turns = simulate(PlainTurns(limits), lines, service_s)
    assert last(ours, "fast") < last(turns, "fast") / 4
    assert last(ours, "fast") <= 2 * last(fair_ends(limits, lines, service_s), "fast")
    assert max(ours.values()) <= 1.05 * max(turns.values())


def test_ten_hosts_of_thirty_seconds_leave_eighty_fast_ones_alone() -> None:
    limits = Limits(limit=100, per_host=10)
    slow = [f"slow{number}" for number in range(10)]
    fast = [f"fast{number}" for number in range(80)]
    service_s = dict.fromkeys(slow, 30.0) | dict.fromkeys(fast, 0.05)
    lines = slow * 50 + fast * 50
    ours = simulate(scheduler(limits), lines, service_s)
    turns = simulate(PlainTurns(limits), lines, service_s)
    assert last(ours, "fast") <= 2 * last(fair_ends(limits, lines, service_s), "fast")
    assert last(ours, "fast") < last(turns, "fast") / 20


def test_one_slow_host_first_costs_the_others_at_most_its_slots() -> None:
    fast = [f"fast{number}" for number in range(10)]
    service_s = dict.fromkeys(fast, 0.01) | {"slow": 2.0}
    limits = Limits(limit=50, per_host=10)
    alone = simulate(scheduler(limits), fast * 100, service_s)
    beside = simulate(scheduler(limits), ["slow"] * 1000 + fast * 100, service_s)
    assert last(beside, "fast") <= 1.3 * last(alone, "fast")


def test_list_sorted_by_host_is_as_fast_as_a_shuffled_one() -> None:
    hosts = [f"h{number:02}" for number in range(12)]
    service_s = {host: 0.01 + 0.002 * number for number, host in enumerate(hosts)}
    lines = [host for host in hosts for _ in range(1000)]
    shuffled = random.Random(3).sample(lines, len(lines))
    limits = Limits(limit=60, per_host=10)
    in_order = max(simulate(scheduler(limits), lines, service_s).values())
    mixed = max(simulate(scheduler(limits), shuffled, service_s).values())
    assert in_order <= 1.2 * mixed


def test_slow_host_is_not_starved_by_an_endless_stream_of_new_ones() -> None:
    """Whoever is new has held no slot yet, and must not go first for ever because of that."""
    sched = scheduler(Limits(limit=1))
    for _ in range(100):
        sched.add("slow", "slow", 0.0)
    sched.add("new0", "new0", 0.0)
    now, slow_ones = 0.0, 0
    for number in range(1, 3000):
        started = sched.take(now)
        assert started is not None
        slow_ones += started == "slow"
        now += 1.0 if started == "slow" else 0.01
        sched.answered(started, now)
        sched.done(started, now)
        if started != "slow":  # one competitor at any time, always another
            sched.add(f"new{number}", f"new{number}", now)
    assert slow_ones >= now / 3, "half of the time is its own"


def test_order_in_the_list_decides_nothing() -> None:
    limits = Limits(limit=16, per_host=2)
    service_s = {f"slow{n}": 0.5 for n in range(12)} | {f"fast{n}": 0.01 for n in range(20)}
    lines = [host for host in service_s for _ in range(40)]
    ends = [
        last(simulate(scheduler(limits), random.Random(seed).sample(lines, len(lines)), service_s),
             "fast")
        for seed in range(5)
    ]  # fmt: skip
    ends += [last(simulate(scheduler(limits), each, service_s), "fast")
             for each in (lines, lines[::-1])]  # fmt: skip
    assert max(ends) <= 3 * min(ends)

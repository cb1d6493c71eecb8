"""The scheduler keeps its laws whatever happens: a model beside it says who may start."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fetchpool.scheduling import scheduler as room
from fetchpool.scheduling.rate_limit import BURST_S
from fetchpool.scheduling.scheduler import Limits
from fetchpool.scheduling.throttling import Refusal
from tests.judging import times
from tests.scheduling import REFUSED, scheduler, taken


class Gcra:
    """The rate limit once more, from its definition: virtual scheduling with a tolerance."""

    def __init__(self, rate: float) -> None:
        self.interval = 1 / rate
        self.tolerance = max(0.0, BURST_S - self.interval)
        self.expected = float("-inf")

    def ready_at(self) -> float:
        return self.expected - self.tolerance

    def start(self, now: float) -> None:
        self.expected = max(now, self.expected) + self.interval


class Laws(RuleBasedStateMachine):
    """Drives a scheduler beside a model of what waits and runs, and asks both who may start."""

    @initialize(
        limit=st.integers(1, 6),
        per_host=st.integers(0, 3),
        rate=st.sampled_from([0.0, 0.0, 4.0, 50.0]),
        host_rate=st.sampled_from([0.0, 0.0, 2.0, 30.0]),
        finds=st.booleans(),
    )
    def start(self, limit: int, per_host: int, rate: float, host_rate: float, finds: bool) -> None:
        self.now = 1000.0
        self.sched = scheduler(Limits(limit, per_host, rate, host_rate, finds, finds))
        self.most = min(per_host or limit, limit)
        self.host_rate = host_rate
        self.pace = Gcra(rate) if rate else None
        self.paces: dict[str, Gcra] = {}
        self.fresh: dict[str, deque[str]] = {}
        self.due: dict[str, list[tuple[float, int, str]]] = {}
        self.refused: dict[str, list[tuple[float, int, str]]] = {}
        self.busy_until: dict[str, float] = {}
        self.running: list[tuple[str, str, float]] = []
        self.numbers = count()
        self.put_in: Counter[str] = Counter()
        self.came_out: Counter[str] = Counter()

    # What the model says.

    def waits(self, host: str) -> int:
        waiting: tuple[Mapping[str, Sequence[object]], ...] = (self.fresh, self.due, self.refused)
        return sum(len(each.get(host, ())) for each in waiting)

    def runs(self, host: str) -> int:
        return sum(1 for _, at, _ in self.running if at == host)

    def may_start_at(self, host: str) -> float:
        """When *host* may start a request, by its own state; infinity = not by time alone."""
        health = self.sched.health(host)
        if self.runs(host) >= health.window or not self.waits(host):
            return float("inf")
        at = max(self.now, self.next_at(host), health.parked_until)
        return max(at, self.paces[host].ready_at()) if host in self.paces else at

    def next_at(self, host: str) -> float:
        """When the first of what waits there may start, but for pauses and rates."""
        at = float("inf")
        if self.refused.get(host):
            at = self.fair_at(host)
            if self.rests(host):
                return at
        if self.fresh.get(host):
            return self.now
        return min([at, *(each[0] for each in self.due.get(host, ()))])

    def fair_at(self, host: str) -> float:
        """When a refused request may be tried again."""
        due = min(self.refused[host])[0]
        throttling = self.sched.health(host).throttling
        if throttling is None or throttling.serves_well:
            return due
        if self.runs(host):
            return float("inf")
        return max(due, self.busy_until.get(host, 0.0) + throttling.rest_s)

    def rests(self, host: str) -> bool:
        """Whether nothing else may start there until a refused request had its fair moment."""
        health = self.sched.health(host)
        if health.throttling is None or health.doubtful or not health.throttling.needs_rests:
            return False
        rested_at = self.busy_until.get(host, 0.0) + health.throttling.rest_s
        return bool(self.runs(host)) or min(self.refused[host])[0] <= rested_at

    def hosts(self) -> Iterator[str]:
        return (host for host in {*self.fresh, *self.due, *self.refused} if self.waits(host))

    def front(self, host: str) -> str:
        """The item of *host* that must come out now.

        A refused one in its fair moment, then what is due, then fresh ones; in doubt fresh first.
        """
        health = self.sched.health(host)
        is_due = bool(self.due.get(host)) and self.due[host][0][0] <= self.now
        has_fresh = bool(self.fresh.get(host))
        others = is_due or has_fresh
        is_fair = bool(self.refused.get(host)) and self.fair_at(host) <= self.now
        if is_fair and not (health.doubtful and others):
            return self.refused[host][0][2]
        if is_due and not (health.doubtful and has_fresh):
            return self.due[host][0][2]
        return self.fresh[host][0]

    def remove(self, host: str, item: str) -> None:
        for heap in (self.due.get(host), self.refused.get(host)):
            if heap and heap[0][2] == item:
                heapq.heappop(heap)
                return
        self.fresh[host].remove(item)

    def is_next(self, host: str, item: str) -> bool:
        """Whether *item* is what *host* had to start; of fresh ones any, if the host is wary."""
        front = self.front(host)
        fresh = self.fresh.get(host, ())
        return item == front or (
            front in fresh and item in fresh and self.sched.health(host).is_wary
        )

    # What happens.

    @rule(host=st.sampled_from("abcde"), many=st.integers(1, 5))
    def add(self, host: str, many: int) -> None:
        for _ in range(many):
            item = f"{host}/{next(self.numbers)}"
            self.fresh.setdefault(host, deque()).append(item)
            self.put_in[item] += 1
            self.sched.add(host, item, self.now)

    @rule(seconds=st.sampled_from([0.001, 0.013, 0.1, 0.25, 1.0, 2.5, 31.0, 700.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def take(self) -> None:
        self.take_doomed()
        if self.pace is not None and self.pace.ready_at() > self.now:
            assert self.sched.take(self.now) is None
            return
        ready = [host for host in self.hosts() if self.may_start_at(host) <= self.now]
        if len(self.running) >= self.sched.limit or not ready:
            item = self.sched.take(self.now)
            assert item is None, f"{item} must not start"
            return
        fewest = min(self.runs(host) for host in ready)
        item = self.sched.take(self.now)
        assert item is not None, f"idle though {ready} may start"
        self.check_start(item, ready, fewest)

    def check_start(self, item: str, ready: list[str], fewest: int) -> None:
        # A hop's name is that of the host it came from: look whose turn it was.
        owner = next(host for host in ready if self.is_next(host, item))
        assert self.runs(owner) == fewest, "another host has fewer in progress"
        self.remove(owner, item)
        self.busy_until[owner] = self.now
        self.running.append((item, owner, self.now))
        if self.pace is not None:
            self.pace.start(self.now)
        if self.host_rate:
            self.paces.setdefault(owner, Gcra(self.host_rate)).start(self.now)

    def take_doomed(self) -> None:
        while (doomed := self.sched.take_doomed(self.now)) is not None:
            item, failure = doomed
            assert failure.detail
            owner = next(
                host
                for host in self.hosts()
                if item in self.fresh.get(host, ())
                or any(item == each[2] for each in self.due.get(host, ()))
                or any(item == each[2] for each in self.refused.get(host, ()))
            )
            assert self.sched.health(owner).fails_fast(self.now)
            self.remove(owner, item)
            self.came_out[item] += 1
        assert not self.sched.doomed

    @precondition(lambda self: self.running)
    @rule(
        data=st.data(),
        ending=st.sampled_from(["good", "good", "retry", "hop", "throttled", "unreachable"]),
        later=st.sampled_from([0.0, 0.02, 0.5, 30.0]),
    )
    def end(self, data: st.DataObject, ending: str, later: float) -> None:
        item, host, started = self.running[data.draw(st.integers(0, len(self.running) - 1))]
        self.running.remove((item, host, started))
        self.busy_until[host] = self.now
        match ending:
            case "good":
                self.sched.answered(host, self.now, timeline=times(self.now - started))
                self.came_out[item] += 1
            case "retry":
                self.again(host, item, self.now + later)
            case "hop":
                self.again(data.draw(st.sampled_from("abcde")), item, self.now)
            case "throttled":
                self.sched.throttled(host, self.now, started, Refusal(429, asked_s=later), 0.0)
                self.again(host, item, self.now + later, refused=True)
            case _:
                self.sched.unreachable(host, self.now, started, REFUSED)
                self.again(host, item, self.now + later)
        self.sched.done(host, self.now)

    def again(self, host: str, item: str, at: float, *, refused: bool = False) -> None:
        waiting = self.refused if refused else self.due
        heapq.heappush(waiting.setdefault(host, []), (at, next(self.numbers), item))
        self.sched.again(host, item, at, self.now, refused=refused)

    @rule()
    def our_network_is_back(self) -> None:
        self.sched.forgive(self.now)

    @rule()
    def descriptors_run_out(self) -> None:
        self.sched.limit = max(1, self.sched.limit - 1)

    @rule()
    def sleep_until_something_may_start(self) -> None:
        self.take_all()
        for _ in range(100):
            at = self.sched.next_start()
            earliest = self.earliest_start()
            if len(self.running) >= self.sched.limit:
                assert at is None
                return
            if earliest == float("inf"):
                return
            assert at is not None, f"nobody would wake at {earliest}"
            assert self.now < at <= earliest, "late, or in the past"
            self.now = at
            before = len(self.running)
            self.take_all()
            if len(self.running) > before:
                return
        pytest.fail("next_start() moves, but nothing ever starts")

    def earliest_start(self) -> float:
        at = min((self.may_start_at(host) for host in self.hosts()), default=float("inf"))
        return at if self.pace is None else max(at, self.pace.ready_at())

    def take_all(self) -> None:
        before = -1
        while len(self.running) > before:
            before = len(self.running)
            self.take()

    @invariant()
    def books_are_right(self) -> None:
        waiting = [self.waits(host) for host in {*self.fresh, *self.due, *self.refused}]
        assert self.sched.waiting == sum(waiting)
        assert self.sched.running == len(self.running)
        assert self.sched.idle is not bool(self.running or sum(waiting))
        assert all(runs <= self.most for runs in Counter(h for _, h, _ in self.running).values())

    def teardown(self) -> None:
        while self.running or any(self.hosts()):
            while self.running:
                item, host, _ = self.running.pop()
                self.busy_until[host] = self.now
                self.sched.answered(host, self.now)
                self.came_out[item] += 1
                self.sched.done(host, self.now)
            self.take_all()
            if not self.running:
                at = self.sched.next_start()
                assert at is not None or not any(self.hosts())
                self.now = at or self.now
        assert self.came_out == self.put_in
        taken(self.sched, self.now + 10_000)
        assert not self.sched._slots, "idle hosts are forgotten"
        assert not self.sched._timers


@pytest.mark.hypothesis  # which `run_state_machine_as_test` alone doesn't give it
def test_laws_hold_under_any_sequence_of_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "IN_MEMORY_PER_HOST", 3)
    monkeypatch.setattr(room, "IN_MEMORY_TOTAL", 8)
    monkeypatch.setattr(room, "IN_MEMORY_EASY", 5)
    run_state_machine_as_test(Laws, settings=settings(max_examples=200, stateful_step_count=40))

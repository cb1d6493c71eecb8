"""Which request starts next, one rule after the other (all together: test_scheduler_laws)."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.values import FailureKind
from fetchpool.scheduling import scheduler as room
from fetchpool.scheduling.rate_limit import BURST_S, RateLimit
from fetchpool.scheduling.scheduler import Limits, Scheduler
from fetchpool.scheduling.throttling import Refusal
from tests.scheduling import REFUSED, FakeBacklog, host_of, scheduler, taken

# --- rates


@given(
    rate=st.sampled_from([0.5, 3.0, 10.0, 40.0, 500.0]),
    gaps=st.lists(st.sampled_from([0.0, 0.0, 0.001, 0.02, 0.3, 5.0]), min_size=1, max_size=60),
    patient=st.booleans(),
)
def test_rate_holds_over_any_window(rate: float, gaps: list[float], patient: bool) -> None:
    """For one host, and over all; also where a host has only one request waiting at a time."""
    for limits in (Limits(rate=rate, per_host=0), Limits(host_rate=rate, per_host=0)):
        sched = scheduler(limits)
        now = 50.0
        starts: list[float] = []
        for number, gap in enumerate(gaps):
            now += gap
            sched.add("a", f"a/{number}", now)
            while (item := sched.take(now)) is not None:
                starts.append(now)
                sched.answered("a", now)
                sched.done("a", now)
                assert item
            if patient and (at := sched.next_start()) is not None:
                now = max(now, at)
        for first, start in enumerate(starts):
            for last in range(first, len(starts)):
                most = rate * (starts[last] - start) + max(1.0, rate * BURST_S)
                assert last - first + 1 <= most + 1e-6


def test_rate_is_reached_not_only_kept() -> None:
    sched = scheduler(Limits(limit=100, per_host=0, rate=40.0))
    for number in range(400):
        sched.add(f"h{number}", f"h{number}", 0.0)
    now, started = 0.0, 0
    while (at := sched.next_start()) is not None:
        now = max(now, at)
        for item in taken(sched, now):
            started += 1
            sched.done(item, now)
    assert started == 400
    assert 9.8 <= now <= 10.0


def test_host_rate_survives_a_host_that_is_idle_between_its_requests() -> None:
    """A crawler that adds the next URL when the last has ended must not outrun the rate."""
    sched = scheduler(Limits(host_rate=100.0))
    started = 0
    for number in range(1000):
        now = number * 0.001
        sched.add("a", f"a/{number}", now)
        for _ in taken(sched, now):
            started += 1
            sched.done("a", now)
    assert started <= 100 + 10


@pytest.mark.parametrize(("host_rate", "interval_s"), [(0.0, 10.0), (1.0, 10.0), (0.05, 20.0)])
def test_host_keeps_the_slower_of_its_rate_and_a_pace_from_the_request_that_brings_it(
    host_rate: float, interval_s: float
) -> None:
    sched = scheduler(Limits(host_rate=host_rate))
    for number in range(4):
        sched.add("a", f"a/{number}", 50.0)
    starts = []
    now = 50.0
    for _ in range(4):
        now = max(now, sched.next_start() or 0.0)
        assert sched.take(now) is not None
        sched.pace("a", 10.0, now)
        assert sched.take(now) is None
        starts.append(now)
        sched.done("a", now + 0.5)
    assert starts == [50.0 + number * interval_s for number in range(4)]


def test_host_that_is_held_starts_what_policies_ask_for_alone() -> None:
    sched = scheduler(Limits())
    for number in range(3):
        sched.add("a", f"a/{number}", 0.0)
    assert sched.take(0.0) == "a/0"
    sched.hold("a")  # the next one was to start at once
    assert sched.take(0.0) is None
    sched.again("a", "a/own", 0.0, 0.0, is_own=True)
    assert taken(sched, 0.0) == ["a/own"]
    sched.release("a", 0.0)
    sched.done("a", 0.0)
    assert taken(sched, 0.0) == ["a/1"]


def test_host_that_is_held_stays_so_though_nothing_of_it_waits_or_runs() -> None:
    """Its policy's request may have been redirected to another host."""
    sched = scheduler(Limits())
    sched.add("a", "a/0", 0.0)
    assert sched.take(0.0) == "a/0"
    sched.hold("a")
    sched.done("a", 0.0)
    sched.add("a", "a/1", 1.0)
    assert sched.take(1.0) is None
    sched.release("a", 2.0)
    assert taken(sched, 2.0) == ["a/1"]


def test_pace_says_when_the_next_may_start() -> None:
    rate_limit = RateLimit(2.0)
    assert rate_limit.ready_at <= 0.0
    rate_limit.start(7.0)
    assert rate_limit.ready_at == 7.5


# --- who goes first


def test_ties_go_in_turn() -> None:
    sched = scheduler(Limits(limit=1, per_host=1))
    for number in range(20):
        for host in "abcd":
            sched.add(host, f"{host}/{number}", 0.0)
    order = ""
    while (item := sched.take(0.0)) is not None:
        order += host_of(item)
        sched.done(host_of(item), 0.0)
    assert order == "abcd" * 20


def test_slots_are_shared_evenly_then_given_to_who_can_use_them() -> None:
    sched = scheduler(Limits(limit=9, per_host=10))
    for _ in range(20):  # every host has shown that it answers
        for host in "abc":
            sched.add(host, host, 0.0)
    for _ in range(10):
        for item in taken(sched):
            sched.answered(item, 0.0)
            sched.done(item, 0.0)
        for host in "abc":
            for _ in range(10):
                sched.add(host, host, 0.0)
    assert Counter(taken(sched)) == {"a": 3, "b": 3, "c": 3}


def test_retry_goes_before_new_requests_once_due_and_not_before() -> None:
    sched = scheduler(Limits(per_host=1))
    for number in range(3):
        sched.add("a", f"a/{number}", 0.0)
    assert sched.take(0.0) == "a/0"
    sched.again("a", "a/0", 5.0, 0.0)
    sched.done("a", 0.0)
    assert sched.take(4.9) == "a/1"
    sched.done("a", 4.9)
    assert sched.take(5.0) == "a/0"
    sched.done("a", 5.0)
    assert sched.take(5.0) == "a/2"


def test_parked_host_holds_up_nobody_and_starts_nothing_early() -> None:
    sched = scheduler(Limits(limit=4, per_host=2))
    for number in range(4):
        sched.add("slow", f"slow/{number}", 0.0)
        sched.add("well", f"well/{number}", 0.0)
    first = taken(sched)
    assert sorted(map(host_of, first)) == ["slow", "slow", "well", "well"]
    sched.throttled("slow", 1.0, 0.0, Refusal(429, asked_s=120.0), 0.0)
    for item in first:
        sched.done(host_of(item), 1.0)
    assert taken(sched, 120.999) == ["well/2", "well/3"]
    assert sched.next_start() == 121.0
    (one,) = taken(sched, 121.0)
    assert host_of(one) == "slow", "halved: one at a time"


# --- memory


def test_queue_in_memory_is_bounded_and_order_survives_the_backlog(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "IN_MEMORY_EASY", 0)
    backlog = FakeBacklog()
    sched: Scheduler[str] = Scheduler(Limits(), backlog)
    for number in range(1000):
        sched.add("a", str(number), 0.0)
    assert sched._in_memory == room.IN_MEMORY_PER_HOST
    assert backlog.pushed == 1000 - room.IN_MEMORY_PER_HOST
    order = []
    while (item := sched.take(0.0)) is not None:
        order.append(int(item))
        sched.done("a", 0.0)
        assert sched._in_memory <= room.IN_MEMORY_PER_HOST
    assert order == list(range(1000))


def test_one_host_may_have_the_memory_nobody_else_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "IN_MEMORY_EASY", 500)
    backlog = FakeBacklog()
    sched: Scheduler[str] = Scheduler(Limits(), backlog)
    for number in range(500):
        sched.add("a", str(number), 0.0)
    assert backlog.pushed == 0
    for number in range(500, 1000):
        sched.add("a", str(number), 0.0)
    assert (sched._in_memory, backlog.pushed) == (500, 500)
    order: list[int] = []
    while len(order) < 600:
        item = sched.take(0.0)
        assert item is not None
        order.append(int(item))
        sched.done("a", 0.0)
        assert sched._in_memory < 500 + room.IN_MEMORY_PER_HOST
    assert order == list(range(600))
    pushed = backlog.pushed
    sched.add("a", "1000", 0.0)
    assert backlog.pushed == pushed, "what had to wait elsewhere is back: memory does again"


def test_memory_of_all_hosts_together_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "IN_MEMORY_TOTAL", 100)
    monkeypatch.setattr(room, "IN_MEMORY_EASY", 50)
    sched = scheduler()
    for number in range(2000):
        sched.add(f"h{number % 40}", str(number), 0.0)
    assert sched._in_memory == 100
    for number in range(200):  # a host nobody has met keeps its first one in memory
        sched.add(f"new{number}", str(number), 0.0)
    assert sched._in_memory == 300


def test_nothing_grows_over_100_000_operations_on_changing_hosts() -> None:
    rng = random.Random(7)
    sched = scheduler(Limits(limit=20, per_host=3, host_rate=50.0))
    running: list[tuple[str, float]] = []
    now = 0.0
    largest = 0
    for number in range(100_000 // 4):
        now += rng.random() * 0.02
        sched.add(f"h{number // 50 + rng.randrange(20)}", f"{number}", now)
        while sched.take_doomed(now) is not None:
            pass
        while (slot := next(iter_started(sched, now), None)) is not None:
            running.append((slot, now))
        while len(running) > 15 or (running and rng.random() < 0.5):
            host, started = running.pop(rng.randrange(len(running)))
            match rng.randrange(20):
                case 0:
                    sched.throttled(host, now, started, Refusal(429, asked_s=rng.random()), 0.0)
                    sched.again(host, "again", now + rng.random(), now)
                case 1:
                    sched.unreachable(host, now, started, REFUSED)
                case _:
                    sched.answered(host, now)
            sched.done(host, now)
        parts = (sched._slots, sched._timers, sched._ready, sched.doomed)
        largest = max(largest, *(len(part) for part in parts))
    assert largest < 400, "some hundred hosts are alive at a time"
    taken(sched, now + 1000.0)
    while running:
        sched.done(running.pop()[0], now + 1000.0)


def iter_started(sched: Scheduler[str], now: float) -> Iterator[str]:
    """Yield the hosts of the requests that start at *now*."""
    before = {slot.host: slot.running for slot in sched._slots.values()}
    if sched.take(now) is not None:
        for slot in sched._slots.values():
            if slot.running > before.get(slot.host, 0):
                yield slot.host


# --- failing fast, stopping


def test_urls_of_a_host_that_fails_fast_come_out_without_a_slot() -> None:
    sched = scheduler(Limits(limit=1))
    for number in range(200):
        sched.add("dead", f"dead/{number}", 0.0)
    now = 0.0
    tried = 0
    while not sched.doomed:
        now = max(now, sched.next_start() or 0.0)
        assert sched.take(now) is not None
        tried += 1
        sched.unreachable("dead", now, now, REFUSED)
        sched.done("dead", now)
    assert tried == 8
    sched.add("well", "well/0", now)
    assert sched.take(now) == "well/0", "the only slot"
    doomed = []
    while (found := sched.take_doomed(now)) is not None:
        assert found[1].kind is FailureKind.CONNECT
        assert "connection refused" in found[1].detail
        doomed.append(found[0])
    assert doomed == [f"dead/{number}" for number in range(8, 200)]
    sched.done("well", now)
    assert sched.idle


def test_host_that_fails_fast_is_shown_with_the_time_of_its_next_probe() -> None:
    sched = scheduler()
    now = 0.0
    for number in range(8):
        sched.add("dead", f"dead/{number}", now)
    for _ in range(8):
        now = max(now, sched.next_start() or 0.0)
        assert sched.take(now) is not None
        sched.unreachable("dead", now, now, REFUSED)
        sched.done("dead", now)
    (state,) = sched.busiest(now + 10.0, 5)
    assert (state.host, state.parked_s) == ("dead", 20.0)
    assert state.why == "failing fast: connection refused"
    assert not sched.busiest(now + 31.0, 5)


def test_host_that_failed_fast_is_probed_later_and_may_come_back() -> None:
    sched = scheduler()
    now = 0.0
    sched.add("a", "a/0", now)
    for _ in range(8):
        now = max(now, sched.next_start() or 0.0)
        assert sched.take(now) == "a/0"
        sched.unreachable("a", now, now, REFUSED)
        sched.again("a", "a/0", now, now)
        sched.done("a", now)
    assert now == 1.0 + 2.0 + 4.0, "suspect after five, then a probe each"
    assert sched.take_doomed(now) == ("a/0", sched.health("a").failing)
    sched.add("a", "early", now + 29.0)
    assert sched.take_doomed(now + 29.0) is not None
    sched.add("a", "probe", now + 30.0)
    sched.add("a", "next", now + 30.0)
    assert sched.take_doomed(now + 30.0) is None
    assert sched.take(now + 30.0) == "probe"
    sched.answered("a", now + 30.1)
    sched.done("a", now + 30.1)
    assert sched.take(now + 30.1) == "next"


# --- reading on


def test_reading_stops_where_enough_waits_of_hosts_that_may_start() -> None:
    sched = scheduler(Limits(limit=10))
    assert sched.hungry(64)
    for number in range(64):
        assert sched.hungry(64)
        sched.add(f"h{number}", str(number), 0.0)
    assert not sched.hungry(64)


@pytest.mark.parametrize("hosts", [1, 3])
def test_reading_stops_where_nobody_takes(hosts: int) -> None:
    """A consumer that doesn't read: few hosts, all of their requests beyond 64 in the backlog."""
    sched = scheduler()
    read = 0
    while sched.hungry(200) and read < 1000:
        sched.add(f"h{read % hosts}", str(read), 0.0)
        read += 1
    assert read == 200


def test_reading_goes_on_while_a_new_host_would_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "READ_AHEAD_BUSY", 64)
    sched = scheduler(Limits(limit=4, per_host=2))
    for number in range(1000):
        sched.add("ab"[number % 2], str(number), 0.0)
    assert not sched.hungry(64)
    sched.take(0.0)
    assert not sched.hungry(64), "b has nothing running: the next slot is b's"
    assert len(taken(sched)) == 3
    assert sched.hungry(64), "both have: somebody new would get the next slot"
    sched.add("c", "c", 0.0)
    assert not sched.hungry(64)


def test_hosts_that_all_ask_for_minutes_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them leaves its slot at once, so that nothing else would stop the reading."""
    monkeypatch.setattr(room, "HOSTS_AT_MOST", 50)
    sched = scheduler()
    met = 0
    while sched.hungry(64):
        sched.add(f"h{met}", f"h{met}", 0.0)
        assert sched.take(0.0) is not None
        sched.throttled(f"h{met}", 1.0, 0.0, Refusal(503, asked_s=300.0), 0.0)
        sched.again(f"h{met}", f"h{met}", 301.0, 1.0)
        sched.done(f"h{met}", 1.0)
        met += 1
    assert met == 50
    assert sched.next_start() == 301.0
    for item in taken(sched, 301.0):
        sched.answered(item, 301.0)
        sched.done(item, 301.0)
    assert sched.hungry(64), "those that are done with are forgotten"


def test_endless_list_of_one_host_is_read_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "READ_AHEAD", 1000)
    monkeypatch.setattr(room, "READ_AHEAD_AT_MOST", 3000)
    sched = scheduler()
    read = 0
    started = 0
    for _ in range(100):
        while sched.hungry(64):
            sched.add("a", str(read), 0.0)
            read += 1
            started += len(taken(sched))
        assert sched.waiting <= min(3000, 1000 + 64 * started)
        sched.done("a", 0.0)
        started += len(taken(sched))
    assert sched.waiting > 2800


def test_busiest_of_a_great_many_hosts_are_found_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetchpool.scheduling.host_slot.LOOKED_AT", 10)
    sched = scheduler()
    for number in range(95):
        for _ in range(3 if number == 5 else 2 if number == 50 else 1):
            sched.add(f"h{number}", f"{number}", 0.0)
    seen = [[state.host for state in sched.busiest(0.0, 2)] for _ in range(10)]
    assert seen[-1] == ["h5", "h50"], "all were looked at, and what was found was kept"
    while (item := sched.take(0.0)) is not None:
        sched.done(f"h{item}", 0.0)
    for _ in range(10):
        last = [state.host for state in sched.busiest(0.0, 2)]
    assert last == []

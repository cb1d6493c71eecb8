"""Where slot time goes: the parts add up to the whole, and each reason is told by its name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.attempts import Timeline
from fetchpool.model.slot_time import DOING, FREE, PARTS, SlotTime, together
from fetchpool.scheduling.scheduler import Limits, Scheduler
from fetchpool.scheduling.slot_clock import SlotClock
from fetchpool.scheduling.throttling import Refusal
from tests.judging import times
from tests.scheduling import REFUSED, host_of, scheduler, taken

STEPS = ("dns", "tcp", "tls", "sent", "first_byte", "last_byte")

FRACTIONS = st.lists(st.floats(0, 1), min_size=8, max_size=8).map(sorted)

EVENTS = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 4)),
    st.tuples(st.just("take"), st.just(0)),
    st.tuples(st.just("done"), st.integers(0, 9)),
    st.tuples(st.just("refused"), st.integers(0, 9)),
    st.tuples(st.just("look"), st.sampled_from([None, None, "outage", "records", "disk"])),
    st.tuples(st.just("lower"), st.integers(1, 6)),
)


def timeline(taken_at: float, now: float, fractions: list[float], passed: int) -> Timeline:
    """Return an attempt within a slot that was taken then; it passed so many of `STEPS`.

    One that has a first byte has a last one.
    """
    passed += passed == 5
    times = [taken_at + (now - taken_at) * each for each in fractions]
    steps = {step: times[1 + index] if index < passed else None for index, step in enumerate(STEPS)}
    return Timeline(None, times[0], **steps, ended=times[7])


@given(
    limits=st.builds(Limits, st.integers(1, 6), st.integers(0, 3), st.sampled_from([0.0, 4.0])),
    events=st.lists(st.tuples(EVENTS, st.floats(0, 3), FRACTIONS, st.integers(0, 6))),
)
def test_parts_add_up_to_slots_times_seconds(
    limits: Limits, events: list[tuple[tuple[str, int], float, list[float], int]]
) -> None:
    sched, now = scheduler(limits), 1000.0
    clock = SlotClock(sched)
    clock.begin(now)
    running: list[tuple[str, float]] = []
    for number, ((what, which), passes, fractions, passed) in enumerate(events):
        now += passes
        if what == "add":
            sched.add(f"h{which}", f"h{which}/{number}", now)
        elif what == "take":
            if (item := sched.take(now)) is not None:
                running.append((item, now))
        elif what in ("done", "refused") and running:
            item, since = running.pop(which % len(running))
            line = timeline(since, now, fractions, passed)
            clock.ended.append(line)
            if what == "refused":
                sched.throttled(host_of(item), now, since, Refusal(429), 0.5)
            else:
                sched.answered(host_of(item), now)
            sched.done(host_of(item), now)
        elif what == "lower":
            sched.limit = min(sched.limit, which)
        elif what == "look":
            clock.look(now, overall=which, list_ended=bool(passed % 2))  # type: ignore[arg-type]
    clock.look(now, overall=None, list_ended=True)
    under_way = [timeline(since, now, [0.0] * 7 + [1.0], 0) for _, since in running]
    time = clock.account(under_way)
    assert set(time.parts) <= set(PARTS)
    assert all(seconds >= -1e-9 for seconds in time.parts.values()), time.parts
    assert time.slot_s == pytest.approx(limits.limit * (now - 1000.0))
    assert sum(time.parts.values()) == pytest.approx(time.slot_s)
    held = sum(time.parts.get(part, 0.0) for part in DOING)
    assert held >= sched.held_until(now) - 1e-6  # `own` has what our own lateness leaves free, too
    for host in time.hosts:
        assert set(host.free) <= set(FREE)
        for part, seconds in host.free.items():
            assert seconds <= time.parts[part] + 1e-6


def full(limits: Limits | None = None, hosts: int = 1, each: int = 500) -> Scheduler[str]:
    """Return a scheduler with much to do, whose hosts have started already."""
    sched = scheduler(limits or Limits(100, 10))
    for host in range(hosts):
        for number in range(each):
            sched.add(f"h{host}", f"h{host}/{number}", 0.0)
    for _ in range(10):
        for item in taken(sched):
            sched.answered(host_of(item), 0.0)
            sched.done(host_of(item), 0.0)
    return sched


def at_per_host() -> Scheduler[str]:
    sched = full()
    taken(sched)
    return sched


def started_gently() -> Scheduler[str]:
    sched = scheduler(Limits(100, 10))
    for number in range(500):
        sched.add("h0", f"h0/{number}", 0.0)
    taken(sched)
    return sched


def refused() -> Scheduler[str]:
    sched = full()
    for number, _ in enumerate(taken(sched)):
        if not number:
            sched.throttled("h0", 0.0, 0.0, Refusal(429, asked_s=60.0), 0.5)
        sched.done("h0", 0.0)
    return sched


def halved() -> Scheduler[str]:
    """A host that refused something and gets fewer requests at once since."""
    sched = full()
    taken(sched)
    sched.throttled("h0", 0.0, 0.0, Refusal(429, asked_s=0.0), 0.0)
    return sched


def out_of_reach() -> Scheduler[str]:
    sched = full()
    for number in range(5):
        assert sched.take(0.0) is not None, number
        sched.unreachable("h0", 0.0, 0.0, REFUSED)
        sched.done("h0", 0.0)
    return sched


def before_retries() -> Scheduler[str]:
    sched = scheduler(Limits(100, 10))
    for number in range(100):
        sched.again("h0", f"h0/{number}", 60.0, 0.0)
    return sched


def at_host_rate() -> Scheduler[str]:
    sched = scheduler(Limits(100, 10, host_rate=0.01))
    for number in range(100):
        sched.add("h0", f"h0/{number}", 0.0)
    while sched.take(0.0) is not None:
        sched.done("h0", 0.0)
    return sched


def at_rate() -> Scheduler[str]:
    sched = scheduler(Limits(100, 10, rate=0.01))
    for number in range(400):
        sched.add(f"h{number}", f"h{number}/", 0.0)
    while (item := sched.take(0.0)) is not None:
        sched.done(host_of(item), 0.0)
    return sched


def held_for_robots() -> Scheduler[str]:
    sched = full()
    taken(sched)
    sched.hold("h0")
    return sched


def out_of_descriptors() -> Scheduler[str]:
    sched = full(Limits(100, 10), hosts=50)
    sched.limit = 5
    taken(sched)
    return sched


def at_the_limit_that_was_found() -> Scheduler[str]:
    sched = full(Limits(4096, 64, finds_limit=True), hosts=80)
    assert len(taken(sched)) == sched.limit == 100
    return sched


def at_what_a_host_was_found_to_bear() -> Scheduler[str]:
    sched = full(Limits(4096, 64, finds_limit=True, finds_per_host=True), hosts=1)
    taken(sched)
    for _ in range(60):
        sched.answered("h0", 0.0, timeline=times(0.1))
        sched.done("h0", 0.0)
        taken(sched)
    assert sched.found.most is not None
    return sched


def finding_out_of_descriptors() -> Scheduler[str]:
    sched = full(Limits(4096, 64, finds_limit=True), hosts=80)
    sched.limit = 5
    taken(sched)
    sched.answered("h0", 0.0, timeline=times(0.1))
    return sched


def nothing() -> Scheduler[str]:
    return scheduler(Limits(100, 10))


@pytest.mark.parametrize(
    ("situation", "overall", "list_ended", "reason"),
    [
        (at_per_host, None, False, "per_host"),
        (at_per_host, None, True, "per_host"),
        (started_gently, None, False, "gentle"),
        (refused, None, False, "paused"),
        (halved, None, False, "paused"),
        (out_of_reach, None, False, "unreachable"),
        (before_retries, None, True, "retry"),
        (at_host_rate, None, True, "host_rate"),
        (at_rate, None, True, "rate"),
        (held_for_robots, None, False, "robots"),
        (out_of_descriptors, None, False, "descriptors"),
        (finding_out_of_descriptors, None, False, "descriptors"),
        (at_the_limit_that_was_found, None, False, "limit"),
        (at_what_a_host_was_found_to_bear, None, True, "per_host"),
        (nothing, None, False, "list"),
        (nothing, None, True, "tail"),
        (at_per_host, "outage", False, "outage"),
        (at_per_host, "records", False, "records"),
        (at_per_host, "disk", True, "disk"),
    ],
)
def test_free_slots_have_their_reason(
    situation: Callable[[], Scheduler[str]], overall: str | None, list_ended: bool, reason: str
) -> None:
    sched = situation()
    clock = SlotClock(sched)
    clock.begin(0.0)
    clock.look(0.0, overall=overall, list_ended=list_ended)
    clock.look(0.5, overall=overall, list_ended=list_ended)
    parts = clock.account([]).parts
    free = {part: seconds for part, seconds in parts.items() if part in FREE}
    assert max(free, key=free.__getitem__) == reason, parts
    assert free[reason] > 0.8 * sum(free.values()), parts


def test_hosts_that_slots_wait_for_are_named() -> None:
    sched = full(hosts=3)
    taken(sched)
    clock = SlotClock(sched)
    clock.begin(0.0)
    clock.look(0.0, overall=None, list_ended=False)
    clock.look(2.0, overall=None, list_ended=False)
    time = clock.account([])
    assert {host.host for host in time.hosts} == {"h0", "h1", "h2"}
    per_host = sum(host.free["per_host"] for host in time.hosts)
    assert per_host == pytest.approx(time.parts["per_host"]) == pytest.approx(2.0 * 70)
    assert sum(host.held for host in time.hosts) == pytest.approx(2.0 * 30)


def test_a_great_many_hosts_are_looked_at_in_part() -> None:
    sched = scheduler(Limits(20_000, 1))
    for host in range(10_000):
        for number in range(3):
            sched.add(f"h{host}", f"h{host}/{number}", 0.0)
    assert len(taken(sched)) == 10_000
    clock = SlotClock(sched)
    clock.begin(0.0)
    for second in range(5):
        clock.look(float(second), overall=None, list_ended=False)
    time = clock.account([])
    assert time.parts["per_host"] == pytest.approx(4 * 10_000)
    assert len(time.hosts) <= 100


@pytest.mark.parametrize(
    ("passed", "expected"),
    [
        ({"sent": 0.0, "first_byte": 2.0, "last_byte": 5.0}, {"first_byte": 2.0, "body": 3.0}),
        (
            {"dns": 1.0, "tcp": 2.0, "tls": 4.0, "sent": 4.0, "first_byte": 7.0, "last_byte": 8.0},
            {"dns": 1.0, "connect": 1.0, "tls": 2.0, "first_byte": 3.0, "body": 1.0},
        ),
        ({"sent": 0.0}, {"first_byte": 9.0}),
        ({"dns": 9.0}, {"dns": 9.0}),
    ],
)
def test_steps_of_an_attempt(passed: dict[str, float], expected: dict[str, float]) -> None:
    sched = scheduler(Limits(1, 1))
    clock = SlotClock(sched)
    clock.begin(0.0)
    sched.add("h", "h/", 0.0)
    taken(sched)
    line = Timeline(None, 0.0, **{step: passed.get(step) for step in STEPS}, ended=9.0)
    clock.ended.append(line)
    sched.done("h", 10.0)
    clock.look(10.0, overall=None, list_ended=True)
    parts = clock.account([]).parts
    rest = 10.0 - sum(expected.values())
    assert {part: seconds for part, seconds in parts.items() if seconds} == {
        **expected,
        **({"own": rest} if rest else {}),
    }


def test_times_of_processes_add_up() -> None:
    one = SlotTime(slots=2, slot_s=4.0, parts={"own": 4.0}, cpu_s=1.0, busiest=0.5)
    other = SlotTime(slots=1, slot_s=3.0, parts={"own": 1.0, "list": 2.0}, cpu_s=2.0, busiest=0.7)
    both = together([one, other])
    assert (both.slots, both.slot_s, both.cpu_s, both.busiest) == (3, 7.0, 3.0, 0.7)
    assert both.parts == {"own": 5.0, "list": 2.0}

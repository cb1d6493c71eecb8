"""What follows when a host asks for less, can't be reached, or the trouble is on our side."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from fetchpool.model.attempts import FailedAttempt, Fault
from fetchpool.model.values import FailureKind, Outcome
from fetchpool.scheduling.job import Job
from fetchpool.scheduling.judge import DESCRIPTOR_PAUSE_S, Rules
from fetchpool.scheduling.outage import SILENT_HOSTS
from fetchpool.scheduling.scheduler import Limits
from tests.judging import EPOCH, LOOPBACK, Court, failed_attempt, job, response

# --- throttling


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "asked",
    [
        "30",
        " 30 ",
        "30.0",
        format_datetime(datetime.fromtimestamp(EPOCH + 130.1, UTC), usegmt=True),
    ],
)
def test_nothing_starts_at_a_host_within_the_pause_it_asks_for(status: int, asked: str) -> None:
    court = Court()
    first, second, other = job("http://a.test/1"), job("http://a.test/2"), job("http://b.test/1")
    court.add(first, second, other)
    court.take()
    court.end(first, response(status, {"retry-after": asked}))
    parked_at = court.now
    assert court.take() is other, "others go on"
    at = court.scheduler.next_start()
    assert at is not None
    assert parked_at + 29.0 <= at <= parked_at + 30.0  # a date has whole seconds
    court.now = at - 1e-6
    assert court.take() is None
    court.now = at
    assert court.take() in (first, second)


def test_one_volley_is_one_parking() -> None:
    court = Court(limits=Limits(per_host=2))
    jobs = [job("http://a.test/1"), job("http://a.test/2")]
    court.add(*jobs)
    started = court.now
    for each in jobs:
        assert court.take() is each
    court.now += 1.0
    for each in jobs:
        assert court.judge.decide(each, response(429), started, court.now, EPOCH) == []
        court.scheduler.done("a.test", court.now)
    health = court.scheduler.health("a.test")
    assert health.throttling is not None
    assert (health.throttling.refusals, health.window) == (1, 1)


@pytest.mark.parametrize("retries", range(4))
@pytest.mark.parametrize("headers", [{}, {"retry-after": "1"}])
def test_refused_url_is_requested_as_often_as_retries_says(
    retries: int, headers: dict[str, str]
) -> None:
    court = Court(Rules(retries=retries))
    outcome = court.run(job(), *[response(429, headers)] * (1 + retries))
    assert (outcome.status, outcome.attempts) == (429, 1 + retries)


def test_trouble_of_ours_leaves_a_refused_url_all_of_its_attempts() -> None:
    court = Court(Rules(retries=1))
    results = [failed_attempt(FailureKind.CONNECT, Fault.DESCRIPTORS)] * 12 + [
        response(429),
        response(200),
    ]
    outcome = court.run(job(), *results)
    assert (outcome.ok, outcome.attempts) == (True, 14)


def test_url_refused_for_ever_does_not_speak_for_its_host() -> None:
    """One page that always says 503, first in line at a host that serves all others."""
    court = Court(Rules(retries=2))
    refused = job("http://a.test/refused", 0)
    court.add(refused, *(job(f"http://a.test/{number}", number) for number in range(1, 61)))
    outcomes: list[Outcome] = []
    while not court.scheduler.idle:
        assert court.scheduler.take_doomed(court.now) is None
        taken = court.take_later()
        outcomes += court.end(taken, response(503 if taken is refused else 200), took_s=0.02)
    assert Counter(outcome.ok for outcome in outcomes) == {True: 60, False: 1}
    assert refused.attempts == 1 + 2
    assert court.now < 110.0, "and holds it up for a few seconds at most"


@pytest.mark.parametrize(
    ("headers", "most_requests", "most_s"),
    [({}, 12, 60.0), ({"retry-after": "0"}, 12, 60.0), ({"retry-after": "300"}, 12, 1600.0)],
)
@pytest.mark.parametrize("retries", [0, 2, 5])
def test_host_that_always_throttles_ends_in_bounded_requests_and_time(
    headers: dict[str, str], most_requests: int, most_s: float, retries: int
) -> None:
    court = Court(Rules(retries=retries))
    jobs = [job(f"http://a.test/{number}", number) for number in range(60)]
    court.add(*jobs)
    began, requests = court.now, 0
    outcomes: list[Outcome] = []
    while len(outcomes) < len(jobs):
        doomed = court.scheduler.take_doomed(court.now)
        if doomed is not None:
            outcomes.append(doomed[0].failed(doomed[1], court.now))
            continue
        taken = court.take_later()
        requests += 1
        outcomes += court.end(taken, response(429, headers), took_s=0.01)
    assert requests <= most_requests
    assert court.now - began <= most_s
    assert {outcome.error for outcome in outcomes} == {FailureKind.STATUS}
    assert len({outcome.request.seq for outcome in outcomes}) == len(jobs)


# --- hosts that can't be reached


def test_dead_host_is_given_up_after_eight_attempts_and_its_urls_say_why() -> None:
    court = Court(limits=Limits(per_host=4))
    jobs = [job(f"http://dead.test/{number}", number) for number in range(60)]
    court.add(*jobs)
    outcomes: list[Outcome] = []
    requests = 0
    while len(outcomes) < len(jobs):
        doomed = court.scheduler.take_doomed(court.now)
        if doomed is not None:
            outcomes.append(doomed[0].failed(doomed[1], court.now))
            continue
        requests += 1
        outcomes += court.end(court.take_later(), failed_attempt(FailureKind.CONNECT, Fault.HOST))
    assert requests == 8
    assert {outcome.error for outcome in outcomes} == {FailureKind.CONNECT}
    assert any("given up" in (outcome.detail or "") for outcome in outcomes)


def test_failure_after_a_connection_says_nothing_about_the_host() -> None:
    court = Court()
    court.run(job(), *[failed_attempt(FailureKind.TIMEOUT, Fault.HOST, peer="127.0.0.1")] * 3)
    court.add(job("http://a.test/2"))
    assert court.scheduler.health("a.test").failures == 0


# --- our side's trouble


def test_out_of_descriptors_costs_no_attempt_and_lowers_the_limit() -> None:
    court = Court(Rules(retries=0), Limits(limit=10, per_host=0))
    jobs = [job(f"http://h{number}.test/", number) for number in range(12)]
    court.add(*jobs)
    running = []
    while (taken := court.take()) is not None:
        running.append(taken)
    assert len(running) == 10
    assert (
        court.end(running[0], failed_attempt(FailureKind.CONNECT, Fault.DESCRIPTORS), took_s=0.0)
        == []
    )
    assert court.scheduler.limit == court.judge.lowered_to == 9
    assert court.take() is None, "nine run, as many as may"
    court.end(running[1], response(200), took_s=0.0)
    assert court.take() is not None
    court.now += DESCRIPTOR_PAUSE_S
    for each in running[2:]:
        court.end(each, response(200), took_s=0.0)
    again = [court.take() for _ in range(2)]
    assert running[0] in again
    (outcome,) = court.end(running[0], response(200), took_s=0.0)
    assert outcome.ok


@pytest.mark.parametrize("peer", [LOOPBACK, None], ids=["direct", "through a proxy"])
def test_run_starves_only_while_nobody_finds_a_descriptor(peer: str | None) -> None:
    court = Court(Rules(retries=0), Limits(limit=1))
    jobs = [job(f"http://h{number}.test/", number) for number in range(3)]
    court.add(*jobs)
    court.end(court.take_later(), failed_attempt(FailureKind.CONNECT, Fault.DESCRIPTORS))
    since = court.judge.starved_since
    assert since is not None
    court.end(court.take_later(), failed_attempt(FailureKind.CONNECT, Fault.DESCRIPTORS))
    assert court.judge.starved_since == since
    court.end(court.take_later(), response(200, peer=peer))
    assert court.judge.starved_since is None


def test_limit_never_falls_below_one() -> None:
    court = Court(limits=Limits(limit=2))
    first = job()
    court.add(first)
    for _ in range(5):
        court.end(court.take_later(), failed_attempt(FailureKind.CONNECT, Fault.DESCRIPTORS))
    assert court.scheduler.limit == 1
    assert first.counted_attempts == 0


def silent(court: Court, hosts: int) -> list[Job]:
    """Let one URL of each of many hosts fail silently until its attempts are spent."""
    jobs = [job(f"http://silent{number}.test/", number) for number in range(1, hosts + 1)]
    for each in jobs:
        court.add(each)
        assert court.take() is each
        assert court.end(each, failed_attempt(FailureKind.CONNECT, Fault.SILENT)) == []
    return jobs


def test_silent_failures_are_held_then_released_by_a_sign_of_life() -> None:
    court = Court(Rules(retries=0))
    jobs = silent(court, 3)
    well = job("http://well.test/", 99)
    court.add(well)
    assert court.take() is well
    outcomes = court.end(well, response(404))
    assert [outcome.request for outcome in outcomes] == [*(each.request for each in jobs),
                                                         well.request]  # fmt: skip
    assert all(outcome.error is FailureKind.CONNECT for outcome in outcomes[:-1])


def test_what_a_lost_proxy_cut_begins_no_outage_when_it_is_back() -> None:
    court = Court(Rules(retries=0))
    early, late = job("http://a.test/", 1), job("http://b.test/", 2)
    for each in (early, late):
        court.add(each)
        assert court.take() is each
    assert court.end(early, failed_attempt(FailureKind.CONNECT, Fault.PROXY)) == []
    assert court.judge.outage.going_on
    began, court.now = court.now, court.now + 2.0
    assert court.judge.sign_of_life(court.now) == []
    lost = failed_attempt(FailureKind.CONNECT, Fault.PROXY)
    assert court.judge.decide(late, lost, began, court.now + 0.1, EPOCH) == []
    assert not court.judge.outage.paused
    assert late.attempts == 0
    assert court.judge.decide(late, lost, court.now, court.now + 0.1, EPOCH) == []
    assert court.judge.outage.going_on


def test_a_proxys_first_hang_up_costs_no_attempt_and_speaks_against_no_host() -> None:
    court = Court(Rules(retries=0))
    doubted, well = job("http://doubted.test/", 1), job("http://well.test/", 2)
    court.add(doubted)
    assert court.take() is doubted
    assert court.end(doubted, failed_attempt(FailureKind.CONNECT, Fault.DOUBTED)) == []
    assert court.judge.settle_held(court.now) == []
    assert court.judge.outage.suspected, "nobody has answered, but it may be the proxy"
    court.add(well)
    assert court.judge.sign_of_life(court.now) == []
    assert court.take() in (doubted, well)
    assert court.take() in (doubted, well)
    (outcome,) = court.end(doubted, response(200))
    assert (outcome.ok, outcome.attempts) == (True, 1)


@pytest.mark.parametrize(
    ("kind", "fault", "sign"),
    [
        (FailureKind.CONNECT, Fault.HOST, True),
        (FailureKind.DNS, Fault.HOST, True),
        (FailureKind.TLS, Fault.URL, True),
        (FailureKind.PROTOCOL, Fault.URL, True),
        (FailureKind.BLOCKED, Fault.URL, False),
        (FailureKind.INPUT, Fault.URL, False),
        (FailureKind.INTERNAL, Fault.URL, False),
        (FailureKind.TIMEOUT, Fault.SILENT, False),
        (FailureKind.CONNECT, Fault.TOLD, False),
        (FailureKind.DNS, Fault.TOLD, False),
    ],
)
def test_only_what_came_from_outside_is_a_sign_of_life(
    kind: FailureKind, fault: Fault, sign: bool
) -> None:
    court = Court(Rules(retries=0))
    silent(court, 2)
    other = job("http://other.test/", 99)
    court.add(other)
    court.take()
    court.end(other, failed_attempt(kind, fault, transient=False))
    assert bool(court.judge.outage.held) is not sign


def test_silence_at_many_hosts_pauses_and_an_outage_costs_no_attempt() -> None:
    court = Court(Rules(retries=0))
    jobs = silent(court, SILENT_HOSTS)
    outage = court.judge.outage
    assert outage.suspected
    outage.confirm(court.now)
    late = job("http://late.test/", 99)
    court.add(late)
    assert court.take() is late
    assert court.end(late, failed_attempt(FailureKind.DNS, Fault.SILENT)) == [], "unspent, not held"
    assert court.judge.sign_of_life(court.now) == []
    assert not outage.paused
    ended = []
    for _ in range(SILENT_HOSTS + 1):
        taken = court.take_later()
        assert taken.counted_attempts == 1
        ended += court.end(taken, response(200))
    assert sorted(outcome.request.seq for outcome in ended) == [*range(1, len(jobs) + 1), 99]


def test_answer_that_was_on_its_way_does_not_speak_against_trouble_near_us() -> None:
    """No route any more, and an answer that lay in a buffer of ours by then."""
    court = Court(Rules(retries=0))
    lost, answered = job("http://lost.test/", 1), job("http://answered.test/", 2)
    court.add(lost, answered)
    assert {court.take(), court.take()} == {lost, answered}
    assert court.end(lost, failed_attempt(FailureKind.CONNECT, Fault.OURS)) == []
    assert [outcome.ok for outcome in court.end(answered, response(200))] == [True]
    outage = court.judge.outage
    assert outage.paused
    assert len(outage.held) == 1, "only a look can tell"
    outage.confirm(court.now)
    assert court.judge.sign_of_life(court.now) == []
    assert court.take_later() is lost


def test_attempt_begun_in_an_outage_is_free_though_it_ends_after_it() -> None:
    """A connection asked for while the network was gone times out when it is long back."""
    court = Court(Rules(retries=0))
    jobs = silent(court, SILENT_HOSTS)
    late = job("http://late.test/", 99)
    court.add(late)
    assert court.take() is late
    court.judge.outage.confirm(court.now)
    court.now += 1.0
    assert court.judge.sign_of_life(court.now) == []
    court.now += 1.0
    verdict = court.judge.decide(
        late, failed_attempt(FailureKind.TIMEOUT, Fault.SILENT), court.now - 5.0, court.now, EPOCH
    )
    assert verdict == []
    assert not court.judge.outage.held
    assert court.scheduler.waiting == len(jobs) + 1


def test_hosts_are_forgiven_what_was_our_own_outage() -> None:
    court = Court()
    dead = job("http://dead.test/")
    court.add(dead)
    court.judge.outage.suspect()
    for _ in range(2):
        court.end(court.take_later(), failed_attempt(FailureKind.CONNECT, Fault.SILENT))
    court.judge.outage.confirm(court.now)
    assert court.scheduler.health("dead.test").failures == 2
    court.judge.sign_of_life(court.now)
    assert court.scheduler.health("dead.test").failures == 0


# --- the proxy


def lost_proxy() -> FailedAttempt:
    return failed_attempt(FailureKind.CONNECT, Fault.PROXY)


def test_lost_proxy_costs_no_attempt_no_host_its_health_and_pauses_everything() -> None:
    court = Court(Rules(retries=0))
    jobs = [job(f"http://h{number % 2}.test/{number}", number) for number in range(6)]
    court.add(*jobs)
    for _ in range(20):
        assert court.end(court.take_later(), lost_proxy()) == []
    outage = court.judge.outage
    assert (outage.going_on, outage.held, court.counts.pauses) == (True, [], [])
    for host in ("h0.test", "h1.test"):
        health = court.scheduler.health(host)
        assert (health.failures, health.fails_fast(court.now)) == (0, False)
    assert court.judge.sign_of_life(court.now) == []
    ended = [outcome for _ in jobs for outcome in court.end(court.take_later(), response(200))]
    assert len(ended) == len(jobs)
    assert {(each.ok, each.attempts) for each in ended} == {(True, 1)}


@pytest.mark.parametrize("peer", [LOOPBACK, None], ids=["direct", "through the proxy"])
def test_an_answer_on_its_way_does_not_bring_a_proxy_back(peer: str | None) -> None:
    court = Court(Rules(retries=0))
    lost, answered = job("http://lost.test/", 1), job("http://answered.test/", 2)
    court.add(lost, answered)
    assert {court.take(), court.take()} == {lost, answered}
    court.end(lost, lost_proxy())
    assert [each.ok for each in court.end(answered, response(200, peer=peer))] == [True]
    assert court.judge.outage.paused, "only a look can tell"


def test_gateway_trouble_through_a_proxy_is_no_sign_of_life() -> None:
    court = Court(Rules(retries=0))
    silent(court, 2)
    for status, peer, sign in ((502, None, False), (504, None, False), (502, LOOPBACK, True)):
        other = job(f"http://other.test/{status}{peer}", 99)
        court.add(other)
        assert court.take_later() is other
        court.end(other, response(status, peer=peer))
        assert bool(court.judge.outage.held) is not sign

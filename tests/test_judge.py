"""What follows an attempt: an outcome, another attempt, a hop; nothing is ever lost."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from fetchpool.model.attempts import FailedAttempt, Fault, Response
from fetchpool.model.bodies import Stored
from fetchpool.model.urls import parse_url
from fetchpool.model.values import FailureKind, Head, Outcome, Request
from fetchpool.scheduling.job import Job
from fetchpool.scheduling.judge import Rules
from fetchpool.scheduling.retry import RetryPolicy
from fetchpool.scheduling.scheduler import Limits
from tests.judging import EPOCH, Court, failed_attempt, job, redirect, response

# --- one attempt


@pytest.mark.parametrize("status", [200, 204, 206, 299])
def test_complete_2xx_is_ok(status: int) -> None:
    outcome = Court().run(job(), response(status))
    assert outcome.ok
    assert (outcome.status, outcome.error, outcome.attempts) == (status, None, 1)


@pytest.mark.parametrize("status", [300, 304, 305, 400, 401, 404, 410, 451, 501, 505, 999])
def test_other_statuses_are_the_answer_at_once(status: int) -> None:
    outcome = Court().run(job(), response(status))
    assert not outcome.ok
    assert (outcome.status, outcome.error, outcome.attempts) == (status, FailureKind.STATUS, 1)


@pytest.mark.parametrize("status", [408, 425, 500, 502, 504])
def test_passing_statuses_are_tried_again_and_do_not_park_the_host(status: int) -> None:
    court = Court()
    outcome = court.run(job(), response(status), response(status), response(status))
    assert (outcome.status, outcome.error, outcome.attempts) == (status, FailureKind.STATUS, 3)
    assert court.counts.retries == 2
    assert court.counts.pauses == []


@pytest.mark.parametrize("kind", list(FailureKind))
@pytest.mark.parametrize("transient", [True, False])
def test_each_kind_of_miss_ends_as_that_kind(kind: FailureKind, transient: bool) -> None:
    court = Court()
    passing = {FailureKind.CONNECT, FailureKind.DNS, FailureKind.TIMEOUT, FailureKind.TRUNCATED}
    passing.add(FailureKind.CHECKSUM)
    attempts = 3 if transient and kind in passing else 1
    outcome = court.run(job(), *[failed_attempt(kind, transient=transient)] * attempts)
    assert (outcome.error, outcome.attempts, outcome.ok) == (kind, attempts, False)
    assert outcome.detail == f"a {kind} of the test"
    assert outcome.status is None


def test_with_no_retries_the_first_answer_counts_and_still_parks_the_host() -> None:
    court = Court(Rules(retries=0))
    outcome = court.run(job(), response(503, {"retry-after": "7"}))
    assert (outcome.status, outcome.attempts) == (503, 1)
    assert court.counts.pauses == [("a.test", 7.0, "503")]
    court.add(job("http://a.test/2"))
    assert court.take() is None
    assert court.scheduler.next_start() == court.now + 7.0


def chosen(*on: str, off: tuple[str, ...] = (), delay_s: float | None = None) -> Rules:
    return Rules(retry=RetryPolicy.chosen(2, delay_s, on, off))


def test_status_that_the_user_has_tried_again_says_nothing_against_its_host() -> None:
    court = Court(chosen("404"), Limits(per_host=10))
    outcome = court.run(job(), response(404), response(404, {"retry-after": "9"}), response(404))
    assert (outcome.status, outcome.attempts) == (404, 3)
    assert court.now >= 109.0, "Retry-After is obeyed"
    for number in range(30):
        court.add(job(f"http://a.test/{number}", number))
    while (taken := court.take()) is not None:
        court.end(taken, response(404), took_s=0.0)
    health = court.scheduler.health("a.test")
    assert (health.failures, health.window, health.probe_at, health.doubtful) == (
        0,
        10,
        None,
        False,
    )
    assert court.counts.pauses == []


def test_refusal_that_is_not_tried_again_still_has_its_host_rest() -> None:
    court = Court(chosen(off=("429", "5xx")))
    outcome = court.run(job(), response(429, {"retry-after": "7"}))
    assert (outcome.status, outcome.attempts) == (429, 1)
    assert court.counts.pauses == [("a.test", 7.0, "429")]
    assert court.run(job("http://b.test/"), response(500)).attempts == 1


def test_202_is_asked_again_as_the_user_says() -> None:
    assert Court().run(job(), response(202)).attempts == 1
    done = Court(chosen("202")).run(job(), response(202), response(202), response(202))
    assert (done.ok, done.attempts) == (True, 3)
    later = response(202, {"retry-after": "1"})
    assert Court(chosen(off=("202",))).run(job(), later).attempts == 1


def test_redirect_that_is_followed_is_not_tried_again_for_its_status() -> None:
    court = Court(chosen("status"))
    assert court.run(job(), redirect("/2"), response(200)).redirects == 1
    nowhere = (redirect("/2"), redirect("http://"))
    assert Court().run(job(), *nowhere).attempts == 1
    outcome = Court(chosen("redirect")).run(job(), *nowhere, response(200))
    assert (outcome.ok, outcome.attempts, outcome.redirects) == (True, 2, 0)


def test_304_that_keeps_an_earlier_body_is_not_tried_again() -> None:
    rules = chosen("3xx")
    assert Court(rules).run(job(), *[response(304)] * 3).attempts == 3
    same = replace(response(304), stored=Stored(path="a.test/1"))
    outcome = Court(rules).run(job(), same)
    assert (outcome.ok, outcome.attempts) == (True, 1)


def test_post_is_tried_again_for_no_status_that_leaves_it_open() -> None:
    def post() -> Job:
        url = "http://a.test/1"
        return Job(Request(url, 1, method="POST"), parse_url(url))

    rules = chosen("404", "tls", "redirect")
    assert Court(rules).run(post(), response(404)).attempts == 1
    assert Court(rules).run(post(), failed_attempt(FailureKind.TLS, peer=None)).attempts == 1
    assert Court(rules).run(post(), redirect("file:///")).attempts == 1


def test_pause_of_a_refused_request_is_at_least_the_users() -> None:
    court = Court(chosen(delay_s=20.0))
    assert court.run(job(), response(503), response(200)).ok
    assert court.now >= 120.0


def test_status_of_a_cut_body_is_kept_and_its_type() -> None:
    head = Head(200, (("content-type", "text/html"),))
    outcome = Court(Rules(retries=0)).run(job(), failed_attempt(FailureKind.TRUNCATED, head=head))
    assert (outcome.status, outcome.error) == (200, FailureKind.TRUNCATED)
    assert outcome.content_type == "text/html"
    assert not outcome.ok


def test_retry_that_succeeds_counts_all_attempts_and_the_time_between() -> None:
    court = Court()
    outcome = court.run(job(), failed_attempt(FailureKind.TIMEOUT), response(200))
    assert (outcome.ok, outcome.attempts) == (True, 2)
    assert outcome.elapsed_s == pytest.approx(0.1 + 0.5 + 0.1)
    assert outcome.started_at == EPOCH


# --- redirects


def test_hop_goes_through_the_scheduler_of_its_own_host() -> None:
    court = Court()
    first = job("http://a.test/1")
    court.add(first)
    assert court.take() is first
    assert court.end(first, redirect("http://b.test/2")) == []
    assert first.target.host_key == "b.test"
    assert court.take() is first
    (outcome,) = court.end(first, response(200))
    assert (outcome.final_url, outcome.redirects) == ("http://b.test/2", 1)
    assert (outcome.attempts, outcome.host_key) == (1, "a.test")
    assert court.scheduler.idle


@pytest.mark.parametrize("location", [None, ""])
def test_redirect_to_nowhere_is_the_answer(location: str | None) -> None:
    headers = {} if location is None else {"location": location}
    outcome = Court().run(job(), response(302, headers))
    assert (outcome.status, outcome.error) == (302, FailureKind.STATUS)


@pytest.mark.parametrize("status", [300, 304, 305, 306])
def test_other_3xx_are_the_answer_even_with_a_location(status: int) -> None:
    outcome = Court().run(job(), response(status, {"location": "/2"}))
    assert (outcome.status, outcome.error) == (status, FailureKind.STATUS)


def test_with_no_redirects_allowed_the_3xx_is_the_answer() -> None:
    outcome = Court(Rules(max_redirects=0)).run(job(), redirect("/2"))
    assert (outcome.status, outcome.error, outcome.redirects) == (302, FailureKind.STATUS, 0)


@pytest.mark.parametrize("most", [1, 2, 10])
def test_as_many_hops_as_allowed_are_followed_and_no_more(most: int) -> None:
    hops = [redirect(f"/{number}") for number in range(2, most + 2)]
    outcome = Court(Rules(max_redirects=most)).run(job(), *hops, response(200))
    assert (outcome.ok, outcome.redirects) == (True, most)
    outcome = Court(Rules(max_redirects=most)).run(job(), *hops, redirect("/one-more"))
    assert (outcome.error, outcome.redirects) == (FailureKind.REDIRECT, most)
    assert outcome.status == 302
    assert outcome.detail == f"more than {most} redirects"


def test_retry_within_a_chain_starts_over_from_the_lines_own_url() -> None:
    court = Court()
    first = job("http://a.test/1")
    outcome = court.run(
        first,
        redirect("http://b.test/2"),
        failed_attempt(FailureKind.TIMEOUT),
        redirect("http://b.test/2"),
        response(200),
    )
    assert (outcome.ok, outcome.attempts, outcome.redirects) == (True, 2, 1)


def test_private_line_that_leads_to_a_public_page_may_be_tried_again() -> None:
    """The rule "public leads to public only" is of one chain; it must not block the line itself."""
    court = Court()
    intranet = job("http://10.0.0.1/1")
    court.add(intranet)
    court.take()
    court.end(intranet, redirect("http://b.test/", peer="10.0.0.1"))
    bound = [intranet.public_only]
    court.take_later()
    court.end(intranet, redirect("http://c.test/", peer="93.184.215.14"))
    bound.append(intranet.public_only)
    court.take_later()
    court.end(intranet, failed_attempt(FailureKind.TIMEOUT))
    assert court.take_later() is intranet
    assert intranet.target.url == "http://10.0.0.1/1"
    bound.append(intranet.public_only)
    assert bound == [False, True, False]


def test_budget_is_one_for_all_hops_and_anew_for_each_attempt() -> None:
    court = Court()
    slow = job()
    court.add(slow)
    court.take(budget_s=1.0)
    assert slow.budget_left_s == 1.0
    court.end(slow, redirect("/2", elapsed_s=0.7))
    court.take(budget_s=1.0)
    assert slow.budget_left_s == pytest.approx(0.3)
    court.end(slow, redirect("/3", elapsed_s=0.7))
    court.take(budget_s=1.0)
    assert slow.budget_left_s == 0.0
    court.end(slow, failed_attempt(FailureKind.TIMEOUT))
    court.now += 10.0
    court.take(budget_s=1.0)
    assert slow.budget_left_s == 1.0


def test_retry_after_on_a_redirect_binds_nobody() -> None:
    court = Court()
    outcome = court.run(
        job(), response(302, {"location": "/2", "retry-after": "300"}), response(200)
    )
    assert outcome.elapsed_s == pytest.approx(0.2)


# --- nothing is ever lost

RESULTS: list[Response | FailedAttempt] = [
    response(200),
    response(404),
    response(429),
    response(503, {"retry-after": "20"}),
    response(500),
    redirect("http://b.test/hop"),
    redirect("/next"),
    redirect("ftp://x/"),
    failed_attempt(FailureKind.TIMEOUT, Fault.SILENT),
    failed_attempt(FailureKind.CONNECT, Fault.SILENT),
    failed_attempt(FailureKind.CONNECT, Fault.HOST),
    failed_attempt(FailureKind.CONNECT, Fault.OURS),
    failed_attempt(FailureKind.CONNECT, Fault.DESCRIPTORS),
    failed_attempt(FailureKind.DNS, Fault.HOST, transient=False),
    failed_attempt(FailureKind.TRUNCATED, peer="127.0.0.1"),
    failed_attempt(FailureKind.BLOCKED, transient=False),
]


@given(
    seed=st.integers(0, 2**32),
    jobs=st.integers(1, 25),
    hosts=st.integers(1, 8),
    retries=st.integers(0, 3),
    per_host=st.integers(0, 3),
)
@settings(max_examples=200)
def test_every_request_has_exactly_one_outcome(
    seed: int, jobs: int, hosts: int, retries: int, per_host: int
) -> None:
    dice = Random(seed)
    court = Court(Rules(retries, max_redirects=3), Limits(limit=5, per_host=per_host))
    for number in range(jobs):
        court.add(job(f"http://h{number % hosts}.test/{number}", number))
    running: list[tuple[Job, float]] = []
    outcomes: list[Outcome] = []
    outage = court.judge.outage
    for _ in range(5000):
        if outage.paused:  # somebody looks
            if dice.random() < 0.5:
                outcomes += court.judge.sign_of_life(court.now)
            else:
                outage.confirm(court.now)
        elif (doomed := court.scheduler.take_doomed(court.now)) is not None:
            outcomes.append(doomed[0].failed(doomed[1], court.now))
        elif (taken := court.take()) is not None:
            running.append((taken, court.now))
        elif not running and (at := court.scheduler.next_start()) is not None:
            court.now = at
        if running and (len(running) > 3 or dice.random() < 0.5):
            taken, started = running.pop(dice.randrange(len(running)))
            host = taken.target.host_key
            court.now += 0.1
            result = dice.choice(RESULTS)
            outcomes += court.judge.decide(taken, result, started, court.now, EPOCH)
            court.scheduler.done(host, court.now)
        if court.scheduler.idle and not outage.paused:
            outcomes += court.judge.sign_of_life(court.now)  # as at the end of a list
            if court.scheduler.idle:
                break
    counts = Counter(outcome.request.seq for outcome in outcomes)
    assert counts == dict.fromkeys(range(jobs), 1)
    assert not outage.held

"""A body that breaks off and is gone on with: which of its attempts count, and what ends it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.attempts import FailedAttempt, Fault, Measures, Response
from fetchpool.model.values import Failure, FailureKind, Head
from fetchpool.scheduling.job import MIN_ADVANCE_BYTES, BodyProgress, Job
from fetchpool.scheduling.judge import Rules
from tests.judging import Court, job, times

STEP = MIN_ADVANCE_BYTES


def broken_off(part_bytes: int, resumed_at: int | None = None) -> FailedAttempt:
    failure = Failure(FailureKind.TRUNCATED, "as the test says")
    measures = Measures(times(0.1), part_bytes, False, "127.0.0.1", resumed_at, part_bytes)
    return FailedAttempt(failure, True, Fault.URL, None, measures)


def refused(status: int, resumed_at: int | None) -> Response:
    measures = Measures(times(0.1), 0, False, "127.0.0.1", resumed_at)
    return Response(Head(status, ()), None, 0, None, measures)


@pytest.mark.parametrize("retries", [1, 2])
def test_an_attempt_that_brings_the_body_further_counts_as_none(retries: int) -> None:
    court = Court(Rules(retries=retries))
    far = [broken_off(STEP * nth, STEP * (nth - 1) or None) for nth in range(1, 20)]
    stuck = [broken_off(STEP * 19, STEP * 19)] * retries
    outcome = court.run(job(), *far, *stuck, broken_off(STEP))
    assert outcome.attempts == 19 + retries + 1


def test_without_retries_a_url_is_asked_for_once_however_far_it_came() -> None:
    outcome = Court(Rules(retries=0)).run(job(), broken_off(50 * STEP))
    assert (outcome.attempts, outcome.error) == (1, FailureKind.TRUNCATED)


def test_steps_too_small_count_as_attempts() -> None:
    outcome = Court(Rules(retries=2)).run(
        job(), broken_off(STEP - 1), broken_off(STEP - 1, STEP - 1), broken_off(STEP - 1)
    )
    assert outcome.attempts == 3


def test_what_an_earlier_run_left_is_no_progress_of_this_one() -> None:
    court = Court(Rules(retries=1))
    stuck = broken_off(40 * STEP, 40 * STEP)
    assert court.run(job(), stuck, stuck, broken_off(STEP)).attempts == 3


@pytest.mark.parametrize("status", [404, 500, 503, 304])
def test_no_answer_to_a_range_is_the_urls_outcome(status: int) -> None:
    """The last one is followed by a request for the whole, whose answer is."""
    for retries in (0, 1):
        court, asked = Court(Rules(retries=retries)), job()
        court.add(asked)
        for _ in range(30):
            taken = court.take_later()
            whole = taken.wants_whole(retries)
            outcomes = court.end(taken, refused(status, None if whole else 900 * STEP))
            if outcomes:
                break
        assert whole
        assert outcomes[0].status == status


def test_progress_has_the_rest_asked_for_again() -> None:
    taken = job()
    for measures, whole in (
        (broken_off(4 * STEP), False),
        (refused(502, 4 * STEP), True),
        (broken_off(5 * STEP), False),
    ):
        taken.start_attempt(0.0, 0.0, None)
        taken.note(measures.measures)
        assert taken.wants_whole(0) == whole


@given(st.integers(1, 40), st.lists(st.tuples(st.booleans(), st.integers(0, 40 * STEP))))
def test_attempts_that_count_as_none_are_bounded_by_the_longest_body(
    steps: int, ends: list[tuple[bool, int]]
) -> None:
    progress, at, free = BodyProgress(), 0, 0
    for resumed, end in ends:
        part_bytes = min(end, steps * STEP)
        failed_attempt = broken_off(part_bytes, at if resumed else None)
        progress.note(failed_attempt.measures)
        free += progress.advanced
        at = part_bytes
    assert free <= steps


def test_a_job_that_never_broke_off_has_no_progress_to_carry() -> None:
    taken: Job = job()
    taken.note(refused(200, None).measures)
    assert (taken.progress, taken.counted_attempts, taken.advanced) == (None, 0, False)

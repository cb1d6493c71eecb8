"""Whole lists against one host: its bad URLs cost no good one, and every run ends soon enough."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchpool.model.attempts import FailedAttempt, Response
from fetchpool.scheduling.host_health import FAIL_FAST_AFTER, FIRST_WINDOW
from fetchpool.scheduling.judge import Rules
from fetchpool.scheduling.scheduler import Limits
from fetchpool.scheduling.throttling import GIVEN_UP_AFTER
from tests.host_simulation import SILENCE, Host, Limiter, Simulation, with_bad_lines
from tests.judging import response

REFUSALS: dict[str, Response | FailedAttempt] = {
    "503": response(503),
    "429": response(429),
    "429, Retry-After 0": response(429, {"retry-after": "0"}),
    "503, Retry-After 3": response(503, {"retry-after": "3"}),
    "503, Retry-After rubbish": response(503, {"retry-after": "soon"}),
    "silence": SILENCE,
}


@given(data=st.data(), refusal=st.sampled_from(sorted(REFUSALS)))
@settings(max_examples=150)
def test_bad_urls_of_a_host_cost_no_good_one_wherever_they_stand(
    data: st.DataObject, refusal: str
) -> None:
    lines = data.draw(st.sampled_from([12, 60, 300]), label="lines")
    most = max(1, lines // 10) if refusal != "silence" else 6
    first = data.draw(st.integers(0, lines - most), label="first bad line")
    half = most // 2
    together = set(range(first, first + half)) | set(range(lines - most + half, lines))
    anywhere = st.sets(st.integers(0, lines - 1), min_size=1, max_size=most)
    bad = data.draw(st.just(together) | anywhere, label="bad")
    retries = data.draw(st.integers(0, 3), label="retries")
    simulation = Simulation(
        with_bad_lines(bad, REFUSALS[refusal]),
        lines,
        rules=Rules(retries=retries),
        limits=Limits(per_host=data.draw(st.sampled_from([0, 1, 4, 10]), label="per host")),
        latency_s=data.draw(st.sampled_from([0.001, 0.05, 1.0]), label="latency"),
    )
    assert simulation.failed == bad, "good URLs were lost"
    assert max(simulation.requests[line] for line in bad) <= 1 + retries
    assert all(simulation.requests[line] == 1 for line in set(range(lines)) - bad)


@pytest.mark.parametrize("per_host", [0, 1, 2, 4, 10])
@pytest.mark.parametrize("first", [180, 200, 240, 264, 270])
def test_good_urls_between_the_bad_ones_at_the_end_of_a_list_are_fetched(
    per_host: int, first: int
) -> None:
    """There most URLs left are bad: six refusals in a row are nothing unusual."""
    bad = {*range(first, first + 15), *range(285, 300)}
    limits = Limits(per_host=per_host)
    simulation = Simulation(with_bad_lines(bad, response(503)), 300, limits=limits)
    assert simulation.failed == bad
    assert simulation.duration_s <= 180.0


@pytest.mark.parametrize("refusal", [key for key in REFUSALS if key != "silence"])
@pytest.mark.parametrize(("bad", "lines"), [(4, 60), (10, 1000), (30, 1000), (300, 1000)])
@pytest.mark.parametrize("place", ["first", "last", "everywhere"])
def test_bad_urls_are_borne_in_a_reasonable_time(
    refusal: str, bad: int, lines: int, place: str
) -> None:
    step = lines // bad
    where = {
        "first": range(bad),
        "last": range(lines - bad, lines),
        "everywhere": range(0, bad * step, step),
    }
    simulation = Simulation(with_bad_lines(set(where[place]), REFUSALS[refusal]), lines)
    assert simulation.failed == set(where[place])
    alone_s = lines * 0.05 / 10
    asked_s = 3.0 * 3 * bad if refusal == "503, Retry-After 3" else 0.0
    # Nothing tells refusals at the end of a list from a host that refuses everything from then on.
    at_the_end_s = 60.0 if place == "last" else 20.0
    assert simulation.duration_s <= 2 * alone_s + 1.0 * bad + at_the_end_s + asked_s


@given(
    interval_s=st.sampled_from([0.02, 0.1, 0.5, 1.0, 2.0, 10.0]),
    burst=st.sampled_from([1, 2, 10, 60]),
    status=st.sampled_from([429, 503]),
    names_time=st.booleans(),
    per_host=st.sampled_from([1, 10]),
    latency_s=st.sampled_from([0.001, 0.05, 0.5]),
)
@settings(max_examples=100)
def test_host_that_limits_the_rate_loses_no_url(
    interval_s: float, burst: int, status: int, names_time: bool, per_host: int, latency_s: float
) -> None:
    headers = {"retry-after": str(max(1, round(interval_s)))} if names_time else {}
    host = Limiter(interval_s, burst, status, headers)
    simulation = Simulation(host, 200, limits=Limits(per_host=per_host), latency_s=latency_s)
    assert not simulation.failed
    assert host.refused <= 200, "one refusal a URL at most"


@pytest.mark.parametrize("retries", [0, 2, 5])
@pytest.mark.parametrize("headers", [{}, {"retry-after": "0"}, {"retry-after": "2"}])
@pytest.mark.parametrize("lines", [1, 5, 1000])
def test_host_that_refuses_everything_is_asked_little_and_ends(
    retries: int, headers: dict[str, str], lines: int
) -> None:
    simulation = Simulation(
        lambda line, now: response(503, headers), lines, rules=Rules(retries=retries)
    )
    assert len(simulation.failed) == lines
    assert sum(simulation.requests.values()) <= FIRST_WINDOW + GIVEN_UP_AFTER
    assert simulation.duration_s <= 120.0


@pytest.mark.parametrize("served", [0, 100])
def test_host_that_falls_silent_is_asked_little_and_ends(served: int) -> None:
    def host(line: int, now: float) -> Response | FailedAttempt:
        return response(200) if line < served else SILENCE

    simulation = Simulation(host, 1000)
    assert len(simulation.failed) == 1000 - served
    silent = sum(simulation.requests.values()) - served
    assert silent <= (FAIL_FAST_AFTER + FIRST_WINDOW if not served else 100)
    assert simulation.duration_s <= 600.0


def down(begin_s: float, end_s: float) -> Host:
    """Return a host that restarts meanwhile."""
    return lambda line, now: response(503 if begin_s <= now - 100.0 < end_s else 200)


@pytest.mark.parametrize("seconds", [0.5, 2.0, 5.0, 10.0])
def test_host_that_restarts_loses_no_url(seconds: float) -> None:
    simulation = Simulation(down(1.0, 1.0 + seconds), 1000)
    assert not simulation.failed
    assert simulation.duration_s <= 5.0 + 3 * seconds + 10.0


def test_host_that_comes_back_serves_the_urls_that_came_later_only() -> None:
    """What waited while the host was given up has failed; its probe brings the others back."""
    simulation = Simulation(down(1.0, 40.0), 1000)
    assert simulation.failed
    assert all("given up" in (simulation.outcomes[line].detail or "") or
               simulation.outcomes[line].status == 503 for line in simulation.failed)  # fmt: skip


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("lines", [20, 300])
@pytest.mark.parametrize("served_at_once", [0.0, 0.1, 0.3])
def test_host_that_makes_what_it_is_asked_for_loses_no_url(
    status: int, lines: int, served_at_once: float
) -> None:
    """It refuses each URL once: the next request for it would be served."""
    asked: set[int] = set()

    def host(line: int, now: float) -> Response | FailedAttempt:
        is_new = line not in asked and line % 10 >= 10 * served_at_once
        asked.add(line)
        return response(status if is_new else 200)

    simulation = Simulation(host, lines)
    assert not simulation.failed
    assert max(simulation.requests.values()) <= 2
    assert simulation.duration_s <= 300.0 + 2.0 * lines

"""Our own network's trouble is told from a list of dead hosts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fetchpool.scheduling.outage import GIVE_UP_AFTER_S, HELD_AT_MOST, SILENT_HOSTS, Outage


def outage() -> Outage[str]:
    return Outage()


def silence(watch: Outage[str], hosts: int) -> None:
    for number in range(hosts):
        watch.silent(f"h{number}")


def test_silence_at_five_hosts_in_a_row_makes_us_suspect_ourselves() -> None:
    watch = outage()
    paused = []
    for number in range(SILENT_HOSTS):
        paused.append(watch.paused)
        watch.silent(f"h{number}")
    assert paused == [False] * SILENT_HOSTS
    assert (watch.suspected, watch.paused, watch.going_on) == (True, True, False)


def test_one_silent_host_however_often_is_its_own_trouble() -> None:
    watch = outage()
    for _ in range(HELD_AT_MOST - 1):
        watch.silent("dead")
    assert not watch.paused


def test_anything_heard_between_begins_the_count_anew() -> None:
    watch = outage()
    silence(watch, SILENT_HOSTS - 1)
    watch.sign_of_life()
    silence(watch, SILENT_HOSTS - 1)
    assert not watch.paused


def test_trouble_near_us_is_suspected_at_once() -> None:
    watch = outage()
    watch.suspect()
    assert watch.suspected


def test_what_was_held_is_the_hosts_own_if_the_first_probe_is_heard() -> None:
    watch = outage()
    watch.hold("a")
    silence(watch, SILENT_HOSTS)
    assert watch.sign_of_life() == (["a"], False)
    assert not watch.paused
    assert watch.sign_of_life() == ([], False), "handed over once"


def test_what_was_held_is_ours_after_an_outage() -> None:
    watch = outage()
    watch.hold("a")
    silence(watch, SILENT_HOSTS)
    watch.confirm(10.0)
    assert watch.going_on
    assert watch.since == 10.0
    assert watch.sign_of_life() == (["a"], True)
    assert not watch.paused
    assert watch.since is None


def test_further_silence_neither_restarts_an_outage_nor_doubts_it() -> None:
    watch = outage()
    watch.suspect()
    watch.confirm(10.0)
    silence(watch, 9)
    watch.suspect()
    watch.confirm(11.0)
    assert watch.since == 10.0
    assert not watch.suspected


def test_run_stops_after_three_minutes_of_outage() -> None:
    watch = outage()
    assert not watch.hopeless(1e9)
    watch.suspect()
    assert not watch.hopeless(1e9)
    watch.confirm(10.0)
    assert not watch.hopeless(9.9 + GIVE_UP_AFTER_S)
    assert watch.hopeless(10.0 + GIVE_UP_AFTER_S)


def test_many_held_outcomes_make_us_look_for_ourselves() -> None:
    """One host that accepts and never answers: its outcomes must not wait for the list's end."""
    watch = outage()
    for number in range(HELD_AT_MOST):
        assert not watch.paused
        watch.hold(str(number))
    assert watch.suspected


# -- a proxy


def test_lost_proxy_is_ours_at_once_and_only_a_look_ends_it() -> None:
    watch = outage()
    watch.lose_proxy(10.0)
    assert (watch.going_on, watch.suspected, watch.local_error) == (True, False, True)
    watch.confirm(11.0)
    watch.suspect()
    silence(watch, SILENT_HOSTS)
    assert (watch.since, watch.suspected, watch.local_error) == (10.0, False, True)
    watch.hold("a")
    assert watch.sign_of_life() == (["a"], True)
    assert (watch.paused, watch.local_error) == (False, False)


def test_proxy_that_is_found_but_never_serves_has_been_lost_since_the_first_time() -> None:
    watch = outage()
    states = []
    for at in (10.0, 20.0):
        watch.lose_proxy(at)
        states.append((watch.since, watch.relapsed))
        watch.sign_of_life()
    watch.proxy_served()
    watch.lose_proxy(30.0)
    states.append((watch.since, watch.relapsed))
    assert states == [(10.0, False), (10.0, True), (30.0, False)]


def test_suspicion_grows_into_a_lost_proxy() -> None:
    watch = outage()
    watch.suspect(local_error=True)
    watch.lose_proxy(10.0)
    assert (watch.suspected, watch.going_on) == (False, True)


@given(
    st.lists(
        st.sampled_from(["silent a", "silent b", "silent c", "silent d", "silent e", "hold",
                         "suspect", "confirm", "heard", "proxy", "served"]),
        max_size=80,
    )
)  # fmt: skip
def test_everything_held_is_handed_over_exactly_once(events: list[str]) -> None:
    watch = outage()
    held: list[str] = []
    back: list[str] = []
    for now, event in enumerate(events):
        what, _, host = event.partition(" ")
        match what:
            case "silent":
                watch.silent(host)
            case "hold":
                held.append(str(now))
                watch.hold(str(now))
            case "suspect":
                watch.suspect()
            case "confirm":
                watch.confirm(float(now))
            case "proxy":
                watch.lose_proxy(float(now))
            case "served":
                watch.proxy_served()
            case _:
                was_going_on = watch.going_on
                items, ours = watch.sign_of_life()
                assert ours is was_going_on
                back += items
        assert watch.paused is (watch.suspected or watch.going_on)
        assert not (watch.suspected and watch.going_on)
        assert not (watch.proxy_lost and not (watch.going_on and watch.local_error))
    assert back + watch.held == held

"""`--per-host auto` and `--limit auto`: beside the best fixed settings, and what knows of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from benchmarks.auto import CLOSE, LIMIT, ROWS, Free, Host, Queueing, Simulation, Throttling, cells
from fetchpool.config import Config, ConfigError
from fetchpool.model.hosts import Found, HostState
from fetchpool.model.limits import AUTO_PER_HOST
from fetchpool.pipeline.host_settings import terms_at
from fetchpool.reporting.terminal.plain import Heading, bounds, end_line, limits_found
from fetchpool.reporting.terminal.terminal import UNICODE
from fetchpool.run.planning.pace import Pace, machine_rate
from fetchpool.scaling.sharing import shares, worker_count
from fetchpool.scheduling import concurrency
from fetchpool.scheduling.scheduler import Limits, Scheduler
from tests.judging import times
from tests.scheduling import REFUSED, FakeBacklog, taken
from tests.test_report_progress import RUNNING, plain
from tests.test_report_summary import DONE
from tests.test_report_summary import plain as summed_up

FINDS = Limits(LIMIT, AUTO_PER_HOST, finds_per_host=True)

SEARCHED = {
    "fast": replace(ROWS["fast"], per_host=(16, 32, 64)),
    "slow": replace(ROWS["slow"], per_host=(16, 32, 64)),
    "queueing": replace(ROWS["queueing"], per_host=(6, 8, 10, 16, 64)),
    "throttling": replace(ROWS["throttling"], per_host=(1, 2, 3, 4, 6)),
    "mixed": replace(ROWS["mixed"], limits=(400, 1600, LIMIT), per_host=(4, 64)),
    "between": replace(ROWS["between"], per_host=(2, 3, 4, 6)),
    "uneven": replace(ROWS["uneven"], per_host=(64,)),
    "softening": replace(ROWS["softening"], per_host=(32, 64)),
}
"""The rows, searched where the best settings are."""


@pytest.mark.parametrize("name", ROWS)
def test_auto_is_within_a_tenth_of_the_best_fixed_setting(name: str) -> None:
    row = SEARCHED[name]
    _, best = row.search()
    auto = row.auto()
    assert auto.answered == best.answered
    assert auto.rate >= 0.9 * best.rate
    if name in ("throttling", "between"):
        # The first steps double until they are refused; then each try is one request more, after
        # a calm, and what was under way may be refused with it.
        tries = 6 + auto.seconds / concurrency.FIRST_CALM_S
        assert auto.cuts <= tries
        assert auto.refused <= best.refused + 3 * tries
    else:
        assert auto.refused <= best.refused


def test_no_more_than_it_bears_run_at_a_host_that_queues() -> None:
    found = SEARCHED["queueing"].auto().found
    assert found.fewest is not None
    assert 7 <= found.fewest <= 10


def test_the_document_has_the_rows_as_they_come_out() -> None:
    table = (Path(__file__).parents[1] / "docs/concurrency.md").read_text(encoding="utf-8")
    for name in ("queueing", "throttling", "between"):
        assert f"| {' | '.join(cells(ROWS[name]))} |" in table
    assert all(f"| {row.what} |" in table for row in ROWS.values())


def test_a_row_comes_out_the_same_each_time() -> None:
    row = replace(ROWS["throttling"], each=500)
    assert row.auto() == row.auto()


def test_of_fixed_settings_as_good_the_one_with_the_fewest_429s_is_the_best() -> None:
    row = replace(ROWS["throttling"], each=500, per_host=(1, 2, 3, 8))
    setting, best = row.search()
    others = [row.fixed(replace(setting, per_host=number)) for number in row.per_host]
    good = [run for run in others if run.rate >= CLOSE * max(run.rate for run in others)]
    assert best.refused == min(run.refused for run in good)


class Changing:
    """A host that is another one from a time on."""

    def __init__(self, first: Host, then: Host, from_s: float) -> None:
        self._hosts, self._from_s = (first, then), from_s

    def serve(self, now: float) -> tuple[float, bool]:
        return self._hosts[now >= self._from_s].serve(now)


def test_a_host_that_changes_is_followed() -> None:
    slower = Changing(Free(0.2, 0.2), Queueing(8, 0.2, 0.2), from_s=20.0)
    found = Simulation({"h": slower}, FINDS).run(["h"] * 8400).found
    assert found.most is not None
    assert found.most <= 16
    faster = Changing(Queueing(8, 0.2, 0.2), Free(0.2, 0.2), from_s=20.0)
    assert Simulation({"h": faster}, FINDS).run(["h"] * 5000).found.most == AUTO_PER_HOST


# --- the scheduler


def test_hosts_have_limits_of_their_own_and_are_remembered_when_they_are_gone() -> None:
    hosts: dict[str, Host] = {"free": Free(0.05), "throttling": Throttling(20.0, 5, 0.1)}
    run = Simulation(hosts, FINDS).run(["free"] * 1500 + ["throttling"] * 200)
    assert run.found.most == AUTO_PER_HOST
    assert run.found.fewest is not None
    assert run.found.fewest <= 3
    assert run.found.limit is None


def answer(sched: Scheduler[str], host: str, count: int) -> None:
    """Let so many requests of *host* be answered one after the other, as many running as may."""
    for number in range(count):
        sched.add(host, f"{host}/{number}", 0.0)
    taken(sched)
    for _ in range(count):
        sched.answered(host, 0.0, timeline=times(0.1))
        sched.done(host, 0.0)
        taken(sched)


def test_a_host_never_gets_more_than_the_limit_of_all() -> None:
    sched = Scheduler[str](Limits(10, AUTO_PER_HOST, finds_per_host=True), FakeBacklog())
    sched.add("h", "h/last", 0.0)
    taken(sched)
    sched.hold("h")  # it is there until the end of the test
    sched.release("h", 0.0)
    answer(sched, "h", 2000)
    assert sched.health("h").window == 10


def test_each_way_to_a_host_has_as_many() -> None:
    sched = Scheduler[str](FINDS, FakeBacklog())
    sched.add("h", "h/last", 0.0)
    taken(sched)
    sched.widen(3)
    answer(sched, "h", 4000)
    assert sched.health("h").window == 3 * AUTO_PER_HOST
    sched.widen(1)
    assert sched.health("h").window == AUTO_PER_HOST


def test_a_host_that_cannot_be_reached_is_probed_and_comes_back() -> None:
    sched = Scheduler[str](FINDS, FakeBacklog())
    sched.add("h", "h/last", 0.0)
    taken(sched)
    answer(sched, "h", 500)
    for now in (1.0, 2.0, 3.0, 4.0, 5.0):
        sched.unreachable("h", now, now, REFUSED)
    assert sched.health("h").window == 1
    sched.answered("h", 10.0, timeline=times(0.1))
    assert sched.health("h").window == 2


def test_a_display_shows_what_a_host_was_found_to_bear() -> None:
    sched = Scheduler[str](FINDS, FakeBacklog())
    for number in range(9):
        sched.add("h", f"h/{number}", 0.0)
    taken(sched)
    (state,) = sched.busiest(0.0, 1)
    assert (state.window, state.running, state.finds) == (2, 2, True)
    shown = HostState("a.example", 4, 20, window=4, finds=True)
    line = plain(msgspec.structs.replace(RUNNING, hosts=(shown,)), 80)[-1]
    assert line == "a.example 20 waiting (4 running of 4)"


# --- settings


def test_a_host_of_its_own_table_may_be_auto_and_others_not() -> None:
    config = Config(
        per_host=4, host={"a.example": {"per_host": "AUTO"}, "b.example": {"per_host": 7}}
    )
    terms = terms_at(config)
    assert terms is not None
    found = {name: terms(f"{name}.example") for name in "abc"}
    assert {name: (each.per_host, each.finds_per_host) for name, each in found.items()} == {
        "a": (AUTO_PER_HOST, True), "b": (7, False), "c": (4, False),
    }  # fmt: skip
    sched = Scheduler[str](Limits(100, 4), FakeBacklog(), terms)
    for host in ("a.example", "c.example"):
        sched.add(host, f"{host}/last", 0.0)
        taken(sched)
        answer(sched, host, 800)
    assert sched.health("a.example").window == AUTO_PER_HOST
    assert sched.health("c.example").window == 4
    assert sched.found == Found(None, AUTO_PER_HOST, AUTO_PER_HOST)


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        ({"per_host": "auto"}, AUTO_PER_HOST),
        ({"per_host": 100, "host": {"a.example": {"per_host": "auto"}}}, 100),
        ({"per_host": 4, "host": {"a.example": {"per_host": "auto"}}}, AUTO_PER_HOST),
        ({"per_host": 0, "host": {"a.example": {"per_host": "auto"}}}, 0),
    ],
)
def test_the_connector_allows_what_the_scheduler_may_find(
    settings: dict[str, object], most: int
) -> None:
    assert Config(**settings).connections_per_host == most  # type: ignore[arg-type]


def test_each_worker_finds_for_its_own_hosts() -> None:
    config = Config(limit="auto", per_host="auto", workers=4)
    assert worker_count(config) == 4
    parts = shares(config, 4096)
    assert [part.limit for part in parts] == [1024] * 4
    assert sum(part.owns("h.example") for part in parts) == 1


def test_a_plan_assumes_the_most_that_may_be_found() -> None:
    config = Config(limit="auto", per_host="auto")
    assert Pace.of(config).per_second(0.5) == AUTO_PER_HOST / 0.5
    assert machine_rate(config, 1e9, 0.5) == LIMIT / 0.5


def test_anything_else_is_refused_and_auto_is_named() -> None:
    with pytest.raises(ConfigError, match="a whole number from 0 to 65535, or auto"):
        Config(per_host="fast")  # type: ignore[arg-type]


# --- what is told


def test_a_run_says_at_its_start_what_it_will_find() -> None:
    heading = Heading("urls.txt", limit=4096, per_host=64, finds_limit=True, finds_per_host=True)
    assert bounds(heading) == ["auto at once", "auto per host"]


def test_a_run_says_at_its_end_what_it_has_found() -> None:
    found = Found(400, 2, 34)
    summary = msgspec.structs.replace(DONE, found=found)
    assert "found 2-34 per host, found 400 at once" in end_line(summary, UNICODE)
    assert "limits found 2-34 per host · 400 at once" in " ".join(
        " ".join(summed_up(summary, 120)).split()
    )
    assert limits_found(Found(None, 8, 8)) == ["8 per host"]
    assert limits_found(Found()) == []


def test_what_several_workers_have_found_is_put_together() -> None:
    assert Found(400, 2, 8) | Found(300, 4, 34) == Found(700, 2, 34)
    assert Found() | Found(None, 3, 3) | Found() == Found(None, 3, 3)

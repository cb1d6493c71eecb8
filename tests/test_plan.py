"""`fetchpool plan`: counts in flat memory, the arithmetic of a plan, its screens, the program."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from itertools import pairwise
from math import inf
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.cli.plan import Asked, plan_lines
from fetchpool.cli.screens import Screen
from fetchpool.config import Config
from fetchpool.config.plan_settings import PlanSettings
from fetchpool.reporting.terminal.terminal import ASCII, UNICODE
from fetchpool.run.planning import Pace, Plan, Read, plan_for
from fetchpool.run.planning.counts import HostCounts
from fetchpool.run.planning.fluid import Crowd, moments, time_to_read
from fetchpool.run.planning.pace import machine_rate
from fetchpool.run.planning.plan import PARTS, Assumed
from fetchpool.sources import open_sources, sample
from fetchpool.sources.sample import places
from tests.harness import run_fetchpool

WIDE = Screen(columns=80, glyphs=UNICODE, colour=False, longest_name=77)
NARROW = Screen(columns=40, glyphs=ASCII, colour=False, longest_name=37)
HOUR = 3600
TEN = Pace(10, 0.0)
ASSUMED = Assumed(2000.0, 0.5)


def counted(**hosts: float) -> HostCounts:
    """Return counts of hosts, `big_example=5` for big.example."""
    counts = HostCounts(1000)
    for name, urls in hosts.items():
        counts.add(name.replace("_", "."), urls)
    return counts


# -- counting


@given(st.lists(st.integers(0, 40), max_size=400), st.integers(1, 20))
def test_law_a_count_is_never_too_large_and_too_small_by_no_more_than_is_said(
    hosts: list[int], most: int
) -> None:
    counts, true = HostCounts(most), Counter(map(str, hosts))
    for host in map(str, hosts):
        counts.add(host, 1)
        assert len(counts.counts) <= 2 * most
    assert counts.total == len(hosts)
    assert counts.error <= len(hosts) / (most + 1)
    for host, urls in true.items():
        assert 0 <= urls - counts.counts.get(host, 0) <= counts.error
    if len(true) <= 2 * most:
        assert counts.counts == true


@given(st.integers(1, 500), st.data())
def test_law_places_of_a_sample_are_each_another_and_all_over_the_file(
    total: int, data: st.DataObject
) -> None:
    count = data.draw(st.integers(1, total))
    found = list(places(total, count))
    assert len(set(found)) == count
    assert found == sorted(found)
    assert found[0] >= 0
    assert found[-1] < total
    # One in each stretch, so that none is longer than two without a place.
    assert all(b - a <= 2 * total / count + 1 for a, b in pairwise(found))


@pytest.fixture
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of less than a megabyte."""
    monkeypatch.setattr(sample, "LEAST_BYTES", 1)


def test_sample_has_whole_lines_and_stands_for_all(tmp_path: Path, small_samples: None) -> None:
    # Lines of all lengths, some longer than a place of the file.
    lines = [f"http://h{n % 7}.example/{n}/{'x' * (n * 37 % 9000)}" for n in range(2000)]
    path = tmp_path / "list"
    path.write_text("\n".join(lines))
    for share in (0.05, 0.3, 1.0):
        with open_sources([str(path)], None) as lists:
            found = [
                (request.url, weight)
                for batch, weight in lists.sampled(share)
                for request in batch.requests
            ]
        urls = [url for url, _ in found]
        assert set(urls) <= set(lines)
        assert len(set(urls)) == len(urls)
        estimate = sum(weight for _, weight in found)
        assert estimate == pytest.approx(len(lines), rel=0.15)
        assert len(urls) < 2 * share * len(lines)
    assert urls == lines


def test_what_is_no_plain_file_is_read_whole(tmp_path: Path, small_samples: None) -> None:
    text = "".join(f"http://h.example/{n}\n" for n in range(5000))
    (tmp_path / "packed.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "table.csv").write_text("n;url\n" + text.replace("http", "1;http"))
    (tmp_path / "plain").write_text(f"url\n{text}")
    names = [str(tmp_path / name) for name in ("packed.gz", "table.csv", "plain")]
    with open_sources([*names, "http://h.example/alone"], None, reading=Config().reading) as lists:
        weights = Counter(weight for batch, weight in lists.sampled(0.1) for _ in batch.requests)
    assert weights[1.0] == 10_001
    (other,) = set(weights) - {1.0}
    assert other * weights[other] == pytest.approx(5000, rel=0.1)


# -- the arithmetic


@pytest.mark.parametrize(
    ("pace", "per_second", "raised"),
    [
        (Pace(10, 0.0), 20.0, Pace(100, 0.0)),
        (Pace(10, 1.0), 1.0, Pace(10, 10.0)),
        (Pace(10, 5.0), 5.0, Pace(25, 50.0)),
        (Pace(1, 40.0), 2.0, Pace(10, 40.0)),
        (Pace(0, 3.0), 3.0, Pace(0, 30.0)),
    ],
)
def test_limits_of_a_host_come_to_a_pace(pace: Pace, per_second: float, raised: Pace) -> None:
    assert pace.per_second(0.5) == per_second
    assert pace.raised(10, 0.5) == raised
    assert raised.per_second(0.5) == 10 * per_second


def test_machine_makes_no_more_than_its_limit_allows() -> None:
    assert Pace(0, 0.0).per_second(0.5) == inf
    assert machine_rate(Config(), 2000, 0.5) == 200
    assert machine_rate(Config(limit=1000), 2000, 0.5) == 2000
    assert machine_rate(Config(limit=0), 2000, 4.0) == 1024


def test_hosts_that_keep_up_end_with_the_list_and_others_at_their_pace() -> None:
    # 1,000 URLs at 1/s beside 9,000 of others, at 91/s in all: these have 90/s, 100 s.
    slow, others = Crowd(1000, 1.0, 1), Crowd(90, inf, 100)
    assert time_to_read([slow, others], 91) == pytest.approx(100)
    found = moments([slow, others], 91, [0.455, 0.91, 0.955, 1.0])
    assert found == pytest.approx([50, 100, 550, 1000])
    # Nothing but slow hosts: the list is read at once.
    assert time_to_read([Crowd(10, 1.0, 4), Crowd(20, 1.0, 1)], 100) == 0
    assert moments([Crowd(10, 1.0, 4), Crowd(20, 1.0, 1)], 100, [0.5, 1.0]) == [6.0, 20.0]


CROWDS = st.lists(
    st.builds(
        Crowd,
        st.integers(1, 10_000).map(float),
        st.sampled_from([0.01, 1.0, 20.0, 2000.0, inf]),
        st.integers(1, 1000).map(float),
    ),
    min_size=1,
    max_size=8,
)


@given(CROWDS, st.floats(0.1, 1e6))
def test_law_nothing_is_faster_than_its_bounds_and_the_end_is_at_the_larger_one(
    crowds: list[Crowd], capacity: float
) -> None:
    times = moments(crowds, capacity, PARTS)
    urls = sum(crowd.all_urls for crowd in crowds)
    bound = max(urls / capacity, *(crowd.alone for crowd in crowds), 0.0)
    assert times == sorted(times)
    assert times[-1] == pytest.approx(bound, rel=1e-6)
    for part, time in zip(PARTS, times, strict=True):
        assert time >= part * urls / capacity * (1 - 1e-6)
    slower = moments(crowds, capacity / 2, PARTS)
    assert all(b >= a * (1 - 1e-6) for a, b in zip(times, slower, strict=True))


def test_biggest_host_says_how_many_machines_make_sense() -> None:
    counts = {TEN: counted(big_example=720_000, second_example=86_400, rest=0)}
    counts[TEN].total = 1e9  # of hosts that were forgotten
    counts[TEN].error = 5.0
    plan = plan_for(counts, ASSUMED)
    assert plan.bound == 10 * HOUR
    assert plan.bound_by is not None
    assert plan.bound_by.name == "big.example"
    assert plan.machines == 14  # 10^9 / (2,000/s × 36,000 s) = 13.9
    by_machines = {row.machines: row.seconds for row in plan.rows}
    assert by_machines[1][-1] == pytest.approx(1e9 / 2000)
    assert by_machines[14][-1] == pytest.approx(10 * HOUR)
    assert by_machines[32][-1] == pytest.approx(10 * HOUR)
    assert by_machines[32][1] < by_machines[14][1] / 2  # 90 % come sooner
    (change,) = plan.changes
    assert change.hosts == ("big.example",)
    assert change.pace == Pace(100, 0.0)
    assert change.bound == pytest.approx(1.2 * HOUR)
    assert change.machines == 116


def test_rate_of_the_run_may_be_the_bound() -> None:
    plan = plan_for({TEN: counted(a_example=100)}, Assumed(2000.0, 0.5, rate=2.0))
    assert (plan.bound, plan.bound_by, plan.machines) == (50.0, None, 1)
    assert plan.changes == ()


def test_host_without_a_limit_is_no_bound() -> None:
    free = Pace(0, 0.0)
    plan = plan_for({free: counted(a_example=1e6)}, ASSUMED)
    assert (plan.bound, plan.machines) == (0.0, None)
    assert plan.rows[-1].seconds[-1] == pytest.approx(plan.rows[0].seconds[-1] / 64)
    both = plan_for({free: counted(a_example=1e6), TEN: counted(b_example=2000)}, ASSUMED)
    assert both.bound == 100
    assert [host.name for host in both.biggest] == ["b.example", "a.example"]


def test_line_that_a_sample_has_once_is_no_host_of_a_hundred() -> None:
    slow = Pace(0, 0.01)
    plan = plan_for({slow: counted(**{f"h{n}": 100.0 for n in range(50)})}, ASSUMED, weight=100.0)
    assert plan.rows[0].seconds[-1] == 100  # one URL each, at one in 100 s


# -- the screens


def shown(plan: Plan, screen: Screen, config: Config | None = None, **read: int) -> list[str]:
    few = {"urls": 10_000_000, "refused": 0, "skipped": 0, "sitemaps": 0}
    what = Read("lists/urls.txt", **{**few, **read})
    return plan_lines(plan, what, Asked(config or Config(), PlanSettings()), screen)


def big_plan(weight: float = 1.0) -> Plan:
    name = f"a-very-long-name{'-of-a-host' * 5}.example"
    counts = {TEN: counted(big_example=720_000, **{name.replace(".", "_"): 3_000.0})}
    counts[TEN].total = 1e9
    counts[TEN].error = 5.0
    return plan_for(counts, Assumed(200.0, 0.5), 47_500_000, weight)


def test_screen_says_what_bounds_the_list_and_what_would_change_it() -> None:
    lines = shown(big_plan(), WIDE, refused=1)
    text = " ".join(" ".join(lines).split())
    assert lines[0] == "lists/urls.txt: 1,000,000,000 URLs, over 47,500,000 hosts"
    assert lines[1] == "assumed: 0.5 s a request, 200/s a machine (--limit 100)"
    assert "No plan is faster than 10 h 00 min: big.example gets 20/s at most (10 at once)." in text
    assert "139 machines do it in that time" in text
    assert '  host."big.example".per-host = 100' in lines
    assert "    10 h 00 min → 1 h 00 min, 1,389 machines" in lines
    assert "With --limit 1000 a machine may make 2,000/s, and 14 machines would be enough" in text
    assert "counts may be up to 5 URLs too small." in text
    assert "1 line is no URL and not counted." in text
    assert "--max-time" in text


@pytest.mark.parametrize("screen", [WIDE, NARROW])
def test_screen_fits(screen: Screen) -> None:
    for weight in (1.0, 100.0):
        for line in shown(big_plan(weight), screen):
            assert len(line) <= screen.columns or line.startswith('  host."'), line


def test_estimate_is_called_one() -> None:
    text = " ".join(shown(big_plan(100.0), WIDE))
    assert "about 1,000,000,000 URLs, over 47,500,000 hosts" in text
    assert "~720,000" in text
    assert "Estimated from 10,000,000 of the URLs (1.0 %): where it is" in " ".join(text.split())
    assert "±2.4 %" in " ".join(text.split())  # 2 / √7,200
    tiny = plan_for({TEN: counted(a_example=300)}, ASSUMED, weight=100.0)
    assert "take a larger --sample" in " ".join(" ".join(shown(tiny, WIDE)).split())


def test_sample_of_what_can_only_be_read_whole_is_said() -> None:
    plan = plan_for({TEN: counted(a_example=300)}, ASSUMED)
    asked = Asked(Config(), PlanSettings(sample=0.01))
    read = Read("urls.csv", urls=300, refused=0, skipped=0, sitemaps=0)
    text = " ".join(" ".join(plan_lines(plan, read, asked, WIDE)).split())
    assert "Read whole: --sample is for plain files" in text
    assert "~" not in text


def test_list_without_a_url_has_no_plan() -> None:
    lines = shown(plan_for({TEN: counted()}, ASSUMED), WIDE)
    assert lines[0] == "lists/urls.txt: no URL to plan for"
    assert len(lines) == 2


# -- the program


def test_program_plans_with_the_rules_of_the_file(tmp_path: Path) -> None:
    urls = [f"http://big.example/{n}" for n in range(900)]
    urls += [f"https://Own.example:443/{n}" for n in range(100)] + ["no url", "# nothing"]
    (tmp_path / "list").write_text("\n".join(urls))
    (tmp_path / "rules.toml").write_text('host."own.example".host-rate = 0.5\nlimit = 1000\n')
    args = ["--config", "rules.toml", "--request-time", "1", "--rate-per-machine", "100"]
    done = run_fetchpool(["plan", "list", "--json", *args], cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    plan = json.loads(done.stdout)
    assert (plan["urls"], plan["hosts"], plan["exact"], plan["refused"]) == (1000, 2, True, 1)
    assert [(each["host"], each["seconds"]) for each in plan["biggest"]] == [
        ("own.example", 200.0),
        ("big.example", 90.0),
    ]
    assert (plan["bound"], plan["bound_by"], plan["machines"]) == (200.0, "own.example", 1)
    assert plan["changes"][0]["host_rate"] == 5
    # What it proposes is what the file takes.
    done = run_fetchpool(["plan", "list", *args], cwd=tmp_path)
    (rule,) = [line for line in done.stdout.splitlines() if line.startswith('  host."')]
    (tmp_path / "rules.toml").write_text(f"{rule}\nlimit = 1000\n")
    done = run_fetchpool(["plan", "list", "--json", *args], cwd=tmp_path)
    assert json.loads(done.stdout)["bound"] == 90.0


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["missing"], "no file 'missing'"),
        (["list", "--sample", "0%"], "--sample takes a part in percent"),
        (["list", "--sample", "0.1"], "try --sample 1%"),
        (["list", "--request-time", "0"], "--request-time takes seconds from 0.001"),
        (["list", "--rate-per-machine", "none"], "--rate-per-machine takes requests per second"),
    ],
)
def test_mistake_is_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    args: list[str], says: str,
) -> None:  # fmt: skip
    from fetchpool.cli.app import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "list").write_text("http://a.example/\n")
    assert main(["plan", *args, "--config", ""]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1

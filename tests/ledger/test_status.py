"""`read_status`: what a run directory holds, while it is written, damaged or copied away."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetchpool.output.ledger import NotARunError, read_status, status
from tests.ledger.runs import Run, append, urls


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    run.write_list(*urls("a", "b", "c", "d"))
    run.failing = set(urls("b", "d"))
    return run


def test_finished_run_is_summed_up(run: Run) -> None:
    run.get()
    found = read_status(run.dest)
    assert (found.phase, found.requests, found.left, found.damaged) == ("finished", 4, 0, 0)
    assert (found.totals.records, found.totals.ok, found.totals.bytes) == (4, 2, 40)
    assert found.totals.failed == {"503": 2}
    assert found.sources == ("list.txt",)
    assert found.started_at is not None
    assert [(row.host, row.failures, row.failed) for row in found.hosts] == [("h", 2, {"503": 2})]


def test_stopped_run_does_not_know_what_is_left_until_the_list_was_read(run: Run) -> None:
    run.get(stop_after=1)
    found = read_status(run.dest)
    assert (found.phase, found.totals.records, found.left) == ("stopped", 1, None)


def test_running_run_is_told_and_not_disturbed(run: Run) -> None:
    with run.open() as directory:
        ledger = directory.settle(run.requests).ledger
        ledger.expect(4)
        append(ledger, [run.fetch(request) for request in run.requests()[:3]])
        with run.ledger.open("ab") as half_written:
            half_written.write(b'{"seq":4,')
        found = read_status(run.dest)
    assert (found.phase, found.totals.records, found.left) == ("running", 3, 1)
    assert found.damaged == 0


def test_damage_is_counted(run: Run) -> None:
    run.get()
    first, *others = run.ledger.read_bytes().splitlines(keepends=True)
    run.ledger.write_bytes(b"\xff" + first + b"".join(others))
    (run.dest / ".fetchpool" / "state.json").write_bytes(b"\0\0")
    found = read_status(run.dest)
    assert (found.phase, found.damaged, found.totals.records) == ("unknown", 1, 3)
    assert found.left is None


def test_records_alone_are_enough(run: Run) -> None:
    run.get()
    other = run.root / "copy"
    other.mkdir()
    run.ledger.rename(other / "results.jsonl")
    assert read_status(other).totals.records == 4


@pytest.mark.parametrize("name", ["missing", "empty", "list.txt"])
def test_what_is_no_run_is_an_error(run: Run, name: str) -> None:
    (run.root / "empty").mkdir()
    with pytest.raises(NotARunError, match="holds no run"):
        read_status(run.root / name)


def test_status_changes_nothing(run: Run) -> None:
    run.get(stop_after=2)
    before = {path: path.stat() for path in run.dest.rglob("*")}
    read_status(run.dest)
    after = {path: path.stat() for path in run.dest.rglob("*")}
    assert {p: (s.st_mtime_ns, s.st_size) for p, s in after.items()} == {
        p: (s.st_mtime_ns, s.st_size) for p, s in before.items()
    }


def test_worst_hosts_are_found_among_more_than_are_counted(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "_HOSTS_COUNTED", 5)
    lines = [f"http://h{number % 40}/" for number in range(200)] + ["http://bad/"] * 60
    lines = [line for pair in zip(lines, reversed(lines), strict=True) for line in pair]
    run.failing = set(lines)
    run.write_list(*lines, "no url", "http://h/ok")
    run.failing.add("no url")
    run.get()
    found = read_status(run.dest)
    assert found.partial
    assert found.hosts[0].host == "bad"
    assert found.totals.records == 522

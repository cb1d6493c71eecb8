"""The table of "the same command again", cell by cell, and on a run directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetchpool.model.values import FailureKind, Outcome, Request
from fetchpool.output.ledger import Flag, Kept, Previous, decide
from tests.ledger.runs import Run, outcome, urls

TABLE = {
    (Previous.STOPPED, Flag.PLAIN): Kept.ALL,
    (Previous.STOPPED, Flag.RETRY_FAILED): Kept.OK,
    (Previous.STOPPED, Flag.ONCE): Kept.ALL,
    (Previous.STOPPED, Flag.FRESH): Kept.NOTHING,
    (Previous.FINISHED, Flag.PLAIN): Kept.NOTHING,
    (Previous.FINISHED, Flag.RETRY_FAILED): Kept.OK,
    (Previous.FINISHED, Flag.ONCE): Kept.ALL,
    (Previous.FINISHED, Flag.FRESH): Kept.NOTHING,
    **{(Previous.NONE, flag): Kept.NOTHING for flag in Flag},
}


@pytest.mark.parametrize(("previous", "flag"), TABLE)
def test_table_is_the_one_of_the_manual(previous: Previous, flag: Flag) -> None:
    assert decide(previous, flag) is TABLE[previous, flag]


LIST = urls("ok1", "bad1", "ok2", "bad2", "ok3", "ok4")
BEFORE_STOP = 4


@pytest.mark.parametrize("way", ["same file", "other file", "pipe"])
@pytest.mark.parametrize("flag", Flag)
@pytest.mark.parametrize("previous", Previous)
def test_directory_keeps_what_the_table_says(
    tmp_path: Path, previous: Previous, flag: Flag, way: str
) -> None:
    run = Run(tmp_path)
    run.failing = set(urls("bad1", "bad2"))
    run.write_list(*LIST)
    if previous is not Previous.NONE:
        finished = previous is Previous.FINISHED
        pipe = LIST if finished and way == "pipe" else None  # else it would be another list's
        run.get(stop_after=None if finished else BEFORE_STOP, pipe=pipe)
    had = [record["url"] for record in run.records()] if previous is not Previous.NONE else []
    kept = {
        Kept.NOTHING: [],
        Kept.OK: [url for url in had if url not in run.failing],
        Kept.ALL: had,
    }[TABLE[previous, flag]]

    run.fetched.clear()
    today = LIST
    if way != "same file":
        today = ["# first a comment", *reversed(LIST), *urls("new")]
        run.write_list(*today)
    assert run.get(flag, pipe=today if way == "pipe" else None)

    assert sorted(run.fetched) == sorted(set(run.expected(today).values()) - set(kept))
    assert run.by_seq() == run.expected(today)
    assert set(run.fetched.values()) == {1} or not run.fetched


@pytest.mark.parametrize("flag", [Flag.PLAIN, Flag.FRESH])
def test_new_run_keeps_the_old_records_aside(tmp_path: Path, flag: Flag) -> None:
    run = Run(tmp_path)
    run.write_list(*LIST)
    run.get()
    old = run.ledger.read_bytes()
    run.get(flag)
    assert (run.dest / ".fetchpool" / "previous.jsonl").read_bytes() == old


@pytest.mark.parametrize(
    ("kinds", "again"),
    [
        ((), {"dns", "t", "404", "503"}),
        (("timeout",), {"t"}),
        (("status:5xx", "dns"), {"dns", "503"}),
        (("status:404",), {"404"}),
        (("status",), {"404", "503"}),
    ],
)
def test_retry_kinds_say_which_failures_are_meant(
    tmp_path: Path, kinds: tuple[str, ...], again: set[str]
) -> None:
    failures = {
        "dns": (FailureKind.DNS, None),
        "t": (FailureKind.TIMEOUT, None),
        "404": (FailureKind.STATUS, 404),
        "503": (FailureKind.STATUS, 503),
    }
    run = _FailingRun(tmp_path, failures)
    run.write_list(*urls("ok", *failures))
    run.get()
    run.fetched.clear()
    run.get(Flag.RETRY_FAILED, retry_kinds=kinds)
    assert set(run.fetched) == set(urls(*again))


class _FailingRun(Run):
    """Its URLs fail as their last part says."""

    def __init__(self, root: Path, failures: dict[str, tuple[FailureKind, int | None]]) -> None:
        super().__init__(root)
        self._failures = failures

    def answer(self, request: Request) -> Outcome:
        name = request.url.rpartition("/")[2]
        if name not in self._failures:
            return outcome(request)
        error, status = self._failures[name]
        return outcome(request, ok=False, error=error, status=status)

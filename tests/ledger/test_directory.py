"""A run directory: who may have it, what in it is foreign, what can be gone on with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fetchpool.output.ledger import (
    BodyOptions,
    CannotGoOnError,
    DirectoryBusyError,
    Flag,
    OutputError,
    Previous,
)
from tests.ledger.runs import Run, append, urls, whole_lines

HASHED = BodyOptions(hash=True)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    run.write_list(*urls("a", "b", "c"))
    return run


def test_second_run_is_refused_while_the_first_is_on(run: Run) -> None:
    with run.open(), pytest.raises(DirectoryBusyError, match="another run holds"):
        run.open()
    run.open().close()


def test_lock_is_free_when_its_process_is_killed(run: Run) -> None:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from fetchpool.output.ledger import RunDirectory, RunOptions\n"
        "from fetchpool.output.ledger.layout import Layout\n"
        "layout = Layout(Path(sys.argv[1]))\n"
        "held = RunDirectory.open(layout, RunOptions(), named=True, sources=['-'])\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(run.dest)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(DirectoryBusyError):
            run.open()
        process.kill()
        process.wait()
    run.open().close()


def test_refused_run_leaves_no_lock_behind(run: Run) -> None:
    run.get(stop_after=1)
    with pytest.raises(CannotGoOnError):
        run.open(body=HASHED)
    run.open().close()


@pytest.mark.parametrize("flag", [Flag.PLAIN, Flag.RETRY_FAILED, Flag.ONCE])
@pytest.mark.parametrize("body", [HASHED, BodyOptions(no_body=True), BodyOptions(keep_errors=True)])
def test_stopped_run_of_other_body_options_is_not_gone_on_with(
    run: Run, flag: Flag, body: BodyOptions
) -> None:
    run.get(stop_after=1)
    before = run.ledger.read_bytes()
    with pytest.raises(CannotGoOnError, match="--fresh") as caught:
        run.open(flag, body=body)
    assert str(body) in str(caught.value)
    assert run.ledger.read_bytes() == before


def test_fresh_and_finished_runs_may_have_other_body_options(run: Run) -> None:
    run.get(stop_after=1)
    assert run.get(Flag.FRESH, body=HASHED)
    assert run.get(Flag.ONCE)
    assert run.get(body=HASHED)


def test_stopped_run_of_other_sources_is_not_gone_on_with_unless_dest_was_named(run: Run) -> None:
    run.get(stop_after=1)
    other = run.root / "other.txt"
    other.write_text("http://h/a\n")
    with pytest.raises(CannotGoOnError, match=r"list\.txt.*--output.*--fresh"):
        run.open(named=False, sources=[str(other)])
    run.open(named=False, sources=[str(other)], flag=Flag.FRESH).close()
    run.open(named=True, sources=[str(other)]).close()


def test_same_list_by_another_path_is_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.get(stop_after=1)
    monkeypatch.chdir(run.root)
    run.open(named=False, sources=["./list.txt"]).close()


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("flag", [Flag.PLAIN, Flag.RETRY_FAILED, Flag.ONCE])
def test_finished_run_of_other_sources_is_replaced_with_fresh_only(
    run: Run, flag: Flag, named: bool
) -> None:
    run.get()
    before = run.ledger.read_bytes()
    other = run.root / "other.txt"
    other.write_text("http://h/a\n")
    for sources in (["-"], [str(other)], ["http://h/a"], [str(other), "-"]):
        with pytest.raises(CannotGoOnError, match=r"list\.txt.*--add.*--fresh"):
            run.open(flag, named=named, sources=sources)
    assert run.ledger.read_bytes() == before
    run.open(Flag.FRESH, named=named, sources=["-"]).close()


def test_finished_run_is_begun_anew_with_its_own_list_and_others(run: Run) -> None:
    run.get()
    run.write_list(*urls("x"))
    run.open().close()
    run.open(sources=["http://h/first", str(run.list)]).close()


def test_run_whose_last_record_was_written_is_finished_though_nobody_said_so(run: Run) -> None:
    with run.open() as directory:
        ledger = directory.settle(run.requests).ledger
        ledger.expect(3)
        append(ledger, [run.fetch(request) for request in run.requests()])
    with run.open() as directory:
        assert directory.previous is Previous.FINISHED


def test_taking_a_record_from_a_finished_ledger_makes_it_stopped(run: Run) -> None:
    run.get()
    run.ledger.write_bytes(b"".join(run.ledger.read_bytes().splitlines(keepends=True)[:2]))
    run.fetched.clear()
    assert run.get()
    assert list(run.fetched) == ["http://h/c"]


def test_copied_directory_is_the_same_run(run: Run) -> None:
    run.get()
    run.dest.rename(run.root / "moved")
    subprocess.run(["cp", "-r", run.root / "moved", run.dest], check=True)
    with run.open() as directory:
        assert directory.previous is Previous.FINISHED


@pytest.mark.parametrize("lost", ["state.json", "checkpoint", "foreign", "lock"])
@pytest.mark.parametrize("how", ["deleted", "emptied", "garbage"])
def test_lost_private_file_costs_no_record(run: Run, lost: str, how: str) -> None:
    run.get(stop_after=2)
    path = run.dest / ".fetchpool" / lost
    match how:
        case "deleted":
            path.unlink()
        case "emptied":
            path.write_bytes(b"")
        case _:
            path.write_bytes(b"\xff{garbage" * 99)
            if lost == "foreign":
                with pytest.raises(OutputError, match="not a database"):
                    run.open()
                return
    assert run.get()
    assert set(run.fetched.values()) == {1}
    assert run.by_seq() == run.expected()


def test_names_that_were_there_are_foreign_and_later_ones_are_not(run: Run) -> None:
    (run.dest / "h" / "sub").mkdir(parents=True)
    (run.dest / "h" / "Olo\u0301.html").write_text("mine")
    (run.dest / "link").symlink_to("nowhere")
    (run.dest / os.fsdecode(b"\xff")).write_text("mine")
    with run.open() as directory:
        (run.dest / "h" / "new.html").write_text("ours")
        for name in ("h/Olo\u0301.html", "h/OL\u00d3.HTML", "h/sub", "link", "\udcff"):
            assert directory.is_foreign(name), name
        for name in ("h/new.html", "h/sub/x", ".fetchpool/lock", "results.jsonl"):
            assert not directory.is_foreign(name), name
    with run.open() as directory:
        assert directory.is_foreign("h/olo\u0301.html")
        assert not directory.is_foreign("h/new.html")


def test_nothing_is_foreign_in_a_directory_of_our_own(run: Run) -> None:
    with run.open() as directory:
        assert not directory.is_foreign("h/a")
    assert (run.dest / ".fetchpool" / "foreign").stat().st_size == 0


def test_snapshot_that_was_cut_off_is_taken_again(run: Run) -> None:
    private = run.dest / ".fetchpool"
    private.mkdir(parents=True)
    (run.dest / "theirs").write_text("mine")
    (private / "foreign.new").write_bytes(b"half a database")
    with run.open() as directory:
        assert directory.is_foreign("theirs")


@pytest.mark.parametrize("private", [False, True])
def test_strangers_results_are_never_touched(run: Run, private: bool) -> None:
    run.dest.mkdir()
    run.ledger.write_text("somebody's\n")
    if private:
        (run.dest / ".fetchpool").mkdir()
    for _ in range(2):
        with pytest.raises(OutputError, match="not fetchpool's"):
            run.open()
    assert run.ledger.read_text() == "somebody's\n"
    assert private or os.listdir(run.dest) == ["results.jsonl"]


def test_file_in_the_place_of_dest_is_an_output_error(run: Run) -> None:
    run.dest.write_text("")
    with pytest.raises(OutputError, match="--output needs a directory"):
        run.open()


@pytest.mark.parametrize("kind", ["file", "symlink"])
def test_private_directory_that_is_none_is_an_output_error(run: Run, kind: str) -> None:
    run.dest.mkdir()
    if kind == "file":
        (run.dest / ".fetchpool").write_text("")
    else:
        (run.dest / ".fetchpool").symlink_to(run.root)
    with pytest.raises(OutputError, match="no directory"):
        run.open()


def test_uncreatable_dest_is_an_output_error(run: Run) -> None:
    run.dest = run.list / "dest"
    with pytest.raises(OutputError, match=r"list\.txt"):
        run.open()


def test_read_only_dest_is_an_output_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(run.dest))

    monkeypatch.setattr(os, "mkdir", refuse)  # chmod would not stop root
    with pytest.raises(OutputError, match="Permission denied"):
        run.open()


def test_dest_is_made_with_its_parents(run: Run) -> None:
    run.dest = run.root / "a" / "b"
    assert run.get()


def test_lines_that_are_no_records_are_left_out_and_fetched(run: Run) -> None:
    run.get(stop_after=2)
    first, second = whole_lines(run.ledger)
    run.ledger.write_bytes(first + b"\n" + b"\0" * 50 + b"\nhello\n" + first + b"\n" + second[:-9])
    run.fetched.clear()
    assert run.get()
    assert sorted(run.fetched) == urls("b", "c")
    assert run.by_seq() == run.expected()


def test_deleted_ledger_is_a_run_from_the_start(run: Run) -> None:
    run.get(stop_after=2)
    run.ledger.unlink()
    run.fetched.clear()
    assert run.get(body=HASHED)
    assert sorted(run.fetched) == urls("a", "b", "c")

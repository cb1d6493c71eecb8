"""`fetchpool status`: the table, the JSON object, and what is not there to be read."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from fetchpool.cli.screens import Screen
from fetchpool.cli.status import show_status, status_lines, status_object
from fetchpool.model.exits import ExitStatus
from fetchpool.output.ledger import HostFailures, Record, RunStatus, Totals, encode, read_status
from fetchpool.reporting.terminal.terminal import ASCII, UNICODE
from tests.harness import fetchpool_in_pty, run_fetchpool
from tests.ledger.runs import Run, append, outcome, urls

WIDE = Screen(columns=80, glyphs=UNICODE, colour=False, longest_name=77)
NARROW = Screen(columns=40, glyphs=ASCII, colour=False, longest_name=37)
ESC = "\x1b[31m"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    run.write_list(*urls("a", "b", "c", "d"))
    run.failing = set(urls("b", "d"))
    return run


def status(**changes: Any) -> RunStatus:
    """Return the status of a large run that was stopped."""
    fields: dict[str, Any] = {
        "phase": "stopped",
        "sources": ("urls.txt",),
        "started_at": 1_700_000_000.0,
        "totals": Totals(12_204, 12_101, {"404": 81, "timeout": 22}, 66_100_000, 9_000_000),
        "requests": 20_000,
        "left": 7_796,
        "hosts": (
            HostFailures("archive.example.org", 90, {"404": 81, "timeout": 9}),
            HostFailures("api.example.com", 13, {"timeout": 13}),
        ),
        "partial": False,
        "damaged": 0,
    }
    return RunStatus(**{**fields, **changes})


def table(found: RunStatus, screen: Screen = WIDE, dest: str = "urls.fetched") -> str:
    return "\n".join(status_lines(dest, found, 1_700_000_015.0, screen))


def shown_for(
    dest: Path | str, capsys: pytest.CaptureFixture[str], *, as_json: bool = False
) -> str:
    assert show_status(str(dest), as_json) == ExitStatus.OK
    out, err = capsys.readouterr()
    assert err == ""
    return out


# -- the table


def test_table_says_what_is_done_failed_and_left() -> None:
    lines = table(status()).splitlines()
    assert lines[0] == "urls.fetched   stopped before its end"
    assert lines[1].split() == ["list", "urls.txt"]
    assert lines[2].split()[0] == "started"
    assert [line.split() for line in lines[5:11]] == [
        ["ok", "12,101", "99.2", "%"],
        ["failed", "103", "0.8", "%"],
        ["404", "81"],
        ["timeout", "22"],
        ["left", "7,796"],
        ["bodies", "66.1", "MB"],
    ]
    assert "archive.example.org       90   404 81, timeout 9" in lines
    assert lines[-1] == "Run the same command again to go on."


def test_table_fits_forty_columns() -> None:
    hosts = (HostFailures("a-very-long-name." * 6 + "example.org", 1_234_567, {"503": 1_234_567}),)
    found = status(hosts=hosts, damaged=3, sources=("lists/" * 20 + "urls.txt",))
    text = table(found, NARROW)
    long_by_nature = [line for line in text.splitlines() if line.startswith("list ")]
    assert all(len(line) <= 40 for line in text.splitlines() if line not in long_by_nature), text
    assert "1,234,567" in text


def test_list_that_was_not_read_to_its_end_has_an_unknown_rest() -> None:
    assert "left               ?   the list was not read to its end" in table(
        status(requests=None, left=None)
    )


@pytest.mark.parametrize(
    ("phase", "failed", "advice"),
    [
        ("finished", {"404": 1}, "--retry-failed"),
        ("finished", {"404": 1, "input": 1}, "--retry-failed"),
        ("finished", {"blocked": 1}, ""),
        ("finished", {"input": 2}, "No line of the list"),
        ("finished", {}, ""),
        ("running", {"404": 1}, ""),
        ("stopped", {}, "again to go on"),
        ("unknown", {}, "again to go on"),
    ],
)
def test_next_step_fits_the_phase(phase: str, failed: dict[str, int], advice: str) -> None:
    totals = Totals(2, 2 - sum(failed.values()), failed, 1, 1)
    last = table(status(phase=phase, totals=totals, hosts=())).splitlines()[-1]
    assert advice in last
    assert ("again" in last) == ("again" in advice)
    assert ("--retry-failed" in last) == ("--retry-failed" in advice)


def test_next_step_names_the_list_that_was_stopped() -> None:
    last = table(status(sources=("a.txt", "b.txt"), unfinished=("a.txt",))).splitlines()[-1]
    assert last == "Run the command over a.txt again: it was stopped."


def test_records_without_their_directory_are_not_said_to_go_on(tmp_path: Path) -> None:
    """As `get` says, too: results.jsonl is not fetchpool's."""
    (tmp_path / "results.jsonl").write_bytes(b"")
    found = read_status(tmp_path)
    assert "No run can go on here" in table(found).splitlines()[-1]


def test_damage_and_incomplete_counts_are_said() -> None:
    text = table(status(damaged=1, partial=True))
    assert "1 line of results.jsonl can't be read" in text
    assert "90+   404" in text


def test_colour_is_only_for_failures() -> None:
    coloured = WIDE._replace(colour=True)
    red = [line for line in table(status(), coloured).splitlines() if "\x1b" in line]
    assert len(red) == 1
    assert "failed" in red[0]
    spotless = status(totals=Totals(1, 1, {}, 1, 1), hosts=())
    assert "\x1b" not in table(spotless, coloured)


def test_nothing_from_outside_reaches_the_terminal() -> None:
    evil = f"x{ESC}\u202e\x9b"
    found = status(
        sources=(evil, f"https://user:canary@h/{evil}", "-"),
        totals=Totals(1, 0, {evil: 1}, 1, 1),
        hosts=(HostFailures(evil, 1, {evil: 1}),),
    )
    text = table(found, dest=evil)
    assert text.replace("\n", "").isprintable()
    assert "canary" not in text
    assert "standard input" in text


def test_many_lists_are_counted_not_shown() -> None:
    text = table(status(sources=tuple(f"{n}.txt" for n in range(1000))))
    assert "4.txt" in text
    assert "5.txt" not in text
    assert "and 995 more" in text
    piped = status(sources=("a.txt", *("-",) * 6, "b.txt"), more_sources=92)
    lists = [line[13:] for line in table(piped).splitlines()[1:5]]
    assert lists == ["a.txt", "standard input (6 times)", "b.txt", "and 92 more"]


def test_moment_no_calendar_has_is_left_out() -> None:
    assert "started" not in table(status(started_at=1e300))


# -- real directories


def test_finished_run_is_shown(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.get()
    out = shown_for(run.dest, capsys)
    assert "finished" in out
    assert ["503", "2"] in [line.split() for line in out.splitlines()]
    assert "--retry-failed" in out


def test_run_that_is_on_is_shown(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with run.open() as directory:
        ledger = directory.settle(run.requests).ledger
        answered = run.requests()[:3]
        append(ledger, [encode(Record.of(outcome(request))) for request in answered])
        assert "a run is on right now" in shown_for(run.dest, capsys)
        found = json.loads(shown_for(run.dest, capsys, as_json=True))
    assert (found["phase"], found["records"]) == ("running", 3)


def test_damaged_directory_is_shown(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.get()
    run.ledger.write_bytes(b"\0" * 9 + b"\n" + run.ledger.read_bytes() + b'{"seq":')
    (run.dest / ".fetchpool" / "state.json").write_text("[]")
    out = shown_for(run.dest, capsys)
    assert "only the records are left" in out
    assert "1 line of results.jsonl" in out


def test_json_is_one_object_with_every_number(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.get()
    out = shown_for(run.dest, capsys, as_json=True)
    assert out.count("\n") == 1
    found = json.loads(out)
    moments = [found.pop(key) for key in ("started_at", "last_record_at")]
    assert all(moment.endswith("Z") for moment in moments)
    assert found == {
        "dest": str(run.dest),
        "phase": "finished",
        "sources": ["list.txt"],
        "urls": 4,
        "records": 4,
        "ok": 2,
        "failed": 2,
        "failed_by": {"503": 2},
        "left": 0,
        "bytes": 40,
        "wire_bytes": 28,
        "worst_hosts": [{"host": "h", "failed": 2, "failed_by": {"503": 2}}],
        "worst_hosts_partial": False,
        "damaged_lines": 0,
        "more_sources": 0,
    }


def test_json_is_valid_whatever_the_names_are() -> None:
    found = status_object("x\udcff\x1b", status(sources=(ESC,)), None)
    text = json.dumps(found)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text)["dest"] == "x?\x1b"
    assert json.loads(text)["last_record_at"] is None


# -- what can't be read or written


@pytest.mark.parametrize("name", ["missing", "list.txt", "", "a\0b", f"a{ESC}"])
def test_what_is_no_run_is_one_line_and_exit_status_2(
    name: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show_status(str(run.root / name), as_json=True) == ExitStatus.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fetchpool: ")
    assert err.removesuffix("\n").isprintable()


def test_ledger_that_can_not_be_read_is_exit_status_2(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (run.dest / "results.jsonl").mkdir(parents=True)
    assert show_status(str(run.dest), as_json=False) == ExitStatus.USAGE
    assert "is a directory" in capsys.readouterr().err.lower()


def test_output_that_lacks_characters_gets_escapes(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.get()
    named = run.dest.rename(run.root / "größe")
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert show_status(str(named), as_json=False) == ExitStatus.OK
    assert rb"gr\xf6\xdfe" in raw.getvalue()


def test_missing_standard_output_is_no_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.get()
    monkeypatch.setattr(sys, "stdout", None)
    assert show_status(str(run.dest), as_json=False) == ExitStatus.OK


class FullDisk(io.StringIO):
    """Takes nothing, as standard output on a full disk."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_standard_output_is_exit_status_74(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run.get()
    monkeypatch.setattr(sys, "stdout", FullDisk())
    assert show_status(str(run.dest), as_json=False) == ExitStatus.IO_ERROR
    assert "cannot write to standard output: No space left" in capsys.readouterr().err


# -- the program


def test_program_shows_a_plain_table_where_there_is_no_terminal(run: Run) -> None:
    run.get()
    result = run_fetchpool(["status", str(run.dest)], cwd=run.root)
    assert (result.returncode, result.stderr) == (0, "")
    assert "\x1b" not in result.stdout
    assert "finished" in result.stdout


def test_program_colours_a_terminal_unless_asked_not_to(run: Run) -> None:
    run.get()
    args = ["status", str(run.dest)]
    assert b"\x1b[31mfailed" in fetchpool_in_pty(args, cwd=run.root).output
    for env in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert b"\x1b" not in fetchpool_in_pty(args, cwd=run.root, env=env).output


@pytest.mark.parametrize(
    ("zone", "shown"), [("UTC", "UTC"), ("Asia/Kolkata", "+05:30"), ("EST5", "-05:00")]
)
def test_times_are_shown_with_their_zone(
    monkeypatch: pytest.MonkeyPatch, zone: str, shown: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        lines = table(status()).splitlines()
    finally:
        monkeypatch.undo()
        time.tzset()
    assert all(line.endswith(f" {shown}") for line in lines[2:4])

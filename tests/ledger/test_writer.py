"""The one writer: whole lines whatever the disk does; a checkpoint is not believed blindly."""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from fetchpool.output.ledger import (
    BodyOptions,
    Flag,
    Ledger,
    Previous,
    checkpoint,
    directory,
    writer,
)
from fetchpool.output.ledger.bitmap import Bitmap
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.standing import Standing
from fetchpool.output.ledger.state import State, read_state
from tests.ledger.runs import Run, append, urls, whole_lines


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path)
    run.write_list(*urls("a", "b", "c", "d", "e"))
    return run


def lines_of(run: Run) -> list[bytes]:
    return [run.fetch(request) for request in run.requests()]


Write = Callable[[int, bytes], int]


def _in_small_pieces(real: Write) -> Write:
    return lambda fd, data: real(fd, data[:100])


def _until_full(real: Write, space: int) -> Write:
    def write(fd: int, data: bytes) -> int:
        nonlocal space
        if not space:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = real(fd, data[:space])
        space -= done
        return done

    return write


def test_partial_writes_are_finished(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(run)
    with run.open() as run_directory:
        ledger = run_directory.settle(run.requests).ledger
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", _in_small_pieces(os.write))
            append(ledger, lines)
    assert run.ledger.read_bytes() == b"".join(lines)


def test_full_disk_leaves_whole_lines_that_count(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(run)
    space = len(lines[0]) + len(lines[1]) + 10
    with run.open() as run_directory:
        settled = run_directory.settle(run.requests)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", _until_full(os.write, space))
            with pytest.raises(OSError, match="No space left"):
                append(settled.ledger, lines)
        assert run.ledger.read_bytes() == lines[0] + lines[1]
        assert settled.ledger.totals.records == 2
        append(settled.ledger, lines[2:])
    assert run.ledger.read_bytes() == b"".join(lines)


def test_torn_line_that_cannot_be_cut_is_cut_later(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = lines_of(run)

    def failing(fd: int, size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with run.open() as run_directory:
        ledger = run_directory.settle(run.requests).ledger
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", _until_full(os.write, 10))
            patch.setattr(os, "ftruncate", failing)
            with pytest.raises(OSError, match="No space left"):
                append(ledger, lines)
            with pytest.raises(OSError, match="Input/output error"):
                append(ledger, lines)
        assert len(run.ledger.read_bytes()) == 10
        append(ledger, lines)
    assert run.ledger.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("how", ["removed", "replaced", "moved"])
def test_ledger_that_is_gone_is_an_error(run: Run, how: str) -> None:
    with run.open() as run_directory:
        ledger = run_directory.settle(run.requests).ledger
        match how:
            case "removed":
                run.ledger.unlink()
            case "replaced":
                run.ledger.rename(run.root / "elsewhere")
                run.ledger.write_bytes(b"")
            case _:
                run.dest.rename(run.root / "elsewhere")
        with pytest.raises(FileNotFoundError):
            append(ledger, lines_of(run))


def test_run_is_finished_only_if_all_lines_have_a_record(run: Run) -> None:
    with run.open() as run_directory:
        ledger = run_directory.settle(run.requests).ledger
        append(ledger, lines_of(run)[:4])
        assert not ledger.finish(5)
    with run.open() as run_directory:
        assert run_directory.previous is Previous.STOPPED


@pytest.mark.parametrize(("durability", "syncs"), [("none", 0), ("batch", 2), ("strict", 6)])
def test_durability_says_how_often_records_are_synced(
    run: Run, monkeypatch: pytest.MonkeyPatch, durability: str, syncs: int
) -> None:
    run.open().close()
    now = 0.0
    synced: list[int] = []
    monkeypatch.setattr(writer, "_fdatasync", synced.append)
    layout = Layout(run.dest)
    state = State("run", BodyOptions(), (), None, 0.0)
    ledger = Ledger(layout, state, Standing(), durability=durability, clock=lambda: now)  # type: ignore[arg-type]
    for line in lines_of(run) + lines_of(run)[:1]:
        append(ledger, [line])
        now += 0.4
    ledger.close()
    assert len(synced) == syncs


def test_checkpoint_spares_reading_the_ledger(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.get(stop_after=3)
    monkeypatch.setattr(directory, "READ_RATHER_THAN_TRUST", 0)
    monkeypatch.setattr(Standing, "read_on", _assert_read_to_the_end)
    with run.open() as run_directory:
        settled = run_directory.settle(run.requests)
    assert settled.done is not None
    assert [seq for seq in range(9) if seq in settled.done] == [1, 2, 3]
    assert settled.kept.records == settled.kept.ok == 3


def _assert_read_to_the_end(standing: Standing, path: Path) -> None:
    assert standing.offset == path.stat().st_size


def test_records_after_the_checkpoint_count(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "READ_RATHER_THAN_TRUST", 0)
    run.get(stop_after=2)
    path = run.dest / ".fetchpool" / "checkpoint"
    old = path.read_bytes()
    run.get(stop_after=2)
    path.write_bytes(old)
    run.failing = set(urls("e"))
    assert run.get()
    assert run.fetched == dict.fromkeys(urls("a", "b", "c", "d", "e"), 1)
    with run.open(Flag.ONCE) as run_directory:
        kept = run_directory.settle(run.requests).kept
    assert (kept.records, kept.ok, kept.failed) == (5, 4, {"503": 1})


def test_checkpoint_of_an_earlier_version_has_todays_label(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """URLs of hosts that were given up were counted as `status` there."""
    monkeypatch.setattr(directory, "READ_RATHER_THAN_TRUST", 0)
    run.failing = set(urls("a", "c"))
    run.get(stop_after=3)
    path = run.dest / ".fetchpool" / "checkpoint"
    old = path.read_bytes().replace(b'"failed":{"503":2}', b'"failed":{"status":2}')
    assert b'"status":2' in old
    path.write_bytes(_with_valid_checksum(old))
    with run.open() as run_directory:
        assert run_directory.settle(run.requests).kept.failed == {"given up": 2}


@pytest.mark.parametrize(
    "reason", ["newer than ledger", "other run", "other file", "flipped bit", "restarted", "edited"]
)
def test_checkpoint_that_does_not_fit_is_done_without(
    run: Run, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    monkeypatch.setattr(directory, "READ_RATHER_THAN_TRUST", 0)
    run.get(stop_after=3)
    path = run.dest / ".fetchpool" / "checkpoint"
    lines = run.ledger.read_bytes().splitlines(keepends=True)
    answered = urls("a", "b", "c")
    match reason:
        case "newer than ledger":
            os.truncate(run.ledger, len(lines[0]) + 20)
            answered = urls("a")
        case "other run":
            path.write_bytes(
                _with_valid_checksum(path.read_bytes().replace(b'"run":"', b'"run":"x'))
            )
        case "other file":
            run.ledger.rename(run.root / "old")
            run.ledger.write_bytes((run.root / "old").read_bytes())
        case "flipped bit":
            path.write_bytes(path.read_bytes()[:-1] + b"\1")
        case "restarted":
            monkeypatch.setattr(checkpoint, "boot_id", lambda: "another start of the system")
        case _:
            with run.ledger.open("r+b") as ledger:
                ledger.write(b"x" * (len(lines[0]) - 1))
            answered = urls("b", "c")
    layout = Layout(run.dest)
    state = read_state(layout.state)
    assert state is not None
    assert checkpoint.read_checkpoint(layout.checkpoint, layout.ledger, state.run) is None
    run.fetched.clear()
    assert run.get()
    assert sorted(run.fetched) == sorted(set(urls("a", "b", "c", "d", "e")) - set(answered))
    assert run.by_seq() == run.expected()


def _with_valid_checksum(content: bytes) -> bytes:
    return b"%08x " % zlib.crc32(content[9:]) + content[9:]


def test_checkpoint_of_synced_records_outlives_a_restart(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.get(stop_after=3, durability="batch")
    monkeypatch.setattr(checkpoint, "boot_id", lambda: "another start of the system")
    layout = Layout(run.dest)
    state = read_state(layout.state)
    assert state is not None
    standing = checkpoint.read_checkpoint(layout.checkpoint, layout.ledger, state.run)
    assert standing is not None
    assert standing.totals.records == 3


def test_checkpoint_that_cannot_be_written_is_no_error(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "write_checkpoint", failing)
    assert run.get()


def test_pipe_needs_no_memory_a_line(run: Run) -> None:
    with run.open(sources=["-"]) as run_directory:
        settled = run_directory.settle()
        append(settled.ledger, lines_of(run))
        assert settled.done is None
        assert settled.ledger.totals.records == 5
    assert len(whole_lines(run.ledger)) == 5


def test_checkpoint_at_the_start_waits_for_what_a_killed_run_did_not_sync(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.get(stop_after=3, durability="none")
    synced: list[int] = []
    monkeypatch.setattr(writer, "_fdatasync", synced.append)
    with run.open(durability="batch") as run_directory:
        run_directory.settle(run.requests)
        assert synced


def test_checkpoint_is_put_down_every_few_seconds(run: Run) -> None:
    now = 0.0
    run.open().close()
    layout = Layout(run.dest)
    state = State("run", BodyOptions(), (), None, 0.0)
    standing = Standing(done=Bitmap())
    ledger = Ledger(layout, state, standing, durability="none", clock=lambda: now)
    found = []
    for line in lines_of(run):
        append(ledger, [line])
        now += 2.0
        short_cut = checkpoint.read_checkpoint(layout.checkpoint, layout.ledger, "run")
        found.append(short_cut and short_cut.totals.records)
    ledger.close()
    assert found == [None, None, None, 4, 4]

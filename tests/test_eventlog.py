"""The log file: one event, one line, whatever comes."""

from __future__ import annotations

import errno
import re
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.urls import hiding
from fetchpool.reporting.event_log import EventLog, NullLog, open_event_log, timestamp

NOW = 1_763_845_315.123


def lines(path: Path) -> list[str]:
    # Not splitlines(): that would hide a stray U+2028.
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def test_event_is_time_name_and_fields(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log", clock=lambda: NOW)
    log.event("host-parked", host="api.example.com", seconds=14.0, why="429", ok=False, path=None)
    log.event("url-failed", url="https://h/?a=b", detail='say "hi" \\', n=3)
    assert lines(tmp_path / "log") == [
        "2025-11-22T21:01:55.123Z host-parked host=api.example.com seconds=14.0 why=429 ok=false",
        '2025-11-22T21:01:55.123Z url-failed url="https://h/?a=b" detail="say \\"hi\\" \\\\" n=3',
    ]
    log.close()


def test_timestamp_keeps_milliseconds() -> None:
    assert timestamp(0.0) == "1970-01-01T00:00:00.000Z"


@given(st.text())
def test_any_text_is_one_printable_line_that_can_be_read_back(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    log = EventLog(path, clock=lambda: NOW)
    log.event("warning", detail=text, after="end")
    log.close()
    (line,) = lines(path)
    assert line.isprintable()
    assert re.fullmatch(r'\S+ warning detail=(?:[^\s"=\\]+|"(?:[^"\\]|\\.)*") after=end', line)


def test_long_value_is_cut_without_opening_a_quote(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    for length in range(15_990, 16_010):
        log.event("warning", detail='"' * length)
    log.close()
    for line in lines(tmp_path / "log"):
        assert len(line) < 20_000
        assert re.fullmatch(r'\S+ warning detail="(?:[^"\\]|\\.)*"', line)


def test_userinfo_is_hidden_everywhere(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    log.event("url-failed", url="https://me:canary@h/a", detail="see http://me:canary@h/ there")
    log.crash("internal-error", ValueError("http://me:canary@h/ is odd"), url="http://h/")
    log.close()
    text = (tmp_path / "log").read_text(encoding="utf-8")
    assert "canary" not in text
    assert r"ValueError: http://***@h/ is odd" in text
    assert text.count("\n") == 2


def test_marked_values_are_hidden_everywhere(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    with hiding(["token"]):
        log.event("failed", url="https://h/?token=canary a", detail="/?token=canary", seq=1)
        log.crash("internal-error", ValueError("http://h/?a=1&token=canary&b is odd"))
    log.close()
    text = (tmp_path / "log").read_text(encoding="utf-8")
    assert "canary" not in text
    assert 'url="https://h/?token=***" detail="/?token=***" seq=1' in text
    assert "ValueError: http://h/?a=1&token=***&b is odd" in text


def test_log_survives_rotation(tmp_path: Path) -> None:
    path = tmp_path / "log"
    log = EventLog(path)
    log.event("first")
    path.rename(tmp_path / "log.1")
    log.event("second")
    path.unlink()
    log.event("third")
    log.close()
    assert lines(tmp_path / "log.1")[0].endswith(" first")
    assert [line.split()[-1] for line in lines(path)] == ["third"]


def test_log_is_appended_to(tmp_path: Path) -> None:
    for name in ("one", "two"):
        log = EventLog(tmp_path / "log")
        log.event(name)
        log.close()
    assert [line.split()[-1] for line in lines(tmp_path / "log")] == ["one", "two"]


def test_log_on_an_open_descriptor_goes_on_where_that_stands(tmp_path: Path) -> None:
    """`--log-file /dev/stderr`, where standard error is a file or, under systemd, a socket."""
    with (tmp_path / "log").open("wb", buffering=0) as file:
        file.write(b"before\n")
        log = open_event_log(f"/dev/fd/{file.fileno()}")
        log.event("one")
        file.write(b"between\n")
        log.event("two")
        log.close()
        file.write(b"behind\n")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        log = open_event_log(f"/dev/fd/{ours.fileno()}")
        log.event("three")
        log.close()
        assert theirs.recv(99).endswith(b" three\n")
    words = [line.split()[-1] for line in lines(tmp_path / "log")]
    assert words == ["before", "one", "between", "two", "behind"]


def test_log_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        open_event_log(tmp_path / "missing" / "log")


def test_folder_that_vanishes_is_noted_and_a_new_one_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    log = EventLog(folder / "log")
    (folder / "log").unlink()
    folder.rmdir()
    log.event("lost")
    assert log.trouble is not None
    assert log.trouble.errno == errno.ENOENT
    folder.mkdir()
    log.event("back")
    log.close()
    assert lines(folder / "log")[0].endswith(" back")
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_does_not_stop_the_run() -> None:
    log = EventLog("/dev/full")
    for _ in range(3):
        log.event("lost")
    log.close()
    assert log.trouble is not None
    assert log.trouble.errno == errno.ENOSPC


def test_closed_log_takes_no_more(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    log.close()
    log.event("late")
    log.close()
    assert (tmp_path / "log").read_text() == ""


def test_run_without_a_log_keeps_nothing() -> None:
    log = open_event_log(None)
    assert isinstance(log, NullLog)
    log.event("anything", a=1)
    log.crash("anything", ValueError())
    log.close()

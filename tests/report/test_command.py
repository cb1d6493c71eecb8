"""`fetchpool report` as a command: where it writes, what it refuses, which status it ends with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fetchpool.cli import app
from fetchpool.config import ConfigError, check_report
from fetchpool.model.exits import ExitStatus
from tests.harness import run_fetchpool
from tests.report.making import make_dest, record
from tests.servers.counting import CountingServer


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return make_dest(tmp_path / "run", [record(1), record(2, label="404")])


def refused(capsys: pytest.CaptureFixture[str], status: ExitStatus, *args: str | Path) -> str:
    """Return the one line of a command that is refused."""
    assert app.main(["report", *map(str, args)]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("output", "form", "wanted"),
    [
        ("a/report.html", None, "html"),
        ("R.HTM", None, "html"),
        ("summary.md", None, "markdown"),
        ("urls.xml", None, "junit"),
        ("urls.xml", "html", "html"),
        ("no-suffix", "markdown", "markdown"),
        ("-", "junit", "junit"),
        (None, "markdown", "markdown"),
    ],
)
def test_form_is_asked_for_or_that_of_the_name(
    output: str | None, form: str | None, wanted: str
) -> None:
    assert check_report(output, form) == (output or "-", wanted)


@pytest.mark.parametrize(
    ("output", "form", "said"),
    [
        (None, None, "-o report.html"),
        ("-", None, "--format"),
        ("report.pdf", None, ".html, .md or .xml"),
        ("report.html.gz", None, "pack it afterwards"),
        ("s3://bucket/report.html", None, "local file"),
        ("report.html", "pdf", "--format markdown"),
    ],
)
def test_other_forms_and_places_are_refused(
    output: str | None, form: str | None, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        check_report(output, form)


def test_file_is_replaced_in_one_step_and_keeps_its_mode(dest: Path, tmp_path: Path) -> None:
    output = tmp_path / "report.html"
    output.write_text("old")
    output.chmod(0o640)
    before = output.stat().st_ino
    assert app.main(["report", str(dest), "-o", str(output)]) == ExitStatus.OK
    assert output.read_text().startswith("<!doctype html>")
    assert output.stat().st_mode & 0o777 == 0o640
    assert output.stat().st_ino != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "run"]


def test_place_that_cannot_be_written_is_refused(
    dest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = tmp_path / "none" / "report.html"
    said = refused(capsys, ExitStatus.CANNOT_CREATE, dest, "-o", nowhere)
    assert said == f"fetchpool: cannot write {nowhere}: No such file or directory\n"


def test_ledger_is_not_overwritten(dest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (dest / "results.jsonl").read_bytes()
    ledger = dest / "results.jsonl"
    said = refused(capsys, ExitStatus.USAGE, dest, "-o", ledger, "--format", "html")
    assert "is the ledger itself" in said
    assert (dest / "results.jsonl").read_bytes() == before


def test_directory_without_a_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = tmp_path / "a\x1b[31m\nb"
    hostile.mkdir()
    for dest in (tmp_path, tmp_path / "none", hostile):
        said = refused(capsys, ExitStatus.USAGE, dest, "--format", "markdown")
        assert "holds no run" in said
        assert "\x1b" not in said
    assert not (tmp_path / "report.md").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_full_disk_is_told(dest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, ExitStatus.IO_ERROR, dest, "-o", "/dev/full", "--format", "junit")
    assert "No space left" in said


def test_reader_that_has_gone_ends_it_quietly(dest: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "fetchpool", "report", dest, "--format", "html"],
        stdout=writing, stderr=subprocess.PIPE, check=False,
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (ExitStatus.PIPE_CLOSED, b"")


def test_program_reports_a_run_of_its_own(tmp_path: Path) -> None:
    with CountingServer() as server:
        pages = [server.url(f"/{number}") for number in range(5)]
        text = "\n".join([*pages, "https://user:secret@127.0.0.1:1/x", "no url"])
        (tmp_path / "urls.txt").write_text(text)
        run_fetchpool(["get", "urls.txt", "-o", "run", "--timings", "--retries", "0"], cwd=tmp_path)
    forms = {"r.html": "bound by", "r.md": "| ok | 5 |", "r.xml": 'tests="7"'}
    for name, said in forms.items():
        done = run_fetchpool(["report", "run", "-o", name], cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        written = (tmp_path / name).read_text()
        assert said in written, name
        assert "secret" not in written
    done = run_fetchpool(["report", "run", "-o", "-", "--format", "markdown"], cwd=tmp_path)
    assert done.stdout == (tmp_path / "r.md").read_text()

"""What is said at the end is what was recorded, whatever cut the records short."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from tests.harness import PROGRAM, read_records, run_fetchpool
from tests.program.helpers import lines_of, write_list
from tests.servers.counting import CountingServer

ENVIRONMENT = {"PYTHONDONTWRITEBYTECODE": "1"}
"""What is compiled on the way would be cut short as well."""


def capped(kilobytes: int) -> list[str]:
    """Return the program such that no file grows beyond so much: the record there is torn."""
    script = f'ulimit -f {2 * kilobytes}; exec "$@"'  # POSIX counts in blocks of 512 bytes
    return ["sh", "-c", script, "sh", *PROGRAM]


def figures(stderr: str) -> tuple[int, int]:
    """Return how many URLs the last line says are ok, and failed."""
    said = re.search(r"(\d+) ok, (\d+) failed", lines_of(stderr)[-1])
    assert said is not None, stderr
    return int(said[1]), int(said[2])


@pytest.mark.parametrize("failed", [False, True], ids=["ok", "failed"])
def test_figures_are_those_of_the_ledger_though_it_was_cut_short(
    server: CountingServer, tmp_path: Path, failed: bool
) -> None:
    status = "?status=404" if failed else ""
    write_list(tmp_path / "urls.txt", [server.url(f"/{i}{status}") for i in range(600)])
    args = ["get", "urls.txt", "-o", "out", "--no-body", "--per-host", "0"]
    result = run_fetchpool(args, cwd=tmp_path, program=capped(16), env=ENVIRONMENT)
    assert result.returncode == 74
    ledger = (tmp_path / "out" / "results.jsonl").read_bytes()
    whole = ledger[: ledger.rfind(b"\n") + 1].count(b"\n")
    assert 0 < whole < 600
    assert figures(result.stderr) == ((0, whole) if failed else (whole, 0))


@pytest.mark.parametrize("name", ["records.jsonl", "records.csv"])
def test_figures_without_a_ledger_are_those_of_the_records(
    server: CountingServer, tmp_path: Path, name: str
) -> None:
    write_list(tmp_path / "urls.txt", [server.url(f"/{i}") for i in range(600)])
    args = ["get", "urls.txt", "--no-body", "--per-host", "0", "--records", name]
    result = run_fetchpool(args, cwd=tmp_path, program=capped(16), env=ENVIRONMENT)
    assert result.returncode == 74
    text = (tmp_path / name).read_bytes().decode()
    whole = text[: text.rfind("\n") + 1].splitlines()
    records = len(list(csv.reader(whole))) - 1 if name.endswith(".csv") else len(whole)
    assert 0 < records < 600
    assert figures(result.stderr) == (records, 0)


def test_records_kept_of_an_earlier_run_count_once_they_are_in_the_ledger(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = [server.url(f"/{i}") for i in range(600)]
    args = ["get", "-", "-o", "out", "--no-body", "--per-host", "0", "--once"]
    first = run_fetchpool(args, cwd=tmp_path, stdin="\n".join(urls))
    assert first.returncode == 0
    again = run_fetchpool(
        args, cwd=tmp_path, stdin="\n".join(urls), program=capped(128), env=ENVIRONMENT
    )
    assert again.returncode == 74
    ledger = (tmp_path / "out" / "results.jsonl").read_bytes()
    assert figures(again.stderr) == (ledger[: ledger.rfind(b"\n") + 1].count(b"\n"), 0)
    assert run_fetchpool(args, cwd=tmp_path, stdin="\n".join(urls)).returncode == 0
    assert len(read_records(tmp_path / "out")) == 600


def test_what_is_left_is_known_though_no_url_came_to_an_end(
    server: CountingServer, tmp_path: Path
) -> None:
    write_list(tmp_path / "urls.txt", [server.url(f"/{i}?delay=60") for i in range(3)])
    args = ["get", "urls.txt", "-o", "out", "--max-time", "0.2"]
    assert run_fetchpool(args, cwd=tmp_path).returncode == 75
    found = json.loads(run_fetchpool(["status", "out", "--json"], cwd=tmp_path).stdout)
    assert (found["phase"], found["urls"], found["left"]) == ("stopped", 3, 3)

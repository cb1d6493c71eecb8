"""`--timings`: each record says what its time was spent on, and a table has it in columns."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import pytest

from tests.harness import WORKERS, read_records, run_fetchpool
from tests.program.helpers import write_list
from tests.servers.counting import CountingServer

STEPS = ("queued", "dns", "connect", "tls", "first_byte", "body")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose records are a table as well."""
    folder = tmp_path_factory.mktemp("timings")
    with CountingServer() as server:
        urls = [server.url(f"/{n}?delay=0.05", "localhost") for n in range(4)]
        urls += ["no url", "http://localhost:1/", server.url("/gone?status=404")]
        write_list(folder / "urls.txt", urls)
        args = ["get", "urls.txt", "-o", "out", "-q", "--retries", "0", "--per-host", "1"]
        args += ["--timings", "--records", "r.csv", "--workers", WORKERS or "1"]
        assert run_fetchpool(args, cwd=folder).returncode == 1
    return folder


def test_records_say_what_their_time_was_spent_on(folder: Path) -> None:
    by_url = {record["url"]: record for record in read_records(folder / "out")}
    good = [record for url, record in by_url.items() if "delay" in url]
    assert len(good) == 4
    for record in good:
        timings = record["timings"]
        assert tuple(timings) == STEPS
        assert timings["first_byte"] >= 0.04
        assert timings["tls"] is None
        spent = sum(seconds or 0 for step, seconds in timings.items() if step != "queued")
        assert spent <= record["elapsed_s"] + 0.001
    opened = [record["timings"]["connect"] for record in good]
    assert sum(seconds is not None for seconds in opened) == 1, "a connection for all four"
    waited = sorted(record["timings"]["queued"] or 0 for record in good)
    assert waited[-1] >= 0.1, "they went one after the other"
    refused = by_url["http://localhost:1/"]["timings"]
    assert refused["first_byte"] is None
    assert refused["body"] is None
    assert by_url[next(url for url in by_url if "/gone" in url)]["timings"]["first_byte"] >= 0
    assert "timings" not in by_url["no url"]


def test_table_has_a_column_for_each_step(folder: Path) -> None:
    exported = run_fetchpool(["export", "out", "--format", "csv"], cwd=folder)
    for text in ((folder / "r.csv").read_text(), exported.stdout):
        rows = list(csv.DictReader(StringIO(text)))
        records = {record["seq"]: record for record in read_records(folder / "out")}
        assert len(rows) == len(records)
        for row in rows:
            told = records[int(row["seq"])].get("timings", {})
            for step in STEPS:
                cell = row[f"timings_{step}"]
                assert (json.loads(cell) if cell else None) == told.get(step)


def test_without_it_no_record_and_no_table_has_any(folder: Path) -> None:
    result = run_fetchpool(["get", "urls.txt", "-o", "x", "--records", "x.csv"], cwd=folder)
    assert result.returncode == 1
    assert "timings" not in (folder / "x/results.jsonl").read_text()
    assert "timings" not in (folder / "x.csv").read_text()

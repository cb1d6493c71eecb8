"""Killed at any of its writes, links, renames and fsyncs, the next run is exact.

A sample of the points; `python -m tests.kill_everywhere` goes through all of them.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness import check_bodies, one_process, read_records
from tests.program.helpers import check_records, eventually, hits, start, write_list
from tests.program.killing import (
    CHECKPOINT,
    LEDGER,
    SCENARIOS,
    STATE,
    HoldingServer,
    Scenario,
    Series,
    Stage,
)

needs_strace = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("strace"), reason="strace is not installed"
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}

SAMPLE = [
    ("first run", Series("rename"), 2),
    ("first run", Series("linkat", later=True), 5),
    ("first run", Series("write", LEDGER, later=True), 2),
    ("first run, strict", Series("fsync", later=True), 9),
    ("first run by pipe", Series("rename", later=True), 1),
    ("going on, list changed", Series("rename"), 3),
    ("going on by pipe", Series("write", STATE), 2),
    ("new run", Series("renameat", later=True), 2),
    ("new run", Series("write", CHECKPOINT), 1),
    ("refresh, list changed", Series("rename"), 3),
    ("refresh", Series("write", LEDGER, later=True), 1),
    ("retry by pipe", Series("write", LEDGER, later=True), 1),
    ("tar, first run", Series("writev", later=True), 3),
    ("tar, first run", Series("write", LEDGER, later=True), 1),
    ("tar, going on, list changed", Series("rename", later=True), 2),
    ("tar, new run", Series("unlink", later=True), 1),
    ("tar, refresh, list changed", Series("writev"), 2),
    ("warc, first run", Series("writev", later=True), 3),
    ("warc, first run", Series("rename", later=True), 2),
    ("warc, first run", Series("write", LEDGER, later=True), 1),
    ("warc, going on, list changed", Series("rename", later=True), 3),
    ("warc, new run", Series("unlink", later=True), 1),
    ("warc, refresh, list changed", Series("writev"), 2),
]


RANDOM_URLS = 300


@pytest.fixture(scope="module")
def holding_server() -> Iterator[HoldingServer]:
    with HoldingServer() as server:
        yield server


@one_process
@needs_strace
@pytest.mark.parametrize(
    ("scenario", "series", "nth"),
    [(BY_NAME[name], series, nth) for name, series, nth in SAMPLE],
    ids=[f"{name}, {series} {nth}" for name, series, nth in SAMPLE],
)
def test_killed_run_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, holding_server: HoldingServer, scenario: Scenario, series: Series, nth: int
) -> None:
    stage = Stage(tmp_path / "stage", holding_server, scenario)
    assert stage.kill(series, nth), "it was not killed: there is no such point any more"
    stage.check_going_on()


def test_killed_again_and_again_the_run_comes_to_its_end(
    tmp_path: Path, holding_server: HoldingServer
) -> None:
    urls = [holding_server.url(f"/again/{i}.txt?delay=0.01") for i in range(RANDOM_URLS)]
    write_list(tmp_path / "urls.txt", urls)
    dest = tmp_path / "out"
    kills = 0
    while killed_by_chance(tmp_path, holding_server, random.Random(kills)):
        kills += 1
    check_bodies(check_records(dest, urls), dest)


def killed_by_chance(folder: Path, server: HoldingServer, chance: random.Random) -> bool:
    """Run, and kill at any moment after the first request; return whether more is to be done.

    Killed after its last record it had finished: the same command would be a new run.
    """
    recorded = {record["url"] for record in read_records(folder / "out")}
    since = len(server.counts.hits)
    args = ["get", "urls.txt", "-o", "out", "-q", "--limit", "10", "--retries", "0"]
    with start(args, cwd=folder) as process:
        eventually(
            lambda: len(server.counts.hits) > since or process.poll() is not None, "a request"
        )
        with suppress(subprocess.TimeoutExpired):
            assert process.wait(chance.uniform(0.05, 0.4)) == 0
        process.kill()
        ended_by_itself = process.wait() == 0
    fetched = hits(server, since)
    assert not recorded & set(fetched), "what had its record was fetched again"
    assert set(fetched.values()) <= {1}
    return not ended_by_itself and len(read_records(folder / "out")) < RANDOM_URLS

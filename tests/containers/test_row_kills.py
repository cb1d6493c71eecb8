"""Killed as a database or a Parquet file is written, the next run is exact.

A sample of the points; `python -m tests.kill_everywhere` goes through all of them.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import one_process
from tests.program.killing import SCENARIOS, HoldingServer, Scenario, Series, Stage

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}

KILLS = [
    ("sqlite, first run", Series("pwrite64", later=True), 9),  # within a transaction
    ("sqlite, first run", Series("rename", later=True), 1),  # complete, and still `.open`
    ("sqlite, going on, list changed", Series("pwrite64"), 2),  # as rows are removed
    ("sqlite, new run", Series("unlink", later=True), 2),
    ("parquet, first run", Series("writev", later=True), 3),
    ("parquet, first run", Series("rename", later=True), 2),  # `.new` is complete
    ("parquet, first run", Series("unlink", later=True), 2),  # part and spool are both there
    ("parquet, going on, list changed", Series("rename"), 5),  # as a part is made anew
]


@pytest.fixture(scope="module")
def server() -> Iterator[HoldingServer]:
    with HoldingServer() as there:
        yield there


@one_process
@pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("strace"), reason="strace is not installed"
)
@pytest.mark.parametrize(
    ("scenario", "series", "nth"),
    [(BY_NAME[name], series, nth) for name, series, nth in KILLS],
    ids=[f"{name}, {series} {nth}" for name, series, nth in KILLS],
)
def test_killed_run_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, server: HoldingServer, scenario: Scenario, series: Series, nth: int
) -> None:
    stage = Stage(tmp_path / "stage", server, scenario)
    assert stage.kill(series, nth), "it was not killed: there is no such point any more"
    stage.check_going_on()

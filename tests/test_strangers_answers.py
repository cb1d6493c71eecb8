"""Any bytes at all as an answer, for a few seconds; `python -m tests.fuzz_answers` goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_any_bytes_come_to_one_typed_outcome_in_bounded_time_and_memory() -> None:
    command = [sys.executable, "-m", "tests.fuzz_answers"]
    run = subprocess.run(
        [*command, "--seed", "7", "--batches", "2", "--size", "60", "--seconds", "60"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "answers to" in run.stdout

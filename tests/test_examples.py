"""The examples of hypothesis: the same ones in continuous integration, new ones with the script."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

SAMPLE = """
from hypothesis import given, strategies as st

@given(st.integers(min_value=0, max_value=2**64))
def test_law(number):
    with open("tried", "a") as tried:
        print(number, file=tried)
    assert {claim}

def test_of_another_kind():
    raise AssertionError("no law")
"""


def tried(folder: Path, command: list[str], claim: str, **env: str) -> tuple[list[str], str]:
    """Return which numbers *command* tried in *folder*, and what it said."""
    (folder / "test_sample.py").write_text(SAMPLE.format(claim=claim))
    (folder / "tried").unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", *command, "-p", "no:cacheprovider", "-p", "tests.laws"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
    )
    return (folder / "tried").read_text().split(), done.stdout + done.stderr


def test_continuous_integration_tries_the_same_examples_every_time(tmp_path: Path) -> None:
    (line,) = re.findall(r"^export (TEST_LAWS=\w+)", (ROOT / ".ci" / "run").read_text(), re.M)
    name, _, value = line.partition("=")
    command = ["pytest", "-k", "law", "test_sample.py"]
    first, again = (tried(tmp_path, command, "True", **{name: value})[0] for _ in range(2))
    assert first == again
    assert len(set(first)) > 50
    assert tried(tmp_path, command, "True", **{name: "unhurried"})[0] != first


def test_script_tries_new_examples_and_says_how_to_find_a_failure_again(tmp_path: Path) -> None:
    script = ["tests.fuzz_laws", "test_sample.py", "-n", "0"]
    numbers, said = tried(tmp_path, [*script, "--rounds", "2", "--seed", "7"], "True")
    assert "round 1: --seed 7\n" in said
    assert "round 2: --seed 8\n" in said
    assert len(set(numbers)) > 500
    failing = "number < 2**63"
    numbers, said = tried(tmp_path, [*script, "--rounds", "50", "--seed", "7"], failing)
    (seed,) = re.findall(r"found with: .* --rounds 1 --seed (\d+)", said)
    again, said = tried(tmp_path, [*script, "--rounds", "1", "--seed", seed], failing)
    assert re.search(r"number = \d{19}", said)
    assert again == numbers[-len(again) :]
    assert "test_of_another_kind" not in said

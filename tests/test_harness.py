"""The harness: a program that a test starts finds what a user's shell would give it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent

IGNORING = ("sh", "-c", "trap '' INT HUP QUIT TERM; exec \"$@\"", "sh")
"""As `nohup … &` starts what follows, and a little more."""

CHILD = "import signal; print(*(signal.getsignal(n) for n in (1, 2, 3, 15)))"

PARENT = f"""
import os, signal, subprocess, sys
assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
import tests.conftest
for number in (1, 2, 3, 15):
    os.kill(os.getpid(), number)
subprocess.run([sys.executable, "-c", {CHILD!r}], check=True)
"""


def test_programs_do_not_ignore_what_the_suite_was_started_to_ignore() -> None:
    """The suite itself goes on ignoring it: closing the terminal doesn't end it."""
    done = subprocess.run(
        [*IGNORING, sys.executable, "-c", PARENT], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    default, interrupt = "Handlers.SIG_DFL", "<built-in function default_int_handler>"
    said = done.stdout.strip().replace("\n", " ")
    assert said in (
        f"{default} {interrupt} {default} {default}",
        f"0 {interrupt} 0 0",  # as Python 3.11 writes them
    )


def test_tests_of_signals_pass_in_the_background() -> None:
    few = "ctrl_c_before or (first_signal and (SIGHUP or SIGINT)) or stays_ignored"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "tests/program/test_signals.py"]
    done = subprocess.run(
        [*IGNORING, *command, "-k", few, "-p", "no:cacheprovider"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout

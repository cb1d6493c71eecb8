"""Many hosts, and the worker processes that ask them."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.program.helpers import Running, eventually
from tests.servers.counting import CountingServer

HOSTS = [f"127.0.2.{n}" for n in range(1, 21)]

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="finds workers in /proc"
)


_CHANGED = """
import itertools, sys
sys.path[:0] = {path!r}
import fetchpool.scaling.processes as processes
processes._may_fork = lambda count: False
popen, numbers = processes.subprocess.Popen, itertools.count(1)

def changed(command, **options):
    command[-1] = {first!r}.replace("NUMBER", str(next(numbers))) + command[-1]
    return popen(command, **options)

processes.subprocess.Popen = changed
from fetchpool.cli.app import main
sys.exit(main())
"""


def with_workers_that(first: str) -> list[str]:
    """Return the program with workers that run *first* before anything else.

    NUMBER in it is the worker's, from 1.
    """
    return [sys.executable, "-c", _CHANGED.format(path=sys.path, first=first)]


CLOCKS_APART = with_workers_that(
    "import time; real = time.monotonic; "
    "time.monotonic = lambda: real() + (36_000 if NUMBER % 2 else 72_000); "
)
"""The program with a monotonic clock of its own in each worker, as on machines of their own."""


def listed(server: CountingServer, count: int, query: str = "") -> list[str]:
    """Return *count* URLs for each host, host by host in turn."""
    return [server.url(f"/{n}.txt{query}", host) for n in range(count) for host in HOSTS]


def workers_of(process: Running) -> list[int]:
    """Return the processes that *process* started."""
    with suppress(FileNotFoundError):
        found = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        return [int(pid) for pid in found.split()]
    return []


def all_dead(pids: list[int]) -> None:
    """Wait until none of *pids* runs."""
    eventually(lambda: not any(map(_lives, pids)), "workers die with their parent")


def _lives(pid: int) -> bool:
    with suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False

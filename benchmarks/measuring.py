"""Run one command and say what it took: seconds, CPU seconds, memory, of all its processes."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from benchmarks.processes import MemoryWatch, own_cpu_s

SAMPLE_S = 0.025
FIRST_SAMPLE_S = 0.002
"""The first samples come faster: some commands take a few milliseconds altogether."""
GRACE_S = 10.0
"""How long a command that was told to end may take for it."""

MIB = 2**20
GIB = 2**30


@dataclass(frozen=True)
class Command:
    """What to run, and where."""

    words: Sequence[str]
    cwd: Path
    environment: Mapping[str, str]
    cores: frozenset[int]
    stdin: IO[bytes] | None = None
    most_s: float = 60.0
    """It is stopped after that many seconds, and counts as not done."""
    most_memory: int = 4 * GIB
    """The same in bytes."""


@dataclass(frozen=True)
class Usage:
    """What a command took."""

    seconds: float
    cpu_s: float
    """User and system, of all its processes that it waited for."""
    parent_cpu_s: float
    """Of its first process alone."""
    memory: int
    """Bytes at most, of all its processes together."""
    processes: int
    """How many `memory` is the sum of: 1, the kernel's peak RSS; more, the largest sum of PSS."""
    exit_status: int
    """Negative: the signal that ended it."""
    began: float
    """`time.monotonic()`, the same clock in every process of the machine."""
    stopped: str | None = field(default=None)
    """Why it was not let to its end, or None."""
    said: str = ""
    """The last lines on its standard error."""


def measure(command: Command, until: Callable[[], bool] | None = None) -> Usage:
    """Run *command* to its end, or until *until* (asked some forty times a second) says so.

    Whatever happens here, none of its processes is left.
    """
    with (
        (command.cwd / "stderr").open("w+b") as errors,
        _started(command, errors) as (process, began),
    ):
        watch = MemoryWatch(process.pid)
        stopped = _wait(process, command, watch, began, until)
        seconds = time.monotonic() - began
        # Ended but not yet reaped: what /proc still knows of it is final.
        parent_cpu_s = own_cpu_s(process.pid)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        return Usage(
            seconds=seconds,
            cpu_s=used.ru_utime + used.ru_stime,
            parent_cpu_s=parent_cpu_s,
            memory=watch.most,
            processes=watch.summed,
            exit_status=process.returncode,
            began=began,
            stopped=stopped,
            said=_tail(errors),
        )


@contextmanager
def _started(
    command: Command, errors: IO[bytes]
) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """Start *command* on its cores in a session of its own; kill what is left of it at the end."""
    began = time.monotonic()
    with on_cores(command.cores):
        process = subprocess.Popen(
            command.words,
            cwd=command.cwd,
            env=command.environment,
            stdin=command.stdin or subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
    try:
        yield process, began
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.returncode is None:
            process.wait()


@contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """Let what is started here run on *cores* only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _wait(
    process: subprocess.Popen[bytes],
    command: Command,
    watch: MemoryWatch,
    began: float,
    until: Callable[[], bool] | None,
) -> str | None:
    """Wait for the end of *process*, without reaping it; return why it was stopped, or None."""
    stopped = None
    kill_at = float("inf")
    ended = os.pidfd_open(process.pid)
    try:
        pause_s = FIRST_SAMPLE_S
        while not select.select([ended], [], [], pause_s)[0]:
            pause_s = min(2 * pause_s, SAMPLE_S)
            watch.look()
            now = time.monotonic()
            if now > kill_at:
                os.killpg(process.pid, signal.SIGKILL)
            if stopped is None:
                stopped = _reason_to_stop(command, watch, now - began, until)
                if stopped is not None:
                    process.send_signal(signal.SIGTERM)
                    kill_at = now + GRACE_S
    finally:
        os.close(ended)
    return stopped


def _reason_to_stop(
    command: Command, watch: MemoryWatch, seconds: float, until: Callable[[], bool] | None
) -> str | None:
    if seconds > command.most_s:
        return f"stopped after {command.most_s:.0f} s"
    if watch.most > command.most_memory:
        return f"stopped at {command.most_memory / GIB:.0f} GiB"
    return "seen enough" if until is not None and until() else None


def _tail(errors: IO[bytes], length: int = 2000) -> str:
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - length))
    return errors.read().decode(errors="replace").strip()

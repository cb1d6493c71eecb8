"""How much memory and disk a list takes while it waits: peaks of the real program.

    python benchmarks/memory.py                      10^5 and 10^6 lines, some two minutes
    python benchmarks/memory.py 100000 10000000      10^5 and 10^7 lines, some twenty
    python benchmarks/memory.py 1000000 --ledger     with a ledger

Each list is one that is read far faster than fetched, or nothing would ever wait:

    dead   a thousand hosts that refuse: tried a few times each, then all lines have their record
    stuck  one host that never answers has every other line (the first half, sorted): it waits
           while the other half, a host that refuses, fails fast
    crowd  ten lines a host, none of which listens: new hosts all the time, for a minute

`dead` runs to its end; the others are ended by SIGTERM, `stuck` when nothing moves any more.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

SAMPLE_S = 0.1
SETTLED_S = 5.0
"""How long nothing must change until `stuck` counts as read."""
CROWD_S = 60.0
LONGEST_S = 1800.0
MIB = 2**20


@dataclass
class Peaks:
    """What a process took at most, in bytes."""

    memory: int = 0
    spill: int = 0
    seconds: float = 0.0
    done: int = 0
    _last: tuple[int, ...] = field(default=(), repr=False)
    _since: float = 0.0

    def sample(self, process: int, now: float) -> bool:
        """Look at *process*; return True once it has not moved for a while."""
        state: tuple[int, ...] = ()
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{process}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    self.memory = int(line.split()[1]) * 1024
            spill = sum(_unlinked_files(process))
            self.spill = max(self.spill, spill)
            read = Path(f"/proc/{process}/io").read_text().split()[1]
            state = (spill, int(read) // 65_536)
        if state != self._last:
            self._last, self._since = state, now
        return now - self._since > SETTLED_S


def _unlinked_files(process: int) -> Iterator[int]:
    """Yield the lengths of the files that have no name any more: the spill."""
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()).endswith("(deleted)"):
                yield descriptor.stat().st_size


# --- the lists


def address(number: int) -> str:
    """Return a loopback address of its own for each *number* below 2^22."""
    return f"127.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"


def scattered(number: int, hosts: int) -> int:
    """Return a host for line *number*, as a shuffled list would have it (Knuth's hash)."""
    return (number * 2_654_435_761 >> 7) % hosts


def dead(lines: int, shuffled: bool, port: int) -> Iterator[str]:
    """Yield the lines of the list of this name."""
    for number in range(lines):
        host = scattered(number, 1000) if shuffled else number * 1000 // lines
        yield f"http://{address(host)}:1/{number}\n"


def stuck(lines: int, shuffled: bool, port: int) -> Iterator[str]:
    """Yield the lines of the list of this name."""
    for number in range(lines):
        is_stuck = number % 2 if shuffled else number < lines // 2
        yield f"http://127.0.0.1:{port if is_stuck else 1}/{number}\n"


def crowd(lines: int, shuffled: bool, port: int) -> Iterator[str]:
    """Yield the lines of the list of this name."""
    hosts = min(lines // 10, 2**22)
    for number in range(lines):
        host = scattered(number, hosts) if shuffled else number // 10 % hosts
        yield f"http://{address(host)}:1/{number}\n"


Lines = Callable[[int, bool, int], Iterator[str]]


# --- a run


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """Listen and never answer; yield the port."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        yield listening.getsockname()[1]


def measure(lines: Lines, count: int, *, shuffled: bool, pipe: bool, ledger: bool) -> Peaks:
    """Run the program on a list of *count* lines and return its peaks."""
    with silent_server() as port, tempfile.TemporaryDirectory(dir=Path.cwd()) as directory:
        place = Path(directory)
        command = [sys.executable, "-m", "fetchpool", "get", "--no-body", "--read-timeout", "0"]
        command += ["--log-file", os.devnull]
        if ledger:
            command += ["-o", "out"]
        if not pipe:
            with (place / "list.txt").open("w") as file:
                file.writelines(lines(count, shuffled, port))
        process = subprocess.Popen(
            [*command, "-" if pipe else "list.txt"],
            cwd=place,
            env={**os.environ, "TMPDIR": directory},
            stdin=subprocess.PIPE if pipe else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if process.stdin is not None:
            text = lines(count, shuffled, port)
            threading.Thread(target=_write, args=(process.stdin, text), daemon=True).start()
        try:
            at_most_s = CROWD_S if lines is crowd else LONGEST_S
            peaks = _watch(process, at_most_s, until_settled=lines is stuck)
        finally:
            process.kill()
            process.wait()
        assert process.stderr is not None
        for word in process.stderr.read().replace(",", "").split("fetchpool: ")[-1:]:
            numbers = [int(part) for part in word.split() if part.isdigit()]
            peaks.done = sum(numbers[:2])
        return peaks


def _write(stdin: IO[str], lines: Iterator[str]) -> None:
    with contextlib.suppress(BrokenPipeError), stdin:
        stdin.writelines(lines)


def _watch(process: subprocess.Popen[str], at_most_s: float, *, until_settled: bool) -> Peaks:
    """Sample until *process* ends, doesn't move any more or has had its time; then end it."""
    peaks = Peaks()
    began = time.monotonic()
    while process.poll() is None:
        now = time.monotonic()
        peaks.seconds = now - began
        settled = peaks.sample(process.pid, now)
        if (settled and until_settled) or now - began > at_most_s:
            process.send_signal(signal.SIGTERM)
            time.sleep(1.0)
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            break
        time.sleep(SAMPLE_S)
    return peaks


def main() -> int:
    """Print a table of peaks."""
    parser = argparse.ArgumentParser(description="Peak memory and spill of the real program.")
    parser.add_argument("lines", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--list", choices=["dead", "stuck", "crowd"], action="append")
    parser.add_argument("--ledger", action="store_true", help="with -o: a ledger is kept")
    parser.add_argument("--pipe", action="store_true", help="from a pipe instead of a file")
    chosen = parser.parse_args()
    lists: list[Lines] = [dead, stuck, crowd]
    print("list   lines       order     peak RSS    spill      seconds   outcomes")
    for lines in lists:
        if chosen.list and lines.__name__ not in chosen.list:
            continue
        for count in chosen.lines:
            for shuffled in (False, True):
                peaks = measure(
                    lines, count, shuffled=shuffled, pipe=chosen.pipe, ledger=chosen.ledger
                )
                order = "shuffled" if shuffled else "sorted"
                print(
                    f"{lines.__name__:<6} {count:<11} {order:<9} {peaks.memory / MIB:6.1f} MiB"
                    f" {peaks.spill / MIB:7.1f} MiB {peaks.seconds:8.1f} s {peaks.done:>10}",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())

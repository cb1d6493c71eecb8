"""What a process and its children take, read from /proc (Linux)."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def tree(root: int) -> list[int]:
    """Return *root* and the processes below it that live."""
    found = [root]
    for process in found:
        with contextlib.suppress(OSError):
            for thread in Path(f"/proc/{process}/task").iterdir():
                found += [int(child) for child in (thread / "children").read_text().split()]
    return found


def peak_rss(process: int) -> int:
    """Return the most bytes *process* ever had in memory; 0 if it has ended.

    Not `ru_maxrss`: that one begins with what the process was forked from, this benchmark itself.
    """
    return _field(process, "status", "VmHWM:")


def pss(process: int) -> int:
    """Return the bytes of *process* in memory now, pages shared by n counted as 1/n."""
    return _field(process, "smaps_rollup", "Pss:")


def _field(process: int, file: str, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/{file}").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0


def own_cpu_s(process: int) -> float:
    """Return the CPU seconds of *process* without its children; it may be a zombie."""
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) * TICK_S


@dataclass
class MemoryWatch:
    """The most memory a process and those below it had at one time."""

    root: int
    alone: int = 0
    """The kernel's own maximum for the first process."""
    together: int = 0
    """The largest sum of samples of several processes."""
    processes: int = 1
    """How many were in that sum."""
    _looks: int = 0

    @property
    def most(self) -> int:
        """Bytes."""
        return max(self.alone, self.together)

    @property
    def summed(self) -> int:
        """How many processes `most` is the sum of."""
        return self.processes if self.together > self.alone else 1

    def look(self) -> None:
        """Take a sample; to be called often: only every fourth call looks at several processes."""
        self.alone = max(self.alone, peak_rss(self.root))
        self._looks += 1
        if self._looks % 4 == 0:
            living = tree(self.root)
            sum_now = sum(pss(process) for process in living) if len(living) > 1 else 0
            if sum_now > self.together:
                self.together, self.processes = sum_now, len(living)

"""All that a work item needs: the servers, the tools, the cores, the places to write to."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from benchmarks.measuring import Command, Usage, measure
from benchmarks.peers import Tool
from benchmarks.servers.calling import CHECKOUT, HostsServer
from benchmarks.servers.nginx import Nginx

PREFIX = "run-"

NAMES_AT = "127.53.77.1"
"""Address of the name server: resolv.conf knows no port but 53, so it has one of its own."""


@dataclass(frozen=True)
class Cores:
    """Who runs where."""

    every: frozenset[int]
    server: frozenset[int]
    client: frozenset[int]

    @classmethod
    def of_this_process(cls) -> Cores:
        """Return the first of the cores we may use for servers, the last for clients."""
        every = sorted(os.sched_getaffinity(0))
        return cls(frozenset(every), frozenset(every[:1]), frozenset(every[-1:]))


@dataclass
class Bench:
    """What a work item gets."""

    rounds: int
    quick: bool
    cores: Cores
    peers: list[Tool]
    nginx: Nginx
    hosts: HostsServer
    why_no_names: str | None
    """Why the programs cannot be pointed to our own name server, or None if they can."""
    work_place: Path
    """On a disk, for lists and ledgers; removed at the end."""
    memory_place: Path | None
    """On tmpfs; removed at the end."""
    disk: str
    """The type of the file system of `work_place`."""
    has_workers: bool = False
    """Whether this fetchpool has a working --workers."""
    say: Callable[[str], None] = field(default=print)

    @property
    def longest_s(self) -> float:
        """How long a tool may take for a task; what takes longer is stopped and has not done it."""
        return self.size(60, 20)

    def size(self, full: int, quick: int) -> int:
        """Return how large the work is to be."""
        return quick if self.quick else full

    def peer(self, name: str) -> Tool | None:
        """Return the installed tool *name*, or None."""
        return next((tool for tool in self.peers if tool.name == name), None)

    @contextmanager
    def directory(self, on: Path | None = None, *, keep: bool = False) -> Iterator[Path]:
        """Make a directory that is gone afterwards; *on*: where, else beside the lists.

        With *keep* it stays until the end of the benchmark. To make files where as many were
        deleted in the last half minute takes ext4 five to ten times as long: it passes over
        their inodes one by one.
        """
        place = Path(tempfile.mkdtemp(prefix=PREFIX, dir=on or self.work_place))
        try:
            yield place
        finally:
            if not keep:
                shutil.rmtree(place, ignore_errors=True)

    def run(
        self,
        words: list[str],
        cwd: Path,
        *,
        cores: frozenset[int] | None = None,
        variables: Mapping[str, str] | None = None,
        stdin: IO[bytes] | None = None,
        most_s: float = 60.0,
        until: Callable[[], bool] | None = None,
    ) -> Usage:
        """Run *words* in *cwd*, on the client's core unless told otherwise."""
        command = Command(
            words,
            cwd,
            self.environment(cwd) | dict(variables or {}),
            self.cores.client if cores is None else cores,
            stdin,
            most_s,
        )
        return measure(command, until)

    def environment(self, home: Path) -> dict[str, str]:
        """Return a plain environment: no proxies, no settings of the user's."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(CHECKOUT),
        }

    def shown(self, tool: Tool, words: list[str], cores: frozenset[int]) -> str:
        """Return *words* as a reader would type them: pinned, without our temporary names."""
        pinned = [] if cores == self.cores.every else ["taskset", "-c", ",".join(map(str, cores))]
        short = [*words[:10], "…", words[-1]] if len(words) > 40 else words
        text = shlex.join([*pinned, *short]).replace(tool.program, _plain(tool))
        for place, name in ((self.nginx.place, "$NGINX"), (self.memory_place, "$TMPFS"),
                            (self.work_place, "$TMP")):  # fmt: skip
            text = text.replace(str(place), name) if place else text
        return re.sub(f"/{PREFIX}\\w+", "", text)


def _plain(tool: Tool) -> str:
    return " ".join(Path(word).name for word in shlex.split(tool.program))

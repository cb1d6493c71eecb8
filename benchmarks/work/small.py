"""W1: twenty thousand small bodies from one host, over connections that stay open."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.bench import Bench
from benchmarks.peers import FETCHPOOL, Task
from benchmarks.racing import Entrant, Race, run_race
from benchmarks.report import Section
from benchmarks.servers.nginx import SMALL

AT_ONCE = 50


def small(bench: Bench) -> Section:
    """To nothing and to files, on one core each and on all cores."""
    count = bench.size(20_000, 2_000)
    section = Section(
        "W1",
        "small bodies, one host",
        f"{count:,} URLs of 1 KB, {AT_ONCE} at a time, connections kept open. *One core each*: "
        "nginx on one core, the tool on another. *All cores*: nobody is pinned, nginx has a "
        "process a core. The slow tools get a slice; what is compared is seconds a URL. Where "
        "fetchpool has several rows, the peers are compared with the one without a ratio, the "
        "faster of its ordinary ways.",
    )
    urls = [bench.nginx.url(f"/small/{number:06}.txt") for number in range(count)]
    task = Task(urls, SMALL, AT_ONCE)
    part = bench.size(1_000, 100)
    plain = Entrant(FETCHPOOL, "fetchpool")
    workers = Entrant(FETCHPOOL, "fetchpool --workers 0", {"workers": 0})
    ours = [plain, workers] if bench.has_workers else [plain]
    for race in [*_to_nothing(bench, task, part, ours), *_to_files(bench, task, part, ours)]:
        run_race(bench, race, section)
    if bench.memory_place is None:
        section.notes.append("No tmpfs to write to was found: files go to the disk only.")
    section.notes.append(
        f"The disk is {bench.disk}. fetchpool syncs once a second (`--durability batch`), the "
        "others never. What a tool wrote stays until the end: ext4 passes one by one over inodes "
        "that were deleted a moment ago, and the next tool would wait for that."
    )
    return section


def _to_nothing(bench: Bench, task: Task, part: int, ours: Sequence[Entrant]) -> Iterator[Race]:
    into = bench.memory_place or bench.work_place
    ledger = Entrant(
        FETCHPOOL, "fetchpool, with a ledger", {"ledger": True, "into": into}, beside=True
    )
    name = "W1 to nothing, one core each"
    yield Race(name, task, part, with_limit=True, ours=[ledger, ours[0]])
    against = ("curl -Z", "lychee", "wget2")
    yield Race("W1 to nothing, all cores", task, part, True, against, ours=ours)


def _to_files(bench: Bench, task: Task, part: int, ours: Sequence[Entrant]) -> Iterator[Race]:
    against = ("curl -Z", "wget2")
    if bench.memory_place is not None:
        task = replace(task, into=bench.memory_place)
        yield Race("W1 to files on tmpfs, one core each", task, part)
        yield Race("W1 to files on tmpfs, all cores", task, part, True, against, ours=ours)
    if bench.disk != "tmpfs":
        task = replace(task, into=bench.work_place)
        unsynced = Entrant(
            FETCHPOOL, "fetchpool --durability none", {"durability": "none"}, beside=True
        )
        name = "W1 to files on disk, all cores"
        yield Race(name, task, part, True, against, ours=[unsynced, *ours])

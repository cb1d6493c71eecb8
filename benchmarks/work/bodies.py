"""W5 and W6: large bodies, and bodies to be decompressed."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.machine import why_no_space
from benchmarks.measuring import MIB
from benchmarks.peers import Task
from benchmarks.racing import Race, run_race
from benchmarks.report import Section
from benchmarks.servers.nginx import TEXT


def large(bench: Bench) -> Section:
    """Twenty bodies, four at a time."""
    count, size = 20, bench.nginx.large
    section = Section(
        "W5",
        "large bodies",
        f"{count} bodies of {size / 1e6:.0f} MB, four at a time, to files on tmpfs, one core each.",
    )
    why_not = "no tmpfs" if bench.memory_place is None else why_no_space(
        bench.memory_place, count * size
    )  # fmt: skip
    if why_not:
        section.notes.append(f"Not measured: {why_not}.")
        return section
    urls = [bench.nginx.url(f"/large/{number:02}.bin") for number in range(count)]
    task = Task(urls, size, 4, into=bench.memory_place)
    runs = run_race(bench, Race(f"W5 {count} large bodies", task, count), section)
    for label, these in runs.items():
        seconds = min(run.usage.seconds for run in these)
        if all(run.complete for run in these):
            section.notes.append(f"{label}: {count * size / MIB / seconds:,.0f} MiB/s at best.")
    return section


def compressed(bench: Bench) -> Section:
    """Bodies that come in gzip and are kept decoded."""
    count = bench.size(4_000, 200)
    section = Section(
        "W6",
        "gzip",
        f"{count:,} bodies of 100 KB of text (some 40 KB in gzip) from one host, 50 at a time, "
        "decoded, to files on tmpfs, one core each.",
    )
    urls = [bench.nginx.url(f"/text/{number:06}.txt") for number in range(count)]
    task = Task(urls, TEXT, 50, into=bench.memory_place or bench.work_place, gzip=True)
    run_race(bench, Race("W6 gzip", task, bench.size(500, 50)), section)
    section.notes.append("lychee keeps no bodies; parfive has no option for gzip, and needs none.")
    return section

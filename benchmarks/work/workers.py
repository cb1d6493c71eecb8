"""How throughput grows with `--workers`, and what the parent costs a URL."""

from __future__ import annotations

from statistics import median

from benchmarks.bench import Bench
from benchmarks.peers import FETCHPOOL, Task
from benchmarks.racing import Entrant, Race, Run, run_race
from benchmarks.report import Section, Table
from benchmarks.servers.nginx import SMALL

HOSTS = 250


def workers(bench: Bench) -> Section:
    """One process, two, and one a core, on all cores."""
    count = bench.size(40_000, 4_000)
    section = Section(
        "workers",
        "more processes",
        f"{count:,} URLs of 1 KB, to nothing, on all cores together with nginx: from one host "
        f"without a limit of its own, and from {HOSTS} hosts.",
    )
    if not bench.has_workers:
        section.notes.append("Not measured: this fetchpool has no working `--workers`.")
        return section
    kinds = {
        "one host": Task(
            [bench.nginx.url(f"/small/{number}") for number in range(count)], SMALL, 100
        ),
        f"{HOSTS} hosts": Task(
            [
                bench.nginx.url(f"/small/{number}", f"127.20.0.{number % HOSTS + 1}")
                for number in range(count)
            ],
            SMALL,
            100,
            10,
        ),
    }
    costs = Table(
        "Where the CPU goes",
        ("work", "workers", "URLs/s", "parent, µs/URL", "workers, µs/URL",
         "URLs/s at which the parent fills a core"),
    )  # fmt: skip
    for name, task in kinds.items():
        ours = [
            Entrant(FETCHPOOL, f"--workers {number}", {"workers": number}) for number in (0, 2, 1)
        ]
        race = Race(f"workers, {name}", task, count, all_cores=True, ours=ours, against=("none",))
        for label, runs in sorted(run_race(bench, race, section).items()):
            costs.rows.append(_cost(name, label, runs))
    section.tables.append(costs)
    section.notes.append(
        "With `--workers 1` there is one process only. What the parent takes for a URL bounds "
        "what more cores can bring: the last column."
    )
    return section


def _cost(name: str, label: str, runs: list[Run]) -> list[str]:
    if not all(run.complete for run in runs):
        return [name, label, "incomplete", "–", "–", "–"]
    parent = median(run.usage.parent_cpu_s / run.urls for run in runs) * 1e6
    whole = median(run.usage.cpu_s / run.urls for run in runs) * 1e6
    several = max(run.usage.processes for run in runs) > 1
    speed = f"{1 / median(run.s_per_url for run in runs):,.0f}"
    if not several:
        return [name, label, speed, "–", f"{whole:.1f}", "–"]
    return [name, label, speed, f"{parent:.1f}", f"{whole - parent:.1f}", f"{1e6 / parent:,.0f}"]

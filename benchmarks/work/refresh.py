"""W12: a list of which nothing has changed, asked for again with `--refresh`."""

from __future__ import annotations

import shlex
from pathlib import Path
from statistics import median

from benchmarks.bench import Bench
from benchmarks.measuring import Usage
from benchmarks.peers import FETCHPOOL
from benchmarks.racing import memory_of
from benchmarks.report import Judgement, Section, Table, spread
from benchmarks.targets import W12_BYTES
from benchmarks.work.small import AT_ONCE

FULL, REFRESH = "everything", "--refresh"


def refresh(bench: Bench) -> Section:
    """Fetch the list anew and refresh it, in turns."""
    count = bench.size(20_000, 2_000)
    section = Section(
        "W12",
        "nothing has changed",
        f"{count:,} files of nginx, {AT_ONCE} at a time, into one directory: fetched anew "
        "(`--fresh`), then with `--refresh`, which nginx answers with 304. *Bytes*: all that came "
        "over the connections, heads included.",
    )
    with bench.directory() as place:
        urls = [bench.nginx.url(f"/page/{number:06}.txt") for number in range(count)]
        (place / "urls.txt").write_text("".join(f"{url}\n" for url in urls))
        usages: dict[str, list[Usage]] = {FULL: [], REFRESH: []}
        received: dict[str, list[float]] = {FULL: [], REFRESH: []}
        for _ in range(bench.rounds):
            for way in usages:
                usage = bench.run(_words(way), place, most_s=120.0)
                if usage.exit_status or usage.stopped:
                    raise RuntimeError(f"W12 {way}: {usage.stopped} {usage.said}")
                usages[way].append(usage)
                received[way].append(_received(place / "run.prom"))
    table = Table(
        "20,000 files of 10 KB" if count == 20_000 else f"{count:,} files",
        ("way", "seconds", "CPU seconds", "bytes", "peak memory"),
    )
    for way, these in usages.items():
        largest = max(these, key=lambda usage: usage.memory)
        cells = [spread([usage.seconds for usage in these]), spread([u.cpu_s for u in these])]
        table.rows.append(
            [way, *cells, f"{median(received[way]) / 1e6:.1f} MB", memory_of([largest])]
        )
        bench.say(f"  W12 {' | '.join(table.rows[-1])}")
    section.tables.append(table)
    share = median(received[REFRESH]) / median(received[FULL])
    section.judgements.append(Judgement("W12 unchanged", "bytes of a full run", W12_BYTES, share))
    return section


def _words(way: str) -> list[str]:
    flag = "--fresh" if way == FULL else way
    options = ["-o", "pages", "-q", "--limit", str(AT_ONCE), "--per-host", str(AT_ONCE)]
    words = [*shlex.split(FETCHPOOL.program), "get", "urls.txt", *options]
    return [*words, "--metrics-file", "run.prom", flag]


def _received(metrics: Path) -> float:
    (line,) = (
        line
        for line in metrics.read_text().splitlines()
        if line.startswith("fetchpool_received_bytes_total ")
    )
    return float(line.split()[1])

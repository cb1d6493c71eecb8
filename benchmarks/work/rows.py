"""W11: what it costs to read a row of a table and to carry it along, against a plain line.

And how a run begins on ten million of them.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.bench import Bench
from benchmarks.machine import why_no_space
from benchmarks.measuring import Usage
from benchmarks.peers import FETCHPOOL
from benchmarks.racing import memory_of
from benchmarks.report import Judgement, Section, Table, spread
from benchmarks.servers.hosts import address
from benchmarks.targets import W11_CSV, W11_FIRST, W11_JSON_LINES, W11_MEMORY
from benchmarks.work.lists import HOSTS, WATCHED_S, scattered, start_on

ROW = 140
"""Bytes of a row, about."""

READ = """
import sys
from fetchpool.model.reading import Reading
from fetchpool.sources import open_sources
with open_sources([sys.argv[1]], None, reading=Reading("auto")) as sources:
    count = sum(len(batch.requests) for batch in sources.batches())
assert count == int(sys.argv[2]), count
"""
"""A program that does nothing but read a list."""


def _url(number: int) -> str:
    return f"https://images{number % 1000}.example.org/photo/{number}.jpg"


def _csv(number: int) -> str:
    return f'{number},{_url(number)},"A photo, number {number}",640,480\n'


def _json(number: int) -> str:
    caption = f"A photo, number {number}"
    row = {"id": number, "url": _url(number), "caption": caption, "width": 640, "height": 480}
    return json.dumps(row) + "\n"


FORMS: dict[str, tuple[str, Callable[[int], str]]] = {
    "plain lines": ("", lambda number: f"{_url(number)}\n"),
    "CSV": ("id,url,caption,width,height\n", _csv),
    "JSON lines": ("", _json),
}
"""The forms that are compared: what stands first, and a row."""


def rows(bench: Bench) -> Section:
    """Read each list, in turns, by the reader alone and by a dry run."""
    count = bench.size(1_000_000, 20_000)
    section = Section(
        "W11",
        "rows that come along",
        f"{count:,} URLs, a plain line each, or with four other columns that come along in their "
        "requests. *Read*: a program that does nothing but read the list. *Dry run*: `fetchpool "
        "get LIST --dry-run`. CPU microseconds a row, the start of Python included, which is the "
        "same for all; what is over a plain line has none of it.",
    )
    why_not = why_no_space(bench.work_place, 3 * count * ROW)
    if why_not:
        section.notes.append(f"Not measured: {why_not}.")
        return section
    with bench.directory() as place:
        for form, (header, row) in FORMS.items():
            with _list(place, form).open("w") as file:
                file.write(header)
                file.writelines(map(row, range(count)))
        for way in ("read", "dry run"):
            usages: dict[str, list[Usage]] = {form: [] for form in FORMS}
            for _ in range(bench.rounds):
                for form, these in usages.items():
                    usage = bench.run(_words(way, _list(place, form), count), place, most_s=180.0)
                    if usage.exit_status or usage.stopped:
                        raise RuntimeError(f"{way}, {form}: {usage.stopped} {usage.said}")
                    these.append(usage)
            _tell(bench, section, way, usages, count)
    _long(bench, section)
    return section


def _long(bench: Bench, section: Section) -> None:
    """Begin on a long list of each form, and go on for a while."""
    count = bench.size(10_000_000, 50_000)
    if why_not := why_no_space(bench.work_place, 2 * count * ROW):
        section.notes.append(f"No long lists: {why_not}.")
        return
    table = Table(
        f"{count:,} rows, watched for {WATCHED_S:.0f} s from the first request on",
        ("list", "first request, s", "peak memory", "URLs done"),
    )
    for form, write in (("CSV", _write_csv), ("Parquet", _write_parquet)):
        with bench.directory() as place:
            path = place / f"urls.{form.lower()}"
            prefixes = [bench.hosts.url(address(n), "now", 0)[:-1] for n in range(HOSTS)]
            write(path, prefixes, count)
            started = [
                start_on(bench, section, path, "file", WATCHED_S if last else 0.2)
                for last in [False] * (bench.rounds - 1) + [True]
            ]
        times = [each.first_request_s for each in started if each.first_request_s is not None]
        memory = max(each.usage.memory for each in started) / 1e6
        first = spread(times) if times else "none came"
        table.rows.append([form, first, f"{memory:.0f} MB", f"{started[-1].requests:,}"])
        bench.say(f"  W11 {' | '.join(table.rows[-1])}")
        what = f"W11 {count:,} rows of {form}"
        section.judgements += [
            Judgement(what, "memory", W11_MEMORY, memory),
            Judgement(what, "first request", W11_FIRST[form], median(times) if times else None),
        ]
    section.tables.append(table)


def _write_csv(path: Path, prefixes: list[str], count: int) -> None:
    with path.open("w") as file:
        file.write("id,url,caption,width,height\n")
        for start in range(0, count, 100_000):
            file.writelines(
                f'{n},{prefixes[scattered(n)]}{n},"A photo, number {n}",640,480\n'
                for n in range(start, min(start + 100_000, count))
            )


def _write_parquet(path: Path, prefixes: list[str], count: int) -> None:
    import pyarrow
    import pyarrow.parquet

    with pyarrow.parquet.ParquetWriter(path, _schema(pyarrow)) as writer:
        for start in range(0, count, 100_000):
            numbers = range(start, min(start + 100_000, count))
            columns = [
                list(numbers),
                [f"{prefixes[scattered(n)]}{n}" for n in numbers],
                [f"A photo, number {n}" for n in numbers],
            ]
            writer.write_table(pyarrow.table(columns, schema=_schema(pyarrow)))


def _schema(pyarrow: Any) -> Any:
    return pyarrow.schema(
        [("id", pyarrow.int64()), ("url", pyarrow.string()), ("caption", pyarrow.string())]
    )


def _list(place: Path, form: str) -> Path:
    return place / form.replace(" ", "-")


def _words(way: str, path: Path, count: int) -> list[str]:
    if way == "read":
        return [sys.executable, "-c", READ, str(path), str(count)]
    return [*shlex.split(FETCHPOOL.program), "get", str(path), "--dry-run"]


def _tell(
    bench: Bench, section: Section, way: str, usages: dict[str, list[Usage]], count: int
) -> None:
    """Add to *section* what *way* took for each form."""
    table = Table(way.capitalize(), ("list", "CPU µs a row", "over a plain line", "peak memory"))
    plain = None
    for form, these in usages.items():
        times = [usage.cpu_s / count * 1e6 for usage in these]
        if plain is None:
            plain = median(times)
        over = median(times) - plain
        largest = max(these, key=lambda usage: usage.memory)
        table.rows.append([form, spread(times), f"{over:.2f}", memory_of([largest])])
        bench.say(f"  W11 {way}: {' | '.join(table.rows[-1])}")
        what = f"W11 {form}, {way}"
        target = {"CSV": W11_CSV, "JSON lines": W11_JSON_LINES}.get(form)
        if target is not None:
            section.judgements += [
                Judgement(what, "CPU over a plain line", target, over),
                Judgement(what, "memory", W11_MEMORY, largest.memory / 1e6),
            ]
    section.tables.append(table)

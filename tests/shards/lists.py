"""Lists that shards are made of, and what all shards of one together must come to."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fetchpool import Config, Shard, Summary
from fetchpool.model.shards import shard_named
from fetchpool.output.shards.gathering import gather
from fetchpool.output.shards.merging import look_at
from fetchpool.run import run
from tests.harness import Record, read_records
from tests.program.crowd import HOSTS
from tests.servers.counting import CountingServer

QUICK: dict[str, Any] = {"retries": 0, "failures": 0}


def mixed(server: CountingServer, count: int = 60) -> list[str]:
    """Return lines of many hosts: bodies, hops to other hosts, duplicates, comments, no URLs."""
    lines = ["# a comment", ""]
    for number in range(count):
        host, other = HOSTS[number % len(HOSTS)], HOSTS[(number + 7) % len(HOSTS)]
        if number % 6 == 5:
            there = quote(server.url(f"/there/{number}", other), safe="")
            lines.append(server.url(f"/hop?to={there}", host))
        elif number % 11 == 10:
            lines.append(server.url(f"/gone/{number}?status=404", host))
        else:
            lines.append(server.url(f"/page/{number}?size={number}", host))
    return [*lines, lines[2], "no url at all", "", lines[3], "http://a b/", "\tx", lines[2]]


def write_lines(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def write_table(path: Path, lines: Sequence[str]) -> Path:
    """Write *lines* as a table: some rows span lines, so that numbers have gaps."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "url", "note"])
        for number, line in enumerate(lines):
            writer.writerow([number, line, "two\nlines" if number % 5 == 0 else "one"])
    return path


def run_shards(
    source: Path, dest: Path, count: int, *, at_once: int = 1, **settings: Any
) -> list[Summary]:
    """Run every shard of *source*, *at_once* at a time, each with loop and threads of its own."""
    config = Config(**{**QUICK, **settings})

    def one(index: int) -> Summary:
        return run(config, [str(source)], dest, shard=Shard(index, count))

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, range(count)))


def records_of_all(dest: Path) -> list[Record]:
    """Return the records of all shards in *dest* by their numbers, paths from *dest* on."""
    found = []
    for directory in sorted(dest.glob("shard-*")):
        for record in read_records(directory):
            if record["path"] is not None:
                record["path"] = f"{directory.name}/{record['path']}"
            found.append(record)
    return sorted(found, key=lambda record: record["seq"])


def fullest(dest: Path) -> int:
    """Return which shard in *dest* has most records: with any port, some may have none."""
    ledgers = sorted(dest.glob("shard-*/results.jsonl"), key=lambda path: path.stat().st_size)
    shard = shard_named(ledgers[-1].parent.name)
    assert shard is not None
    return shard.index


def told(record: Record, dest: Path) -> tuple[Any, ...]:
    """Return what of a record must be the same in each run, its body's bytes included."""
    path = record["path"]
    body = None if path is None else (dest / path).read_bytes()
    keys = ("seq", "url", "ok", "status", "error", "final_url", "redirects", "row")
    return (*(record.get(key) for key in keys), body)


def check_same(dest: Path, whole: Path) -> None:
    """Assert that the shards in *dest* have what the run in *whole* has: each record once."""
    records = records_of_all(dest)
    numbers = Counter(record["seq"] for record in records)
    assert not [number for number, times in numbers.items() if times > 1]
    single = sorted(read_records(whole), key=lambda record: record["seq"])
    for record, expected in zip(records, single, strict=True):
        assert told(record, dest) == told(expected, whole), record["detail"]


def check_complete(dest: Path, lines: int) -> None:
    """Assert what `fetchpool merge` proves: each of the *lines* has one record."""
    gathered = gather([str(dest)], None)
    found = look_at(gathered.parts, gathered.count)
    assert found.problems == []
    assert found.manifest is not None
    assert found.manifest.lines == lines


def check_little_was_asked_twice(crowd: CountingServer, lines: list[str]) -> None:
    """Assert that only what one process had in progress, or not recorded yet, was asked twice."""
    times = Counter((hit.host, hit.target) for hit in crowd.counts.hits)
    assert len(times) == len(lines)
    assert max(times.values()) <= 2
    assert len(crowd.counts.hits) <= len(lines) + 3 * 20, "20 in progress, others on their way"

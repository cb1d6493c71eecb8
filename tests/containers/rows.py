"""Containers of rows, as their own readers read them, compared with the ledger."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from fetchpool.output.sinks.reading import read_body
from tests.harness import Record, read_records

ELSEWHERE = {"path", "container", "offset", "length"}
EARLIER = (".fetchpool/previous.jsonl", ".fetchpool/carried.jsonl")


def sealed(dest: Path, store: str) -> list[Path]:
    """Return the containers in *dest*; AssertionError if anything else lies beside them."""
    paths = sorted((dest / store).iterdir()) if (dest / store).exists() else []
    assert all(path.suffix == f".{store}" for path in paths), paths
    return paths


def rows_of(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a container as its own readers see them, with the body's."""
    return _of_sqlite(path) if path.suffix == ".sqlite" else _of_parquet(path)


def _of_sqlite(path: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        assert [tuple(row) for row in database.execute("PRAGMA integrity_check")] == [("ok",)]
        found = [dict(row) for row in database.execute("SELECT * FROM fetched ORDER BY number")]
        (count,) = database.execute("SELECT count(*) FROM bodies").fetchone()
        indexes = database.execute("SELECT name FROM sqlite_master WHERE type = 'index'")
        assert {name for (name,) in indexes} == {"records_by_url", "records_by_seq"}
    assert count == sum(row["body"] is not None for row in found)
    for row in found:
        row["ok"], row["insecure"] = bool(row["ok"]), bool(row["insecure"])
    return found


def _of_parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet

    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    for row in rows:
        if row["started_at"] is not None:
            assert row["started_at"].utcoffset() == timedelta(0)
            row["started_at"] = row["started_at"].isoformat(timespec="milliseconds")[:23] + "Z"
    return rows


def named(dest: Path, *, refreshed: bool) -> list[Record]:
    """Return all records that name a row: a refresh keeps those of the run before."""
    paths = [dest / name for name in EARLIER if refreshed and (dest / name).exists()]
    lines = [line for path in paths for line in path.read_bytes().splitlines()]
    return [*read_records(dest), *map(json.loads, lines)]


def check_rows(dest: Path, store: str, *, refreshed: bool = False, moved: bool = False) -> None:
    """Assert that each record has its row, which says the same, and that there are no others.

    With *moved* lines have other numbers than when they were fetched, which is what rows say.
    """
    found = {}
    for path in sealed(dest, store):
        for row in rows_of(path):
            found[f"{store}/{path.name}", row["number"]] = row
    records = {
        (each["container"], each["offset"]): each for each in named(dest, refreshed=refreshed)
    }
    assert set(found) == set(records)
    for place, record in records.items():
        _check_row(found[place], record, {"seq"} if moved else set())
        if record["ok"]:
            body = b"".join(read_body(dest, record["path"], (*place, record["length"])))
            assert body == found[place]["body"]


def _check_row(row: dict[str, Any], record: Record, but: set[str]) -> None:
    for key in record.keys() - ELSEWHERE - {"row", "timings"} - but:
        assert row[key] == record[key], key
    for step, seconds in record.get("timings", {}).items():
        assert row[f"timings_{step}"] == seconds, step
    carried = row["list_row"]
    assert (carried is None) == ("row" not in record)
    assert carried is None or json.loads(carried) == record["row"]
    body = row["body"]
    if not record["ok"]:
        assert body is None
        assert record["length"] == 0
        return
    assert len(body) == record["bytes"] == record["length"]
    assert record["sha256"] in (None, hashlib.sha256(body).hexdigest())

"""Records ↔ lines by URL, in tables on disk: the n-th record of a URL to its n-th line.

Both sides may be ten million long, so neither is held in memory (measured for that: two minutes of
one core, 78 MB). URLs stand there as their 64-bit hashes, which are SipHash under a key the process
makes up: nobody can write a list whose URLs collide, and by chance a pair among ten million does
once in 370,000 runs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from fetchpool.model.values import Request
from fetchpool.output.ledger.entries import Entry
from fetchpool.output.ledger.record import recorded_key, recorded_url

_CACHE_KIB = 8_000
_BATCH = 10_000

_SCHEMA = """
CREATE TABLE record (ordinal INTEGER PRIMARY KEY, url INTEGER NOT NULL, place INTEGER NOT NULL);
CREATE TABLE line (seq INTEGER PRIMARY KEY, url INTEGER NOT NULL, source TEXT, number INTEGER);
"""

_PAIRS = """
SELECT record.ordinal, line.seq, line.source, line.number
FROM (SELECT ordinal, url, row_number() OVER (PARTITION BY url ORDER BY place) AS nth
      FROM record) AS record
JOIN (SELECT seq, source, number, url, row_number() OVER (PARTITION BY url ORDER BY seq) AS nth
      FROM line) AS line
USING (url, nth)
ORDER BY record.ordinal
"""


class Pair(NamedTuple):
    """A record that answers a line."""

    ordinal: int
    """Which of the records, as they were added."""
    seq: int
    source: str | None
    number: int | None


def open_index(path: Path) -> sqlite3.Connection:
    """Return an empty index in the file *path*."""
    return open_scratch(path, _SCHEMA)


def open_scratch(path: Path, schema: str) -> sqlite3.Connection:
    """Return a new database that is fast rather than safe: nobody ever opens it again."""
    path.unlink(missing_ok=True)
    scratch = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
    scratch.executescript(
        f"PRAGMA cache_size = -{_CACHE_KIB}; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
        f"PRAGMA locking_mode = EXCLUSIVE; {schema} BEGIN;"
    )
    return scratch


def add_records(index: sqlite3.Connection, records: Iterable[tuple[int, str, int]]) -> None:
    """Add the (ordinal, key, place) of records; of one key, the lower place is matched first."""
    index.executemany(
        "INSERT INTO record VALUES (?, ?, ?)",
        ((ordinal, hash(key), place) for ordinal, key, place in records),
    )


def add_lines(index: sqlite3.Connection, lines: Iterable[Request]) -> None:
    """Add today's list. What reading the list raises comes out as it is."""
    remaining = iter(lines)
    while rows := [
        (line.seq, _hash_of(line), line.source, line.line) for line in islice(remaining, _BATCH)
    ]:
        index.executemany("INSERT INTO line VALUES (?, ?, ?, ?)", rows)


def _hash_of(line: Request) -> int:
    return hash(recorded_key(recorded_url(line.url), line.variant))


def pairs(index: sqlite3.Connection) -> Iterator[Pair]:
    """Yield which record answers which line, by ordinal."""
    return map(Pair._make, index.execute(_PAIRS))


class AnswerSet:
    """A set of answers on disk: two entries of one answer are equal whatever their line's number.

    An answer is known by its URL, when it began and how long it took. Failures without any
    attempt have only the URL: to take two for one costs no request.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        schema = "CREATE TABLE answer (hash INTEGER PRIMARY KEY);"
        self._scratch = open_scratch(path, schema)

    def add(self, entry: Entry) -> None:
        """Add the answer that *entry* is about."""
        self._scratch.execute("INSERT OR IGNORE INTO answer VALUES (?)", (_identity(entry),))

    def __contains__(self, entry: Entry) -> bool:
        """Tell whether the answer that *entry* is about was added."""
        query = "SELECT 1 FROM answer WHERE hash = ?"
        return self._scratch.execute(query, (_identity(entry),)).fetchone() is not None

    def close(self) -> None:
        """Delete the set."""
        self._scratch.close()
        self._path.unlink(missing_ok=True)


def _identity(entry: Entry) -> int:
    return hash((entry.key, entry.started_at, entry.elapsed_s, entry.label))

"""What is known of each origin's robots.txt: on disk for a day, the latest parsed in memory.

    find ──▶ Known (text, or why all is refused) ◀── robots.sqlite ◀── learn
      └─parse─▶ Ready, of a token ──▶ Shelf (bounded by the size of the rules)

All processes of a run share the file; an origin belongs to one of them.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias

from fetchpool.model.values import Failure, FailureKind
from fetchpool.policies.robots_text import Rules

Origin: TypeAlias = tuple[str, str, int]

KEPT_S = 24 * 3600.0
"""How long a robots.txt holds: no more than 24 hours (RFC 9309 §2.4)."""

REFUSES_S = 600.0
"""How long one that could not be had refuses all, before it is asked for again."""

SHELF_SIZE = 1 << 20
"""Characters of parsed rules in memory: Protego takes up to 40 bytes for each."""

_LEAST_SIZE = 256
"""What an origin counts at least: so there are 4,096 at most."""

_TABLE = """
CREATE TABLE IF NOT EXISTS robots (
    origin TEXT PRIMARY KEY, expires REAL, text BLOB, kind TEXT, detail TEXT
) WITHOUT ROWID
"""


class Known(NamedTuple):
    """What holds for an origin until *expires*, in seconds since the epoch."""

    expires: float
    text: str = ""
    refusal: Failure | None = None
    """Why all its URLs are refused: its robots.txt could not be had."""


class Ready(NamedTuple):
    """The same for one product token, parsed."""

    expires: float
    rules: Rules | None
    refusal: Failure | None = None


class Cache:
    """The texts, on disk: in memory they would take 512 KiB an origin.

    A file that can't be used costs requests, nothing else: it is made anew, or done without.
    """

    def __init__(self, path: Path | None, now: float) -> None:
        """Open *path*, and forget what doesn't hold any more; None = a file without a name."""
        self._database = self._opened(path, now)

    def find(self, origin: Origin, now: float) -> Known | None:
        """Return what is known of *origin*; None if its robots.txt is to be asked for."""
        query = "SELECT expires, text, kind, detail FROM robots WHERE origin = ?"
        try:
            row = self._database.execute(query, (_key(origin),)).fetchone()
            if row is None or not holds(row[0], now):
                return None
            expires, text, kind, detail = row
            refusal = None if kind is None else Failure(FailureKind(kind), detail)
            return Known(expires, zlib.decompress(text).decode(), refusal)
        except (sqlite3.Error, zlib.error, ValueError, TypeError):
            return None

    def learn(self, origin: Origin, known: Known) -> None:
        """Remember *known* of *origin*."""
        kind = None if known.refusal is None else known.refusal.kind.value
        detail = None if known.refusal is None else known.refusal.detail
        values = (_key(origin), known.expires, zlib.compress(known.text.encode(), 1), kind, detail)
        with suppress(sqlite3.Error):
            self._database.execute("REPLACE INTO robots VALUES (?, ?, ?, ?, ?)", values)

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self._database.close()

    def _opened(self, path: Path | None, now: float) -> sqlite3.Connection:
        for _ in range(2 if path is not None else 0):
            try:
                return _connected(str(path), now)
            except sqlite3.OperationalError:  # in use for long, a full disk, no place for it
                break
            except sqlite3.DatabaseError:  # not one of ours, or damaged by a loss of power
                _remove(path)
        return _connected("", now)


class Shelf:
    """The latest parsed rules, of so many origins that their sizes add up to `SHELF_SIZE`."""

    def __init__(self) -> None:
        self._ready: OrderedDict[tuple[Origin, str], Ready] = OrderedDict()
        self._size = 0

    def get(self, origin: Origin, token: str, now: float) -> Ready | None:
        """Return what holds for *token* at *origin*, if it is here."""
        ready = self._ready.get((origin, token))
        if ready is None or not holds(ready.expires, now):
            return None
        self._ready.move_to_end((origin, token))
        return ready

    def put(self, origin: Origin, token: str, ready: Ready) -> None:
        """Add *ready*; those that were not needed for the longest time make room."""
        old = self._ready.pop((origin, token), None)
        self._size += _size(ready) - (0 if old is None else _size(old))
        self._ready[origin, token] = ready
        while self._size > SHELF_SIZE and len(self._ready) > 1:
            self._size -= _size(self._ready.popitem(last=False)[1])


def holds(expires: float, now: float) -> bool:
    """Tell whether what *expires* then holds *now*; not if the clock was set back meanwhile."""
    return now < expires <= now + KEPT_S


def _size(ready: Ready) -> int:
    return max(_LEAST_SIZE, 0 if ready.rules is None else ready.rules.size)


def _key(origin: Origin) -> str:
    scheme, host, port = origin
    return f"{scheme}://{host}:{port}"


def _connected(path: str, now: float) -> sqlite3.Connection:
    """Open the database *path*; an empty one is on disk too, without a name, where it is big."""
    database = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    try:
        # Whatever kills the process, the file is whole; a commit waits for no disk.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(_TABLE)
        # Refusals hold for a run; another process of it has those it needs in memory.
        forget = "DELETE FROM robots WHERE kind IS NOT NULL OR NOT expires BETWEEN ? AND ?"
        database.execute(forget, (now, now + KEPT_S))
    except BaseException:
        database.close()
        raise
    return database


def _remove(path: Path | None) -> None:
    for ending in ("", "-wal", "-shm"):
        with suppress(OSError):
            Path(f"{path}{ending}").unlink()

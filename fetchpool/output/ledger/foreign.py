"""The names that were under DEST before fetchpool came: files of somebody else, never touched."""

from __future__ import annotations

import os
import sqlite3
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from fetchpool.output.ledger.files import LineWriter


class ForeignNames:
    """Names relative to DEST, on disk however many there are.

    The file is empty if there was nothing, as it mostly is: then no question costs anything. It
    stands from the moment all names are in it, so a run that is killed while it looks around
    looks again, and later runs don't take the bodies of earlier ones for foreign.
    """

    def __init__(self, path: Path) -> None:
        """Open the file that `remember_names` made; raises sqlite3.Error if it is damaged."""
        self._lock = threading.Lock()
        self._names: sqlite3.Connection | None = None
        if path.stat().st_size:
            self._names = sqlite3.connect(path, check_same_thread=False)
            self._names.execute("SELECT 1 FROM name LIMIT 1")  # damage is better met now

    def __contains__(self, path: str) -> bool:
        """Tell whether *path* (`/` between its parts) was there, from any thread.

        Names that differ only by case or Unicode form count as one, as for many file systems.
        """
        if self._names is None:
            return False
        with self._lock:
            return bool(
                self._names.execute("SELECT 1 FROM name WHERE name = ?", (folded(path),)).fetchone()
            )

    def close(self) -> None:
        """Close the file; may be called again."""
        if self._names is not None:
            self._names.close()
            self._names = None


def remember_names(dest: Path, private: Path, path: Path) -> None:
    """Write the names of everything under *dest* but *private* to *path*, in one step.

    Directories are listed one at a time and symlinks not followed. What can't be listed can't be
    overwritten unseen either: names that are taken are looked up here.
    """
    beside = path.with_name(f"{path.name}.new")
    with LineWriter(beside, fsync=False):
        pass
    names = _names_under(dest, private)
    first = next(names, None)
    if first is not None:
        with closing(sqlite3.connect(beside)) as names_db, names_db:
            names_db.execute("PRAGMA journal_mode = OFF")
            names_db.execute("CREATE TABLE name (name BLOB PRIMARY KEY) WITHOUT ROWID")
            insert = "INSERT OR IGNORE INTO name VALUES (?)"
            names_db.execute(insert, (folded(first),))
            names_db.executemany(insert, ((folded(name),) for name in names))
    with beside.open("rb") as written:  # what it protects is not ours to lose
        os.fsync(written.fileno())
    beside.replace(path)


def _names_under(dest: Path, private: Path) -> Iterator[str]:
    """Yield the names below *dest*, relative to it."""
    directories = [""]
    while directories:
        prefix = directories.pop()
        try:
            entries = os.scandir(dest / prefix)
        except PermissionError:
            continue
        with entries:
            for entry in entries:
                if not prefix and entry.name == private.name:
                    continue
                name = prefix + entry.name
                yield name
                if entry.is_dir(follow_symlinks=False):
                    directories.append(f"{name}/")


def folded(name: str) -> bytes:
    """Return what names have in common that differ only by case or Unicode form."""
    return unicodedata.normalize("NFC", name).casefold().encode("utf-8", "surrogatepass")

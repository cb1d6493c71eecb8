"""Names that lines wish for their files: of two lines with one name, the first in the list has it.

    line 1  a.jpg  https://h/1  ──▶ a.jpg
    line 2  a.jpg  https://h/2  ──▶ a~9c1185a5c5e9fc54.jpg     with the hash of its URL

Who has a name is put down in the order of the list, before anything is fetched: whatever ends
first, names stay, and a run that goes on finds them. Names that differ only by case or Unicode form
count as one, as for many file systems.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from msgspec.structs import replace

from fetchpool.model.values import Request
from fetchpool.output.ledger.foreign import folded
from fetchpool.output.names import SHARED, wished_path

_OWNER_BYTES = 8


class Claims:
    """Who has which name, on disk however many there are (4 µs each); nothing without any.

    The file stays once it was made, also without names: then files may be called as lists wished.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._names: sqlite3.Connection | None = None

    def forget(self) -> None:
        """Let every name be free: nothing of an earlier run is kept. Raises sqlite3.Error."""
        if self._path.exists():
            self._opened().execute("DELETE FROM claim")

    def settled(self, requests: list[Request]) -> list[Request]:
        """Return *requests*, the next of the list, with names that no other line has."""
        if not [each for each in requests if each.name]:
            return requests
        names = self._opened()
        with names:
            names.execute("BEGIN")
            return [self._settled(each, names) if each.name else each for each in requests]

    def close(self) -> None:
        """Close the file; may be called again."""
        if self._names is not None:
            self._names.close()
            self._names = None

    def _settled(self, request: Request, names: sqlite3.Connection) -> Request:
        assert request.name is not None
        name = request.name.rstrip(SHARED)
        path = folded(wished_path(name))
        key = request.key.encode("utf-8", "surrogatepass")
        owner = blake2b(key, digest_size=_OWNER_BYTES).digest()
        new = names.execute("INSERT OR IGNORE INTO claim VALUES (?, ?)", (path, owner))
        if not new.rowcount:
            query = "SELECT owner FROM claim WHERE path = ?"
            if names.execute(query, (path,)).fetchone()[0] != owner:
                name += SHARED
        return request if name == request.name else replace(request, name=name)

    def _opened(self) -> sqlite3.Connection:
        if self._names is None:
            try:
                self._names = self._open()
            except sqlite3.DatabaseError:  # damaged: the list gives the names anew
                with suppress(FileNotFoundError):
                    self._path.unlink()
                self._names = self._open()
        return self._names

    def _open(self) -> sqlite3.Connection:
        names = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None)
        # What a loss of power takes, the list gives anew.
        names.execute("PRAGMA synchronous = OFF")
        names.execute(
            "CREATE TABLE IF NOT EXISTS claim (path BLOB PRIMARY KEY, owner BLOB) WITHOUT ROWID"
        )
        return names

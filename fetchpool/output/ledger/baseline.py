"""What the run before got for each URL: what `--refresh` compares with.

    carried.jsonl, previous.jsonl ──▶ index by URL ──attach──▶ requests with what an earlier run got
                                            └──left──▶ records of URLs that the list has no more

`previous.jsonl` is the ledger before today's. A URL that failed there, or had left the list, may
have a body from a run before that: its last good record stands in `carried.jsonl`, which is made
when a refresh begins.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from fetchpool.model.bodies import NoSuchBodyError, ReadBody, Stock
from fetchpool.model.urls import conceals
from fetchpool.model.values import Change, Earlier, Request
from fetchpool.model.versions import condition_of
from fetchpool.output.ledger.bitmap import Bitmap
from fetchpool.output.ledger.entries import Entry, read_blocks
from fetchpool.output.ledger.files import LineWriter
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.matching import open_scratch
from fetchpool.output.ledger.receipts import Placed
from fetchpool.output.ledger.record import recorded_key, recorded_url

_SCHEMA = """
CREATE TABLE answer (
    url INTEGER PRIMARY KEY, older INTEGER NOT NULL, place INTEGER NOT NULL, number INTEGER NOT NULL
);
"""
_ADD = "INSERT OR REPLACE INTO answer VALUES (?, ?, ?, ?)"
_FIND = "SELECT older, place, number FROM answer WHERE url = ?"
_ALL = "SELECT older, place, number FROM answer ORDER BY older, place"

_SLACK_S = 0.05
"""By how much the two clocks may differ: that of the record's seconds, and that of the files."""


class Known(Placed, frozen=True, gc=False):
    """What matters of a good record."""

    url: str
    ok: bool
    bytes: int
    final_url: str | None = None
    content_type: str | None = None
    sha256: str | None = None
    started_at: str | None = None
    elapsed_s: float = 0.0
    method: str = "GET"
    request_sha256: str | None = None
    etag: str | None = None
    last_modified: str | None = None

    @property
    def asked_at(self) -> float | None:
        """When it was first asked for, in seconds since the epoch."""
        try:
            return datetime.fromisoformat(self.started_at or "").timestamp()
        except ValueError:
            return None


class Left(NamedTuple):
    """A record whose URL is in the list no more."""

    raw: bytes
    known: Known
    is_news: bool
    """Whether the list of the run before had it."""


_decoder = msgspec.json.Decoder(Known)


class Baseline:
    """The good records of earlier runs, found by what was asked for."""

    def __init__(
        self,
        layout: Layout,
        read_body: ReadBody,
        *,
        bodies: bool,
        comparable: bool,
        stock: Stock | None = None,
    ) -> None:
        """Index what *layout* has, reading it once. Raises OSError, sqlite3.Error.

        *read_body* reads bodies in containers. *bodies* says that today's run stores bodies,
        *comparable* that they are of the same form as those of the run before; they are in *stock*,
        or else in DEST.
        """
        self._layout = layout
        self._read_body = read_body
        self._bodies = bodies
        self._comparable = comparable
        self._stock = stock
        self._stored: Mapping[str, tuple[int, str | None]] = {}
        self._files = {
            older: path.open("rb", buffering=4096)
            for older, path in ((1, layout.carried), (0, layout.previous))
            if path.exists()
        }
        self._seen = Bitmap()
        self._index = open_scratch(layout.known_index, _SCHEMA)
        numbers = count(1)
        for older, path in ((1, layout.carried), (0, layout.previous)):
            if older in self._files:
                places = _good(path)
                rows = ((key, older, place, next(numbers)) for key, place in places)
                self._index.executemany(_ADD, rows)
        ledger = self._files.get(0)
        self._ledger_ns = 0 if ledger is None else os.fstat(ledger.fileno()).st_mtime_ns

    def attach(self, requests: Sequence[Request], answered: Bitmap | None) -> list[Request]:
        """Return *requests*, those that are not *answered* with what an earlier run got for them.

        Looks at their bodies on disk, and hashes those whose files have changed since. From any
        thread, one at a time. Raises OSError, `StoreError`.
        """
        try:
            if self._stock is not None and self._bodies:
                self._stored = self._stock.bodies(self._paths_of(requests, answered))
            return [
                each
                if answered is not None and self._is_answered(each, answered)
                else self._of(each)
                for each in requests
            ]
        except sqlite3.Error as error:
            reason = f"the index of earlier records failed: {error}"
            raise OSError(errno.EIO, reason, str(self._layout.known_index)) from error

    def left(self, *, beside: bool = False) -> Iterator[Left]:
        """Yield what no request that `attach` got has asked for: that of the last list first.

        With *beside* the ledger has other lists' records, whose URLs haven't left. Raises OSError,
        sqlite3.Error.
        """
        if beside:
            for block in read_blocks(self._layout.ledger):
                for entry in block.entries:
                    if entry is not None:
                        self._see(entry.key)
        for older, place, number in self._index.execute(_ALL):
            raw, known = (b"", None) if number in self._seen else self._read(older, place)
            if known is not None:
                yield Left(raw, known, is_news=not older)

    def has_body(self, left: Left) -> bool:
        """Tell whether the body of a record is still there, as it was stored."""
        path = left.known.path
        return path is not None and self._look(path, left.known, is_last=left.is_news)[0]

    def close(self) -> None:
        """Close and delete the index; may be called again."""
        for file in self._files.values():
            file.close()
        self._index.close()
        self._layout.known_index.unlink(missing_ok=True)

    def _paths_of(self, requests: Sequence[Request], answered: Bitmap | None) -> list[str]:
        """Return where bodies of *requests* should be, to be looked at all at once."""
        paths: dict[str, None] = {}
        for each in requests:
            if answered is not None and each.seq in answered:
                continue
            found = self._see(recorded_key(recorded_url(each.url), each.variant))
            known = None if found is None else self._read(*found)[1]
            if known is not None and known.path is not None:
                paths[known.path] = None
        return list(paths)

    def _is_answered(self, request: Request, answered: Bitmap) -> bool:
        if request.seq not in answered:
            return False
        self._see(recorded_key(recorded_url(request.url), request.variant))
        return True

    def _see(self, key: str) -> tuple[int, int] | None:
        """Note that *key* is asked for; return which file has its record, and where."""
        row = self._index.execute(_FIND, (hash(key),)).fetchone()
        if row is None:
            return None
        older, place, number = row
        self._seen.add_all((number,))
        return older, place

    def _of(self, request: Request) -> Request:
        url = recorded_url(request.url)
        if request.problem is not None or conceals(url):
            return request  # the record doesn't hold the whole URL: it may be another's
        if request.is_sitemap:
            return request  # its body is needed in any case
        key = recorded_key(url, request.variant)
        found = self._see(key)
        known = None if found is None else self._read(*found)[1]
        if found is None or known is None or _key_of(known) != key:
            return replace(request, earlier=Earlier())
        return replace(request, earlier=self._earlier(request, known, is_last=not found[0]))

    def _read(self, older: int, place: int) -> tuple[bytes, Known | None]:
        file = self._files[older]
        file.seek(place)
        raw = file.readline()
        return raw, _decoded(raw)

    def _earlier(self, request: Request, known: Known, *, is_last: bool) -> Earlier:
        path, sha256 = None, known.sha256
        if self._bodies and known.path is not None:
            is_there, sha256 = self._look(known.path, known, is_last=is_last)
            path = known.path if is_there and self._comparable else None
        place = None
        if self._bodies and known.place is not None:
            # What is in a container is as it was written; that it is there, the sink sees itself.
            is_there = self._stock is None or self._stock.has_container(known.place[0])
            place = known.place if self._comparable and is_there else None
            if sha256 is None and is_there:
                sha256 = self._hash_of(known)
        is_bodiless = not self._bodies or request.method == "HEAD"
        has_body = path is not None or place is not None
        may_ask = has_body or (is_bodiless and known.path is None and known.container is None)
        url = known.final_url or known.url
        return Earlier(
            url,
            known.bytes,
            known.content_type,
            path,
            sha256,
            known.etag,
            known.last_modified,
            condition_of(known.etag, known.last_modified, known.asked_at) if may_ask else None,
            place,
        )

    def _look(self, path: str, known: Known, *, is_last: bool) -> tuple[bool, str | None]:
        """Return whether the body at *path* is unaltered, and its SHA-256 as far as it is known."""
        if self._stock is not None:
            return self._is_stored(path, known)
        if path.startswith("/") or ".." in path.split("/"):
            return False, known.sha256
        file = f"{self._layout.dest}/{path}"
        try:
            found = os.lstat(file)
            if not stat.S_ISREG(found.st_mode) or found.st_size != known.bytes:
                return False, known.sha256
            untouched = self._is_untouched(found, known, is_last=is_last)
            if untouched and known.sha256 is not None:
                return True, known.sha256
            if not untouched and known.sha256 is None and (known.etag or known.last_modified):
                return False, None  # what it was can't be told: its validators are to be compared
            with os.fdopen(os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as body:
                sha256 = hashlib.file_digest(body, "sha256").hexdigest()
        except OSError:
            return False, known.sha256
        if known.sha256 is None:
            return untouched, sha256
        return sha256 == known.sha256, known.sha256

    def _is_stored(self, path: str, known: Known) -> tuple[bool, str | None]:
        """Do what `_look` does, by what the object at *path* says of itself."""
        length, sha256 = self._stored.get(path, (-1, None))
        is_it = length == known.bytes and sha256 is not None
        if not is_it or known.sha256 not in (None, sha256):
            return False, known.sha256
        return True, sha256

    def _hash_of(self, known: Known) -> str | None:
        """Return the SHA-256 of a body in a container; None where it can't be read."""
        found = hashlib.sha256()
        try:
            for piece in self._read_body(known.path, known.place):
                found.update(piece)
        except (OSError, NoSuchBodyError):
            return None
        return found.hexdigest()

    def _is_untouched(self, found: os.stat_result, known: Known, *, is_last: bool) -> bool:
        """Tell whether nothing has happened to a file since its record was made.

        The time of its last change moves with every change of its bytes, and nobody can set it
        back. No file of the last run is newer than that run's ledger.
        """
        asked_at = known.asked_at
        if asked_at is None or (is_last and found.st_ctime_ns > self._ledger_ns):
            return False
        return found.st_ctime <= asked_at + known.elapsed_s + _SLACK_S


def write_carried(layout: Layout, *, fsync: bool) -> None:
    """Write to `next-carried.jsonl` the last good records that today's ledger has no answer for.

    Of URLs that failed in it, and of those that it has no more while their body is there. To be
    called before that ledger becomes `previous.jsonl`. Raises OSError, sqlite3.Error.
    """
    older = [path for path in (layout.previous, layout.carried) if path.exists()]
    if not older:
        return
    with (
        closing(open_scratch(layout.known_index, _SCHEMA)) as index,
        LineWriter(layout.next_carried, fsync=fsync) as writer,
    ):
        for block in read_blocks(layout.ledger):
            entries = [each for each in block.entries if each is not None]
            index.executemany(_ADD, ((hash(each.key), _is_settled(each), 0, 0) for each in entries))
        for path in older:
            for raw, known in _good_lines(path):
                key = hash(_key_of(known))
                row = index.execute("SELECT older FROM answer WHERE url = ?", (key,)).fetchone()
                place = known.path or known.container
                if row is None and (place is None or not _is_there(layout, place)):
                    continue
                if row is None or not row[0]:
                    writer.write(raw)
                    index.execute(_ADD, (key, 1, 0, 0))
    layout.known_index.unlink(missing_ok=True)


def _is_settled(entry: Entry) -> bool:
    return entry.ok or entry.change == Change.GONE


def _is_there(layout: Layout, path: str) -> bool:
    # What is in an object store, nobody takes away from there but the user.
    return layout.remote is not None or os.path.lexists(layout.dest / path)


def _good(path: Path) -> Iterator[tuple[int, int]]:
    """Yield the hash of each good record's key in *path*, and the record's offset."""
    for block in read_blocks(path):
        offset = block.offset
        for line, entry in zip(block.lines(), block.entries, strict=True):
            if entry is not None and entry.ok and not conceals(entry.url):
                yield hash(entry.key), offset
            offset += len(line)


def _good_lines(path: Path) -> Iterator[tuple[bytes, Known]]:
    for block in read_blocks(path):
        for line, entry in zip(block.lines(), block.entries, strict=True):
            if entry is not None and entry.ok and not conceals(entry.url):
                known = _decoded(line)
                if known is not None:
                    yield line, known


def _decoded(raw: bytes) -> Known | None:
    try:
        return _decoder.decode(raw)
    except msgspec.DecodeError:  # the record of another version, or of no program of ours
        return None


def _key_of(known: Known) -> str:
    if known.request_sha256 is not None:
        return recorded_key(known.url, f"{known.method} {known.request_sha256}")
    return known.url if known.method == "GET" else recorded_key(known.url, known.method)


def write_left(path: Path, left: Iterable[Left], *, fsync: bool) -> int:
    """Write the records of URLs that have *left* the list since the last run; return how many."""
    written = 0
    beside = path.with_name(f"{path.name}.new")
    with LineWriter(beside, fsync=fsync) as writer:
        for each in left:
            if each.is_news:
                writer.write(each.raw)
                written += 1
    beside.replace(path)
    return written

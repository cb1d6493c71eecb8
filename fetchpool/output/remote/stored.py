"""`StoredFile`: an object that is read as a file is, by ranges, each when it is asked for."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import weakref
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from fetchpool.model.remote import remote_of
from fetchpool.output.remote.bucket import SINGLE, Bucket, MissingError

PATIENCE_S = 20.0
"""For how long a read is tried again."""
_BLOCK = 1 << 20
"""Bytes that are read after a jump; what follows without one is read in pieces twice as large."""


@lru_cache(maxsize=4)
def bucket_of(url: str, patience_s: float = PATIENCE_S) -> Bucket:
    """Return the prefix *url*, to be read; from any thread. Raises `ConfigError`."""
    remote = remote_of(url)
    assert remote is not None
    return Bucket(remote, patience_s)


class StoredFile(NamedTuple):
    """An object at a prefix, as `Readable` has it."""

    url: str
    """Of the prefix."""
    path: str
    """Its name there."""
    patience_s: float = PATIENCE_S

    @property
    def bucket(self) -> Bucket:
        """Where it is."""
        return bucket_of(self.url, self.patience_s)

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]

    def open(self, mode: Literal["rb"] = "rb", /) -> IO[bytes]:
        """Return it opened. Raises `RemoteStoreError`, `ConfigError`, as reading from it does."""
        return io.BufferedReader(_Ranges(self, _size_of(self)))


def brought_here(file: StoredFile) -> Path:
    """Return a copy of *file* in a directory for temporary files, which goes with the program.

    Raises OSError, `RemoteStoreError`.
    """
    return _copy_of(file).path


def bring(bucket: Bucket, name: str, to: Path) -> None:
    """Write object *name* to the file *to*. Raises OSError, `RemoteStoreError`."""
    with to.open("wb") as file:
        for piece in bucket.pieces(name):
            file.write(piece)


# Who reads the bodies of a ledger, in its order, comes back to few containers, and to the same
# parts of them: 16 MiB. Who reads one body opens its container more than once.
@lru_cache(maxsize=2)
def _copy_of(file: StoredFile) -> _Copy:
    return _Copy(file)


@lru_cache(maxsize=64)
def _size_of(file: StoredFile) -> int:
    bucket = file.bucket
    size = bucket.size(file.path)
    if size is None:
        where = bucket.remote.object(file.path)
        raise MissingError("cannot read", where, "there is no such object")
    return size


@lru_cache(maxsize=16)
def _block_of(file: StoredFile, offset: int, length: int) -> bytes:
    return b"".join(file.bucket.pieces(file.path, offset, length))


class _Copy:
    """A copy of an object, as long as this is kept."""

    def __init__(self, file: StoredFile) -> None:
        folder = tempfile.mkdtemp(prefix="fetchpool-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.path = Path(folder, file.name)
        bring(file.bucket, file.path, self.path)


class _Ranges(io.RawIOBase):
    """Reads one object, ahead of who reads on."""

    def __init__(self, file: StoredFile, size: int) -> None:
        self._file = file
        self._size = size
        self._at = 0
        self._held = b""
        self._held_from = 0
        self._ahead = _BLOCK

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        if self._at >= self._size or not view:
            return 0
        if not 0 <= self._at - self._held_from < len(self._held):
            self._read_on()
        within = self._at - self._held_from
        data = self._held[within : within + len(view)]
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _read_on(self) -> None:
        """Have the bytes from `_at` on: more of them the longer nobody jumps."""
        if self._held and self._at == self._held_from + len(self._held):
            self._ahead = min(self._ahead * 2, SINGLE)
            length = min(self._ahead, self._size - self._at)
            pieces = self._file.bucket.pieces(self._file.path, self._at, length)
            self._held, self._held_from = b"".join(pieces), self._at
            return
        self._ahead = _BLOCK
        start = self._at - self._at % _BLOCK
        self._held = _block_of(self._file, start, min(_BLOCK, self._size - start))
        self._held_from = start

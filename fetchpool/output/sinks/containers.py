"""The containers of a sink: their names, their beginning and their end, and which are ours.

    begin ──▶ DEST/tar/00000.tar.open ──(full, or the end)──seal──▶ DEST/tar/00000.tar

A name is given once in a directory, however many runs there are, and put down in
`.fetchpool/containers` before its file is made: what isn't in that file is nobody's business here.
Several processes of a run give names at the same time.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from fetchpool.model.bodies import StoreError
from fetchpool.output.ledger.files import sync_directory
from fetchpool.output.sinks.place import Place

OPEN = ".open"
"""The end of a container's name while it grows."""

_NEW = ".new"
_WARC, _INDEX = ".warc.gz", ".cdxj"
_DATABASE_LOGS = ("-wal", "-shm", "-journal")

_fdatasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
_NUMBER = re.compile(r"([0-9]+)(?=\.[a-z.]*\Z)")


class Containers:
    """The containers in one folder of DEST."""

    def __init__(
        self, place: Place, folder: str, ending: str, *, stem: str = "", fsync: bool
    ) -> None:
        """Name them `FOLDER/STEM00000ENDING`; the folder is made with the first one.

        With *fsync* a container that is complete, and its name, are on stable storage.
        """
        self._place = place
        self._dest = place.layout.dest
        self._register = place.layout.private / "containers"
        self._folder = folder
        self._stem = stem
        self._ending = ending
        self._fsync = fsync

    def begin(self) -> tuple[str, int]:
        """Make the next container; return its name, relative to DEST, and its descriptor.

        The descriptor is for writing at any place; the caller closes it. Raises OSError.
        """
        self._dest.joinpath(self._folder).mkdir(exist_ok=True)
        name = self._new_name()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        return name, os.open(self._dest / (name + OPEN), flags, 0o666)

    def seal(self, name: str) -> None:
        """Give a container that is complete its final name. Raises OSError."""
        path = self._dest / (name + OPEN)
        if self._fsync:
            sync_file(path)
        path.rename(self._dest / name)
        if self._fsync:
            sync_directory(path.parent)

    def seal_as(self, name: str, path: Path) -> None:
        """Make *path* container *name*, sealed, in the place of what it was made of.

        Killed in between, both may be there, which hold the same. Raises OSError.
        """
        if self._fsync:
            sync_file(path)
        path.rename(self._dest / name)
        if self._fsync:
            sync_directory(path.parent)
        self.remove_open(name)

    def remove_open(self, name: str) -> None:
        """Delete what a sealed container was made of, if it is there still. Raises OSError."""
        self._dest.joinpath(name + OPEN).unlink(missing_ok=True)

    def unseal(self, name: str) -> None:
        """Give a container that is to grow again the name that says so. Raises OSError."""
        path = self._dest / name
        path.rename(self._dest / (name + OPEN))
        if self._fsync:
            sync_directory(path.parent)

    def path(self, name: str) -> Path:
        """Return where container *name* is now."""
        return path_of(self._dest, name)

    def is_open(self, name: str) -> bool:
        """Tell whether container *name* has not been sealed."""
        return not os.path.lexists(self._dest / name)

    def ours(self) -> Iterator[str]:
        """Yield the names of the containers here that exist. Raises OSError."""
        for name in dict.fromkeys(self._named()):
            if self._is_one(name) and not self._place.is_foreign(name) and self.path(name).exists():
                yield name

    def remove(self, name: str) -> None:
        """Delete a container. Raises OSError."""
        self.path(name).unlink()

    def error(self, what: str, name: str, error: OSError) -> StoreError:
        """Return the trouble *error* with container *name*: "cannot append to"."""
        return StoreError(what, str(self._dest / name), error.errno or errno.EIO)

    def _new_name(self) -> str:
        """Put down the next name that nobody has had, and return it.

        That a file is not there says nothing: it may be in an object store by now.
        """
        with self._registering() as fd:
            numbers = (
                int(_NUMBER.findall(name)[-1]) for name in self._named() if self._is_one(name)
            )
            for number in count(max(numbers, default=-1) + 1):
                name = f"{self._folder}/{self._stem}{number:05}{self._ending}"
                path = self._dest / name
                if not (os.path.lexists(path) or os.path.lexists(f"{path}{OPEN}")):
                    break
            # The line before it may be torn by a loss of power.
            os.write(fd, f"\n{name}\n".encode())
            if self._fsync:
                os.fsync(fd)
        return name

    def _is_one(self, name: str) -> bool:
        """Tell whether *name* is that of a container of this kind, whatever its stem."""
        folder, _, last = name.rpartition("/")
        return folder == self._folder and last.endswith(self._ending) and bool(_NUMBER.search(last))

    def _named(self) -> list[str]:
        try:
            return self._register.read_text("utf-8").split("\n")[:-1]
        except FileNotFoundError:
            return []

    @contextmanager
    def _registering(self) -> Iterator[int]:
        """Let no other process give a name in this block; yield a descriptor to append with."""
        fd = os.open(self._register, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)


def files_with(name: str) -> tuple[str, ...]:
    """Return the names of what belongs to sealed container *name* and lies beside it: an index."""
    if not name.endswith(_WARC):
        return ()
    return (name.removesuffix(_WARC) + _INDEX,)


def container_with(name: str) -> str:
    """Return the name of the container that file *name* belongs to: mostly it is one."""
    return name.removesuffix(_INDEX) + _WARC if name.endswith(_INDEX) else name


def leftovers_of(path: Path) -> Iterator[Path]:
    """Yield all files that may lie here of the container that ends up at *path*."""
    growing = path.with_name(path.name + OPEN)
    yield from (path, growing, path.with_name(path.name + _NEW))
    for name in files_with(path.name):
        yield path.with_name(name)
    # Of a database that was not closed: gone with it, or another one would be taken for theirs.
    for ending in _DATABASE_LOGS:
        yield growing.with_name(growing.name + ending)


def path_of(dest: Path, name: str) -> Path:
    """Return where container *name*, relative to *dest*, is now: sealed, or still growing."""
    sealed = dest / name
    return sealed if os.path.lexists(sealed) else dest / (name + OPEN)


def sync_file(path: Path) -> None:
    """Wait until the bytes of *path* are on stable storage. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _fdatasync(fd)
    finally:
        os.close(fd)

"""Directories below a root, reached without ever following a symlink, kept open for a while.

"example.org/img"  ──▶  root ─openat─▶ example.org ─openat─▶ img        made where missing
"""

from __future__ import annotations

import errno
import os
from collections import OrderedDict
from contextlib import suppress

UNUSABLE_NAME = frozenset(
    {
        errno.ENOTDIR,  # a file, or (Linux) a symlink, where a directory is needed
        errno.ELOOP,  # a symlink (macOS)
        errno.EISDIR,  # a directory where a file is needed
        errno.ENAMETOOLONG,  # some file systems hold less than 255 bytes
        errno.EINVAL,  # FAT and its kin refuse some characters
        errno.EILSEQ,  # APFS refuses some Unicode
    }
)
"""Errors that speak of one name and not of the disk: another name will do."""

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CLOSED = -1


class DirectoryTree:
    """Opens and makes directories below *root*, component by component.

    At most *capacity* descriptors are kept (one at least), those used last, beside the root's own.
    The root itself may be a symlink: that is its owner's choice. Below it none is followed, whoever
    put it there and whenever: OSError with one of `UNUSABLE_NAME`, as for a file in the way. With
    *fsync*, a directory made is on stable storage before it is used.

    A directory that somebody moves away while it is open goes on receiving files until its
    descriptor is closed: who may move it may delete its files as well.
    """

    def __init__(self, root: str | os.PathLike[str], *, capacity: int, fsync: bool = False) -> None:
        self._capacity = max(capacity, 1)  # the directory in use
        self._fsync = fsync
        self._opened: OrderedDict[str, int] = OrderedDict()
        self.root = os.open(root, _DIRECTORY)

    def open(self, path: str) -> int:
        """Return a descriptor of directory *path* (relative, with `/`), made if missing.

        It stays the tree's and is good until the next call. Raises OSError.
        """
        known = self._opened.get(path)
        if known is None:
            return self._walk(path)
        self._opened.move_to_end(path)
        return known

    def find(self, path: str) -> int | None:
        """Return a descriptor of directory *path* like `open`; None if there is no such one."""
        known = self._opened.get(path)
        if known is not None:
            self._opened.move_to_end(path)
            return known
        try:
            return self._walk(path, make=False)
        except OSError as error:
            if error.errno in UNUSABLE_NAME | {errno.ENOENT}:
                return None
            raise

    def names(self, path: str) -> list[str]:
        """Return the names in directory *path*; none if there is no such one."""
        directory = self.find(path)
        return [] if directory is None else os.listdir(directory)  # noqa: PTH208 - a descriptor

    def clear(self) -> None:
        """Close every directory but the root; they are looked up anew when next asked for."""
        while self._opened:
            os.close(self._opened.popitem()[1])

    def close(self) -> None:
        """Close everything; may be called again."""
        self.clear()
        if self.root != _CLOSED:
            os.close(self.root)
            self.root = _CLOSED

    def _walk(self, path: str, *, make: bool = True) -> int:
        if not path:
            return self.root
        here = self.root
        reached = ""
        for name in path.split("/"):
            reached = f"{reached}/{name}" if reached else name
            known = self._opened.get(reached)
            if known is None:
                known = open_directory(here, name, fsync=self._fsync, make=make)
                self._keep(reached, known)
            else:
                self._opened.move_to_end(reached)
            here = known
        return here

    def _keep(self, path: str, directory: int) -> None:
        self._opened[path] = directory
        if len(self._opened) > self._capacity:
            os.close(self._opened.popitem(last=False)[1])


def open_directory(parent: int, name: str, *, fsync: bool = False, make: bool = True) -> int:
    """Return a descriptor of directory *name* in *parent*; never via a symlink.

    With *make* it is made if it is missing. Raises OSError.
    """
    if name in {"", ".", ".."}:  # no URL's name has these; a second lock on the way out
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), name)
    flags = _DIRECTORY | os.O_NOFOLLOW
    encoded = name.encode()  # UTF-8 whatever the locale, which may be ASCII
    try:
        return os.open(encoded, flags, dir_fd=parent)
    except FileNotFoundError:
        if not make:
            raise
        with suppress(FileExistsError):
            os.mkdir(encoded, dir_fd=parent)
        if fsync:
            os.fsync(parent)
        return os.open(encoded, flags, dir_fd=parent)

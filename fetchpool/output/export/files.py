"""A file that is replaced in one step by what was written beside it."""

from __future__ import annotations

import os
import select
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fetchpool.model.descriptors import descriptor_of

Write = Callable[[bytes], None]

STDOUT = 1

_DESCRIPTORS = ("/dev/fd/", "/dev/std", "/proc/")


def is_stream(path: str) -> bool:
    """Tell whether what is written to *path* goes to a reader: a pipe, a device, a descriptor."""
    if path == "-" or os.path.abspath(path).startswith(_DESCRIPTORS):  # noqa: PTH100
        return True
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def write_whole(fd: int, data: bytes) -> None:
    """Write all of *data*; raises OSError."""
    view = memoryview(data)
    while view:
        view = view[write_some(fd, view) :]


def write_some(fd: int, view: memoryview) -> int:
    """Write the beginning of *view* as soon as there is room; return its length. Raises OSError."""
    while True:
        try:
            return os.write(fd, view)
        except BlockingIOError:  # somebody who shares the pipe made it non-blocking
            select.select([], [fd], [])


def descriptor_written(target: str) -> int | None:
    """Return the descriptor that *target* stands for, `-` included; None for another path."""
    return STDOUT if target == "-" else descriptor_of(target)


def open_stream(target: str, flags: int = 0) -> int:
    """Return a new descriptor to write to *target*: a path, or `-` for standard output.

    One that is open already (`/dev/stderr`) is gone on with where it stands. Raises OSError.
    """
    number = descriptor_written(target)
    if number is not None:
        return os.dup(number)
    return os.open(target, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | flags, 0o666)


class Replacement:
    """The new content of a file; until all of it is there, the old one stays."""

    def __init__(self, path: str) -> None:
        """Find out that *path* can be written, and change nothing; raises OSError."""
        # A link stays one, and what it leads to is replaced.
        self._path = Path(os.path.realpath(path))
        self._aside = self._path.with_name(f".fetchpool-{os.getpid()}.new")
        self._is_there = self._path.exists()
        if self._is_there:
            os.close(os.open(self._path, os.O_WRONLY | os.O_CLOEXEC))
        try:
            os.close(self._open(self._aside))
            self._aside.unlink()
        except OSError:
            if not self._is_there:
                raise
            self._in_place = True
        else:
            self._in_place = False

    def write(self, fill: Callable[[Write], None]) -> None:
        """Let *fill* write the new content with the function it is given; raises OSError.

        Where nothing can be put beside the file it is written over, which is more than one step.
        """
        if self._in_place:
            self._write_over(fill)
            return
        try:
            self._fill(self._open(self._aside), fill)
            if self._is_there:
                with suppress(OSError):
                    self._aside.chmod(stat.S_IMODE(self._path.stat().st_mode))
            try:
                self._aside.replace(self._path)
            except OSError:  # a file mounted by itself, as into a container
                if not self._is_there:
                    raise
                shutil.copyfile(self._aside, self._path)
        finally:
            self._aside.unlink(missing_ok=True)

    def _write_over(self, fill: Callable[[Write], None]) -> None:
        self._fill(os.open(self._path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC), fill)

    def _fill(self, fd: int, fill: Callable[[Write], None]) -> None:
        try:
            fill(lambda data: write_whole(fd, data))
        finally:
            os.close(fd)

    def _open(self, path: Path) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(path, flags, 0o666)

"""Small files replaced in one step, long ones written line by line."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

_CHUNK = 1 << 20


def write_all(fd: int, data: bytes) -> None:
    """Write all of *data*, however many calls that takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def sync_directory(path: Path) -> None:
    """Wait until the names in *path* are on stable storage, where the system can do that."""
    if os.name == "nt":
        return  # directories can't be opened there
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace_file(path: Path, data: bytes, *, fsync: bool) -> None:
    """Make *data* the content of *path*: whoever opens it finds the old content or the new."""
    beside = path.with_name(f"{path.name}.new")
    with LineWriter(beside, fsync=fsync) as writer:
        writer.write(data)
    beside.replace(path)
    if fsync:
        sync_directory(path.parent)


class LineWriter:
    """A new file that is complete, and with *fsync* on stable storage, when its block ends."""

    def __init__(self, path: Path, *, fsync: bool) -> None:
        self._fsync = fsync
        self._waiting: list[bytes] = []
        self._size = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
        self._fd = os.open(path, flags, 0o666)

    def __enter__(self) -> LineWriter:
        return self

    def write(self, data: bytes) -> None:
        """Add *data* at the end."""
        self._waiting.append(data)
        self._size += len(data)
        if self._size >= _CHUNK:
            self._flush()

    def _flush(self) -> None:
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._size = 0
        write_all(self._fd, data)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._flush()
                if self._fsync:
                    os.fsync(self._fd)
        finally:
            os.close(self._fd)

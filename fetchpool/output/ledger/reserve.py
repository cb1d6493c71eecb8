"""Room on the disk that is kept for the records of what has been answered when the disk is full."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

SIZES = (4 << 20, 64 << 10)
"""Bytes tried one after the other. The first is what the records of all that has ended and is not
written yet may take: 8,000 of 500 bytes, of which 4,096 wait in the journal at most."""


class Reserve:
    """A file without a name that takes room until `release`; it goes with the process, however."""

    def __init__(self, directory: Path) -> None:
        """Take room on *directory*'s file system, or none where that can't be."""
        self._fd = -1
        if not hasattr(os, "posix_fallocate"):  # macOS: the last records may be lost there
            return
        path = directory / "reserve.new"
        with suppress(OSError):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            path.unlink()
        for size in SIZES if self._fd >= 0 else ():
            with suppress(OSError):
                os.posix_fallocate(self._fd, 0, size)
                return
        self.release()

    def release(self) -> bool:
        """Give the room back, once; return whether there was any."""
        if self._fd < 0:
            return False
        os.close(self._fd)
        self._fd = -1
        return True

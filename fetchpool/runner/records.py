"""Where `--records` go: a file made anew, or standard output."""

from __future__ import annotations

import os
import select

STDOUT = 1


class OutputClosedError(Exception):
    """The reader of standard output has gone."""


class RecordsFile:
    """A file descriptor that takes whole records; used by one thread at a time."""

    def __init__(self, target: str) -> None:
        """Open *target*, a path or `-`; raises OSError."""
        self._name = "standard output" if target == "-" else target
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_CLOEXEC", 0)
        self._fd = os.dup(STDOUT) if target == "-" else os.open(target, flags, 0o666)

    def write(self, data: bytes) -> None:
        """Write all of *data*; raises `OutputClosedError`, or OSError with the file's name."""
        view = memoryview(data)
        try:
            while view:
                try:
                    view = view[os.write(self._fd, view) :]
                except BlockingIOError:  # somebody who shares the pipe made it non-blocking
                    select.select([], [self._fd], [])
        except BrokenPipeError as error:
            raise OutputClosedError from error
        except OSError as error:
            error.filename = self._name
            raise

    def close(self) -> None:
        """Close the descriptor; standard output itself stays open."""
        os.close(self._fd)

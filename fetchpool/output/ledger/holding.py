"""Who may write below DEST: the run that holds its lock, and the workers that it started.

    lock       flock(2), exclusive: the run; the kernel frees it when its process ends
    workers    flock(2), shared: each of its workers

A run that is killed leaves workers behind for the moment they need to notice. A body that one of
them puts in place after the next run has begun would be another answer than that run's record says,
so the next run waits until they are gone: each holds a shared lock for as long as it lives.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from fetchpool.output.ledger.errors import DirectoryBusyError
from fetchpool.output.ledger.layout import Layout

ORPHANS_WAIT_S = 10.0
"""How long they get; one that is in the middle of a large write to a slow disk may need seconds."""

LOCK_WAIT_S = 0.2
"""A run that is there is refused after so long: `is_held` holds the lock for a moment, too."""

_POLL_S = 0.01
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_FLAGS = _WRITE | os.O_CREAT


class Lock:
    """The lock of a run, held until `release`."""

    def __init__(self, layout: Layout) -> None:
        """Take it. Raises `DirectoryBusyError` if another run has it, OSError."""
        self._fd = _locked(layout.lock, _FLAGS, LOCK_WAIT_S)
        if self._fd < 0:
            raise DirectoryBusyError(f"another run holds {layout.dest}; try again later")

    def release(self) -> None:
        """Let it go; may be called again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def is_held(layout: Layout) -> bool:
    """Tell whether a run holds the directory; False where that can't be found out."""
    try:
        fd = _locked(layout.lock, _READ, 0.0)
    except OSError:
        return False
    if fd >= 0:
        os.close(fd)
    return fd < 0


def _locked(path: Path, flags: int, within_s: float) -> int:
    """Return a descriptor of *path* that locks it; -1 if it is locked for longer than *within_s*.

    Raises OSError.
    """
    fd = os.open(path, flags, 0o666)
    give_up_at = time.monotonic() + within_s
    try:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return fd
            if time.monotonic() >= give_up_at:
                os.close(fd)
                return -1
            time.sleep(_POLL_S)
    except BaseException:
        os.close(fd)
        raise


def hold(path: str | os.PathLike[str]) -> int:
    """Take a share of the lock *path* for a worker; return the descriptor that holds it.

    Raises OSError.
    """
    fd = os.open(path, _FLAGS, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
    except BaseException:
        os.close(fd)
        raise
    return fd


def wait_for_orphans(layout: Layout, within_s: float = ORPHANS_WAIT_S) -> None:
    """Wait until no worker of an earlier run holds *layout*'s directory.

    Raises `DirectoryBusyError` if one goes on.
    """
    try:
        fd = _locked(layout.workers, _WRITE, within_s)
    except FileNotFoundError:
        return
    if fd < 0:
        raise DirectoryBusyError(
            f"a worker of a run that was killed still writes to {layout.dest}; try again later"
        )
    os.close(fd)

"""Who may write below DEST: the run that holds its lock, and the workers that it started.

A run that is killed leaves workers behind for the moment they need to notice. A body that one of
them puts in place after the next run has begun would be another answer than that run's record says,
so the next run waits until they are gone: each holds a shared lock for as long as it lives.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress

from fetchpool.output.ledger.errors import DirectoryBusyError
from fetchpool.output.ledger.layout import Layout

ORPHANS_WAIT_S = 10.0
"""How long they get; one that is in the middle of a large write to a slow disk may need seconds."""

_POLL_S = 0.01
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


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
        fd = os.open(layout.workers, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        give_up_at = time.monotonic() + within_s
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            if time.monotonic() > give_up_at:
                raise DirectoryBusyError(
                    f"a worker of a run that was killed still writes to {layout.dest}; "
                    "try again later"
                )
            time.sleep(_POLL_S)
    finally:
        os.close(fd)

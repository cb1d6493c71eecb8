"""The real program with `segments` for its sink, and with death or a full disk where a test wants.

A moment is one at which a container or the ledger is changed: before a write, with half of it
written, behind it; before a cut or a deletion. Each process counts its own.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fetchpool.config import Config
from fetchpool.output import sinks
from fetchpool.output.sinks import Place
from tests.containers.segments import Segments

BATCH = 4
KILL_AT = "TEST_KILL_AT"
KILLED = "TEST_KILLED"
"""Names a file: who makes it dies, nobody else."""
FULL_AT = "TEST_FULL_AT"
"""Container writes that succeed; then the disk is full."""

NAMES = (".bodies", "/results.jsonl")


def open_segments(config: Config, place: Place | None = None) -> Segments:
    """Be `open_sink`."""
    assert place is not None
    return Segments(place)


def install() -> None:
    """Have this process, and those it forks, use the sink; do as the environment says."""
    sinks.open_sink = open_segments
    from fetchpool.run import journal  # only now: others take `open_sink` from its place

    journal.BATCH_LINES = BATCH
    if KILL_AT in os.environ or FULL_AT in os.environ:
        _watch_writes(int(os.environ.get(KILL_AT, 0)), int(os.environ.get(FULL_AT, 1 << 30)))


def _watch_writes(kill_at: int, full_at: int) -> None:
    moments = containers = 0
    write = os.write

    def moment(before_death: Callable[[], object] = lambda: None) -> None:
        nonlocal moments
        moments += 1
        if moments == kill_at:
            with suppress(FileExistsError):
                os.close(os.open(os.environ[KILLED], os.O_CREAT | os.O_EXCL))
                before_death()
                os.kill(os.getpid(), signal.SIGKILL)

    def watched(fd: int, data: Any) -> int:
        nonlocal containers
        path = os.readlink(f"/proc/self/fd/{fd}")
        if not path.endswith(NAMES):
            return write(fd, data)
        containers += path.endswith(NAMES[0])
        if containers > full_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        moment()
        moment(lambda: write(fd, bytes(data)[: len(data) // 2]))
        written = write(fd, data)
        moment()
        return written

    def before(call: Callable[..., None]) -> Callable[..., None]:
        def watched(path: Any, *rest: Any, **named: Any) -> None:
            if str(path).endswith(NAMES):
                moment()
            call(path, *rest, **named)

        return watched

    os.write = watched
    os.truncate = before(os.truncate)
    os.unlink = before(os.unlink)

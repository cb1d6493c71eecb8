"""The real program, dying at the moment that the environment names.

Moments are: before, within and behind each write to a container or the ledger, before and behind
each renaming and deletion of a container or an index. Each process counts its own.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

KILL_AT = "TEST_KILL_AT"
KILLED = "TEST_KILLED"
"""Names a file: who makes it dies, nobody else."""
FULL_AT = "TEST_FULL_AT"
"""Writes to containers that succeed; then the disk is full, with half of the next one written."""
BATCH = 4
WRITTEN = (".warc.gz.open", "/results.jsonl")
MOVED = (".warc.gz.open", ".warc.gz", ".cdxj", ".cdxj.new")


def install() -> None:
    """Have this process, and those it forks, die when the environment says so."""
    from fetchpool.run import journal

    journal.BATCH_LINES = BATCH
    if FULL_AT in os.environ:
        _fill_up(int(os.environ[FULL_AT]))
    if KILL_AT in os.environ:
        _die(int(os.environ[KILL_AT]))


def _fill_up(full_at: int) -> None:
    write, writes = os.writev, 0

    def watched(fd: int, parts: Any) -> int:
        nonlocal writes
        writes += 1
        if writes <= full_at:
            return write(fd, parts)
        if writes == full_at + 1:
            write(fd, [b"".join(parts)[:700]])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    os.writev = watched


def _die(kill_at: int) -> None:
    moments = 0

    def moment(before_death: Callable[[], object] = lambda: None) -> None:
        nonlocal moments
        moments += 1
        if moments == kill_at:
            with suppress(FileExistsError):
                os.close(os.open(os.environ[KILLED], os.O_CREAT | os.O_EXCL))
                before_death()
                os.kill(os.getpid(), signal.SIGKILL)

    def writing(call: Callable[[int, Any], int], half: Callable[[Any], Any]) -> Any:
        def watched(fd: int, data: Any) -> int:
            if not os.readlink(f"/proc/self/fd/{fd}").endswith(WRITTEN):
                return call(fd, data)
            moment()
            moment(lambda: call(fd, half(data)))
            written = call(fd, data)
            moment()
            return written

        return watched

    def moving(call: Callable[..., None]) -> Any:
        def watched(path: Any, *rest: Any, **named: Any) -> None:
            is_ours = str(path).endswith(MOVED)
            if is_ours:
                moment()
            call(path, *rest, **named)
            if is_ours:
                moment()

        return watched

    os.write = writing(os.write, lambda data: bytes(data)[: len(data) // 2])
    os.writev = writing(os.writev, lambda parts: [b"".join(parts)[: sum(map(len, parts)) // 2]])
    os.rename = moving(os.rename)
    os.unlink = moving(os.unlink)

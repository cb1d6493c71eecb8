"""The real program, dying at the moment that the environment names.

Moments are: before, within and behind each write to a container or the ledger, before and behind
each renaming and deletion of a container or an index. Each process counts its own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

KILL_AT = "TEST_KILL_AT"
KILLED = "TEST_KILLED"
"""Names a file: who makes it dies, nobody else."""
BATCH = 4
WRITTEN = (".warc.gz.open", "/results.jsonl")
MOVED = (".warc.gz.open", ".warc.gz", ".cdxj", ".cdxj.new")


def install() -> None:
    """Have this process, and those it forks, die when the environment says so."""
    from fetchpool.run import journal

    journal.BATCH_LINES = BATCH
    if KILL_AT not in os.environ:
        return
    kill_at, moments = int(os.environ[KILL_AT]), 0

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

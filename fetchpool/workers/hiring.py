"""Where worker processes come from.

    Recruits   forked while this program was alone and had opened nothing: there at once
    spawn      a fresh interpreter: 0.2 s, from any program at any time

The workers that a run begins with are recruits where that can be; who dies is replaced by a spawned
one, as a fork now would share locks and descriptors.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

if TYPE_CHECKING:
    from multiprocessing.context import ForkProcess

_MEANT_FOR_PARENT = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
"""A terminal sends them to all processes: blocked until the worker ignores them."""

REAP_S = 2.0
"""How long a process that was killed may take to be gone: one that waits for a dead disk stays."""

DESCRIPTORS_EACH = 16
"""How many descriptors there must be for each recruit, which takes three of them."""

_STREAMS = (0, 1, 2)


class NoWorkersError(Exception):
    """Workers can't be started, or die as soon as they are; what is left can be fetched later."""


class Process(Protocol):
    """A worker's process, as `subprocess.Popen` has it."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def kill(self) -> None: ...


Hired: TypeAlias = tuple[socket.socket, Process]
"""Our end of what a worker talks over, and its process."""
Hire: TypeAlias = Callable[[], Hired]
"""Starts one more worker; raises OSError."""


def spawn() -> Hired:
    """Start a worker in a fresh interpreter. Raises OSError.

    It has our own search path, so that it is the same program whatever lies about in the current
    directory.
    """
    entries: list[object] = [*sys.path]  # somebody's Path among them is none to the import system
    search_path = [entry for entry in entries if isinstance(entry, str)]
    ours, theirs = socket.socketpair()
    program = (
        f"import sys; sys.path[:] = {search_path!a}; "
        "from fetchpool.trust import import_aiohttp_without_roots as first; first(); "
        f"from fetchpool.workers.child import main; main({theirs.fileno()})"
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _MEANT_FOR_PARENT)
    try:
        with theirs:
            return ours, subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-P", "-c", program],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
    except BaseException:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Recruits:
    """Workers forked ahead; to be made by a program with one thread, before it opens anything.

    Leaving the block lets those go that were not needed.
    """

    def __init__(self, count: int) -> None:
        """Fork *count* of them; none where that isn't safe, or can't be."""
        self._waiting: list[Hired] = []
        if sys.platform != "linux":  # a library of macOS' may have threads of its own
            return
        import resource

        if not all(map(_is_open, _STREAMS)):  # the next file opened gets the number
            return
        if count * DESCRIPTORS_EACH > resource.getrlimit(resource.RLIMIT_NOFILE)[0]:
            return
        with suppress(OSError):  # `hire` will tell
            while len(self._waiting) < count:
                self._waiting.append(_fork())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for ours, process in self._waiting:
            ours.close()
            process.kill()
        for _, process in self._waiting:
            with suppress(subprocess.TimeoutExpired):
                process.wait(REAP_S)
        self._waiting.clear()

    def hire(self) -> Hired:
        """Return a worker: one that waits, or else a spawned one. Raises OSError."""
        return self._waiting.pop(0) if self._waiting else spawn()


class _Forked:
    """A forked process with the face of `subprocess.Popen`."""

    def __init__(self, process: ForkProcess) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("a worker", timeout or 0.0)
        return code

    def kill(self) -> None:
        self._process.kill()


def _fork() -> Hired:
    from multiprocessing.context import ForkProcess

    import fetchpool.workers.child  # noqa: F401 - once, not in each of them

    ours, theirs = socket.socketpair()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _MEANT_FOR_PARENT)
    try:
        with closing(theirs):
            process = ForkProcess(target=_work, args=(theirs,))
            process.start()
            return ours, _Forked(process)
    except BaseException:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(end: socket.socket) -> None:
    """Be a worker, with nothing of the parent's but standard error."""
    from fetchpool.workers.child import main

    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    kept = end.detach()
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
    main(kept)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True

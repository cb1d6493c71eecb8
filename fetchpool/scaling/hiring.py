"""Where worker processes come from.

    recruits   forked while this program was alone and had opened nothing: there at once
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import TYPE_CHECKING, Protocol, TypeAlias

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

    def start(end: socket.socket) -> Process:
        program = (
            f"import sys; sys.path[:] = {search_path!a}; "
            "from fetchpool.network.tls import import_aiohttp_sparingly as first; first(); "
            f"from fetchpool.scaling.child import main; main({end.fileno()})"
        )
        return subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-P", "-c", program],
            pass_fds=[end.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    return _connected(start)


@contextmanager
def recruits(count: int) -> Iterator[Hire]:
    """Fork *count* workers ahead, in a program with one thread and before it opens anything.

    Yields what hires them, one after the other, and spawns when there are no more: none is forked
    where that isn't safe. In the end those that were not needed are gone.
    """
    waiting: list[Hired] = []
    if count and _may_fork(count):
        with suppress(OSError):  # who hires will hear of it
            while len(waiting) < count:
                waiting.append(_connected(_fork))
    try:
        yield lambda: waiting.pop(0) if waiting else spawn()
    finally:
        for ours, process in waiting:
            ours.close()
            process.kill()
        for _, process in waiting:
            with suppress(subprocess.TimeoutExpired):
                process.wait(REAP_S)


def _connected(start: Callable[[socket.socket], Process]) -> Hired:
    """Return our end of a pair of sockets, and what *start* starts with the other one."""
    ours, theirs = socket.socketpair()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _MEANT_FOR_PARENT)
    try:
        with theirs:
            return ours, start(theirs)
    except BaseException:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _may_fork(count: int) -> bool:
    """Tell whether *count* workers may be forked from a program that is alone."""
    if sys.platform != "linux":  # a library of macOS' may have threads of its own
        return False
    import resource

    if not all(map(_is_open, _STREAMS)):  # the next file opened gets the number
        return False
    if not os.path.isdir("/proc/self/fd"):  # noqa: PTH112 - pathlib is not loaded for that
        return False
    return count * DESCRIPTORS_EACH <= resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class _Forked:
    """A forked process with the face of `subprocess.Popen`.

    One at a time asks the system for its end, which it tells once: a thread that waits, or the
    event loop, which then hears that it runs still.
    """

    def __init__(self, process: ForkProcess) -> None:
        self._process = process
        self._asking = Lock()
        self._code: int | None = None

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        if self._code is None and self._asking.acquire(blocking=False):
            try:
                self._code = self._process.exitcode
            finally:
                self._asking.release()
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        if self._code is None and self._asking.acquire(timeout=-1 if timeout is None else timeout):
            try:
                self._process.join(timeout)
                self._code = self._process.exitcode
            finally:
                self._asking.release()
        if self._code is None:
            raise subprocess.TimeoutExpired("a worker", timeout or 0.0)
        return self._code

    def kill(self) -> None:
        self._process.kill()


def _fork(end: socket.socket) -> Process:
    from multiprocessing.context import ForkProcess

    import fetchpool.scaling.child  # noqa: F401 - once, not in each of them

    process = ForkProcess(target=_work, args=(end,))
    process.start()
    return _Forked(process)


def _work(end: socket.socket) -> None:
    """Be a worker, with nothing of the parent's but standard error."""
    from fetchpool.scaling.child import main

    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    kept = end.detach()
    # By name: where the system has no call for it, closing all there may be takes minutes.
    for number in map(int, os.listdir("/proc/self/fd")):  # noqa: PTH208
        if number > max(_STREAMS) and number != kept:
            with suppress(OSError):
                os.close(number)
    main(kept)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True

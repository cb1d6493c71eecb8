"""Workers that are processes of this machine, and how they are started.

    forked ahead   while this program has one thread and has opened nothing: there at once
    spawned        a fresh interpreter, from any program at any time: a second of a core

The command forks the workers that a run begins with. One that replaces a dead worker is spawned, as
a fork would then share locks and descriptors.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NoReturn, Protocol

from fetchpool.scaling.socket_link import open_socket_link

if TYPE_CHECKING:
    from fetchpool.scaling.link import Link

_MEANT_FOR_PARENT = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
"""A terminal sends them to all processes: blocked until the worker ignores them."""

DESCRIPTORS_EACH = 16
"""How many descriptors there must be for each process forked ahead, which takes three of them."""

_STREAMS = (0, 1, 2)

_forked_ahead: list[WorkerProcess] = []
"""Processes that wait for a run to use them."""


class _Process(Protocol):
    """What of `subprocess.Popen` is used."""

    @property
    def pid(self) -> int: ...
    def wait(self) -> int: ...
    def kill(self) -> None: ...


class WorkerProcess:
    """A worker process, and our end of the socket to it (see `StartedWorker`)."""

    def __init__(self, end: socket.socket, process: _Process) -> None:
        self._end = end
        self._process = process
        self._code: asyncio.Future[int] | None = None

    @property
    def number(self) -> int:
        """Its process id."""
        return self._process.pid

    async def connect(self) -> Link:
        """Return the parent's end of the link; once."""
        return await open_socket_link(self._end)

    def kill(self) -> None:
        """End the process at once, if it still runs."""
        self._process.kill()

    async def wait(self, at_most_s: float | None = None) -> str:
        """Wait until the process has ended, and return how; see `StartedWorker`."""
        if self._code is None:
            loop = asyncio.get_running_loop()
            self._code = loop.create_future()
            # No thread of the executor: the program would wait for it, and a process that waits
            # for a dead disk stays.
            watch = threading.Thread(target=self._watch, args=(loop, self._code), daemon=True)
            watch.start()
        async with asyncio.timeout(at_most_s):
            code = await asyncio.shield(self._code)
        return f"status {code}" if code >= 0 else f"signal {-code}"

    def _watch(self, loop: asyncio.AbstractEventLoop, code: asyncio.Future[int]) -> None:
        ended = self._process.wait()
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(code.set_result, ended)

    def discard(self) -> None:
        """End a process that no run has used."""
        self._end.close()
        self._process.kill()
        self._process.wait()


def start_process() -> WorkerProcess:
    """Return a process that was forked ahead, or else spawn one. Raises OSError."""
    return _forked_ahead.pop(0) if _forked_ahead else _connected(_spawn)


@contextmanager
def forked_ahead(count: int) -> Iterator[None]:
    """Have *count* processes wait for the run in this block; those not used end with it.

    To be called by a program with one thread, before it opens anything. Where forking isn't safe
    there are none, and `start_process` spawns.
    """
    if count and _may_fork(count):
        with suppress(OSError):  # `start_process` will meet it again
            while len(_forked_ahead) < count:
                _forked_ahead.append(_connected(_fork))
    try:
        yield
    finally:
        while _forked_ahead:
            _forked_ahead.pop().discard()


def _connected(start: Callable[[socket.socket], _Process]) -> WorkerProcess:
    """Return the process that *start* starts with its end of a pair of sockets."""
    ours, theirs = socket.socketpair()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _MEANT_FOR_PARENT)
    try:
        with theirs:
            return WorkerProcess(ours, start(theirs))
    except BaseException:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _spawn(end: socket.socket) -> _Process:
    """Start a fresh interpreter with our own search path.

    So it is the same program, whatever lies in the current directory.
    """
    entries: list[object] = [*sys.path]  # a program may have put a Path there, which is ignored
    search_path = [entry for entry in entries if isinstance(entry, str)]
    program = (
        f"import sys; sys.path[:] = {search_path!a}; "
        "from fetchpool.network.tls import import_aiohttp_sparingly as first; first(); "
        f"from fetchpool.scaling.worker_process import main; main({end.fileno()})"
    )
    return subprocess.Popen(  # noqa: S603 - ourselves
        [sys.executable, "-P", "-c", program],
        pass_fds=[end.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


class _Forked:
    """A forked process, as `_Process` has it; `wait` is called once."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._ended = False

    def wait(self) -> int:
        _, status = os.waitpid(self.pid, 0)
        self._ended = True
        return os.waitstatus_to_exitcode(status)

    def kill(self) -> None:
        if not self._ended:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def _fork(end: socket.socket) -> _Process:
    import fetchpool.scaling.worker_process  # noqa: F401 - once, not in each of them

    pid = os.fork()
    return _Forked(pid) if pid else _be_worker(end)


def _be_worker(end: socket.socket) -> NoReturn:
    """Be a worker, with nothing of the parent's but standard error."""
    try:
        from fetchpool.scaling.worker_process import main

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
    except BaseException:  # noqa: BLE001 - else the parent's program would go on here, too
        traceback.print_exc()
    os._exit(1)


def _may_fork(count: int) -> bool:
    """Tell whether *count* workers may be forked from a program that has one thread."""
    if sys.platform != "linux":  # a library of macOS may have threads of its own
        return False
    import resource

    if not all(map(_is_open, _STREAMS)):  # the next file opened gets the number
        return False
    if not os.path.isdir("/proc/self/fd"):  # noqa: PTH112 - pathlib is not loaded for that
        return False
    return count * DESCRIPTORS_EACH <= resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True

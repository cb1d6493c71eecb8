"""`ShardProcesses`: an executor with processes of this machine, each on its own.

    submit ─▶ a thread waits for it ─▶ a process is free, or is spawned ─▶ the future

A process that dies costs the call it was at and no other, and is replaced: a
`ProcessPoolExecutor` of several would end all of them. When the executor is told to stop, or its
program is gone, the processes end what they are at as by Ctrl-C.
"""

from __future__ import annotations

import _thread
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import (
    BrokenExecutor,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ShardProcesses(Executor):
    """Runs calls in at most *count* processes, which are spawned when they are needed."""

    def __init__(self, count: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        # Nothing is ever sent: the processes notice that the other end is closed.
        self._watched, self._held = self._context.Pipe(duplex=False)
        self._threads = ThreadPoolExecutor(count, "fetchpool-shard", initializer=_leave_ctrl_c)
        self._idle: list[ProcessPoolExecutor] = []

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have a process call *fn*. The future raises BrokenExecutor where the process died."""
        return self._threads.submit(self._call, partial(fn, *args, **kwargs))

    def _call(self, call: Callable[[], T]) -> T:
        try:
            process = self._idle.pop()
        except IndexError:
            process = ProcessPoolExecutor(
                1, mp_context=self._context, initializer=_watch, initargs=(self._watched,)
            )
        try:
            result = process.submit(_busy, call).result()
        except BrokenExecutor:
            process.shutdown()
            raise
        except BaseException:
            self._idle.append(process)
            raise
        self._idle.append(process)
        return result

    def stop(self) -> None:
        """Begin no further call, and interrupt those that are on."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._held.close()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait until all calls and processes have ended."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)
        for process in self._idle:
            process.shutdown(wait)
        self._idle.clear()
        self._held.close()
        self._watched.close()


def _leave_ctrl_c() -> None:
    """Have the main thread alone get Ctrl-C, and no process that is spawned here."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


_at_work = threading.Lock()
"""Held in a process of ours while it is at a call."""
_stopped = threading.Event()


def _busy(call: Callable[[], T]) -> T:
    """Do *call*; KeyboardInterrupt where the executor is told to stop."""
    with _at_work:
        if _stopped.is_set():
            raise KeyboardInterrupt
        return call()


def _watch(watched: Connection) -> None:
    threading.Thread(target=_end_with_program, args=(watched,), daemon=True).start()


def _end_with_program(watched: Any) -> None:
    """Wait for the end of the program that started this process, or for its word, then stop."""
    with suppress(EOFError, OSError):
        watched.recv_bytes()
    _stopped.set()
    if _at_work.locked():
        _thread.interrupt_main()
    program = multiprocessing.parent_process()
    if program is not None:
        program.join()
    with _at_work:  # what is recorded is recorded; nobody wants more of this process
        os._exit(0)

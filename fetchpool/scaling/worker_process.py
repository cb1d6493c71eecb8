"""The program of a worker process. It dies with its parent, at once, whatever it is doing."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import traceback
from contextlib import suppress
from functools import partial
from typing import NoReturn

from fetchpool.model.urls import hiding, redact_in
from fetchpool.pipeline.event_loop import loop_factory, settle_in
from fetchpool.scaling.link import Link
from fetchpool.scaling.messages import Logged, encode
from fetchpool.scaling.setup import Setup, unpack_setup
from fetchpool.scaling.socket_link import open_socket_link, receive_blocking
from fetchpool.scaling.worker import work

log = logging.getLogger("fetchpool")

_IGNORED = ("SIGINT", "SIGTERM", "SIGHUP")
"""Meant for the parent, but sent to all of a terminal's or a service's processes."""


def main(descriptor: int) -> None:
    """Work for the parent at the other end of the socket *descriptor*, until it says stop."""
    numbers = {getattr(signal, name) for name in _IGNORED if hasattr(signal, name)}
    for number in numbers:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
    end = socket.socket(fileno=descriptor)
    try:
        setup = unpack_setup(receive_blocking(end))
    except (EOFError, ConnectionError):
        return  # the parent is gone
    settle_in()
    with (
        hiding(setup.config.secret_param),
        asyncio.Runner(loop_factory=loop_factory(setup.config)) as loop,
    ):
        try:
            loop.run(_work(setup, end))
        except Exception as error:  # noqa: BLE001 - a bug, told here: Python itself hides no secret
            _die_of(error)
    os._exit(0)  # all is closed; Python would take itself apart for another 60 ms


async def _work(setup: Setup, end: socket.socket) -> None:
    link = await open_socket_link(end)
    log.addHandler(_ToParent(link))
    try:
        await work(setup, link, on_parent_gone=partial(os._exit, 1))
    except Exception:
        # A bug of ours is a death, which the parent knows how to deal with; it has the log file.
        log.exception("a worker process ends")
        await link.close()
        os._exit(1)


def _die_of(error: BaseException) -> NoReturn:
    sys.stderr.write(redact_in("".join(traceback.format_exception(error))))
    sys.stderr.flush()
    os._exit(1)


class _ToParent(logging.Handler):
    """Sends what is logged to the parent, which has the log file."""

    def __init__(self, link: Link) -> None:
        super().__init__()
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        what = trace = None
        if error is not None:
            what, trace = repr(error), "".join(traceback.format_exception(error))
        with suppress(RuntimeError):  # the loop is closed: nothing can be told any more
            self._link.send(encode(Logged(record.levelno, record.getMessage(), what, trace)))

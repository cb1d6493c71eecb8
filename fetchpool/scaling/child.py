"""A worker: a whole pipeline for some of the hosts, with requests and outcomes over a channel.

    channel ──▶ inbox ──▶ FetchPool ──▶ outcomes ──▶ channel
                             │
                             └──▶ bodies, straight to their place

It lives as long as its parent: when that is gone it dies like it, at once, wherever it is.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import signal
import socket
import sys
import traceback
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import NoReturn

from fetchpool.model.bodies import Store, StoreError
from fetchpool.model.urls import hiding, redact_in
from fetchpool.output.ledger.foreign import ForeignNames
from fetchpool.output.ledger.holding import hold
from fetchpool.output.sinks.null import NullStore
from fetchpool.pipeline.event_loop import loop_factory, settle_in
from fetchpool.pipeline.fetching import Fetching, NoDescriptorsError, OurSideDownError
from fetchpool.pipeline.pool import FetchPool
from fetchpool.scaling import messages as say
from fetchpool.scaling.channel import Channel, open_channel
from fetchpool.scaling.inbox import WINDOW, Inbox
from fetchpool.scaling.setup import Setup, open_bodies, receive_setup
from fetchpool.scaling.tally import Tally
from fetchpool.scheduling.job import Job
from fetchpool.sources import Codec

log = logging.getLogger("fetchpool")

GATHER_S = 0.01
"""How long outcomes gather before they are sent: one by one they cost a wake-up each, both ends."""

BUFFER = 1024
"""Outcomes that gather at most; then fetching waits."""

TICK_S = 0.25

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
        setup = receive_setup(end)
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
    channel = await open_channel(end, say.from_parent)
    log.addHandler(_ToParent(channel))
    try:
        async with AsyncExitStack() as stack:
            await Worker(setup, channel, _open_store(setup, stack)).go()
    except (OSError, StoreError, OurSideDownError, NoDescriptorsError) as error:
        channel.send(say.Failed(pickle.dumps(error)))
    except Exception:
        # A bug of ours is a death, which the parent knows how to deal with; it has the log file.
        log.exception("a worker process ends")
        await channel.close()
        os._exit(1)
    channel.send(say.Bye())
    await channel.until_hung_up()
    await channel.close()


def _open_store(setup: Setup, stack: AsyncExitStack) -> Store:
    """Return where bodies go; until *stack* is unwound, no other run may write there."""
    if setup.layout is None:
        return NullStore()
    stack.callback(os.close, hold(setup.layout.workers))
    foreign = ForeignNames(setup.layout.foreign)
    stack.callback(foreign.close)
    store = open_bodies(setup.config, setup.layout, foreign.__contains__)
    stack.callback(store.close)
    return store


class Worker:
    """One worker's run; made anew for each."""

    def __init__(self, setup: Setup, channel: Channel[say.FromParent], store: Store) -> None:
        self._setup = setup
        self._channel = channel
        self._store = store
        self._codec = Codec(setup.config.ask)
        self._inbox = Inbox(self._want)
        self._tally = Tally(channel.send, shows=setup.shows)

    async def go(self) -> None:
        """Fetch what comes until the parent says that it is enough; raises our side's trouble."""
        setup = self._setup
        share = setup.share
        config = replace(setup.config, limit=share.limit, rate=share.rate, workers=1)
        async with FetchPool(config, store=self._store) as pool:
            fetching = pool.fetch_from(
                self._inbox,
                stats=self._tally,
                observer=self._tally,
                spill_directory=setup.spill_directory,
                border=self,
                buffer=BUFFER,
            )
            sending = asyncio.create_task(self._send_outcomes(fetching))
            listening = asyncio.create_task(self._listen(fetching))
            ticking = asyncio.create_task(self._tick(pool, fetching))
            tasks = (sending, listening, ticking)
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # the end of `sending`; of the others, only a bug
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self._channel.send(self._tally.tick(pool, fetching))

    def hand_over(self, job: Job, at: float) -> bool:
        """Let *job*, to go on from *at* on, be another worker's if its host is; tell whether."""
        if self._setup.share.owns(job.target.host_key):
            return False
        self._channel.send(say.Away(say.JobState.of(job, self._codec), at))
        return True

    async def _send_outcomes(self, fetching: Fetching) -> None:
        self._channel.send(say.Hello())
        self._want(WINDOW)
        while outcomes := await fetching.batch():
            self._channel.send(say.Outcomes.of(outcomes, self._codec))
            await self._channel.drain()
            await asyncio.sleep(GATHER_S)

    async def _listen(self, fetching: Fetching) -> NoReturn:
        async for message in self._channel.messages():
            match message:
                case say.Requests():
                    self._inbox.put(message.requests(self._codec))
                case say.Hop():
                    fetching.take_over(message.job.job(self._codec), message.at)
                case say.Park():
                    self._tally.park(message)
                    fetching.park(message.host, message.until, message.status)
                case say.Alive():
                    fetching.answered_elsewhere(message.target)
                case say.NoMore():
                    self._inbox.end()
                case say.Finish():
                    self._inbox.end()
                    fetching.let_end()
                case say.Stop():
                    fetching.stop()
                case say.Abort():
                    fetching.abort()
        os._exit(1)  # the parent is gone: whatever we still did would be without a record

    async def _tick(self, pool: FetchPool, fetching: Fetching) -> NoReturn:
        while True:
            await asyncio.sleep(TICK_S)
            await self._channel.drain()  # a parent whose reader is slow may not listen for hours
            self._channel.send(self._tally.tick(pool, fetching))

    def _want(self, count: int) -> None:
        self._channel.send(say.Want(count))


def _die_of(error: BaseException) -> NoReturn:
    sys.stderr.write(redact_in("".join(traceback.format_exception(error))))
    sys.stderr.flush()
    os._exit(1)


class _ToParent(logging.Handler):
    """Takes what is logged to the parent, where the log file is."""

    def __init__(self, channel: Channel[say.FromParent]) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        what = trace = None
        if error is not None:
            what, trace = repr(error), "".join(traceback.format_exception(error))
        with suppress(RuntimeError):  # the loop is closed: nothing can be told any more
            self._channel.send(say.Logged(record.levelno, record.getMessage(), what, trace))

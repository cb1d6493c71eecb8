"""A worker: a whole pipeline for some of the hosts, with requests and outcomes over a link.

link ──▶ inbox ──▶ FetchPool ──▶ outcomes ──▶ link
                      │
                      └──▶ bodies, straight to their place
"""

from __future__ import annotations

import asyncio
import os
import pickle
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from time import monotonic

from fetchpool.model.bodies import Sink, StoreError
from fetchpool.model.limits import AUTO
from fetchpool.model.values import Outcome
from fetchpool.network.descriptors import make_budget
from fetchpool.output.ledger.errors import LeaseLostError
from fetchpool.output.ledger.foreign import ForeignNames
from fetchpool.output.ledger.holding import hold
from fetchpool.output.ledger.record import Record
from fetchpool.output.sinks import Place, open_sink
from fetchpool.output.sinks.routed import routed
from fetchpool.pipeline.fetching import Fetching, NoDescriptorsError, OurSideDownError
from fetchpool.pipeline.pool import FetchPool
from fetchpool.scaling import messages as say
from fetchpool.scaling.inbox import WINDOW, Inbox
from fetchpool.scaling.link import Link
from fetchpool.scaling.setup import Setup
from fetchpool.scaling.tally import Tally
from fetchpool.scheduling.job import Job
from fetchpool.sources import Codec

GATHER_S = 0.01
"""How long outcomes gather before they are sent: one by one they cost a wake-up each, both ends."""

BUFFER = 1024
"""Outcomes that gather at most; then fetching waits."""

TICK_S = 0.25


async def work(setup: Setup, link: Link, *, on_parent_gone: Callable[[], object]) -> None:
    """Fetch what comes over *link* until the parent says that it is enough.

    *on_parent_gone* is called at once where the other end closes before that: whatever is fetched
    from then on has no record. Trouble on our side is told to the parent; only bugs are raised.
    """
    try:
        async with AsyncExitStack() as stack:
            sink = _open_sink(setup, stack)
            await Worker(setup, link, sink, on_parent_gone).fetch()
    except (OSError, StoreError, LeaseLostError, OurSideDownError, NoDescriptorsError) as error:
        link.send(say.encode(say.Failed(pickle.dumps(error))))
    link.send(say.encode(say.Bye()))
    # The parent closes first: its write to a closed socket would fail, and what it had not read
    # would be lost.
    while await link.receive() is not None:
        pass
    await link.close()


def _open_sink(setup: Setup, stack: AsyncExitStack) -> Sink:
    """Return where bodies go; until *stack* is unwound, no other run may write there."""
    if not setup.layouts:
        return open_sink(setup.config)
    sinks: list[Sink] = []
    directories = make_budget(setup.config.limit).directories
    for layout in setup.layouts:
        stack.callback(os.close, hold(layout.workers))
        foreign = ForeignNames(layout.foreign)
        stack.callback(foreign.close)
        sinks.append(open_sink(setup.config, Place(layout, foreign.__contains__, directories)))
        stack.callback(sinks[-1].close)
    return routed(sinks, setup.config)


class Worker:
    """One worker's run; made anew for each."""

    def __init__(
        self, setup: Setup, link: Link, sink: Sink, on_parent_gone: Callable[[], object]
    ) -> None:
        self._setup = setup
        self._link = link
        self._sink = sink
        self._on_parent_gone = on_parent_gone
        self._codec = Codec(setup.config.ask)
        self._inbox = Inbox(self._want)
        self._tally = Tally(self._send, shows=setup.shows)

    async def fetch(self) -> None:
        """Fetch what comes until the parent says that it is enough; raises our side's trouble."""
        setup = self._setup
        share = setup.share
        rate = share.rate / setup.config.shard_part  # of which it is only a part again
        config = replace(setup.config, limit=share.limit, rate=rate, workers=1)
        async with FetchPool(config, store=self._sink) as pool:
            fetching = pool.fetch_from(
                self._inbox,
                stats=self._tally,
                observer=self._tally,
                spill_directory=setup.spill_directory,
                border=self,
                buffer=BUFFER,
                finds_limit=setup.config.limit == AUTO,
            )
            sending = asyncio.create_task(self._send_outcomes(fetching))
            listening = asyncio.create_task(self._listen(fetching))
            ticking = asyncio.create_task(self._tick(fetching))
            tasks = (sending, listening, ticking)
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # the end of `sending`; of the others, only a bug
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self._send(self._tally.tick(fetching, is_last=True))
                if config.save_cookies is not None:
                    mine = [each for each in pool.cookies() if share.owns(each.domain)]
                    self._send(say.Cookies(mine))

    def hand_over(self, job: Job, at: float) -> bool:
        """Send *job*, to go on from *at* on, away if its host is another worker's; say if it was.

        See `Border`.
        """
        if self._setup.share.owns(job.target.host_key):
            return False
        self._send(say.Away.of(job, at, monotonic(), self._codec))
        return True

    async def _send_outcomes(self, fetching: Fetching) -> None:
        self._send(say.Hello())
        self._want(WINDOW)
        while outcomes := await fetching.batch():
            if self._sink.appends:  # before the parent may record them, in the order it does
                await asyncio.to_thread(self._append, outcomes)
            self._send(say.Outcomes.of(outcomes, self._codec))
            await self._link.drain()
            await asyncio.sleep(GATHER_S)

    def _append(self, outcomes: Sequence[Outcome]) -> None:
        outcomes = [each for each in outcomes if not (each.ok and each.request.is_sitemap)]
        keys = self._setup.record_keys
        takes = self._sink.takes_records
        self._sink.append(outcomes, [Record.of(each, keys) for each in outcomes] if takes else ())

    async def _listen(self, fetching: Fetching) -> None:
        while (data := await self._link.receive()) is not None:
            match say.from_parent(data):
                case say.Requests() as message:
                    self._inbox.put(message.requests(self._codec))
                case say.Hop() as message:
                    fetching.take_over(*message.unpack(monotonic(), self._codec))
                case say.Park() as message:
                    self._tally.park(message)
                    fetching.park(message.host, monotonic() + message.seconds, message.status)
                case say.Alive() as message:
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
                    self._sink.give_up()
        self._on_parent_gone()

    async def _tick(self, fetching: Fetching) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self._link.drain()  # a parent whose reader is slow may not listen for hours
            self._send(self._tally.tick(fetching))

    def _want(self, count: int) -> None:
        self._send(say.Want(count))

    def _send(self, message: say.Message) -> None:
        self._link.send(say.encode(message))

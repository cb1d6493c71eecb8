"""A list fetched by several processes: the parent reads, routes, counts and records.

                 ┌─ outbox ─▶ worker 0 ─┐
reader ──owner──▶┼─ outbox ─▶ worker 1 ─┼──▶ outcomes ──▶ batch()
                 └─ outbox ─▶ worker 2 ─┘
                        ▲          │
                        └── hops ◀─┘   to a host that another one owns
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import pickle
from collections.abc import Coroutine
from contextlib import suppress
from functools import reduce
from operator import or_
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Protocol

from fetchpool.model.hosts import Found
from fetchpool.model.slot_time import SlotTime, together
from fetchpool.model.values import Outcome
from fetchpool.output.ledger import Bitmap
from fetchpool.pipeline.fetching import OurSideDownError, RunObserver
from fetchpool.pipeline.outcome_queue import OutcomeQueue
from fetchpool.scaling import messages as say
from fetchpool.scaling.link import NoWorkersError, StartWorker
from fetchpool.scaling.outbox import Outbox, Shelf
from fetchpool.scaling.pauses import Pauses
from fetchpool.scaling.processes import start_process
from fetchpool.scaling.setup import Setup
from fetchpool.scaling.sharing import longest_interval, owner
from fetchpool.scaling.worker_handle import WorkerHandle
from fetchpool.scheduling.job import target_of
from fetchpool.scheduling.rate_limit import BURST_S
from fetchpool.scheduling.scheduler import (
    READ_AHEAD,
    READ_AHEAD_A_START,
    READ_AHEAD_AT_MOST,
    HostState,
)
from fetchpool.sources import Codec, SourceReadError

if TYPE_CHECKING:
    from fetchpool.model.cookies import Cookie
    from fetchpool.model.values import Request
    from fetchpool.reporting.stats import Stats
    from fetchpool.sources import RequestReader

log = logging.getLogger("fetchpool")

BUFFER = 4096
"""Outcomes that wait for the consumer at most; then workers wait."""

FRUITLESS_DEATHS = 5
"""After so many deaths one after another, without an outcome in between, the run gives up."""

END_S = 3.0
"""How long workers may take to end when what runs is cut off, or when nothing runs any more."""


class WorkersObserver(RunObserver, Protocol):
    """Who is told what happens beside outcomes."""

    def worker_died(self, number: int, how: str) -> None:
        """Count a worker that died and is replaced; logs call it *number*."""


class WorkerBugError(Exception):
    """A bug of ours, in a worker: text and traceback of the exception there."""

    def __repr__(self) -> str:
        return str(self)


class Dispatch:
    """One list fetched by several workers: a `Fetcher`."""

    def __init__(
        self,
        setups: list[Setup],
        reader: RequestReader,
        *,
        stats: Stats,
        observer: WorkersObserver,
        start_worker: StartWorker = start_process,
    ) -> None:
        """Have the list that *reader* reads fetched by a worker for each of *setups*."""
        first = setups[0]
        self._settled = Bitmap()
        self._shelf = Shelf(first.spill_directory)
        self._codec = Codec(first.config.ask)
        self._workers = [
            WorkerHandle(
                setup,
                Outbox(self._shelf, self._settled.__contains__, self._codec),
                start_worker,
            )
            for setup in setups
        ]
        self._share = first.share
        self._given = () if (given := first.config.cookies) is None else given.cookies
        self._cookies: dict[int, list[Cookie]] = {}
        """By the worker that had them at its end."""
        self._interval_s = longest_interval(first.config, first.share)
        self._pauses = Pauses()
        self._reader = reader
        self._stats = stats
        self._observer = observer

        self.read = 0
        """Requests read from the source."""
        self.delivered = 0
        """Outcomes ready for, or taken by, the consumer; in the end equal to `read`."""
        self.source_ended = False
        self.connections_opened = 0
        self.bytes_received = 0
        self.lowered_to: int | None = None
        self._times: dict[int, SlotTime] = {}
        """Where the time of each worker process went, by its number."""
        self._began, self._cpu_began_s = monotonic(), thread_time()
        self._out = OutcomeQueue(BUFFER)
        self._hungry = asyncio.Event()
        self._over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._alive: set[WorkerHandle] = set()
        """Workers that run, or are about to be replaced."""
        self._last_word: say.Stop | say.Abort | say.Finish | None = None
        self._told_of_outage = False
        self._started = False

    # -- what a `Fetcher` does -------------------------------------------------------------------

    async def batch(self) -> list[Outcome]:
        if not self._started and not self._ending:
            self._started = True
            self._run(self._take_in())
        await self._out.until_any()
        return self._out.take_all()

    def stop(self) -> None:
        self._say_last(say.Stop())

    def abort(self) -> None:
        self._say_last(say.Abort())

    async def aclose(self) -> None:
        self._last_word = say.Abort()
        self._finish()
        self._kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.wait_killed() for worker in self._workers))
        await self._reader.aclose()
        self._shelf.close()

    @property
    def ended(self) -> bool:
        return self._out.closed

    @property
    def running(self) -> int:
        return sum(worker.last.running for worker in self._workers)

    @property
    def network_down(self) -> bool:
        return any(worker.last.network_down for worker in self._workers)

    def slot_time(self) -> SlotTime:
        passed, cpu_s = monotonic() - self._began, thread_time() - self._cpu_began_s
        busiest = min(1.0, cpu_s / passed) if passed > 0 else 0.0
        return together([*self._times.values(), SlotTime(cpu_s=cpu_s, busiest=busiest)])

    @property
    def found(self) -> Found:
        return reduce(or_, (worker.last.found for worker in self._workers), Found())

    def busiest(self, now: float, count: int) -> list[HostState]:
        states = [state for worker in self._workers for state in worker.last.busiest]
        return heapq.nlargest(count, states, key=lambda state: (state.parked_s > 0, state.waiting))

    def cookies(self) -> list[Cookie]:
        """Return all cookies, once everything has ended.

        Each worker answers for the sites it owns; of one that had nothing to do, or died, they are
        those that the run began with.
        """
        unheard = (c for c in self._given if self._share.owner(c.domain) not in self._cookies)
        return [*unheard, *(each for kept in self._cookies.values() for each in kept)]

    # -- requests out ----------------------------------------------------------------------------

    async def _take_in(self) -> None:
        while not self._ending and (batch := await self._reader.next_batch()) is not None:
            self._stats.line_skipped(batch.skipped)
            for request in batch.requests:
                self.read += 1
                outcome = self._route(request)
                if outcome is not None:
                    await self._deliver([outcome])
            for worker in self._workers:
                self._feed(worker)
            while not self._wants_more():
                self._hungry.clear()
                await self._hungry.wait()
            await asyncio.sleep(0)
        if self._ending:
            return
        self.source_ended = True
        for worker in self._workers:
            self._feed(worker)
        self._check_end()

    def _route(self, request: Request) -> Outcome | None:
        """Give *request* to the worker that owns it, or return its outcome if it is no URL."""
        target = target_of(request)
        if isinstance(target, Outcome):
            return target
        # A URL, however it is spelt, has one worker: its body has one name.
        share = self._share
        index = owner(target.url, share.count) if share.by_url else share.owner(target.host_key)
        self._workers[index].outbox.add(request)
        return None

    def _wants_more(self) -> bool:
        """Tell whether reading on could give a worker something to do; see `Scheduler.hungry`."""
        if self._ending:
            return True  # to learn of it
        waiting = self.read - self.delivered
        ahead = READ_AHEAD + READ_AHEAD_A_START * self.delivered
        if waiting >= min(ahead, READ_AHEAD_AT_MOST):
            return False
        return any(worker.hungry for worker in self._workers)

    def _feed(self, worker: WorkerHandle) -> None:
        """Have *worker* work on what it was given: start it if need be, and send it requests."""
        if self._ending:
            return
        if worker.owes and worker not in self._alive:
            self._alive.add(worker)
            self._run(self._keep_alive(worker))
        worker.feed(is_all=self.source_ended)
        if self._wants_more():
            self._hungry.set()

    def _hand_over(self, giver: WorkerHandle, away: say.Away) -> None:
        giver.settle(away.seq)
        self._settled.add_all((away.seq,))
        if not self._ending:
            taker = self._workers[self._share.owner(away.host)]
            taker.give(away)
            self._feed(taker)

    # -- what workers say ------------------------------------------------------------------------

    async def _keep_alive(self, worker: WorkerHandle) -> None:
        """Start *worker*, and a next one if it dies, until there is nothing more to do for it."""
        try:
            while worker.owes and not self._ending:
                await worker.start()
                async for message in worker.messages():
                    await self._receive(worker, message)
                how = await worker.wait()
                if worker.said_bye or self._ending:
                    break
                self._observer.worker_died(worker.number, how)
                worker.died()
                if worker.fruitless_deaths >= FRUITLESS_DEATHS:
                    raise NoWorkersError(f"worker processes keep dying, the last one by {how}")
                await self._keep_rates()
        finally:
            self._alive.discard(worker)
            self._check_end()

    async def _keep_rates(self) -> None:
        """Wait for as long as rates ask for between two requests.

        Nobody knows when the worker that died made its last ones.
        """
        if self._interval_s > BURST_S:  # else it is over before the next process has started
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._over.wait()

    async def _receive(self, worker: WorkerHandle, message: say.FromWorker) -> None:
        match message:
            case say.Outcomes():
                worker.fruitless_deaths = 0
                for outcome in message.outcomes:
                    worker.settle(outcome.request.seq)
                self._settled.add_all([outcome.request.seq for outcome in message.outcomes])
                await self._deliver(message.full(self._codec))
                if self._wants_more():
                    self._hungry.set()
            case say.Want():
                worker.wants(message.count)
                self._feed(worker)
            case say.Tick():
                self._count(worker, message)
            case say.Away():
                self._hand_over(worker, message)
            case say.Park():
                self._pauses.note(message, monotonic())
                for other in self._workers:
                    if self._share.by_url and other is not worker:
                        other.tell(message)
            case say.Hello():
                worker.greet(self._pauses.current(monotonic()))
                if self._last_word is not None:
                    worker.tell(self._last_word)
            case say.Logged():
                _log(message)
            case say.Failed():
                self._fail(pickle.loads(message.error))  # noqa: S301 - our own worker's
            case say.Cookies():
                self._cookies[worker.setup.share.index] = message.cookies
            case say.Bye():
                worker.said_bye = True

    def _count(self, worker: WorkerHandle, tick: say.Tick) -> None:
        stats, observer = self._stats, self._observer
        worker.last = tick
        if tick.time is not None:
            self._times[worker.number] = tick.time
        self.connections_opened += tick.connections
        self.bytes_received += tick.received
        stats.requests_sent(tick.requests, tick.reused)
        for _ in range(tick.retries):
            observer.retried()
        for parked in tick.parked:
            observer.parked(parked.host, parked.seconds, parked.why)
        for robots in tick.robots:
            observer.robots_read(robots)
        for rested in tick.rested:
            observer.rested(rested.host, rested.seconds, rested.why)
        if tick.lowered_to is not None:
            self.lowered_to = min(tick.lowered_to, self.lowered_to or tick.lowered_to)
        for other in self._workers:
            if other is not worker and tick.alive is not None:
                other.introduce(tick.alive)
        if self.network_down != self._told_of_outage:
            self._told_of_outage = not self._told_of_outage
            observer.outage(began=self._told_of_outage)

    # -- delivery, and the end -------------------------------------------------------------------

    async def _deliver(self, outcomes: list[Outcome]) -> None:
        """Hand *outcomes* to the consumer; wait while it has too many of them."""
        for outcome in outcomes:
            self._out.put(outcome)
        self.delivered += len(outcomes)
        self._check_end()
        await self._out.until_room()

    @property
    def _ending(self) -> bool:
        """True once nothing new is begun."""
        return self._last_word is not None

    def _check_end(self) -> None:
        if self.source_ended and self.delivered == self.read and not self._ending:
            self._say_last(say.Finish())
        if self._ending and not self._alive:
            self._finish()

    def _say_last(self, word: say.Stop | say.Abort | say.Finish) -> None:
        """Have the workers end as *word* says; take nothing in any more."""
        self._last_word = word
        for worker in self._workers:
            worker.end(word)
        if not isinstance(word, say.Stop):  # what runs may end: that is for time-outs to bound
            asyncio.get_running_loop().call_later(END_S, self._kill)
        self._over.set()
        self._hungry.set()
        if not self._alive:
            self._finish()

    def _fail(self, error: BaseException) -> None:
        """End the run with *error*, trouble on our side; a full disk is full for all workers."""
        self._out.fail(error)
        if isinstance(error, OurSideDownError | SourceReadError):
            self.stop()
        else:
            self.abort()

    def _finish(self) -> None:
        self._out.close()
        self._hungry.set()

    def _kill(self) -> None:
        for worker in self._workers:
            worker.kill()

    def _run(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)


def _log(message: say.Logged) -> None:
    if message.error is None:
        log.log(message.level, "%s", message.text)
        return
    error = WorkerBugError(message.error)
    error.add_note(message.traceback or "")
    log.log(message.level, "%s", message.text, exc_info=error)

"""Drives one list through scheduler and engine: workers, intake, delivery.

    reader ──▶ intake ──▶ scheduler ──▶ workers ──▶ judge ──▶ outcomes ──▶ batch()
                  ▲                        │                     │
                  └── hungry? ─────────────┴── room? ────────────┘

A fixed set of workers, made as they are needed, none of them a task per URL. A consumer that stops
reading fills the outcomes' buffer; then workers wait *without a slot*, then the intake, then the
source.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from time import monotonic, time
from typing import TYPE_CHECKING, Protocol

from fetchpool.engine import Answer, Fault
from fetchpool.engine.exchange import Call
from fetchpool.jobs import Job, refused
from fetchpool.judge import Judge, Observer, Rules
from fetchpool.models import Outcome, Request, Target
from fetchpool.outage import PROBE_EVERY_S
from fetchpool.stores import StoreError
from fetchpool.urls import InvalidURLError, parse_url

if TYPE_CHECKING:
    from fetchpool.engine import Engine, Miss
    from fetchpool.scheduler import HostState, Scheduler
    from fetchpool.sources import RequestReader
    from fetchpool.stats import Stats

KNOWN_ALIVE = 5
"""Hosts that answered lately, remembered to look whether the network is there."""

LATE_S = 0.9
"""A look that takes longer than this lost its first packet, which is sent again after a second
(RFC 6298 §2.1): so the network is gone now, even if it comes back while we look."""

LATE_AT_MOST = 20
"""How often that is believed in a run: further than this away, everything is always late."""

TIMER_SLACK_S = 0.0005
"""uvloop rounds timers to whole milliseconds: half of one keeps them from going off early."""

Headers = tuple[tuple[str, str], ...]


class RunObserver(Observer, Protocol):
    """Who counts what happens in a run beside outcomes."""

    def outage(self, began: bool) -> None:
        """Take note that our side's network is down, or back."""


class OurSideDownError(Exception):
    """The network on our side has been down for too long; what is left can be fetched later."""


class Fetching:
    """One list on its way: an asynchronous iterator of outcomes, in the order they end."""

    def __init__(
        self,
        engine: Engine,
        scheduler: Scheduler[Job],
        reader: RequestReader,
        stats: Stats,
        *,
        rules: Rules,
        observer: RunObserver | None = None,
        headers_for: Callable[[Job], Headers],
        budget_s: float | None,
        public_only: bool = False,
        insecure: bool = False,
    ) -> None:
        self._engine = engine
        self._scheduler = scheduler
        self._reader = reader
        self.stats = stats
        self._judge = Judge(scheduler, rules, observer or stats, random.random)
        self._observer = observer
        self._headers_for = headers_for
        self._budget_s = budget_s
        self._public_only = public_only
        self._insecure = insecure
        self._buffer = max(16, scheduler.limit)
        self._low_water = max(64, 2 * scheduler.limit)

        self.read = 0
        """Requests read from the source."""
        self.delivered = 0
        """Outcomes ready for, or taken by, the consumer; in the end equal to `read`."""
        self.source_ended = False
        self._out: list[Outcome] = []
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._hungry = asyncio.Event()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._helpers: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._alive: deque[Target] = deque(maxlen=KNOWN_ALIVE)
        self._suspects: deque[Target] = deque(maxlen=KNOWN_ALIVE)
        self._looking = False
        self._told_of_outage = False
        self._late = 0
        self._stopping = False
        self._started = False
        self._finished = False
        self._error: BaseException | None = None

    # -- for the consumer ------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Outcome]:
        return self

    async def __anext__(self) -> Outcome:
        if not self._out:
            await self._wait()
        if not self._out:
            raise StopAsyncIteration
        outcome = self._out.pop(0)
        self._room.set()
        return outcome

    async def batch(self) -> list[Outcome]:
        """Return the outcomes there are, at least one; an empty list at the end.

        Raises `StoreError`, `OurSideDownError` or what the source raised, once the outcomes before
        it have been taken.
        """
        if not self._out:
            await self._wait()
        out, self._out = self._out, []
        self._room.set()
        return out

    async def _wait(self) -> None:
        if not self._started and not self._stopping:
            self._started = True
            self._help(self._take_in())
        while not self._out:
            if self._finished:
                if self._error is not None:
                    raise self._error
                return
            self._arrived.clear()
            await self._arrived.wait()

    def stop(self) -> None:
        """Start nothing more; what runs may end. The iteration then ends by itself."""
        self._stopping = True
        for helper in self._helpers:
            helper.cancel()
        self._wake_all()
        if not self._workers:
            self._finish()

    @property
    def outage_since(self) -> float | None:
        """Since when (monotonic seconds) our side's network is down, or None."""
        return self._judge.outage.since

    @property
    def lowered_to(self) -> int | None:
        """What `--limit` was lowered to because descriptors ran out, or None."""
        return self._judge.lowered_to

    @property
    def ended(self) -> bool:
        """True once nothing more will come."""
        return self._finished

    @property
    def running(self) -> int:
        """Requests in progress."""
        return self._scheduler.running

    @property
    def per_host(self) -> int:
        """Requests at once to one host at most."""
        return self._scheduler.most_per_host

    def busiest(self, now: float, count: int) -> list[HostState]:
        """Return up to *count* hosts that hold things up: parked ones, then by what waits."""
        return self._scheduler.busiest(now, count)

    def abort(self) -> None:
        """Stop at once: what runs is cut off and has no outcome."""
        self.stop()
        for worker in self._workers:
            worker.cancel()

    async def aclose(self) -> None:
        """End everything at once; outcomes not yet taken are lost."""
        self._stopping = True
        self._finish()
        if self._timer is not None:
            self._timer.cancel()
        tasks = [*self._workers, *self._helpers]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._reader.aclose()

    def __del__(self) -> None:
        for task in (*self._workers, *self._helpers):
            if not task.done() and not task.get_loop().is_closed():
                task.cancel()

    # -- intake ----------------------------------------------------------------------------------

    async def _take_in(self) -> None:
        while (batch := await self._reader.next_batch()) is not None:
            self.stats.line_skipped(batch.skipped)
            for request in batch.requests:
                self.read += 1
                outcome = self._admit(request)
                if outcome is not None:
                    await self._deliver(outcome)
            self._kick()
            while not self._scheduler.hungry(self._low_water):
                self._hungry.clear()
                await self._hungry.wait()
            await asyncio.sleep(0)
        self.source_ended = True
        await self._settle()
        self._check_end()

    def _admit(self, request: Request) -> Outcome | None:
        """Give *request* to the scheduler, or return its outcome if it is no URL."""
        if request.problem is not None:
            return refused(request, request.problem)
        try:
            target = parse_url(request.url)
        except InvalidURLError as error:
            return refused(request, str(error))
        self._scheduler.add(target.host_key, Job(request, target), monotonic())
        return None

    # -- workers ---------------------------------------------------------------------------------

    async def _work(self) -> None:
        while (job := await self._next_job()) is not None:
            await self._run(job)

    async def _run(self, job: Job) -> None:
        host = job.target.host_key
        started = monotonic()
        job.start_attempt(started, time(), self._budget_s)
        job.insecure = job.insecure or (self._insecure and job.target.scheme == "https")
        call = Call(
            job.target,
            self._headers_for(job),
            self._public_only or job.public_only,
            job.first,
        )
        try:
            result = await self._engine.attempt(call, job.budget_left_s)
        except StoreError as error:
            if not error.out_of_descriptors:
                raise
            now = monotonic()
            self._judge.out_of_descriptors(job, now)
            self._scheduler.done(host, now)
            return
        now = monotonic()
        self._count(job, result)
        outcomes = self._judge.verdict(job, result, started, now, time())
        self._scheduler.done(host, now)
        if self._judge.outage.paused:
            self._look_around()
        elif self._told_of_outage:
            self._tell_of_outage()
        for outcome in outcomes:
            await self._deliver(outcome)
        if self.source_ended:
            await self._settle()

    def _count(self, job: Job, result: Answer | Miss) -> None:
        measures = result.measures
        if measures.peer is not None:
            self.stats.request_sent(measures.reused)
        if isinstance(result, Answer) and (
            not self._alive or self._alive[-1].host_key != job.target.host_key
        ):
            self._alive.append(job.target)
        elif not isinstance(result, Answer) and result.fault in (Fault.SILENT, Fault.OURS):
            self._suspects.append(job.target)

    async def _next_job(self) -> Job | None:
        """Return what may start now, waiting for it without a slot; None when there is no more."""
        while not self._stopping and not self._finished:
            now = monotonic()
            if not self._judge.outage.paused:
                doomed = self._scheduler.take_doomed(now)
                if doomed is not None:
                    job, failure = doomed
                    await self._deliver(job.failed(failure, now))
                    continue
                taken = self._scheduler.take(now)
                if taken is not None:
                    self._feed()
                    self._kick(now)
                    return taken
            self._feed()
            idle = asyncio.get_running_loop().create_future()
            self._idle.append(idle)
            if not self._judge.outage.paused:
                self._set_timer(self._scheduler.next_start(), now)
            await idle
        return None

    def _feed(self) -> None:
        if not self._hungry.is_set() and self._scheduler.hungry(self._low_water):
            self._hungry.set()

    def _kick(self, now: float | None = None) -> None:
        """Let one more worker look for something to do, if there may be something."""
        if self._stopping or self._judge.outage.paused:
            return
        now = monotonic() if now is None else now
        at = self._scheduler.next_start()
        if not self._scheduler.has_doomed and (at is None or at > now):
            self._set_timer(at, now)
        elif self._idle:
            self._wake_one()
        elif len(self._workers) < self._scheduler.limits.limit:
            self._start(self._work(), self._workers)

    def _wake_one(self) -> None:
        while self._idle:
            idle = self._idle.popleft()
            if not idle.done():
                idle.set_result(None)
                return

    def _wake_all(self) -> None:
        while self._idle:
            self._wake_one()
        self._arrived.set()

    def _set_timer(self, at: float | None, now: float) -> None:
        """Have a worker woken at *at*, when the next request may start by the passing of time."""
        if at is None:
            return
        loop = asyncio.get_running_loop()
        due = loop.time() + max(0.0, at - now) + TIMER_SLACK_S
        if self._timer is not None:
            if loop.time() < self._timer_due <= due:
                return
            self._timer.cancel()
        # Kept here: what uvloop returns for a time within half a millisecond doesn't know it.
        self._timer_due = due
        self._timer = loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._idle:
            self._wake_one()
        else:
            self._kick()

    # -- delivery --------------------------------------------------------------------------------

    async def _deliver(self, outcome: Outcome) -> None:
        """Hand *outcome* to the consumer; wait while it has too many of them."""
        self.stats.outcome(outcome, outcome.host_key)
        self.delivered += 1
        self._out.append(outcome)
        self._arrived.set()
        self._check_end()
        while len(self._out) >= self._buffer and not self._finished:
            self._room.clear()
            await self._room.wait()

    async def _settle(self) -> None:
        """At the end of the list: what is still held must be its hosts' own trouble, or ours."""
        outage = self._judge.outage
        if outage.held and not outage.paused and self._scheduler.idle:
            if self._alive:
                outage.suspect()
                self._look_around()
            else:  # a few hosts, none of which ever answered: nothing says that it's us
                for outcome in self._judge.heard(monotonic()):
                    await self._deliver(outcome)

    def _check_end(self) -> None:
        if self.source_ended and self.delivered == self.read:
            self._finish()

    def _finish(self) -> None:
        self._finished = True
        self._room.set()
        self._hungry.set()
        self._wake_all()

    # -- our own trouble -------------------------------------------------------------------------

    def _look_around(self) -> None:
        """Start looking whether the network is there, unless somebody does already."""
        if not self._looking:
            self._looking = True
            self._help(self._look())

    async def _look(self) -> None:
        outage = self._judge.outage
        while outage.paused:
            reachable = await self._reach_out()
            if not self._judge.outage.paused:  # a request that was under way has been answered
                break
            now = monotonic()
            if reachable:
                outcomes = self._judge.heard(now)
                self._tell_of_outage()
                for outcome in outcomes:
                    await self._deliver(outcome)
                continue  # it may be silent again by now
            outage.confirm(now)
            self._tell_of_outage()
            if outage.hopeless(now):
                raise OurSideDownError("nothing can be reached from here any more")
            await asyncio.sleep(PROBE_EVERY_S)
        self._looking = False
        self._tell_of_outage()
        self._kick()
        if self.source_ended:
            await self._settle()

    async def _reach_out(self) -> bool:
        """Return whether anybody can be reached; while that takes long, it is an outage."""
        outage = self._judge.outage
        look = asyncio.ensure_future(self._any_reachable(list(self._alive or self._suspects)))
        try:
            await asyncio.wait((look,), timeout=LATE_S)
            late = outage.suspected and not look.done() and self._late < LATE_AT_MOST
            if late:
                outage.confirm(monotonic())
                self._tell_of_outage()
            reachable = await look
            self._late += late and reachable
            return reachable
        finally:
            look.cancel()
            await asyncio.gather(look, return_exceptions=True)

    def _tell_of_outage(self) -> None:
        """Tell the observer once when an outage has begun or ended."""
        going_on = self._judge.outage.going_on
        if going_on != self._told_of_outage:
            self._told_of_outage = going_on
            if self._observer is not None:
                self._observer.outage(began=going_on)

    async def _any_reachable(self, targets: list[Target]) -> bool:
        looks = [asyncio.ensure_future(self._engine.reachable(target)) for target in targets]
        try:
            for look in asyncio.as_completed(looks):
                if await look:
                    return True
            return False
        finally:
            for look in looks:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)

    # -- tasks -----------------------------------------------------------------------------------

    def _help(self, work: Coroutine[None, None, None]) -> None:
        self._start(work, self._helpers)

    def _start(self, work: Coroutine[None, None, None], group: set[asyncio.Task[None]]) -> None:
        task = asyncio.create_task(work)
        group.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        working = task in self._workers
        self._workers.discard(task)
        self._helpers.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._error = self._error or error
            if working:  # the disk's trouble, or a bug of ours: the others would meet it, too
                self.abort()
            else:
                self.stop()
        if self._stopping and not self._workers:
            self._finish()

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
from collections.abc import AsyncIterator, Awaitable, Coroutine
from time import monotonic, time
from typing import TYPE_CHECKING, Protocol

from fetchpool.model.attempts import Response
from fetchpool.model.bodies import StoreError
from fetchpool.model.values import Failure, Outcome, Request, Target
from fetchpool.pipeline.looks import Looks
from fetchpool.pipeline.outage_probe import OutageObserver, OutageProbe
from fetchpool.pipeline.outcome_queue import OutcomeQueue
from fetchpool.pipeline.own_requests import TIMEOUT_S, OwnRequests
from fetchpool.pipeline.task_pool import TaskPool
from fetchpool.policies import Need, OwnRequest, Policies, Policy
from fetchpool.scheduling.job import Job, target_of
from fetchpool.scheduling.judge import STARVED_AT_MOST_S, Judge, Observer, Rules

if TYPE_CHECKING:
    from fetchpool.http import Engine
    from fetchpool.model.asking import Fields
    from fetchpool.model.attempts import Destination
    from fetchpool.model.bodies import Sink
    from fetchpool.model.hosts import Found
    from fetchpool.model.slot_time import SlotTime
    from fetchpool.network.proxies import Choose
    from fetchpool.scheduling.proxy_pool import ProxyPool
    from fetchpool.scheduling.scheduler import HostState, Scheduler
    from fetchpool.sources import RequestReader


class RunObserver(Observer, OutageObserver, Protocol):
    """Who counts what happens in a run beside outcomes."""


class Counters(Observer, Protocol):
    """Who counts what outcomes took; an outcome counts for whoever records it, once it has."""

    def line_skipped(self, count: int) -> None: ...
    def request_sent(self, reused: bool) -> None: ...


class Border(Protocol):
    """What lies beyond the hosts of this process, where several work on one list."""

    def hand_over(self, job: Job, at: float) -> bool:
        """Take *job*, to go on from *at* on, if its host is another's; tell whether it was."""


BEHIND_S = 0.01
"""How long no request starts before a sink that is behind is asked again."""


class OurSideDownError(Exception):
    """The network on our side has been down for too long; what is left can be fetched later."""


class NoDescriptorsError(Exception):
    """Somebody else has every descriptor, for too long; what is left can be fetched later."""


class Fetching:
    """One list on its way: an asynchronous iterator of outcomes, in the order they end."""

    def __init__(
        self,
        engine: Engine,
        scheduler: Scheduler[Job],
        reader: RequestReader,
        stats: Counters,
        *,
        rules: Rules,
        observer: RunObserver | None = None,
        headers: Fields = (),
        policies: list[Policy] | None = None,
        choose: Choose | None = None,
        proxies: ProxyPool | None = None,
        budget_s: float | None,
        insecure: bool = False,
        border: Border | None = None,
        sink: Sink | None = None,
        sitemaps: Destination | None = None,
        buffer: int = 16,
    ) -> None:
        self._engine = engine
        self._sink = sink if sink is not None and sink.appends else None
        self._scheduler = scheduler
        self._reader = reader
        self.stats = stats
        self._judge = Judge(
            scheduler,
            rules,
            observer or stats,
            random.random,
            self._hand_over if border else None,
            None if observer is None else observer.outage,
            proxies,
        )
        if proxies is not None:
            proxies.on_rest = (observer or stats).rested
        self._border = border
        self._may_end = border is None
        self._probe = OutageProbe(engine, self._judge.outage, self._sign_of_life, choose, proxies)
        self._rules = rules
        self._headers = headers
        self._policies = Policies(policies or [])
        self._own = OwnRequests(scheduler)
        self._sitemaps = sitemaps
        self._awaited = 0  # sitemaps on their way here: the source waits for them
        self._budget_s = budget_s
        self._insecure = insecure
        self._low_water = max(64, 2 * scheduler.limits.limit)

        self.read = 0
        """Requests read from the source."""
        self.delivered = 0
        """Outcomes ready for, or taken by, the consumer; in the end equal to `read`."""
        self.source_ended = False
        self._out = OutcomeQueue(max(buffer, scheduler.limit))
        self._hungry = asyncio.Event()
        self._looks = Looks(scheduler, self._hindrance)
        self._pool = TaskPool(scheduler.limits.limit, self._start_task, self._kick)
        self._workers: set[asyncio.Task[None]] = set()
        self._helpers: set[asyncio.Task[None]] = set()
        self._probing = False
        self._stopping = False
        self._started = False

    # -- for the consumer ------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Outcome]:
        return self

    async def __anext__(self) -> Outcome:
        await self._wait()
        outcome = self._out.take_one()
        if outcome is None:
            raise StopAsyncIteration
        return outcome

    async def batch(self) -> list[Outcome]:
        """Return the outcomes there are, at least one; an empty list at the end.

        Raises `StoreError`, `OurSideDownError`, `NoDescriptorsError` or what the source raised,
        once the outcomes before it have been taken.
        """
        await self._wait()
        return self._out.take_all()

    async def _wait(self) -> None:
        if not self._started and not self._stopping:
            self._started = True
            self._looks.start()
            self._help(self._take_in())
        await self._out.until_any()

    def stop(self) -> None:
        """Start nothing more; what runs may end. The iteration then ends by itself."""
        self._stopping = True
        for helper in self._helpers:
            helper.cancel()
        self._pool.wake_all()
        if not self._workers:
            self._finish()

    # -- for a process among several -------------------------------------------------------------

    def take_over(self, job: Job, at: float) -> None:
        """Go on with *job*, begun by another process, from *at* on."""
        if not self._stopping:
            self.read += 1
            self._awaited += job.request.is_sitemap
            self._judge.take_over(job, at, monotonic())
            self._kick()

    def park(self, host: str, until: float, status: int) -> None:
        """Leave *host* alone: it answered *status* to another process."""
        self._scheduler.park(host, until, status, monotonic())

    def let_end(self) -> None:
        """End when everything has its outcome: no job will come from elsewhere any more."""
        self._may_end = True
        self._check_end()

    def answered_elsewhere(self, target: Target) -> None:
        """Remember *target*, which answered another process, as a host to probe."""
        self._judge.outage.answered(target)

    @property
    def known_alive(self) -> Target | None:
        """A host that answered lately."""
        return self._judge.outage.latest

    def _hand_over(self, job: Job, at: float) -> bool:
        assert self._border is not None
        if not self._border.hand_over(job, at):
            return False
        self.read -= 1
        self._awaited -= job.request.is_sitemap
        return True

    # -- how things stand ------------------------------------------------------------------------

    @property
    def network_down(self) -> bool:
        """True while the network on our side is down."""
        return self._judge.outage.going_on

    @property
    def connections_opened(self) -> int:
        """Connections that the engine has opened so far."""
        return self._engine.connections_opened

    @property
    def bytes_received(self) -> int:
        """Bytes that came over the engine's connections so far."""
        return self._engine.bytes_received

    @property
    def lowered_to(self) -> int | None:
        """What `--limit` was lowered to because descriptors ran out, or None."""
        return self._judge.lowered_to

    @property
    def found(self) -> Found:
        """What limits have come to that are found while running."""
        return self._scheduler.found

    @property
    def ended(self) -> bool:
        """True once nothing more will come."""
        return self._out.closed

    @property
    def running(self) -> int:
        """Requests in progress."""
        return self._scheduler.running

    def slot_time(self) -> SlotTime:
        """Where the time of the slots went, since the first outcome was asked for."""
        engine = self._engine
        time = self._looks.account(lambda now: engine.under_way(self._workers, now))
        reused = time.connections.reused
        time.connections, time.lookups = engine.connections, engine.lookups
        time.connections.reused = reused
        return time

    def _hindrance(self) -> tuple[str | None, bool]:
        """Return what keeps everything from starting, if something does, and whether the list has
        ended."""
        hindrance = None
        if self._judge.outage.paused:
            hindrance = "outage"
        elif self._sink is not None and self._sink.behind:
            hindrance = "disk"
        elif self._out.is_full():
            hindrance = "records"
        return hindrance, self.source_ended or self._stopping

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
        self._pool.close()
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
                self._awaited += request.is_sitemap
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
        target = target_of(request)
        if isinstance(target, Outcome):
            return target
        job, now = Job(request, target), monotonic()
        job.queued_at = now
        self._scheduler.add(target.host_key, job, now)
        return None

    # -- workers ---------------------------------------------------------------------------------

    async def _work(self) -> None:
        now = monotonic()
        while not self._stopping and not self._out.closed:
            if self._scheduler.doomed and not self._judge.outage.paused:
                await self._fail_doomed()
                now = monotonic()
            elif (job := self._next_job(now)) is not None:
                now = await self._run(job)
            else:
                await self._pool.rest()
                now = monotonic()

    async def _run(self, job: Job) -> float:
        """Make the next attempt at *job*, which has a slot; return the time."""
        own, host = job.own, job.target.host_key
        rules, policies = self._rules, self._policies
        started = monotonic()
        budget_s, retries = self._budget_s, rules.retries
        if rules.terms_at is not None:
            terms = rules.terms_at(host)
            budget_s, retries = terms.budget_s, terms.retry.retries
        if own is not None:
            budget_s = min(budget_s or TIMEOUT_S, TIMEOUT_S)
        job.start_attempt(started, time(), budget_s)
        if self._insecure and job.target.scheme == "https":
            job.insecure = True
        plan = job.plan(self._headers, retries, repeats_all=rules.retry_all_methods)
        for before in policies.before if own is None else policies.before_own:
            need = before(job, plan)
            if need is not None and not isinstance(need, Failure | OwnRequest):
                need = await self._decided(need, host)
            if need is not None:
                self._not_sent(job, need, started)
                return monotonic()
        if plan.interval_s:
            self._scheduler.pace(host, plan.interval_s, started)
        if own is not None:
            self._own.prepare(plan, own)
        elif job.request.is_sitemap:
            plan.destination = self._sitemaps
        try:
            result = await self._engine.attempt(plan, job.budget_left_s)
            now, measures = monotonic(), result.measures
            self._looks.ended(measures.timeline)
            if own is None and measures.peer is not None:
                self.stats.request_sent(measures.reused)
            for after in policies.after if own is None else policies.after_own:
                after(job, result)
            outcomes = self._judge.decide(job, result, started, now, time())
            if isinstance(result, Response) and result.draft is not None:
                outcomes = job.with_body(result.draft, outcomes)
        except StoreError as error:
            if not error.out_of_descriptors:
                raise
            now = monotonic()
            outcome = self._judge.out_of_descriptors(job, now)
            self._scheduler.done(host, now)
            if outcome is not None:
                self._hand_out(outcome, now)
            self._check_descriptors(now)
            return now
        self._scheduler.done(host, now)
        outage = self._judge.outage
        if outage.paused:
            self._start_probe()
        for outcome in outcomes:
            self._hand_out(outcome, now)
        if self._judge.starved_since is not None:
            self._check_descriptors(now)
        if self._out.is_full():
            await self._out.until_room()
            now = monotonic()
        if not outage.calm and (self.source_ended or self._own.running or self._awaited):
            await self._settle()
            now = monotonic()
        return now

    async def _decided(self, need: Awaitable[Need], host: str) -> Need:
        """Wait for what a policy decides; until then nothing else starts at *host*."""
        self._scheduler.hold(host)
        try:
            return await need
        finally:
            self._scheduler.release(host, monotonic())
            self._kick()

    def _not_sent(self, job: Job, need: Failure | OwnRequest, now: float) -> None:
        """Give back the slot of *job*: a policy fails it, or has it wait for another request."""
        host = job.target.host_key
        job.take_back_attempt()
        if isinstance(need, OwnRequest):
            self._own.hold_up(job, need, now)
        self._scheduler.done(host, now, sent=False)
        if isinstance(need, Failure):
            self._hand_out(job.failed(need, now), monotonic())

    def _check_descriptors(self, now: float) -> None:
        since = self._judge.starved_since
        if since is not None and now - since > STARVED_AT_MOST_S:
            raise NoDescriptorsError("no more files can be opened: raise that with 'ulimit -n'")

    def _next_job(self, now: float) -> Job | None:
        """Return what may start *now*; if nothing may, have a worker woken when something does."""
        scheduler = self._scheduler
        taken = None
        if self._sink is not None and self._sink.behind:
            self._pool.call_at(now + BEHIND_S, now)
            self._looks.nothing_started(now)
            return None
        if not self._judge.outage.paused:
            taken = scheduler.take(now)
            if taken is not None:
                if self._pool.has_hands():
                    self._kick()
            elif (at := scheduler.next_start()) is not None:
                self._pool.call_at(at, now)
        if not self.source_ended:
            self._feed()
        if taken is None:
            self._looks.nothing_started(now)
        return taken

    async def _fail_doomed(self) -> None:
        """Deliver the failure of a request whose host fails fast, if there still is one."""
        now = monotonic()
        doomed = self._scheduler.take_doomed(now)
        if doomed is not None:
            job, failure = doomed
            await self._deliver(job.failed(failure, now))
        if self.source_ended or self._awaited:
            await self._settle()

    def _feed(self) -> None:
        """Have the list read on, if that may help."""
        if not self._hungry.is_set() and self._scheduler.hungry(self._low_water):
            self._hungry.set()

    def _kick(self) -> None:
        """Let one more worker look for something to do, when there may be something."""
        if self._stopping or self._judge.outage.paused:
            return
        now, at = monotonic(), self._scheduler.next_start()
        if self._scheduler.doomed or (at is not None and at <= now):
            self._pool.call_one()
        elif at is not None:
            self._pool.call_at(at, now)

    def _start_task(self) -> None:
        self._start(self._work(), self._workers)

    # -- delivery --------------------------------------------------------------------------------

    async def _deliver(self, outcome: Outcome) -> None:
        """Hand *outcome* to the consumer; wait while it has too many of them."""
        self._hand_out(outcome, monotonic())
        await self._out.until_room()

    def _hand_out(self, outcome: Outcome, now: float) -> None:
        if self._own.running and self._own.take(outcome, now):
            self._kick()
            return
        self.delivered += 1
        self._awaited -= outcome.request.is_sitemap
        self._out.put(outcome)
        if self.delivered == self.read:
            self._check_end()

    async def _settle(self) -> None:
        """Where nothing else will happen: what is still held is its hosts' own trouble, or ours.

        That is at the end of the list, or where all hosts wait for a policy's request, or the list
        for a sitemap.
        """
        for outcome in self._judge.settle_held(monotonic()):
            await self._deliver(outcome)
        if self._judge.outage.paused:
            self._start_probe()

    def _check_end(self) -> None:
        if self.source_ended and self._may_end and self.delivered == self.read:
            self._finish()

    def _finish(self) -> None:
        self._looks.stop()
        self._out.close()
        self._hungry.set()
        self._pool.wake_all()

    # -- our own trouble -------------------------------------------------------------------------

    def _start_probe(self) -> None:
        """Start probing whether the network is there, unless that goes on already."""
        if not self._probing:
            self._probing = True
            self._help(self._probe_until_calm())

    async def _probe_until_calm(self) -> None:
        if not await self._probe.until_calm():
            raise OurSideDownError(self._judge.outage.why)
        self._probing = False
        self._kick()
        if self.source_ended or self._awaited:
            await self._settle()

    async def _sign_of_life(self) -> None:
        """A probe reached somebody: deliver what was held for the lack of it."""
        for outcome in self._judge.sign_of_life(monotonic()):
            await self._deliver(outcome)

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
            self._out.fail(error)
            if working:  # the disk's trouble, or a bug of ours: the others would meet it, too
                self.abort()
            else:
                self.stop()
        if self._stopping and not self._workers:
            self._finish()

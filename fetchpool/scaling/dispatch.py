"""A list fetched by several processes: the parent reads, routes, counts and records.

                     ┌─ outbox ─▶ worker 0 ─┐
    reader ──owner──▶┼─ outbox ─▶ worker 1 ─┼──▶ outcomes ──▶ batch()
                     └─ outbox ─▶ worker 2 ─┘
                            ▲          │
                            └── hops ◀─┘   to a host that another one owns

To the runner it looks like a `Fetching`.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import pickle
from collections.abc import Coroutine
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from fetchpool.model.values import Outcome
from fetchpool.output.ledger import Bitmap
from fetchpool.pipeline.fetching import OurSideDownError, RunObserver
from fetchpool.pipeline.outcome_queue import Outlet
from fetchpool.scaling import messages as say
from fetchpool.scaling.hiring import Hire, NoWorkersError, spawn
from fetchpool.scaling.member import Member
from fetchpool.scaling.outbox import Outbox, Shelf
from fetchpool.scaling.pauses import Pauses
from fetchpool.scaling.setup import Setup
from fetchpool.scaling.sharing import longest_interval, owner
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
    from fetchpool.model.values import Request
    from fetchpool.reporting.stats import Stats
    from fetchpool.sources import RequestReader

log = logging.getLogger("fetchpool")

BUFFER = 4096
"""Outcomes that wait for the consumer at most; then workers wait."""

BARREN_DEATHS = 5
"""Processes of a worker that die one after another without an outcome before the run gives up."""

END_S = 3.0
"""How long workers may take to end when what runs is cut off, or when nothing runs any more."""


class FleetObserver(RunObserver, Protocol):
    """Who is told what happens beside outcomes."""

    def worker_died(self, pid: int, how: str) -> None:
        """Take note that a worker died and is replaced."""


class WorkerBugError(Exception):
    """A bug of ours, in a worker: text and traceback of the exception there."""

    def __repr__(self) -> str:
        return str(self)


class Dispatch:
    """One list on its way through a fleet; its face is that of `Fetching`."""

    def __init__(
        self,
        setups: list[Setup],
        shelf: Shelf,
        reader: RequestReader,
        stats: Stats,
        observer: FleetObserver,
        hire: Hire = spawn,
    ) -> None:
        self._settled = Bitmap()
        self._shelf = shelf
        self._codec = Codec(setups[0].config.ask)
        self._members = [
            Member(setup, Outbox(shelf, self._settled.__contains__, self._codec), hire)
            for setup in setups
        ]
        self._by_url = setups[0].share.by_url
        self._interval_s = longest_interval(setups[0].config, setups[0].share)
        self._pauses = Pauses()
        self._per_host = setups[0].config.per_host or sum(setup.share.limit for setup in setups)
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
        """What one worker's part of `--limit` was lowered to; None = none was."""
        self._out = Outlet(BUFFER)
        self._hungry = asyncio.Event()
        self._over = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lives: set[Member] = set()
        self._last_word: say.Stop | say.Abort | say.Finish | None = None
        self._told_of_outage = False
        self._started = False

    # -- for the consumer ------------------------------------------------------------------------

    async def batch(self) -> list[Outcome]:
        """Return the outcomes there are, at least one; an empty list at the end.

        Raises what went wrong on our side, once the outcomes before it have been taken.
        """
        if not self._started and not self._ending:
            self._started = True
            self._run(self._take_in())
        await self._out.until_any()
        return self._out.take_all()

    def stop(self) -> None:
        """Start nothing more; what runs may end. The iteration then ends by itself."""
        self._say_last(say.Stop())

    def abort(self) -> None:
        """Stop at once: what runs is cut off and has no outcome."""
        self._say_last(say.Abort())

    async def aclose(self) -> None:
        """End everything at once; outcomes not yet taken are lost."""
        self._last_word = say.Abort()
        self._finish()
        self._kill()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(member.reap() for member in self._members))
        await self._reader.aclose()
        self._shelf.close()

    @property
    def ended(self) -> bool:
        """True once nothing more will come."""
        return self._out.closed

    @property
    def running(self) -> int:
        """Requests in progress, as of a moment ago."""
        return sum(member.last.running for member in self._members)

    @property
    def per_host(self) -> int:
        """Requests at once to one host at most."""
        return self._per_host

    @property
    def outage_since(self) -> float | None:
        """Since when (monotonic seconds) our side's network is down, or None."""
        since = [member.last.outage_since for member in self._members]
        return min((at for at in since if at is not None), default=None)

    def busiest(self, now: float, count: int) -> list[HostState]:
        """Return up to *count* hosts that hold things up: parked ones, then by what waits."""
        states = [state for member in self._members for state in member.busiest]
        return heapq.nlargest(count, states, key=lambda state: (state.parked_s > 0, state.waiting))

    # -- requests out ----------------------------------------------------------------------------

    async def _take_in(self) -> None:
        while not self._ending and (batch := await self._reader.next_batch()) is not None:
            self._stats.line_skipped(batch.skipped)
            for request in batch.requests:
                self.read += 1
                outcome = self._route(request)
                if outcome is not None:
                    await self._deliver([outcome])
            for member in self._members:
                self._feed(member)
            while not self._wants_more():
                self._hungry.clear()
                await self._hungry.wait()
            await asyncio.sleep(0)
        if self._ending:
            return
        self.source_ended = True
        for member in self._members:
            self._feed(member)
        self._check_end()

    def _route(self, request: Request) -> Outcome | None:
        """Give *request* to the worker that owns it, or return its outcome if it is no URL."""
        target = target_of(request)
        if isinstance(target, Outcome):
            return target
        # A URL, however it is spelt, has one worker: its body has one name.
        key = target.url if self._by_url else target.host_key
        self._members[owner(key, len(self._members))].outbox.add(request)
        return None

    def _wants_more(self) -> bool:
        """Tell whether reading on could give a worker something to do; see `Scheduler.hungry`."""
        if self._ending:
            return True  # to learn of it
        waiting = self.read - self.delivered
        ahead = READ_AHEAD + READ_AHEAD_A_START * self.delivered
        if waiting >= min(ahead, READ_AHEAD_AT_MOST):
            return False
        return any(member.hungry for member in self._members)

    def _feed(self, member: Member) -> None:
        """See to it that *member* works on what it was given."""
        if self._ending:
            return
        if member.owes and member not in self._lives:
            self._lives.add(member)
            self._run(self._live(member))
        member.feed(is_all=self.source_ended)
        if self._wants_more():
            self._hungry.set()

    def _hand_over(self, giver: Member, away: say.Away) -> None:
        request = away.job.request
        giver.settle(request.seq)
        self._settled.add_all((request.seq,))
        if not self._ending:
            taker = self._members[owner(away.job.target.host_key, len(self._members))]
            taker.give(away)
            self._feed(taker)

    # -- what workers say ------------------------------------------------------------------------

    async def _live(self, member: Member) -> None:
        """Keep a process in *member*'s place until there is nothing more to do for it."""
        try:
            while member.owes and not self._ending:
                await member.start()
                async for message in member.messages():
                    await self._heard(member, message)
                how = await member.wait()
                if member.said_bye or self._ending:
                    break
                self._observer.worker_died(member.pid, how)
                member.died()
                if member.barren_deaths >= BARREN_DEATHS:
                    raise NoWorkersError(f"worker processes keep dying, the last one by {how}")
                await self._keep_rates()
        finally:
            self._lives.discard(member)
            self._check_end()

    async def _keep_rates(self) -> None:
        """Wait for as long as rates ask for between two requests: when a worker that died made its
        last ones, nobody knows.
        """
        if self._interval_s > BURST_S:  # else it is over before the next process has started
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval_s):
                    await self._over.wait()

    async def _heard(self, member: Member, message: say.FromWorker) -> None:
        match message:
            case say.Outcomes():
                member.barren_deaths = 0
                for outcome in message.outcomes:
                    member.settle(outcome.request.seq)
                self._settled.add_all([outcome.request.seq for outcome in message.outcomes])
                await self._deliver(message.full(self._codec))
                if self._wants_more():
                    self._hungry.set()
            case say.Want():
                member.wants(message.count)
                self._feed(member)
            case say.Tick():
                self._count(member, message)
            case say.Away():
                self._hand_over(member, message)
            case say.Park():
                self._pauses.note(message, monotonic())
                for other in self._members:
                    if self._by_url and other is not member:
                        other.tell(message)
            case say.Hello():
                member.greet(self._pauses.current(monotonic()))
                if self._last_word is not None:
                    member.tell(self._last_word)
            case say.Logged():
                _log(message)
            case say.Failed():
                self._fail(pickle.loads(message.error))  # noqa: S301 - our own worker's
            case say.Bye():
                member.said_bye = True

    def _count(self, member: Member, tick: say.Tick) -> None:
        stats, observer = self._stats, self._observer
        member.last = tick
        self.connections_opened += tick.connections
        self.bytes_received += tick.received
        stats.requests_sent(tick.requests, tick.reused)
        for _ in range(tick.retries):
            observer.retried()
        for parked in tick.parked:
            observer.parked(parked.host, parked.seconds, parked.why)
        if tick.lowered_to is not None:
            self.lowered_to = min(tick.lowered_to, self.lowered_to or tick.lowered_to)
        for other in self._members:
            if other is not member and tick.alive is not None:
                other.introduce(tick.alive)
        if (self.outage_since is not None) != self._told_of_outage:
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
        if self._ending and not self._lives:
            self._finish()

    def _say_last(self, word: say.Stop | say.Abort | say.Finish) -> None:
        """Have the workers end, one way or another; take nothing in any more."""
        self._last_word = word
        for member in self._members:
            member.end(word)
        if not isinstance(word, say.Stop):  # what runs may end: that is for time-outs to bound
            asyncio.get_running_loop().call_later(END_S, self._kill)
        self._over.set()
        self._hungry.set()
        if not self._lives:
            self._finish()

    def _fail(self, error: BaseException) -> None:
        """Our side's trouble: end the run with it; what cost a worker the disk costs all."""
        self._out.fail(error)
        if isinstance(error, OurSideDownError | SourceReadError):
            self.stop()
        else:
            self.abort()

    def _finish(self) -> None:
        self._out.close()
        self._hungry.set()

    def _kill(self) -> None:
        for member in self._members:
            member.kill()

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

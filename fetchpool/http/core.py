"""The engine: drives one exchange within its time limits and turns every ending into a value."""

from __future__ import annotations

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fetchpool.http.exchange import Exchange, ExchangeError
from fetchpool.http.hashes import functions_for
from fetchpool.http.receiver import Beginning, BodyPolicy, EnoughError, Receiver
from fetchpool.http.resuming import Resumption, StartAnewError, may_resume
from fetchpool.http.transcript import Transcript
from fetchpool.http.watch import Timeouts, Watch
from fetchpool.model.attempts import FailedAttempt, Fault, Measures, Plan, Proxy, Report, Response
from fetchpool.model.bodies import Sink, StoreError
from fetchpool.model.decoding import BodyError
from fetchpool.model.urls import redact_in
from fetchpool.model.values import Failure, FailureKind, Target

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from fetchpool.model.attempts import Timeline
    from fetchpool.model.bodies import PartWriter, Store
    from fetchpool.model.exchanges import Exchanged, Recording
    from fetchpool.model.slot_time import Connections, Lookups
    from fetchpool.network.connector import FetchConnector

log = logging.getLogger("fetchpool")

TICK_S = 0.1
"""How often the time limits are looked at, in seconds: their precision."""

MAX_THREADS = 4
"""Threads that decode at once, where there are as many cores: they keep up with what one event loop
can receive and store."""

ASLEEP_S = 2.0
"""A tick late by more than this means the process itself was not running."""


PROBE_TIMEOUT_S = 5.0
"""How long a look at whether a host is reachable may take."""


class Engine:
    """Makes attempts, many at a time, through one exchange."""

    def __init__(
        self,
        exchange: Exchange,
        connector: FetchConnector,
        timeouts: Timeouts,
        bodies: BodyPolicy,
        store: Store,
    ) -> None:
        self._exchange = exchange
        self._connector = connector
        self._timeouts = timeouts
        self._bodies = bodies
        self._store = store
        self._record: Callable[[Target], Recording] | None = None
        if isinstance(store, Sink) and store.keeps_messages:
            self._record = store.recording
        self._watches: set[Watch] = set()
        self._received = 0
        self._threads = ThreadPoolExecutor(
            min(MAX_THREADS, os.cpu_count() or 1), thread_name_prefix="fetchpool-unpacking"
        )
        self._ticker: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def connections_opened(self) -> int:
        """Connections opened so far."""
        return self._connector.opened

    @property
    def bytes_received(self) -> int:
        """Bytes that came over connections so far, those of running exchanges included."""
        return self._received + sum(watch.bytes_seen for watch in self._watches)

    @property
    def connections(self) -> Connections:
        """What became of connections so far."""
        return replace(self._connector.counts)

    @property
    def lookups(self) -> Lookups:
        """What became of names so far."""
        return self._connector.lookups

    def under_way(self, tasks: Container[object], now: float) -> list[Timeline]:
        """Return the timelines of what *tasks* are attempting, as if it ended *now*."""
        found = (watch for watch in self._watches if watch.task in tasks)
        return [watch.timeline(None, now, whole=False) for watch in found]

    async def attempt(self, plan: Plan, budget_s: float | None) -> Report:
        """Exchange *plan* for an answer within *budget_s* seconds (None = no such limit).

        Once it doesn't count if a kept connection was closed, or brought something that is no
        answer: the plan goes out again on a new one. If that fails in the same way, both count.
        Nor does an answer count that shows that a body which broke off can't be gone on with, or a
        304 that doesn't fit what is on disk: the whole is asked for, without any condition.
        Raises `StoreError`: our disk's trouble is no URL's.
        """
        if self._ticker is None:
            self._ticker = asyncio.create_task(self._tick(), name="fetchpool-ticker")
            self._loop = asyncio.get_running_loop()
        left_s = budget_s
        store = self._store if plan.destination is None else plan.destination.store
        anew = False
        excused: Failure | None = None
        while True:
            named_by = plan.named_by or plan.target
            whole = anew or plan.whole
            plain = plan.method == "GET" and plan.body is None
            part = None if whole or not plain else store.reopen(named_by, plan.target.url)
            resumption = None if part is None else await self._resume(plan, part)
            now = monotonic()
            # Without the loop current_task() makes a system plan, up to Python 3.11.
            watch = Watch(
                plan.timeouts or self._timeouts, left_s, now, asyncio.current_task(self._loop)
            )
            watch.fresh = plan.fresh or excused is not None
            if plan.destination is None:
                if self._record is not None:
                    watch.transcript = Transcript(self._record(named_by))
                receiver = Receiver(
                    plan,
                    self._bodies,
                    store,
                    resumption,
                    self._threads,
                    again=anew,
                    keeps_message=watch.transcript is not None,
                )
            else:
                enough = plan.destination.enough_bytes
                receiver = Beginning(plan, store, self._threads, enough)
            self._watches.add(watch)
            sent = plan if resumption is None else resumption.request(plan)
            if plan.condition is not None:
                sent = replace(sent, headers=(*sent.headers, plan.condition))
            try:
                await self._exchange.send(sent, watch, receiver)
                return _response(plan, watch, receiver)
            except EnoughError:
                assert isinstance(receiver, Beginning)
                receiver.finish_early()
                return _response(plan, watch, receiver)
            except BaseException as ending:
                error = _understood(ending, watch, receiver)
                kept = receiver.abandon(keep=_may_go_on(error or ending))
                if isinstance(error, ExchangeError) and watch.transcript and receiver.leads_on:
                    return _response(plan, watch, receiver, error.failure)
                if error is None:
                    raise
            finally:
                self._watches.discard(watch)
                self._received += watch.bytes_seen
            if isinstance(error, StartAnewError):
                anew = True
                plan = replace(plan, condition=None)
            elif excused is None and _is_excusable(error, watch, receiver):
                excused = error.failure
            else:
                again = excused is not None and _is_alike(excused, error, watch, receiver)
                # Unwatched by now: whatever a look at the proxy takes is not the exchange's time.
                error = await self._exchange.weigh(plan, error)
                part_bytes = _part_bytes(store, plan) if kept else 0
                return FailedAttempt(
                    error.failure,
                    error.transient,
                    error.fault,
                    receiver.answer,
                    _measures(plan, watch, receiver, part_bytes, 1 + again, whole=False),
                    _exchanged(plan, watch, receiver, error.failure),
                )
            if left_s is not None:
                left_s -= monotonic() - watch.started_at

    async def _resume(self, plan: Plan, part: PartWriter) -> Resumption | None:
        """Return the resumption of *part*; None if *plan* can't ask for its rest."""
        if may_resume(plan, part):
            functions = functions_for(plan.checksum, recorded=self._bodies.sha256)
            return await Resumption.of(part, functions)
        part.suspend()
        return None

    async def _tick(self) -> None:
        """End what has taken too long; close what has been idle for too long."""
        last = monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now = monotonic()
            asleep_s = now - last - TICK_S
            last = now
            if asleep_s > ASLEEP_S:
                for watch in self._watches:
                    watch.shift(asleep_s)
            for watch in self._watches:
                if watch.timeout_reason is None:
                    watch.timeout_reason = watch.overdue(now)
                    if watch.timeout_reason is not None and watch.task is not None:
                        watch.task.cancel()
            self._connector.sweep(now)

    async def reachable(self, target: Target, route: Proxy | None = None) -> bool:
        """Return True if *target*'s server gives any sign of life: a connection can be made or is
        refused, or the name is said not to exist. With a *route*: if that proxy is there and takes
        us."""
        try:
            return await asyncio.wait_for(self._exchange.reachable(target, route), PROBE_TIMEOUT_S)
        except TimeoutError:
            return False

    async def close(self) -> None:
        """Stop the ticker, close every connection, and end the threads, after a step at most."""
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        await self._exchange.close()
        self._threads.shutdown(cancel_futures=True)


_PASSING = (FailureKind.TRUNCATED, FailureKind.CHECKSUM)


def _understood(
    ending: BaseException, watch: Watch, receiver: Receiver
) -> ExchangeError | StartAnewError | None:
    """Return how an exchange ended other than well; None if *ending* is no matter of its URL."""
    match ending:
        case ExchangeError() | StartAnewError():
            return ending
        case BodyError():
            return ExchangeError(ending.failure, transient=ending.failure.kind in _PASSING)
        case asyncio.CancelledError():
            if watch.timeout_reason is None:
                return None
            assert watch.task is not None
            if watch.task.uncancel() > 0:  # somebody else wants this task to end, too
                return None
            phase = watch.phase(answering=receiver.answer is not None)
            return _timed_out(f"{watch.timeout_reason}, {phase}")
        case Exception() if not isinstance(ending, StoreError):
            log.error("internal error while fetching", exc_info=ending)
            return ExchangeError(Failure(FailureKind.INTERNAL, redact_in(repr(ending))))
    return None


def _is_excusable(error: ExchangeError, watch: Watch, receiver: Receiver) -> bool:
    """Return whether it may have been the kept connection that failed: it had been closed before,
    or what was no HTTP was the end of the answer before, come late."""
    is_protocol = error.failure.kind is FailureKind.PROTOCOL
    return error.stale or (is_protocol and watch.reused and receiver.answer is None)


def _is_alike(first: Failure, error: ExchangeError, watch: Watch, receiver: Receiver) -> bool:
    """Return whether a new connection failed as the kept one did: then it was the request."""
    was_sent = watch.connected_at is not None and receiver.answer is None
    return was_sent and error.failure.kind is first.kind


def _part_bytes(store: Store, plan: Plan) -> int:
    """Return how many bytes *store* has of *plan*'s body, which broke off."""
    part = store.reopen(plan.named_by or plan.target, plan.target.url)
    if part is None:
        return 0
    length = part.length
    part.suspend()
    return length


def _may_go_on(ending: BaseException) -> bool:
    """Return whether a body that ended so may be gone on with: nothing was wrong but its end."""
    if isinstance(ending, ExchangeError):
        return ending.transient
    return isinstance(ending, asyncio.CancelledError)


def _timed_out(detail: str) -> ExchangeError:
    # Silent: whether the server is slow or our network gone can't be told from one time-out.
    failure = Failure(FailureKind.TIMEOUT, detail)
    return ExchangeError(failure, transient=True, fault=Fault.SILENT)


def _response(
    plan: Plan, watch: Watch, receiver: Receiver, failure: Failure | None = None
) -> Response:
    """Return the response; *failure* is how its body ended, where that is no matter."""
    assert receiver.answer is not None
    return Response(
        receiver.answer,
        receiver.stored,
        receiver.body_bytes,
        receiver.sha256,
        _measures(plan, watch, receiver),
        receiver.draft,
        receiver.note,
        None if watch.transcript is None else _exchanged(plan, watch, receiver, failure),
    )


def _exchanged(
    plan: Plan, watch: Watch, receiver: Receiver, failure: Failure | None
) -> Exchanged | None:
    """Return the messages of an attempt that ended with *failure*, if they are wanted and there is
    a complete head."""
    transcript, answer = watch.transcript, receiver.answer
    if transcript is None or answer is None or not transcript.head_length:
        return None
    return transcript.exchanged(plan, answer.status, watch.peer, failure)


def _measures(
    plan: Plan,
    watch: Watch,
    receiver: Receiver,
    part_bytes: int = 0,
    requests: int = 1,
    *,
    whole: bool = True,
) -> Measures:
    return Measures(
        watch.timeline(plan.queued_at, monotonic(), whole=whole),
        receiver.wire_bytes,
        watch.reused,
        watch.peer,
        receiver.resumed_at,
        part_bytes,
        watch.connected_at is not None,
        requests,
        plan.route,
    )

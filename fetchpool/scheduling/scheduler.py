"""Which request may start now.

    add ──▶ host's queue ──(64 in memory, the rest in the backlog)──▶ take ──▶ running ──▶ done
                 ▲                                                                │
                 └──────────── again: a retry or a hop, not before a given time ──┘

A free slot goes to the host with the fewest requests in progress, among these to the one that has
held slots for the shortest time. Taking turns instead would give a host time in proportion to its
slowness: with 16 slots, 20 hosts of 20 ms a request and 60 of 1 s, the fast ones' 2,000 URLs end
after 40 s in turns, after 12 s this way; sharing every instant evenly would take 10 s.

Pure: no asyncio, no clock, no I/O of its own. Time is an argument called `now` (monotonic seconds),
so a test passes a number. Every operation is O(log hosts) at most.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from itertools import count
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import msgspec

from fetchpool.model.hosts import Found, HostState
from fetchpool.model.values import Failure
from fetchpool.scheduling.concurrency import logarithm_of
from fetchpool.scheduling.host_health import HostHealth
from fetchpool.scheduling.host_slot import HostSlot, Spotlight
from fetchpool.scheduling.host_terms import TermsAt
from fetchpool.scheduling.limit_finding import Finding, Usual
from fetchpool.scheduling.rate_limit import RateLimit
from fetchpool.scheduling.reasons import Reasons, reasons_of
from fetchpool.scheduling.throttling import Refusal

if TYPE_CHECKING:
    from fetchpool.model.attempts import Timeline

__all__ = ["Backlog", "HostState", "Limits", "Scheduler"]

T = TypeVar("T")

IN_MEMORY_PER_HOST = 64
"""Requests of one host kept in memory; what comes beyond goes to the backlog."""

IN_MEMORY_TOTAL = 16_384
"""Requests of all hosts kept in memory, but for one a host: 0.6 to 1 KB each."""

IN_MEMORY_EASY = 10_240
"""Below this many of all hosts, one may have more than its 64: the way over the backlog costs 4 µs
a request. More than is read ahead while all slots are taken; leaves room for 96 hosts' 64."""

READ_AHEAD_BUSY = 8192
"""Requests that may wait, of any host, while every slot is taken: perhaps hundreds of slow hosts at
the front of a list take them, and the others have not been read yet."""

READ_AHEAD = 1_000_000
"""Requests of few hosts that may wait while the list is read on in search of others."""

READ_AHEAD_A_START = 64
"""How many more may wait with each request that starts: to pass a host's part of the list, however
long, takes at most a 64th of the time that part takes itself."""

READ_AHEAD_AT_MOST = 10_000_000
"""What bounds an endless list: 25 bytes on disk a request of a file, the URL and 8 otherwise."""

HOSTS_AT_MOST = 100_000
"""Hosts known at a time: each takes 2.3 KB, so that a list of ten million that all ask for five
minutes (a proxy may say so in their name) is not all in memory by then."""


class Backlog(Protocol[T]):
    """Where requests wait that don't fit in memory: first in, first out per host."""

    def push(self, host: str, item: T) -> None: ...
    def pull(self, host: str, limit: int) -> list[T]: ...


class Limits(msgspec.Struct, frozen=True):
    """How much may go on at once and per second; 0 = no such limit (but for `limit`)."""

    limit: int = 100
    per_host: int = 10
    rate: float = 0.0
    host_rate: float = 0.0
    finds_limit: bool = False
    """Whether the best limit is found while running (`--limit auto`), `limit` at most."""
    finds_per_host: bool = False
    """The same of each host's."""


class Scheduler(Generic[T]):
    """Decides which request starts next, over all hosts.

    Laws (held by property tests): never more than `limit` running, never more than `per_host` on a
    host; a free slot is never left idle while a host may start; every item comes out exactly once.
    """

    def __init__(
        self, limits: Limits, backlog: Backlog[T], terms_at: TermsAt | None = None
    ) -> None:
        """Ask *terms_at*, where hosts have limits of their own, for those of a host."""
        self.limits = limits
        self._terms_at = terms_at
        self._finding = Finding(limits.limit) if limits.finds_limit else None
        self._finds = limits.finds_limit or limits.finds_per_host
        self._found = Found()  # of hosts that have been forgotten
        self.limit = limits.limit if self._finding is None else self._finding.limit
        """Requests in progress at most; may be lowered while running (out of descriptors)."""
        self.running = 0
        self._ways = 1
        self._backlog = backlog
        self._rate_limit = RateLimit(limits.rate) if limits.rate else None
        self._slots: dict[str, HostSlot[T]] = {}
        # Heap of the hosts that may start now: (running, had_s, ticket, host). An entry whose
        # ticket is no longer the host's is a leftover.
        self._ready: list[tuple[int, float, int, HostSlot[T]]] = []
        # What a host has had that competed for slots from the start, in seconds times slots. New
        # ones begin there: at zero they would go before all others for as long as any come.
        self._fair_share_s = 0.0
        self._counted_at = 0.0
        self._competing = 0  # hosts that run something or may start
        self._timers: list[tuple[float, int, HostSlot[T]]] = []
        self.doomed: OrderedDict[str, HostSlot[T]] = OrderedDict()
        """The hosts that fail fast and have requests waiting."""
        self._ticket = count()
        self._spotlight: Spotlight[T] = Spotlight()
        self._glance: Spotlight[T] = Spotlight()
        self._held_s = 0.0
        self._in_memory = 0
        self._waiting = 0
        self._started = 0

    # -- in ------------------------------------------------------------------------------------

    def add(self, host: str, item: T, now: float) -> None:
        """Put a new request at the end of its host's queue."""
        slot = self._slots.get(host) or self._slot(host)
        self._waiting += 1
        if slot.backlogged or (self._in_memory >= IN_MEMORY_EASY and self._has_its_share(slot)):
            self._backlog.push(host, item)
            slot.backlogged += 1
            return  # there are others before it: nothing has changed for the host
        slot.queue.append(item)
        self._in_memory += 1
        if slot.ready is None and not slot.is_full():
            self._place(slot, now)

    def again(
        self,
        host: str,
        item: T,
        at: float,
        now: float,
        *,
        refused: bool = False,
        is_own: bool = False,
    ) -> None:
        """Put a retry or a redirect's next hop before all new requests, to start from *at* on.

        Fresh ones go first while the host is in doubt. What was *refused* before waits for a
        moment in which it can't be for the others' sake (see `throttling`). What a policy asked
        for (*is_own*) goes before everything, and is all that starts while the host is held.
        """
        slot = self._slot(host)
        self._waiting += 1
        heap = slot.own if is_own else slot.refused if refused else slot.again
        heapq.heappush(heap, (at, next(self._ticket), item))
        if slot.ready is None or refused or is_own:
            self._place(slot, now)

    def hold(self, host: str) -> None:
        """Start nothing more at *host*, which has something running, but what policies ask for."""
        slot = self._slots[host]
        slot.held = True
        slot.ready = None  # `done` or `release` will place it, and `again` what policies ask for

    def release(self, host: str, now: float) -> None:
        """Start requests to *host* again."""
        slot = self._slots.get(host)
        if slot is not None and slot.held:
            slot.held = False
            self._place(slot, now)

    # -- out -----------------------------------------------------------------------------------

    def take(self, now: float) -> T | None:
        """Return the next request allowed to start at *now*, or None.

        The host with the fewest in progress goes first, then the one that has held slots for the
        shortest time, ties in turn; a host at its limit or parked until later is passed over. The
        caller says `done` when the request has ended.
        """
        if self.running >= self.limit or (
            self._rate_limit is not None and self._rate_limit.ready_at > now
        ):
            return None
        if self._timers and self._timers[0][0] <= now:
            self._wake(now)
        slot = self._next_ready()
        if slot is None:
            return None
        item = self._pop(slot, now)
        self._count_running(slot, 1, now)
        self._started += 1
        if slot.rate_limit is not None:
            slot.rate_limit.start(now)
        if self._rate_limit is not None:
            self._rate_limit.start(now)
        self._place(slot, now)
        return item

    def take_doomed(self, now: float) -> tuple[T, Failure] | None:
        """Return a request whose host fails fast at *now*, and what it gets, or None.

        It is not counted as running: nothing is sent for it.
        """
        while self.doomed:
            slot = next(iter(self.doomed.values()))
            if slot.waiting and slot.health.fails_fast(now):
                return self._pop_any(slot), slot.health.failing
            del self.doomed[slot.host]
            self._place(slot, now)
        return None

    def done(self, host: str, now: float, *, sent: bool = True) -> None:
        """Free the slot of a request to *host*, which has ended, or was not *sent* at all."""
        slot = self._slots[host]
        if not sent:
            for rate in (slot.rate_limit, self._rate_limit):
                if rate is not None:
                    rate.take_back()
        self._count_running(slot, -1, now)
        self._place(slot, now)

    # -- what responses say --------------------------------------------------------------------

    def answered(
        self,
        host: str,
        now: float,
        *,
        was_refused: bool = False,
        timeline: Timeline | None = None,
    ) -> None:
        """Record a response that shows that *host* works and takes requests.

        *timeline* is its exchange's, for a limit that is to be found.
        """
        slot = self._slots[host]
        changed = slot.health.answered(now, was_refused=was_refused)
        if self._finds and timeline is not None:
            changed = self._find(slot, timeline, now) or changed
        if changed and (slot.ready is None or slot.refused):
            self._place(slot, now)

    def throttled(
        self, host: str, now: float, started: float, refusal: Refusal, draw: float
    ) -> float:
        """Park *host*, which refused a request sent at *started*; return for how many seconds."""
        slot = self._slots[host]
        pause_s = slot.health.throttled(now, started, refusal, draw, slot.fresh)
        self._place(slot, now)
        return pause_s

    def park(self, host: str, until: float, status: int, now: float) -> None:
        """Park *host*, known or not, until then: it responded *status* to another process."""
        slot = self._slot(host)
        slot.health.park(until, status)
        self._place(slot, now)

    def unreachable(self, host: str, now: float, started: float, failure: Failure) -> None:
        """Record an attempt at *host*, begun at *started*, that received nothing."""
        slot = self._slots[host]
        slot.health.unreachable(now, started, failure)
        self._place(slot, now)

    def silent(self, host: str, now: float, started: float, url: str, failure: Failure) -> None:
        """Record that *host* left a request for *url*, sent at *started*, without a byte."""
        slot = self._slots[host]
        slot.health.silent(now, started, url, failure)
        self._place(slot, now)

    def widen(self, ways: int) -> None:
        """Give each host its limit for each of so many *ways* to it; more may be running."""
        self._ways = max(1, ways)
        for slot in self._slots.values():
            slot.health.bound(self._limits_of(slot.host)[0])

    def forgive(self, now: float) -> None:
        """Forget every host's failures: it was our own network that was down."""
        for slot in list(self._slots.values()):
            if slot.health.failures:
                slot.health.recovered()
                self._place(slot, now)

    def pace(self, host: str, interval_s: float, started: float) -> None:
        """Let requests to *host*, which has one running since *started*, start *interval_s* apart.

        Never faster than before; until the host has had nothing to do for so long.
        """
        slot = self._slots[host]
        if slot.rate_limit is None or slot.rate_limit.interval_s < interval_s:
            slot.rate_limit = RateLimit(1.0 / interval_s)
            slot.rate_limit.start(started)
            self._place(slot, started)

    # -- looking -------------------------------------------------------------------------------

    def health(self, host: str) -> HostHealth:
        """Return the condition of a *host* that has something waiting or running."""
        return self._slots[host].health

    @property
    def waiting(self) -> int:
        """Requests that have not started, in memory and in the backlog, retries included."""
        return self._waiting

    @property
    def idle(self) -> bool:
        """True if nothing waits and nothing runs."""
        return not self._waiting and not self.running

    @property
    def stuck(self) -> bool:
        """True if nothing runs, and what waits, if anything does, only an event lets start: its
        hosts are held."""
        if self.running or (self._waiting and self.doomed):
            return False
        return not self._waiting or self.next_start() is None

    def hungry(self, low_water: int) -> bool:
        """Return True if reading on could help: fewer than *low_water* requests wait, or every slot
        is taken and not many more wait, or the next slot would go to a host not yet met, as all
        others have a request running or may not start.

        What may wait for that is bounded, so that an endless list is, and so are the hosts.
        """
        if len(self._slots) >= HOSTS_AT_MOST:
            return False
        if self._waiting < (low_water if self.running < self.limit else READ_AHEAD_BUSY):
            return True
        ahead = min(READ_AHEAD_AT_MOST, READ_AHEAD + READ_AHEAD_A_START * self._started)
        if self._waiting >= ahead:
            return False
        slot = self._next_ready()
        return slot is None or slot.running > 0

    def next_start(self) -> float | None:
        """Return the time at which a waiting request may start; None = an event must happen first.
        May be early, never late."""
        if self.running >= self.limit:
            return None
        if self._next_ready() is not None:
            return self._rate_limit.ready_at if self._rate_limit is not None else 0.0
        while self._timers:
            at, _, slot = self._timers[0]
            if slot.timer == at:
                return at if self._rate_limit is None else max(at, self._rate_limit.ready_at)
            heapq.heappop(self._timers)
        return None

    def busiest(self, now: float, count: int) -> list[HostState]:
        """Return up to *count* hosts that hold things up: parked ones first, then by what waits,
        and then those whose URLs fail fast.

        A part of a great many hosts is looked at each time: see `Spotlight`.
        """
        return self._spotlight.busiest(self._slots.values(), now, count)

    def held_until(self, now: float) -> float:
        """Return for how long slots have held requests up to *now*, in seconds times slots."""
        return self._held_s + self.running * (now - self._counted_at)

    def reasons(self, now: float) -> Reasons:
        """Return why requests wait at hosts; of a great many hosts, as a part of them shows it."""
        rate = self._rate_limit is not None and self._rate_limit.ready_at > now
        return reasons_of(self._glance.some(self._slots.values()), len(self._slots), now, rate=rate)

    @property
    def has_found_limit(self) -> bool:
        """True if `limit` is the best that was found so far, not what descriptors allow."""
        return self._finding is not None and self._finding.most == self.limits.limit

    @property
    def found(self) -> Found:
        """What limits have come to that are found while running. Looks at every host."""
        found = self._found
        if self._finds:
            found |= Found(self._finding.found if self._finding is not None else None)
            for slot in self._slots.values():
                found |= slot.health.found
        return found

    # -- inside --------------------------------------------------------------------------------

    def _slot(self, host: str) -> HostSlot[T]:
        slot = self._slots.get(host)
        if slot is None:
            most, rate, finds = self._limits_of(host)
            slot = HostSlot(host, most, rate, finds=finds)
            self._slots[host] = slot
            self._finds = self._finds or finds
        return slot

    def _limits_of(self, host: str) -> tuple[int, float, bool]:
        """Return how many requests at once *host* gets, how many a second, and whether the first
        is to be found."""
        limits = self.limits
        per_host, rate, finds = limits.per_host, limits.host_rate, limits.finds_per_host
        if self._terms_at is not None:
            terms = self._terms_at(host)
            per_host, rate, finds = terms.per_host, terms.host_rate, terms.finds_per_host
        return min(per_host * self._ways or limits.limit, limits.limit), rate, finds

    def _find(self, slot: HostSlot[T], timeline: Timeline, now: float) -> bool:
        """Take in how long an answer took, where limits are to be found; return whether the host's
        has changed."""
        health, finding = slot.health, self._finding
        if finding is not None:
            if slot.usual is None:
                slot.usual = Usual()
            self.limit = finding.answered(timeline, slot.usual, self.limit, self.running, now)
        if health.finder is None:
            return False
        before, took_s = health.window, timeline.ended - timeline.started
        health.window = health.finder.answered(
            logarithm_of(took_s),
            now,
            is_full=slot.running >= before,
        )
        return health.window != before

    def _has_its_share(self, slot: HostSlot[T]) -> bool:
        """Return True if *slot* may keep no more in memory once that is scarce."""
        waiting = len(slot.queue)
        return waiting >= IN_MEMORY_PER_HOST or (waiting > 0 and self._in_memory >= IN_MEMORY_TOTAL)

    def _pop(self, slot: HostSlot[T], now: float) -> T:
        if slot.own and (slot.held or slot.own[0][0] <= now):
            self._waiting -= 1
            return heapq.heappop(slot.own)[2]
        if slot.refused and slot.takes_refused(now):
            self._waiting -= 1
            return heapq.heappop(slot.refused)[2]
        if slot.again and slot.takes_again(now):
            self._waiting -= 1
            return heapq.heappop(slot.again)[2]
        self._waiting -= 1
        if not slot.queue or (slot.backlogged and self._in_memory < IN_MEMORY_EASY):
            self._pull(slot)
        self._in_memory -= 1
        return slot.pick_probe() if slot.health.is_wary else slot.queue.popleft()

    def _pop_any(self, slot: HostSlot[T]) -> T:
        """Return what waits at a host that is given up."""
        self._waiting -= 1
        for heap in (slot.own, slot.again, slot.refused):
            if heap:
                return heapq.heappop(heap)[2]
        if not slot.queue:
            self._pull(slot)
        self._in_memory -= 1
        return slot.queue.popleft()

    def _pull(self, slot: HostSlot[T]) -> None:
        room = max(1, min(IN_MEMORY_PER_HOST, IN_MEMORY_TOTAL - self._in_memory))
        pulled = self._backlog.pull(slot.host, room)
        slot.backlogged -= len(pulled)
        slot.queue.extend(pulled)
        self._in_memory += len(pulled)

    def _count_running(self, slot: HostSlot[T], change: int, now: float) -> None:
        """Charge the host for its slots up to *now*, then count *change* more of them."""
        if now != self._counted_at:  # often a slot is taken in the moment in which it was freed
            held_s = self.running * (now - self._counted_at)
            self._held_s += held_s
            if self._competing:
                self._fair_share_s += held_s / self._competing
            self._counted_at = now
        if now != slot.counted_at:
            slot.had_s += slot.running * (now - slot.counted_at)
            slot.counted_at = now
        slot.running += change
        self.running += change

    def _place(self, slot: HostSlot[T], now: float) -> None:
        """Put the host where it belongs: among the ready, the waiting for a time, or nowhere."""
        slot.ready = None
        if slot.health.probe_at is not None and slot.health.fails_fast(now):
            if slot.waiting:
                self.doomed[slot.host] = slot
            elif not slot.running:
                self._sleep(slot, slot.forgettable_at())
        else:
            at = slot.may_start_at()
            if at is None:
                if not slot.running and not slot.waiting and not slot.held:
                    self._forget(slot, now)
            elif at <= now:
                self._make_ready(slot)
            else:
                self._sleep(slot, at)
        competes = slot.running > 0 or slot.ready is not None
        if competes is not slot.competes:
            slot.competes = competes
            self._competing += 1 if competes else -1

    def _make_ready(self, slot: HostSlot[T]) -> None:
        if slot.had_s < self._fair_share_s:
            slot.had_s = self._fair_share_s
        slot.ready = ticket = next(self._ticket)
        ready = self._ready
        heapq.heappush(ready, (slot.running, slot.had_s, ticket, slot))
        if len(ready) > 64 and len(ready) > 2 * len(self._slots) + 64:  # more leftovers than hosts
            self._ready = [entry for entry in ready if entry[3].ready == entry[2]]
            heapq.heapify(self._ready)

    def _sleep(self, slot: HostSlot[T], at: float) -> None:
        if slot.timer is None or at != slot.timer:
            slot.timer = at
            heapq.heappush(self._timers, (at, next(self._ticket), slot))

    def _wake(self, now: float) -> None:
        while self._timers and self._timers[0][0] <= now:
            at, _, slot = heapq.heappop(self._timers)
            if slot.timer == at:
                slot.timer = None
                self._place(slot, now)

    def _next_ready(self) -> HostSlot[T] | None:
        ready = self._ready
        while ready:
            _, _, ticket, slot = ready[0]
            if slot.ready == ticket:
                return slot
            heapq.heappop(ready)
        return None

    def _forget(self, slot: HostSlot[T], now: float) -> None:
        at = slot.forgettable_at()
        if at > now:
            self._sleep(slot, at)
        elif self._slots.get(slot.host) is slot:
            del self._slots[slot.host]
            if slot.health.finder is not None:
                self._found |= slot.health.found

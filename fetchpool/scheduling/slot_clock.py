"""Splits the time of the slots: what those did that held a request, and why the others were free.

    held      the scheduler adds up how long slots are held; each attempt that ends tells its steps
    free      what is left of slots × seconds; a few times a second somebody looks at why

A look counts the requests that wait at hosts which may start none, by reason, and gives each reason
its part of the slots that are free until the next look. Where fewer wait than slots are free, the
rest is due to the list, if more is to come of it. At its end it is due to what is waited for, and
if nothing waits, to what is under way: the tail. So the parts add up to the whole, whenever the
looks are; only how free time is split between reasons depends on them.

Pure: no clock; `now` is monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec

from fetchpool.model.slot_time import (
    DOING,
    HOSTS_KEPT,
    Connections,
    HostTime,
    SlotTime,
    added,
    worst,
)
from fetchpool.scheduling.reasons import Reasons

if TYPE_CHECKING:
    from fetchpool.model.attempts import Timeline
    from fetchpool.scheduling.scheduler import Scheduler

HOSTS_COUNTED = 1000
"""Hosts whose time is added up; beyond twice as many the better half is forgotten."""


class Steps(msgspec.Struct):
    """Seconds that attempts spent in each step before the end of the response."""

    dns: float = 0.0
    connect: float = 0.0
    tls: float = 0.0
    first_byte: float = 0.0
    body: float = 0.0
    reused: int = 0
    """Requests that went out on a connection which had served before."""

    def add(self, timelines: Iterable[Timeline]) -> None:
        """Add attempts, which are many: the sums are locals, and most are of kept connections."""
        dns = connect = tls = first_byte = body = 0.0
        reused = 0
        for at, dns_at, tcp_at, tls_at, sent, first, last, ended in map(_fields, timelines):
            if tcp_at is None and first is not None and dns_at is None and tls_at is None:
                reused += 1
                first_byte += first - at
                body += last - first
                continue
            if dns_at is not None:
                dns += dns_at - at
                at = dns_at
            if tcp_at is not None:
                connect += tcp_at - at
                at = tcp_at
            if tls_at is not None:
                tls += tls_at - at
                at = tls_at
            if first is not None:
                first_byte += first - at
                body += last - first
            elif sent is not None:
                reused += tcp_at is None
                first_byte += ended - at
        self.dns += dns
        self.connect += connect
        self.tls += tls
        self.first_byte += first_byte
        self.body += body
        self.reused += reused

    @property
    def total(self) -> float:
        """All of them together."""
        return self.dns + self.connect + self.tls + self.first_byte + self.body


_fields = attrgetter("started", "dns", "tcp", "tls", "sent", "first_byte", "last_byte", "ended")


class SlotClock:
    """The account of the slots of *scheduler*, in one process."""

    def __init__(self, scheduler: Scheduler[Any]) -> None:
        self._scheduler = scheduler
        self._began = 0.0
        self._slots = scheduler.limits.limit
        self._steps = Steps()
        self.ended: list[Timeline] = []
        """To be added to for each attempt that held a slot; emptied at each look."""
        self._free: dict[str, float] = {}
        self._hosts: dict[str, HostTime] = {}
        self._last = 0.0
        self._held_s = 0.0  # up to the last look
        self._reasons: Reasons | None = None  # as the last look found them, if a slot was free
        self._latest: Reasons | None = None

    def begin(self, now: float) -> None:
        """Measure from *now* on."""
        self._began = self._last = now

    def look(self, now: float, *, overall: str | None, list_ended: bool) -> None:
        """Split the time since the last look, and see why slots are free now.

        *overall*: what keeps all of them from starting anything, if something does (`outage`).
        """
        self._steps.add(self.ended)
        self.ended.clear()
        scheduler = self._scheduler
        passed, held_s = now - self._last, scheduler.held_until(now)
        free_s = self._slots * passed - (held_s - self._held_s)
        found = scheduler.reasons(now)
        if overall is not None:
            found.waiting, found.hosts = {overall: 1.0}, []
        elif self._latest is not None and list_ended and found.ready and not found.waiting:
            # They are about to start; what held them up until now will hold up the next ones.
            found.waiting, found.hosts = self._latest.waiting, self._latest.hosts
        else:
            self._complete(found, list_ended=list_ended)
        if passed > 0:
            self._share_out(self._reasons or found, free_s, passed)
        self._latest = found
        self._reasons = found if scheduler.running < self._slots else None
        self._last, self._held_s = now, held_s

    def _complete(self, found: Reasons, *, list_ended: bool) -> None:
        """Add to *found* what is due to descriptors, `--limit auto`, and the list or its end."""
        scheduler, waiting = self._scheduler, found.waiting
        free = float(max(1, self._slots - scheduler.running))
        key, lowered = "descriptors", min(free, self._slots - scheduler.limit)
        if scheduler.has_found_limit:  # it is in nobody's way while fewer run
            key, lowered = "limit", free if scheduler.running >= scheduler.limit else 0.0
        if lowered > 0 and scheduler.waiting:
            free -= lowered
            most = sum(waiting.values())
            if most > free:
                rest = free / most
                waiting = {key: count * rest for key, count in waiting.items()}
                found.hosts = [(host, key, count * rest) for host, key, count in found.hosts]
        missing = free - sum(waiting.values())
        if missing > 0 and not list_ended:
            ready = min(missing, found.ready)
            waiting["own"], waiting["list"] = ready, missing - ready
        elif not waiting:
            waiting["own" if found.ready else "tail"] = free
        if lowered > 0 and scheduler.waiting:
            waiting[key] = lowered
        found.waiting = waiting

    def _share_out(self, reasons: Reasons, free_s: float, passed: float) -> None:
        """Give each of *reasons* its part of *free_s*, and hosts theirs by name."""
        total = sum(reasons.waiting.values())
        if total > 0 and free_s > 0:
            each_s = free_s / total
            self._free = added(
                self._free, {key: count * each_s for key, count in reasons.waiting.items()}
            )
            for name, reason, count in reasons.hosts:
                free = self._host(name).free
                free[reason] = free.get(reason, 0.0) + count * each_s
        elif free_s:
            self._free["own"] = self._free.get("own", 0.0) + free_s  # rounding of the clock
        if self._latest is not None:
            for name, running in self._latest.running:
                self._host(name).held += running * passed

    def _host(self, name: str) -> HostTime:
        host = self._hosts.get(name)
        if host is None:
            if len(self._hosts) >= 2 * HOSTS_COUNTED:
                kept = worst(self._hosts.values(), HOSTS_COUNTED)
                self._hosts = {each.host: each for each in kept}
            host = self._hosts[name] = HostTime(name, 0.0, {})
        return host

    def account(self, under_way: Iterable[Timeline]) -> SlotTime:
        """Return where the time went up to the last look.

        *under_way* are the attempts that went on in slots then, as if they had failed.
        """
        steps = msgspec.structs.replace(self._steps)
        steps.add(under_way)
        parts = {name: getattr(steps, name) for name in DOING if name != "own"}
        parts["own"] = self._held_s - steps.total
        parts = added(parts, self._free)
        return SlotTime(
            slots=self._slots,
            slot_s=self._slots * (self._last - self._began),
            parts=parts,
            connections=Connections(reused=steps.reused),
            hosts=worst(self._hosts.values(), HOSTS_KEPT),
        )

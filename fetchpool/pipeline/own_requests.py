"""Requests of our own, which policies ask for (robots.txt): run like others, nobody's record.

job ──(its policy needs a response first)──▶ waits, its host is held ──▶ again, asked anew
                        └──▶ own job ──▶ scheduler, exchange, judge ──▶ on_end(outcome)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fetchpool.model.attempts import Destination, Plan
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Outcome, Request
from fetchpool.output.sinks.memory import MemoryStore
from fetchpool.scheduling.job import Job, OwnRequest

if TYPE_CHECKING:
    from fetchpool.scheduling.scheduler import Scheduler

ENOUGH_BYTES = 512 * 1024
"""How much is read of its body: at least 500 KiB of a robots.txt (RFC 9309 §2.5)."""

TIMEOUT_S = 60.0
"""How long an attempt may take, redirects and body included: a host waits for it."""


class OwnRequests:
    """Those under way, and the jobs that wait for each."""

    def __init__(self, scheduler: Scheduler[Job]) -> None:
        self._scheduler = scheduler
        self.running: dict[int, OwnRequest] = {}
        """Those under way, by the identity of the request."""
        self._destination = Destination(MemoryStore(), ENOUGH_BYTES)

    def hold_up(self, job: Job, own: OwnRequest, now: float) -> None:
        """Have *job* and its host wait for *own*, which is begun unless it is under way."""
        is_begun = bool(own.waiting)
        own.waiting.append(job)
        self._scheduler.hold(job.target.host_key)
        if not is_begun:
            request = Request(own.url)
            target = parse_url(own.url)
            self.running[id(request)] = own
            self._scheduler.again(target.host_key, Job(request, target, own), now, now, is_own=True)

    def prepare(self, plan: Plan, own: OwnRequest) -> None:
        """Have *plan* sent with the fields of *own*, and its body handed back, not stored."""
        plan.destination = self._destination
        names = {name.lower() for name, _ in own.headers}
        kept = (field for field in plan.headers if field[0].lower() not in names)
        plan.headers = (*kept, *own.headers)

    def take(self, outcome: Outcome, now: float) -> bool:
        """Give *outcome* to the policy that asked for it; return False if no policy did.

        The jobs that waited for it go on, and their hosts.
        """
        own = self.running.pop(id(outcome.request), None)
        if own is None:
            return False
        own.on_end(outcome)
        waiting, own.waiting = own.waiting, []
        for job in waiting:
            self._scheduler.again(job.target.host_key, job, now, now)
            self._scheduler.release(job.target.host_key, now)
        return True

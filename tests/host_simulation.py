"""A list against one host that is a function: scheduler and judge under a clock of numbers."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import count

from fetchpool.model.attempts import FailedAttempt, Fault, Measures, Response
from fetchpool.model.values import Failure, FailureKind, Outcome
from fetchpool.scheduling.job import Job
from fetchpool.scheduling.judge import Rules
from fetchpool.scheduling.scheduler import Limits
from tests.judging import EPOCH, LOOPBACK, Court, job, response, times

Host = Callable[[int, float], Response | FailedAttempt]
"""What a host makes of a request for the line of this number that reaches it at a time."""


class Limiter:
    """A host that serves *burst* requests at once and one more every *interval_s*."""

    def __init__(
        self, interval_s: float, burst: int, status: int, headers: Mapping[str, str] | None = None
    ) -> None:
        self._interval_s = interval_s
        self._burst = burst
        self._refusal = response(status, headers)
        self._tokens = float(burst)
        self._at = 0.0
        self.refused = 0

    def __call__(self, line: int, now: float) -> Response | FailedAttempt:
        """Return what the request gets."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) / self._interval_s)
        self._at = now
        if self._tokens >= 1.0:
            self._tokens -= 1.0
            return response(200)
        self.refused += 1
        return self._refusal


SILENCE = FailedAttempt(
    Failure(FailureKind.TIMEOUT, "nothing came"), True, Fault.SILENT, None,
    Measures(times(30.0, None), 0, False, LOOPBACK),
)  # fmt: skip


def with_bad_lines(bad: set[int], refusal: Response | FailedAttempt) -> Host:
    """Return a host that answers all but some of its lines."""
    return lambda line, now: refusal if line in bad else response(200)


class Simulation:
    """A list of so many lines of one host, each answered after *latency_s*."""

    def __init__(
        self, host: Host, lines: int, *, rules: Rules | None = None, limits: Limits | None = None,
        latency_s: float = 0.05,
    ) -> None:  # fmt: skip
        self.requests: Counter[int] = Counter()
        """Requests sent, by line."""
        self.outcomes: dict[int, Outcome] = {}
        self.most_at_once = 0
        self._host = host
        self._latency_s = latency_s
        self._court = Court(rules, limits)
        self._running: list[tuple[float, int, Job, Response | FailedAttempt]] = []
        self._ticket = count()
        self._began = self._court.now
        self._court.add(*(job(f"http://a.test/{line}", line) for line in range(lines)))
        self._go()
        assert len(self.outcomes) == lines
        assert self._court.scheduler.idle

    @property
    def duration_s(self) -> float:
        """How long it took."""
        return self._court.now - self._began

    @property
    def failed(self) -> set[int]:
        """The lines that are not ok."""
        return {line for line, outcome in self.outcomes.items() if not outcome.ok}

    def _go(self) -> None:
        court = self._court
        while not court.scheduler.idle:
            self._start_all()
            at = court.scheduler.next_start()
            ends = [time for time in (at, self._running[0][0] if self._running else None)
                    if time is not None]  # fmt: skip
            if not ends:
                self._keep(court.judge.sign_of_life(court.now))
                continue
            court.now = max(court.now, min(ends))
            while self._running and self._running[0][0] <= court.now:
                self._end(*heapq.heappop(self._running))
            if court.judge.outage.paused or court.scheduler.idle:
                self._keep(court.judge.sign_of_life(court.now))  # a probe reaches it

    def _start_all(self) -> None:
        court = self._court
        while (doomed := court.scheduler.take_doomed(court.now)) is not None:
            self._keep([doomed[0].failed(doomed[1], court.now)])
        while (taken := court.take()) is not None:
            line = taken.request.seq
            self.requests[line] += 1
            result = self._host(line, court.now)
            takes_s = 30.0 if result is SILENCE else self._latency_s
            entry = (court.now + takes_s, next(self._ticket), taken, result)
            heapq.heappush(self._running, entry)
            self.most_at_once = max(self.most_at_once, len(self._running))

    def _end(self, at: float, ticket: int, taken: Job, result: Response | FailedAttempt) -> None:
        court = self._court
        started = at - (30.0 if result is SILENCE else self._latency_s)
        outcomes = court.judge.decide(taken, result, started, court.now, EPOCH + court.now)
        court.scheduler.done(taken.target.host_key, court.now)
        self._keep(outcomes)

    def _keep(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            assert outcome.request.seq not in self.outcomes
            self.outcomes[outcome.request.seq] = outcome

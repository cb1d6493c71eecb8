"""What the tests of judge and fetching share: jobs, answers and misses, and a court for them."""

from __future__ import annotations

from collections.abc import Mapping

from fetchpool.model.attempts import FailedAttempt, Fault, Measures, Proxy, Response, Timeline
from fetchpool.model.bodies import Stored
from fetchpool.model.robots import RobotsRead
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Failure, FailureKind, Head, Outcome, Request
from fetchpool.scheduling.job import Job
from fetchpool.scheduling.judge import Judge, Rules
from fetchpool.scheduling.proxy_pool import ProxyPool
from fetchpool.scheduling.scheduler import Limits, Scheduler

EPOCH = 784_111_777.0
"""Sun, 06 Nov 1994 08:49:37 GMT: the time of day in a court."""

PUBLIC = "93.184.215.14"
"""An address that is a public one; never contacted."""

LOOPBACK = "127.0.0.1"


def job(url: str = "http://a.test/1", seq: int = 1) -> Job:
    return Job(Request(url, seq), parse_url(url))


def times(elapsed_s: float, first_byte_s: float | None = 0.05) -> Timeline:
    """The timeline of an exchange that took so long, its request sent at once."""
    return Timeline(None, 0.0, None, None, None, 0.0, first_byte_s, first_byte_s, elapsed_s)


def measures(
    peer: str | None = LOOPBACK,
    *,
    elapsed_s: float = 0.1,
    reused: bool = False,
    route: Proxy | None = None,
) -> Measures:
    return Measures(times(elapsed_s), 3, reused, peer, route=route)


def response(
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    peer: str | None = LOOPBACK,
    elapsed_s: float = 0.1,
    route: Proxy | None = None,
) -> Response:
    if peer is None:
        route = route or Proxy("http://proxy.test:1")
    head = Head(status, tuple((headers or {}).items()))
    stored = Stored(body=b"abc") if 200 <= status < 300 else None
    return Response(
        head, stored, 3 if stored else 0, None, measures(peer, elapsed_s=elapsed_s, route=route)
    )


def redirect(location: str, *, peer: str | None = LOOPBACK, elapsed_s: float = 0.1) -> Response:
    return response(302, {"location": location}, peer=peer, elapsed_s=elapsed_s)


def failed_attempt(
    kind: FailureKind = FailureKind.TIMEOUT,
    fault: Fault = Fault.URL,
    *,
    transient: bool = True,
    peer: str | None = None,
    head: Head | None = None,
    route: Proxy | None = None,
) -> FailedAttempt:
    return FailedAttempt(
        Failure(kind, f"a {kind} of the test"), transient, fault, head, measures(peer, route=route)
    )


class NoBacklog:
    """Where nothing ever goes: the tests put in less than memory holds."""

    def push(self, host: str, item: Job) -> None:
        raise AssertionError("too many for this test")

    def pull(self, host: str, limit: int) -> list[Job]:
        return []

    def waiting(self, host: str) -> int:
        return 0


class Counts:
    """Takes note of what a progress display would."""

    def __init__(self) -> None:
        self.retries = 0
        self.pauses: list[tuple[str, float, str]] = []
        self.outages: list[bool] = []
        self.robots: list[RobotsRead] = []
        self.rests: list[tuple[str, float, str]] = []

    def retried(self) -> None:
        self.retries += 1

    def parked(self, host: str, seconds: float, why: str) -> None:
        self.pauses.append((host, seconds, why))

    def robots_read(self, robots: RobotsRead) -> None:
        self.robots.append(robots)

    def rested(self, proxy: str, seconds: float, why: str) -> None:
        self.rests.append((proxy, seconds, why))

    def outage(self, began: bool) -> None:
        self.outages.append(began)


class Court:
    """A judge with a real scheduler, a clock that is a number, and the dice at their lowest."""

    def __init__(
        self,
        rules: Rules | None = None,
        limits: Limits | None = None,
        proxies: ProxyPool | None = None,
    ) -> None:
        self.now = 100.0
        self.proxies = proxies
        self.scheduler: Scheduler[Job] = Scheduler(limits or Limits(), NoBacklog())
        self.counts = Counts()
        self.judge = Judge(
            self.scheduler, rules or Rules(), self.counts, lambda: 0.0, proxies=proxies
        )

    def add(self, *jobs: Job) -> None:
        for each in jobs:
            self.scheduler.add(each.target.host_key, each, self.now)

    def take(self, budget_s: float | None = None) -> Job | None:
        """Start what may start now, as a worker does."""
        taken = self.scheduler.take(self.now)
        if taken is not None:
            taken.start_attempt(self.now, EPOCH, budget_s)
        return taken

    def take_later(self) -> Job:
        """Let time pass until something starts."""
        while True:
            taken = self.take()
            if taken is not None:
                return taken
            at = self.scheduler.next_start()
            assert at is not None, "nothing would ever start"
            assert at > self.now
            self.now = at

    def end(
        self, taken: Job, result: Response | FailedAttempt, took_s: float = 0.1
    ) -> list[Outcome]:
        """Let the attempt of *taken* end with *result*."""
        host = taken.target.host_key
        started = self.now
        self.now += took_s
        outcomes = self.judge.decide(taken, result, started, self.now, EPOCH + self.now)
        self.scheduler.done(host, self.now)
        return outcomes

    def run(self, taken: Job, *results: Response | FailedAttempt) -> Outcome:
        """Add *taken* and let its attempts end with *results*; return its outcome."""
        self.add(taken)
        for number, result in enumerate(results):
            assert self.take_later() is taken
            outcomes = self.end(taken, result)
            if outcomes:
                assert number == len(results) - 1, "ended early"
                (outcome,) = outcomes
                assert self.scheduler.idle
                return outcome
        raise AssertionError("it never ended")

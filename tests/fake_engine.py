"""An engine that answers when a test says so, and a `Fetching` around it.

What is waited for is an event; the only clock is the one that keeps a test that hangs from hanging
for ever.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, TypeAlias, cast

from fetchpool.model.attempts import FailedAttempt, Plan, Proxy, Response
from fetchpool.model.bodies import Sink
from fetchpool.model.values import Request, Target
from fetchpool.pipeline.fetching import Fetching
from fetchpool.policies import Policy
from fetchpool.reporting.stats import Stats
from fetchpool.scheduling.backlog import Spill
from fetchpool.scheduling.job import Job
from fetchpool.scheduling.judge import Rules
from fetchpool.scheduling.scheduler import Limits, Scheduler
from fetchpool.sources import requests_from
from tests.judging import Counts, job, response

if TYPE_CHECKING:
    from fetchpool.http import Engine

Result: TypeAlias = Response | FailedAttempt | BaseException
Urls: TypeAlias = Iterable[str | Request] | AsyncIterator[str | Request]


class FakeEngine:
    """Answers 200 at once, but where the test has said otherwise."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.budgets: list[float | None] = []
        self.plans: list[Plan] = []
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.most_together = 0
        self.script: dict[str, list[Result]] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.probed: list[str] = []
        self.world_is_there = asyncio.Event()
        self.world_is_there.set()
        self._news = asyncio.Event()

    def hold(self, url: str) -> asyncio.Event:
        """Have attempts at *url* wait until the returned event is set."""
        return self.gates.setdefault(url, asyncio.Event())

    async def attempt(self, plan: Plan, budget_s: float | None) -> Response | FailedAttempt:
        url, host = plan.target.url, plan.target.host_key
        self.started.append(url)
        self.plans.append(plan)
        self.budgets.append(budget_s)
        self.running[host] += 1
        self.most[host] = max(self.most[host], self.running[host])
        self.most_together = max(self.most_together, self.running.total())
        self._news.set()
        try:
            gate = self.gates.get(url)
            await (asyncio.sleep(0) if gate is None else gate.wait())
        finally:
            self.running[host] -= 1
            self._news.set()
        results = self.script.get(url)
        result = results.pop(0) if results else response()
        if isinstance(result, BaseException):
            raise result
        return result

    async def reachable(self, target: Target, route: Proxy | None = None) -> bool:
        self.probed.append(target.host_key)
        self._news.set()
        return self.world_is_there.is_set()

    async def until(self, claim: Callable[[], bool]) -> None:
        """Wait until *claim* holds; it is looked at whenever something has started or ended."""
        while not claim():
            self._news.clear()
            await self._news.wait()


def pack(waiting: Job) -> bytes:
    return f"{waiting.request.seq} {waiting.request.url}".encode()


def unpack(data: bytes) -> Job:
    seq, _, url = data.decode().partition(" ")
    return job(url, int(seq))


@asynccontextmanager
async def fetching(
    urls: Urls,
    engine: FakeEngine,
    limits: Limits | None = None,
    *,
    retries: int = 2,
    budget_s: float | None = None,
    observer: Counts | None = None,
    sink: Sink | None = None,
    stats: Stats | None = None,
    policies: list[Policy] | None = None,
) -> AsyncIterator[Fetching]:
    """A `Fetching` of *urls*, closed at the end; fails if the test takes longer than any may."""
    spill: Spill[Job] = Spill(pack, unpack)
    fetch = Fetching(
        cast("Engine", engine),
        Scheduler(limits or Limits(), spill),
        requests_from(urls),
        stats or Stats(0.0),
        rules=Rules(retries=retries),
        observer=observer,
        budget_s=budget_s,
        sink=sink,
        policies=policies,
    )
    try:
        async with asyncio.timeout(30):
            yield fetch
    finally:
        await fetch.aclose()
        spill.close()


async def loop_turns(number: int = 3000) -> None:
    """Let everything that can go on go on."""
    for _ in range(number):
        await asyncio.sleep(0)


async def endless(hosts: int, seen: list[int]) -> AsyncIterator[str]:
    """Yield URLs for ever; *seen* tells how many."""
    for number in count(1):
        seen.append(number)
        yield f"http://h{number % hosts}.test/{number}"

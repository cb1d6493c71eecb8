"""A policy's own request goes through scheduler and limits first, and is nobody's outcome."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import pytest

from fetchpool import Config, FetchPool
from fetchpool.model.attempts import Fault, Plan, Report
from fetchpool.model.values import Failure, FailureKind, Outcome
from fetchpool.pipeline import pool as room
from fetchpool.pipeline.fetching import Fetching
from fetchpool.policies import Policy
from fetchpool.reporting.stats import Stats
from fetchpool.scheduling.job import Job
from fetchpool.scheduling.scheduler import Limits
from tests.fake_engine import FakeEngine, fetching, loop_turns
from tests.judging import Counts, failed_attempt, response
from tests.policies.robots import ToyRobots
from tests.servers.counting import CountingServer

HOSTS = ("127.0.0.1", "127.0.0.2")


def with_policy(monkeypatch: pytest.MonkeyPatch, policy: ToyRobots) -> None:
    """Have each pool ask *policy* after its own ones."""
    usual = room.policies_of
    monkeypatch.setattr(room, "policies_of", lambda *args: [*usual(*args), policy])


async def outcomes_of(fetch: Fetching) -> list[Outcome]:
    return [outcome async for outcome in fetch]


@pytest.mark.parametrize("exchange", ["direct", "session"])
@pytest.mark.parametrize("query", ["", "?status=503&first=1", "?to=%2Felsewhere"])
async def test_robots_is_fetched_once_per_origin_before_its_urls_and_blocks_some(
    monkeypatch: pytest.MonkeyPatch, exchange: Literal["direct", "session"], query: str
) -> None:
    policy = ToyRobots(query)
    with_policy(monkeypatch, policy)
    with CountingServer(HOSTS) as server:
        urls = [
            f"http://{host}:{server.port}/{name}/{number}"
            for number in range(20)
            for name in ("yes", "no")
            for host in HOSTS
        ]
        config = Config(exchange=exchange, limit=8, per_host=3)
        async with FetchPool(config) as pool:
            outcomes = {outcome.request.url: outcome async for outcome in pool.fetch(urls)}
    assert sorted(outcomes) == sorted(urls)
    for url, outcome in outcomes.items():
        if "/no/" in url:
            assert (outcome.error, outcome.attempts) == (FailureKind.BLOCKED, 0)
        else:
            assert (outcome.ok, outcome.attempts) == (True, 1), outcome
    for host in HOSTS:
        targets = server.counts.of_host(f"{host}:{server.port}").targets()
        own = 1 if not query else 2  # once more after a 503, or a hop
        assert all("robots" in target or "elsewhere" in target for target in targets[:own])
        assert sum("yes" not in target for target in targets) == own
        assert server.counts.peaks[f"{host}:{server.port}"] <= 3
    assert server.counts.peak <= 8
    assert {url for url, _ in policy.seen} == {url for url in urls if "/yes/" in url}
    assert all(learnt.body for learnt in policy.learnt.values())


async def test_a_host_waits_for_its_policys_request_and_no_other_does() -> None:
    engine, policy = FakeEngine(), ToyRobots()
    gate = engine.hold("http://a.test/robots.txt")
    urls = [f"http://{host}.test/{number}" for number in range(100) for host in "ab"]
    async with fetching(urls, engine, Limits(limit=10, per_host=4), policies=[policy]) as fetch:
        first = [await anext(fetch) for _ in range(100)]
        assert {outcome.host_key for outcome in first} == {"b.test"}
        await loop_turns()
        assert [url for url in engine.started if "a.test" in url] == ["http://a.test/robots.txt"]
        gate.set()
        assert len(await outcomes_of(fetch)) == 100
    assert engine.most["a.test"] <= 4
    assert engine.most_together <= 10


async def test_own_requests_are_not_counted() -> None:
    engine, stats, counts = FakeEngine(), Stats(0.0), Counts()
    engine.script["http://a.test/robots.txt"] = [response(500), response(404)]
    policy = ToyRobots()
    async with fetching(
        ["http://a.test/no", "http://a.test/2"],
        engine,
        observer=counts,
        stats=stats,
        policies=[policy],
    ) as fetch:
        outcomes = await outcomes_of(fetch)
        assert (fetch.read, fetch.delivered) == (2, 2)
    assert [outcome.ok for outcome in outcomes] == [True, True]
    assert counts.retries == 0
    assert engine.started.count("http://a.test/robots.txt") == 2
    (learnt,) = policy.learnt.values()
    assert (learnt.status, learnt.attempts) == (404, 2)


@pytest.mark.parametrize("has_answers", [False, True])
async def test_hosts_do_not_wait_for_ever_for_a_request_that_was_never_answered(
    has_answers: bool,
) -> None:
    """Its failure is held until it is known whose it is, while all that could tell is held, too."""
    engine, policy = FakeEngine(), ToyRobots()
    engine.script["http://a.test/robots.txt"] = [failed_attempt(fault=Fault.SILENT)]
    urls = [f"http://a.test/{number}" for number in range(3)]

    async def pipe() -> AsyncIterator[str]:  # that stays open
        if has_answers:
            yield "http://b.test/1"
            await engine.until(lambda: "http://b.test/1" in engine.started)
            await loop_turns(20)
        for url in urls:
            yield url
        await asyncio.Event().wait()

    async with fetching(pipe(), engine, retries=0, policies=[policy]) as fetch:
        outcomes = [await anext(fetch) for _ in range(3 + has_answers)]
    assert {outcome.request.url for outcome in outcomes} >= set(urls)
    assert bool(engine.probed) is has_answers


class Learning(Policy):
    """Remembers whose answers it was told of."""

    for_own_too = True

    def __init__(self) -> None:
        self.told: list[str] = []

    def after(self, job: Job, report: Report) -> None:
        self.told.append(job.target.url)


async def test_policy_that_wants_to_learns_from_own_requests_too() -> None:
    learning = Learning()
    policies = [ToyRobots(), learning]
    async with fetching(["http://a.test/1"], FakeEngine(), policies=policies) as fetch:
        await outcomes_of(fetch)
    assert learning.told == ["http://a.test/robots.txt", "http://a.test/1"]


class Forbidding(Policy):
    """Blocks all there is."""

    def before(self, job: Job, plan: Plan) -> Failure:
        return Failure(FailureKind.BLOCKED, "never")


async def test_what_is_blocked_uses_up_no_rate() -> None:
    """At a request in a thousand seconds the helper's time-out would end the test."""
    engine = FakeEngine()
    urls = [f"http://a.test/{number}" for number in range(50)]
    limits = Limits(rate=0.001, host_rate=0.001)
    async with fetching(urls, engine, limits, policies=[Forbidding()]) as fetch:
        assert {outcome.error for outcome in await outcomes_of(fetch)} == {FailureKind.BLOCKED}
        assert fetch.delivered == 50
    assert engine.started == []

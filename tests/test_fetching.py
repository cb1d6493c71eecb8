"""From a list through scheduler and engine to outcomes: order, fairness, back-pressure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest

from fetchpool.model.bodies import Sink
from fetchpool.model.values import FailureKind, Request
from fetchpool.scheduling.scheduler import Limits
from tests.fake_engine import FakeEngine, endless, fetching, loop_turns
from tests.judging import failed_attempt, job, redirect


class Behind(Sink):
    """Is behind until the test says otherwise."""

    appends = True
    behind = True


async def test_no_request_starts_while_the_sink_is_behind() -> None:
    engine, sink = FakeEngine(), Behind()  # type: ignore[abstract]
    async with fetching(["http://a.test/1", "http://b.test/2"], engine, sink=sink) as fetch:
        rest = asyncio.ensure_future(anext(fetch))
        await loop_turns()
        assert (engine.started, fetch.running) == ([], 0)
        sink.behind = False
        assert (await rest).ok
        assert (await anext(fetch)).ok


# --- each exactly once


async def test_ten_thousand_urls_have_exactly_one_outcome_each() -> None:
    urls = [f"http://h{number % 37}.test/{number}" for number in range(10_000)]
    engine = FakeEngine()
    async with fetching(urls, engine, Limits(limit=50, per_host=4)) as fetch:
        seen = [outcome.request.seq async for outcome in fetch]
        assert sorted(seen) == list(range(1, 10_001))
        assert (fetch.read, fetch.delivered, fetch.ended) == (10_000, 10_000, True)
    assert engine.most_together <= 50
    assert max(engine.most.values()) <= 4


async def test_urls_of_one_host_start_in_their_order_also_through_the_spill() -> None:
    urls = [f"http://a.test/{number}" for number in range(1000)]
    engine = FakeEngine()
    async with fetching(urls, engine, Limits(per_host=1)) as fetch:
        assert len([outcome async for outcome in fetch]) == 1000
    assert engine.started == urls


async def test_lines_that_are_no_urls_have_outcomes_too() -> None:
    lines: list[str | Request] = [
        "no url",
        "ftp://a.test/",
        "http://a.test/ok",
        Request("x", problem="!"),
    ]
    async with fetching(lines, FakeEngine()) as fetch:
        outcomes = {outcome.request.seq: outcome async for outcome in fetch}
    kinds = [outcomes[seq].error for seq in (1, 2, 3, 4)]
    assert kinds == [FailureKind.INPUT, FailureKind.INPUT, None, FailureKind.INPUT]
    assert outcomes[4].detail == "!"


async def test_a_list_without_lines_ends_at_once() -> None:
    async with fetching([], FakeEngine()) as fetch:
        assert await fetch.batch() == []
        assert await fetch.batch() == []
        assert fetch.ended


async def test_nothing_is_read_before_somebody_asks() -> None:
    seen: list[int] = []
    async with fetching(endless(3, seen), FakeEngine()):
        await loop_turns(50)
        assert seen == []


async def test_first_request_leaves_when_the_first_line_is_there() -> None:
    more = asyncio.Event()

    async def slow_source() -> AsyncIterator[str]:
        yield "http://a.test/1"
        await more.wait()
        yield "http://a.test/2"

    async with fetching(slow_source(), FakeEngine()) as fetch:
        assert (await anext(fetch)).request.url == "http://a.test/1"
        more.set()
        assert (await anext(fetch)).request.url == "http://a.test/2"
        with pytest.raises(StopAsyncIteration):
            await anext(fetch)


# --- hosts don't wait for each other


async def test_slow_host_does_not_delay_others() -> None:
    slow = [f"http://slow.test/{number}" for number in range(50)]
    fast = [f"http://fast{number % 10}.test/{number}" for number in range(500)]
    engine = FakeEngine()
    gates = [engine.hold(url) for url in slow]
    async with fetching(slow + fast, engine, Limits(limit=20, per_host=4)) as fetch:
        ended = [(await anext(fetch)).host_key for _ in range(500)]
        assert "slow.test" not in ended
        for gate in gates:
            gate.set()
        assert len([outcome async for outcome in fetch]) == 50


async def test_retry_starts_when_it_is_due_though_everybody_who_was_idle_sleeps() -> None:
    """A retry is due while each worker is busy with something long: a slot is free, so it goes."""
    engine = FakeEngine()
    long_ones = [f"http://a.test/long{number}" for number in range(2)]
    gates = [engine.hold(url) for url in long_ones]
    opener = engine.hold("http://a.test/opener")
    engine.script["http://a.test/cut"] = [failed_attempt(FailureKind.TRUNCATED, peer="127.0.0.1")]
    urls = ["http://a.test/opener", "http://a.test/cut", *long_ones]
    async with fetching(urls, engine) as fetch:
        first = asyncio.ensure_future(anext(fetch))
        await engine.until(lambda: long_ones[0] in engine.started)
        opener.set()  # its answer widens the window: a place stays free
        await first
        assert (await anext(fetch)).request.url == "http://a.test/cut"
        for gate in gates:
            gate.set()
        assert len([outcome async for outcome in fetch]) == 2


async def test_hop_runs_under_the_limits_of_its_own_host() -> None:
    urls = [f"http://from{number}.test/" for number in range(30)]
    engine = FakeEngine()
    for url in urls:
        engine.script[url] = [redirect("http://to.test/" + url[7:-1])]
    async with fetching(urls, engine, Limits(limit=30, per_host=2)) as fetch:
        outcomes = [outcome async for outcome in fetch]
    assert {outcome.redirects for outcome in outcomes} == {1}
    assert engine.most["to.test"] == 2
    assert {call.named_by for call in engine.plans if call.target.host == "to.test"} == {
        job(url).target for url in urls
    }


async def test_timeout_of_a_url_is_handed_on_and_shared_by_its_hops() -> None:
    engine = FakeEngine()
    engine.script["http://a.test/1"] = [redirect("/2", elapsed_s=1.5)]
    async with fetching(["http://a.test/1"], engine, budget_s=2.0) as fetch:
        await anext(fetch)
    assert engine.budgets == [2.0, 0.5]


# --- back-pressure


@pytest.mark.parametrize("hosts", [1, 3, 1000])
async def test_consumer_that_stops_reading_stops_the_fetching(hosts: int) -> None:
    seen: list[int] = []
    engine = FakeEngine()
    async with fetching(endless(hosts, seen), engine, Limits(limit=10, per_host=5)) as fetch:
        for _ in range(5):
            await anext(fetch)
        await loop_turns()
        read, started = len(seen), len(engine.started)
        assert started <= 5 + 16 + 10, "what the buffer holds and one for each worker"
        assert read <= started + 64 + 2
        await loop_turns()
        assert (len(seen), len(engine.started)) == (read, started)
        assert fetch.running == 0, "nobody waits with a slot in hand"
        for _ in range(500):
            await anext(fetch)
        assert len(engine.started) > started


async def test_consumer_that_stops_reading_stops_also_the_lines_that_are_no_urls() -> None:
    seen: list[int] = []

    async def nonsense() -> AsyncIterator[str]:
        for number in count():
            seen.append(number)
            yield "nonsense"

    async with fetching(nonsense(), FakeEngine(), Limits(limit=10)) as fetch:
        await anext(fetch)
        await loop_turns()
        assert len(seen) <= 20


async def test_endless_list_of_one_host_is_read_while_others_might_come_but_in_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fetchpool.scheduling.scheduler.READ_AHEAD", 500)
    seen: list[int] = []
    engine = FakeEngine()
    async with fetching(endless(1, seen), engine, Limits(limit=10, per_host=1)) as fetch:
        for taken in range(1, 20):
            await anext(fetch)
            await loop_turns(100)
            assert len(seen) <= 500 + 65 * (taken + 16 + 10)

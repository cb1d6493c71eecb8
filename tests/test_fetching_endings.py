"""However a fetch ends, or our network is down on the way: nothing is lost, nothing is left."""

from __future__ import annotations

import asyncio
import errno
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import TYPE_CHECKING, cast

import msgspec
import pytest

from fetchpool.model.attempts import FailedAttempt, Fault, Plan, Proxy, Response
from fetchpool.model.bodies import Stored, StoreError
from fetchpool.model.values import FailureKind, Outcome, Target
from fetchpool.pipeline.fetching import Fetching, OurSideDownError
from fetchpool.scheduling.scheduler import Limits
from tests.fake_engine import FakeEngine, endless, fetching, loop_turns
from tests.judging import Counts, failed_attempt, response

if TYPE_CHECKING:
    from fetchpool.model.bodies import BodyWriter

# --- ending early


async def test_aclose_after_a_break_leaves_no_task() -> None:
    seen: list[int] = []
    engine = FakeEngine()
    gate = engine.hold("http://h3.test/3")
    async with fetching(endless(5, seen), engine) as fetch:
        async for _ in fetch:
            break
        await fetch.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not engine.running.total()
        await fetch.aclose()
    assert not gate.is_set()


async def test_aclose_before_anything_began_leaves_no_task() -> None:
    async with fetching(["http://a.test/"], FakeEngine()) as fetch:
        await fetch.aclose()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert await fetch.batch() == []


async def test_stop_lets_end_what_runs_and_starts_nothing_more() -> None:
    urls = [f"http://h{number}.test/" for number in range(50)]
    engine = FakeEngine()
    gates = [engine.hold(url) for url in urls]
    async with fetching(urls, engine, Limits(limit=5)) as fetch:
        first = asyncio.ensure_future(anext(fetch))
        await engine.until(lambda: len(engine.started) == 5)
        fetch.stop()
        for gate in gates:
            gate.set()
        outcomes = [await first] + [outcome async for outcome in fetch]
        assert len(outcomes) == len(engine.started) == 5
        assert fetch.ended


async def test_stop_before_anything_began_reads_nothing() -> None:
    seen: list[int] = []
    async with fetching(endless(5, seen), FakeEngine()) as fetch:
        fetch.stop()
        assert await fetch.batch() == []
        await loop_turns(50)
        assert seen == []


async def test_abort_cuts_off_what_runs() -> None:
    engine = FakeEngine()
    engine.hold("http://a.test/")
    async with fetching(["http://a.test/"], engine) as fetch:
        first = asyncio.ensure_future(fetch.batch())
        await engine.until(lambda: bool(engine.started))
        fetch.abort()
        assert await first == []
        assert not engine.running.total()


# --- errors that are no URL's


async def test_store_error_surfaces_after_the_outcomes_before_it() -> None:
    engine = FakeEngine()
    engine.script["http://bad.test/"] = [StoreError("cannot write", "x", errno.ENOSPC)]
    gate = engine.hold("http://bad.test/")
    async with fetching(["http://good.test/", "http://bad.test/"], engine) as fetch:
        first = asyncio.ensure_future(fetch.batch())
        await engine.until(lambda: len(engine.started) == 2)
        assert [outcome.ok for outcome in await first] == [True]
        gate.set()
        with pytest.raises(StoreError, match="No space left"):
            await fetch.batch()
        assert fetch.ended


async def test_many_store_errors_at_once_are_one() -> None:
    urls = [f"http://h{number}.test/" for number in range(10)]
    engine = FakeEngine()
    for url in urls:
        engine.script[url] = [StoreError("cannot write", url, errno.EIO)]
    async with fetching(urls, engine) as fetch:
        with pytest.raises(StoreError):
            await fetch.batch()
        await loop_turns(50)
    # A second one nobody looked at would be an "exception was never retrieved", and an error here.


async def test_store_out_of_descriptors_costs_nothing_but_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fetchpool.scheduling.judge.DESCRIPTOR_PAUSE_S", 0.0)
    engine = FakeEngine()
    engine.script["http://a.test/"] = [StoreError("cannot open", "x", errno.EMFILE)]
    async with fetching(["http://a.test/"], engine, retries=0) as fetch:
        outcome = await anext(fetch)
        assert outcome.ok
        assert fetch.lowered_to == 1


async def test_error_of_the_source_surfaces_after_the_outcomes_before_it() -> None:
    engine = FakeEngine()
    urls = [f"http://a.test/{number}" for number in range(5)]
    gate = engine.hold(urls[0])
    broken = asyncio.Event()

    async def breaks() -> AsyncIterator[str]:
        yield urls[0]
        await engine.until(lambda: bool(engine.started))
        broken.set()
        raise OSError(errno.EIO, "the disk of the list")

    async with fetching(breaks(), engine) as fetch:
        first = asyncio.ensure_future(fetch.batch())
        await broken.wait()
        await loop_turns(20)
        gate.set()
        assert [outcome.ok for outcome in await first] == [True]
        with pytest.raises(OSError, match="the disk of the list"):
            await fetch.batch()


# --- our side's network


def silent_everywhere(engine: FakeEngine, urls: list[str], times: int) -> None:
    for url in urls:
        engine.script[url] = [
            failed_attempt(FailureKind.CONNECT, Fault.SILENT) for _ in range(times)
        ]


async def outcomes_of(fetch: Fetching) -> list[Outcome]:
    return [outcome async for outcome in fetch]


async def test_outage_pauses_then_goes_on_and_fails_no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetchpool.pipeline.outage_probe.PROBE_EVERY_S", 0.001)
    engine = FakeEngine()
    engine.world_is_there.clear()
    urls = [f"http://h{number}.test/" for number in range(8)]
    silent_everywhere(engine, urls, 1)
    async with fetching(["http://well.test/", *urls], engine, retries=0) as fetch:
        assert (await anext(fetch)).ok
        rest = asyncio.ensure_future(outcomes_of(fetch))
        await engine.until(lambda: len(engine.probed) > 3)
        assert fetch.network_down
        assert not fetch.running
        assert set(engine.probed) == {"well.test"}, "who answered before is asked"
        engine.world_is_there.set()
        outcomes = await rest
        assert len(outcomes) == 8
        assert all(outcome.ok for outcome in outcomes)
        assert not fetch.network_down


async def test_dead_hosts_beside_a_living_one_fail_by_themselves() -> None:
    """Silence at many hosts is looked into once; as the world is there, they are dead, we go on."""
    engine = FakeEngine()
    urls = [f"http://h{number}.test/" for number in range(8)]
    silent_everywhere(engine, urls, 9)
    async with fetching(["http://well.test/", *urls], engine, retries=0) as fetch:
        outcomes = await outcomes_of(fetch)
    assert Counter(outcome.error for outcome in outcomes) == {None: 1, FailureKind.CONNECT: 8}


async def test_retry_that_falls_due_after_a_pause_of_ours_does_start() -> None:
    """While paused no timer is set: when the pause ends, what is due later is not forgotten."""
    engine = FakeEngine()
    engine.script["http://a.test/"] = [failed_attempt(FailureKind.CONNECT, Fault.OURS)]
    async with fetching(["http://well.test/", "http://a.test/"], engine) as fetch:
        outcomes = await outcomes_of(fetch)
    assert [(outcome.ok, outcome.attempts) for outcome in outcomes] == [(True, 1), (True, 2)]


async def test_a_few_silent_hosts_at_the_end_of_a_list_end() -> None:
    engine = FakeEngine()
    urls = ["http://h1.test/", "http://h2.test/"]
    silent_everywhere(engine, urls, 1)
    async with fetching(urls, engine, retries=0) as fetch:
        outcomes = await outcomes_of(fetch)
    assert [outcome.error for outcome in outcomes] == [FailureKind.CONNECT] * 2


async def test_host_that_accepts_and_never_answers_ends_while_the_list_goes_on() -> None:
    """Held for lack of a sign of life its outcomes are, but not until the end of the list."""

    def tarpit() -> Iterator[str]:
        return (f"http://a.test/{number}" for number in count())

    class Tarpit(FakeEngine):
        async def attempt(self, plan: Plan, budget_s: float | None) -> Response | FailedAttempt:
            await super().attempt(plan, budget_s)
            return failed_attempt(FailureKind.TIMEOUT, Fault.SILENT, peer="127.0.0.1")

    async with fetching(tarpit(), Tarpit(), retries=0) as fetch:
        for _ in range(300):
            assert (await anext(fetch)).error is FailureKind.TIMEOUT


async def test_outage_of_minutes_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetchpool.pipeline.outage_probe.PROBE_EVERY_S", 0.0)
    monkeypatch.setattr("fetchpool.scheduling.outage.GIVE_UP_AFTER_S", 0.0)
    engine = FakeEngine()
    engine.world_is_there.clear()
    urls = [f"http://h{number}.test/" for number in range(8)]
    silent_everywhere(engine, urls, 9)
    async with fetching(["http://well.test/", *urls], engine) as fetch:
        assert (await anext(fetch)).ok
        with pytest.raises(OurSideDownError):
            await outcomes_of(fetch)


async def test_outage_over_few_hosts_gives_no_waiting_url_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three hosts are too few to suspect ourselves by their number alone: look before giving up."""
    monkeypatch.setattr("fetchpool.pipeline.outage_probe.PROBE_EVERY_S", 0.001)
    monkeypatch.setattr("fetchpool.scheduling.host_health.PROBE_AFTER_S", 0.001)
    engine = FakeEngine()
    engine.world_is_there.clear()
    urls = [f"http://h{number % 3}.test/{number}" for number in range(60)]
    silent_everywhere(engine, urls, 4)
    async with fetching(["http://well.test/", *urls], engine, retries=0) as fetch:
        assert (await anext(fetch)).ok
        rest = asyncio.ensure_future(outcomes_of(fetch))
        await engine.until(lambda: len(engine.probed) > 3)
        engine.script.clear()
        engine.world_is_there.set()
        assert all(outcome.ok for outcome in await rest)


async def test_silence_while_outcomes_of_the_last_silence_wait_for_room_is_looked_into() -> None:
    """Who looks delivers what was held, and waits for a consumer that takes its time."""
    engine = FakeEngine()
    good = [f"http://good{number}.test/" for number in range(15)]
    early = [f"http://early{number}.test/" for number in range(6)]
    late = [f"http://late{number}.test/" for number in range(6)]
    silent_everywhere(engine, early + late, 1)
    gates = [[engine.hold(url) for url in urls] for urls in (early, late)]
    urls = ["http://well.test/", *good, *early, *late]
    async with fetching(urls, engine, Limits(limit=16), retries=0) as fetch:
        assert (await anext(fetch)).ok
        await engine.until(lambda: len(engine.started) == len(urls))
        for group in gates:
            for gate in group:
                gate.set()
            await loop_turns(50)
        assert Counter(outcome.ok for outcome in await outcomes_of(fetch)) == {True: 15, False: 12}


async def test_aclose_in_an_outage_leaves_no_task() -> None:
    class Unheard(FakeEngine):
        async def reachable(self, target: Target, route: Proxy | None = None) -> bool:
            await super().reachable(target)
            return await asyncio.Event().wait()

    engine = Unheard()
    urls = [f"http://h{number}.test/" for number in range(8)]
    silent_everywhere(engine, urls, 9)
    async with fetching(["http://well.test/", *urls], engine, retries=0) as fetch:
        assert (await anext(fetch)).ok
        first = asyncio.ensure_future(fetch.batch())
        await engine.until(lambda: bool(engine.probed))
        await fetch.aclose()
        assert await first == []
        assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("who_hears", ["a probe", "a request under way"])
async def test_begin_and_end_of_an_outage_are_told_once_each(
    monkeypatch: pytest.MonkeyPatch, who_hears: str
) -> None:
    monkeypatch.setattr("fetchpool.pipeline.outage_probe.PROBE_EVERY_S", 0.001)
    engine, counts = FakeEngine(), Counts()
    engine.world_is_there.clear()
    urls = [f"http://h{number}.test/" for number in range(6)]
    silent_everywhere(engine, urls, 1)
    under_way = engine.hold("http://slow.test/")
    lines = ["http://well.test/", "http://slow.test/", *urls]
    async with fetching(lines, engine, retries=0, observer=counts) as fetch:
        assert (await anext(fetch)).ok
        rest = asyncio.ensure_future(outcomes_of(fetch))
        await engine.until(lambda: len(engine.probed) > 3)
        assert counts.outages == [True]
        (engine.world_is_there if who_hears == "a probe" else under_way).set()
        await engine.until(lambda: len(engine.started) == len(lines) + len(urls))
        under_way.set()
        assert all(outcome.ok for outcome in await rest)
    assert counts.outages == [True, False]


# --- bodies that wait for the verdict


class Draft:
    """A body that is to be put in place, or can't be."""

    def __init__(self, error: StoreError | None = None) -> None:
        self.error = error
        self.calls: list[str] = []

    def commit(self) -> Stored:
        self.calls.append("commit")
        if self.error is not None:
            raise self.error
        return Stored("a/b.html", b"body")

    def discard(self) -> None:
        self.calls.append("discard")


def with_draft(status: int, draft: Draft) -> Response:
    return msgspec.structs.replace(response(status), draft=cast("BodyWriter", draft))


async def test_a_body_gets_its_place_when_its_answer_is_the_outcome() -> None:
    engine, first, last = FakeEngine(), Draft(), Draft()
    engine.script["http://a.test/"] = [with_draft(500, first), with_draft(404, last)]
    async with fetching(["http://a.test/"], engine) as fetch:
        (outcome,) = [outcome async for outcome in fetch]
    assert (first.calls, last.calls) == (["discard"], ["commit", "discard"])
    assert (outcome.status, outcome.path, outcome.body) == (404, "a/b.html", b"body")


async def test_a_body_without_a_descriptor_costs_its_url_nothing() -> None:
    engine = FakeEngine()
    short = StoreError("cannot write", "a", errno.EMFILE)
    engine.script["http://a.test/"] = [with_draft(404, Draft(short)), response(200)]
    async with fetching(["http://a.test/"], engine) as fetch:
        (outcome,) = [outcome async for outcome in fetch]
    assert (outcome.ok, outcome.attempts) == (True, 2)


async def test_a_body_that_finds_no_room_ends_the_run() -> None:
    engine = FakeEngine()
    full = StoreError("cannot write", "a", errno.ENOSPC)
    engine.script["http://a.test/"] = [with_draft(404, Draft(full))]
    async with fetching(["http://a.test/"], engine) as fetch:
        with pytest.raises(StoreError):
            await fetch.batch()

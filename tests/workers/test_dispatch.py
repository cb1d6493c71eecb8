"""A list on its way through workers whose part the test plays."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from fetchpool.config import Config
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Outcome, Request
from fetchpool.pipeline.fetching import OurSideDownError
from fetchpool.reporting.stats import Stats
from fetchpool.scaling import dispatch as module
from fetchpool.scaling import messages as say
from fetchpool.scaling.dispatch import FRUITLESS_DEATHS, Dispatch
from fetchpool.scaling.link import NoWorkersError
from fetchpool.scaling.sharing import owner
from fetchpool.scheduling.scheduler import HostState
from fetchpool.sources import Batch, requests_from
from tests.judging import Counts, job
from tests.ledger.runs import outcome
from tests.workers.puppets import Puppet, Puppeteer, setups, until

HOSTS = ("h3.test", "h1.test")
"""Hosts of the first worker of two, and of the second."""
ALIVE = parse_url("http://alive.test/")


def url(host: int, number: int) -> str:
    return f"http://{HOSTS[host]}/{number}"


class Observer(Counts):
    """Keeps deaths, too."""

    def __init__(self) -> None:
        super().__init__()
        self.deaths: list[tuple[int, str]] = []

    def worker_died(self, number: int, how: str) -> None:
        self.deaths.append((number, how))


class Scene:
    """A dispatch with its consumer, and the puppets that are its workers."""

    def __init__(self, urls: Sequence[str], config: Config) -> None:
        self.puppets = Puppeteer()
        self.observer = Observer()
        self.stats = Stats(0.0)
        self.dispatch = Dispatch(
            setups(config),
            requests_from(urls),
            stats=self.stats,
            observer=self.observer,
            start_worker=self.puppets.start,
        )
        self.outcomes: list[Outcome] = []
        self.consumer = asyncio.create_task(self._consume())

    async def _consume(self) -> None:
        while batch := await self.dispatch.batch():
            self.outcomes += batch

    async def greeted(self, index: int) -> Puppet:
        """Return the puppet started as number *index*, once it is there."""
        puppet = await self.puppets.puppet(index)
        await puppet.greet()
        return puppet

    async def end(self) -> list[int]:
        """Wait for the consumer's end; return the numbers of the outcomes, in order."""
        await self.consumer
        assert self.dispatch.ended
        assert self.dispatch.running == 0
        return [each.request.seq for each in self.outcomes]


@asynccontextmanager
async def stage(*urls: str, workers: int = 2, per_host: int = 10) -> AsyncIterator[Scene]:
    there = Scene(urls, Config(workers=workers, limit=100, per_host=per_host))
    try:
        async with asyncio.timeout(20):
            yield there
    finally:
        there.consumer.cancel()
        await asyncio.gather(there.consumer, return_exceptions=True)
        await there.dispatch.aclose()


async def take(puppet: Puppet, count: int = 512) -> list[Request]:
    """Have *puppet* ask for *count* requests; return what it is given."""
    puppet.say(say.Want(count))
    return (await puppet.hear(say.Requests)).requests()


async def finish(puppet: Puppet, *requests: Request) -> None:
    """Have *puppet* answer *requests*, its last, and end in good order."""
    puppet.say(say.Outcomes([outcome(each) for each in requests]))
    while not isinstance(await puppet.hear(say.Message), say.Finish):
        pass
    leave(puppet)


def leave(puppet: Puppet) -> None:
    puppet.say(say.Bye())
    puppet.end()


def test_hosts_have_the_owners_that_the_tests_say() -> None:
    assert [owner(host, 2) for host in HOSTS] == [0, 1]


async def test_each_host_goes_to_its_owner_and_every_outcome_comes_out() -> None:
    urls = [url(0, 1), url(1, 2), "no url", url(0, 4)]
    async with stage(*urls) as s:
        for index, expected in ((0, [1, 4]), (1, [2])):
            puppet = await s.greeted(index)
            assert puppet.setup is not None
            requests = await take(puppet)
            assert [each.seq for each in requests] == expected
            assert puppet.setup.share.index == owner(HOSTS[[1, 4].count(requests[0].seq) ^ 1], 2)
            await puppet.hear(say.NoMore)
            puppet.say(say.Outcomes([outcome(each) for each in requests]))
        for puppet in s.puppets.started:
            await puppet.hear(say.Finish)
            leave(puppet)
        assert sorted(await s.end()) == [1, 2, 3, 4]
        assert s.dispatch.read == s.dispatch.delivered == 4
        assert s.dispatch.source_ended
        assert s.observer.deaths == []


async def test_list_without_a_url_needs_no_process() -> None:
    async with stage("no url", "neither") as s:
        assert await s.end() == [1, 2]
        assert s.puppets.started == []


async def test_process_that_died_is_replaced_and_only_what_has_no_outcome_given_again() -> None:
    async with stage(url(0, 1), url(0, 2), url(0, 3)) as s:
        first = await s.greeted(0)
        requests = await take(first)
        first.say(say.Outcomes([outcome(requests[1])]))
        first.end(-11)
        second = await s.greeted(1)
        assert s.observer.deaths == [(first.number, "signal 11")]
        again = await take(second)
        assert [each.seq for each in again] == [1, 3]
        await finish(second, *again)
        assert await s.end() == [2, 1, 3]


async def test_processes_that_keep_dying_end_the_run_but_not_while_outcomes_come() -> None:
    async with stage(url(0, 1), url(0, 2)) as s:
        for index in range(FRUITLESS_DEATHS - 1):
            (await s.greeted(index)).end(-6)
        fruitful = await s.greeted(FRUITLESS_DEATHS - 1)
        fruitful.say(say.Outcomes([outcome((await take(fruitful))[0])]))
        fruitful.end(-6)
        for index in range(FRUITLESS_DEATHS, 2 * FRUITLESS_DEATHS - 1):
            (await s.greeted(index)).end(-6)
        with pytest.raises(NoWorkersError, match="keep dying, the last one by signal 6"):
            await s.end()
        assert len(s.puppets.started) == len(s.observer.deaths) == 2 * FRUITLESS_DEATHS - 1
        assert [each.request.seq for each in s.outcomes] == [1]


async def test_job_that_leads_elsewhere_goes_on_there_and_is_the_givers_no_more() -> None:
    async with stage(url(0, 1), url(0, 2)) as s:
        giver = await s.greeted(0)
        request, other = await take(giver)
        going = job(url(0, 1))
        going.target = parse_url(url(1, 9))
        away = say.Away.of(going, 7.0, 5.0)
        giver.say(away)
        taker = await s.greeted(1)
        hop = await taker.hear(say.Hop)
        assert bytes(hop.job) == bytes(away.job)
        giver.end(-9)
        heir = await s.greeted(2)
        assert await take(heir) == [other], "what went away is not given once more"
        heir.say(say.Outcomes([outcome(other)]))
        taker.say(say.Outcomes([outcome(request)]))
        for puppet in (heir, taker):
            while not isinstance(await puppet.hear(say.Message), say.Finish):
                pass
            leave(puppet)
        assert sorted(await s.end()) == [1, 2]
        assert len(s.puppets.started) == 3


@pytest.mark.parametrize("per_host", [0, 10])
async def test_pause_is_told_to_the_others_where_they_share_hosts(per_host: int) -> None:
    urls = [f"http://h.test/{number}" for number in range(20)] + [url(0, 1), url(1, 1)]
    async with stage(*urls, per_host=per_host) as s:
        one, other = await s.greeted(0), await s.greeted(1)
        given = await take(one), await take(other)
        await one.hear(say.NoMore)
        await other.hear(say.NoMore)
        park = say.Park(HOSTS[0], 1000.0, 429)
        one.say(park, say.Outcomes([outcome(each) for each in given[0]]))
        await until(lambda: s.dispatch.delivered == len(given[0]))
        other.end(-9)
        assert await other.rest() == ([park] if per_host == 0 else [])
        heir = await s.greeted(2)
        if per_host == 0:
            left = await heir.hear(say.Park)
            assert (left.host, left.status) == (park.host, 429), "who comes later is told as well"
            assert 0 < left.seconds <= park.seconds
        await finish(heir, *await take(heir))
        await one.hear(say.Finish)
        leave(one)
        assert len(await s.end()) == len(urls)


async def test_ticks_add_up_and_an_outage_is_told_when_it_begins_and_ends() -> None:
    async with stage(url(0, 1), url(1, 2)) as s:
        one, other = await s.greeted(0), await s.greeted(1)
        given = [*await take(one), *await take(other)]
        await other.hear(say.NoMore)
        waiting = [HostState(f"h{n}", 1, n, 9, False, 0.0, None) for n in range(3)]
        waiting.append(HostState("parked", 0, 0, 9, False, 3.0, "429"))
        one.say(
            say.Tick(2, 3, 1, 2, 5, 70, alive=ALIVE, lowered_to=9, network_down=True),
            say.Tick(connections=1, running=4, lowered_to=12, network_down=True, busiest=waiting),
        )
        other.say(say.Tick(running=1, parked=[say.Parked("h", 3.0, "429")]))
        assert await other.hear(say.Alive) == say.Alive(ALIVE)
        await until(lambda: s.dispatch.running == 5)
        d = s.dispatch
        assert (d.connections_opened, d.bytes_received, d.lowered_to) == (6, 70, 9)
        assert d.network_down
        assert s.observer.retries == 2
        assert s.observer.pauses == [("h", 3.0, "429")]
        assert s.observer.outages == [True]
        assert [each.host for each in d.busiest(0.0, 3)] == ["parked", "h2", "h1"]
        for puppet, request in zip((one, other), given, strict=True):
            puppet.say(say.Tick(), say.Outcomes([outcome(request)]))
        for puppet in (one, other):
            while not isinstance(await puppet.hear(say.Message), say.Finish):
                pass
            leave(puppet)
        await s.end()
        assert s.observer.outages == [True, False]


async def test_stop_lets_end_what_runs_and_reads_no_more() -> None:
    async with stage(url(0, 1), url(0, 2)) as s:
        puppet = await s.greeted(0)
        requests = await take(puppet)
        await puppet.hear(say.NoMore)
        s.dispatch.stop()
        await puppet.hear(say.Stop)
        assert puppet.code is None
        puppet.say(say.Outcomes([outcome(requests[0])]))
        leave(puppet)
        assert await s.end() == [1]
        assert len(s.puppets.started) == 1


async def test_process_that_does_not_end_when_told_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "END_S", 0.0)
    async with stage(url(0, 1)) as s:
        puppet = await s.greeted(0)
        await take(puppet)
        s.dispatch.abort()
        assert await s.end() == []
        assert puppet.code == -9
        assert [type(each) for each in await puppet.rest()] == [say.NoMore, say.Abort]


@pytest.mark.parametrize(
    ("error", "word"), [(OurSideDownError("gone"), say.Stop), (OSError(28, "full"), say.Abort)]
)
async def test_trouble_of_a_worker_ends_all_and_is_raised_behind_the_outcomes(
    error: Exception, word: type[say.Message]
) -> None:
    async with stage(url(0, 1), url(1, 2)) as s:
        one, other = await s.greeted(0), await s.greeted(1)
        await take(other)
        await other.hear(say.NoMore)
        (request,) = await take(one)
        one.say(say.Outcomes([outcome(request)]), say.Failed(pickle.dumps(error)))
        await other.hear(word)
        leave(one)
        leave(other)
        with pytest.raises(type(error), match=str(error.args[-1])):
            await s.end()
        assert [each.request.seq for each in s.outcomes] == [1]


async def test_bug_in_a_worker_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with stage(url(0, 1)) as s:
        puppet = await s.greeted(0)
        puppet.say(
            say.Logged(logging.WARNING, "100% plain", None, None),
            say.Logged(logging.ERROR, "a bug", "ValueError: of ours", "there, line 1"),
        )
        await finish(puppet, *await take(puppet))
        await s.end()
    plain, bug = caplog.records
    assert (plain.levelno, plain.getMessage(), plain.exc_info) == (30, "100% plain", None)
    assert (bug.levelno, bug.getMessage()) == (40, "a bug")
    assert bug.exc_info is not None
    assert repr(bug.exc_info[1]) == "ValueError: of ours"
    assert "there, line 1" in bug.exc_info[1].__notes__  # type: ignore[union-attr]


class Endless:
    """A reader that always has a thousand more, at once."""

    def __init__(self) -> None:
        self.read = 0

    async def next_batch(self) -> Batch:
        start, self.read = self.read, self.read + 1000
        numbers = range(start + 1, self.read + 1)
        return Batch([Request(url(0, n), n) for n in numbers], 0, self.read)

    async def aclose(self) -> None:
        pass


async def test_reading_waits_until_a_worker_can_take_more(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Endless()
    monkeypatch.setattr(f"{__name__}.requests_from", lambda urls: reader)
    async with stage(workers=1) as s:
        puppet = await s.greeted(0)
        for _ in range(100):
            await asyncio.sleep(0)
        assert reader.read == 1000, "nobody has asked for what there is"
        puppet.say(say.Want(1000))
        given: list[Request] = []
        while len(given) < 1000:
            given += (await puppet.hear(say.Requests)).requests()
        puppet.say(say.Want(1))
        await until(lambda: reader.read == 2000)
        assert [each.seq for each in given] == list(range(1, len(given) + 1))


async def test_leaving_ends_every_process_at_once() -> None:
    async with stage(url(0, 1), url(1, 2)) as s:
        for index in range(2):
            await take(await s.greeted(index))
    assert [puppet.code for puppet in s.puppets.started] == [-9, -9]
    assert s.dispatch.ended

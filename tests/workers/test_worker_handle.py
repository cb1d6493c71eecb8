"""A worker's place: what is sent to whoever is in it, and to the one who comes after."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator

import pytest

from fetchpool.config import Config
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Request
from fetchpool.output.ledger import Bitmap
from fetchpool.scaling.link import NoWorkersError
from fetchpool.scaling.messages import (
    Abort,
    Alive,
    Away,
    Bye,
    Finish,
    FromParent,
    FromWorker,
    Hello,
    Hop,
    NoMore,
    Park,
    Requests,
    Stop,
    Tick,
    Want,
)
from fetchpool.scaling.outbox import Outbox, Shelf
from fetchpool.scaling.sharing import owner
from fetchpool.scaling.worker_handle import WorkerHandle
from tests.judging import job
from tests.workers.puppets import Puppet, Puppeteer, setups

TARGET = parse_url("http://alive.test/")


class Place:
    """A handle with its puppet, and the requests that are settled."""

    def __init__(self) -> None:
        self.puppets = Puppeteer()
        self.settled = Bitmap()
        self.outbox = Outbox(Shelf(None), self.settled.__contains__)
        self.setup = setups(Config(workers=2))[0]
        self.handle = WorkerHandle(self.setup, self.outbox, self.puppets.start)

    def add(self, *numbers: int) -> None:
        for number in numbers:
            self.outbox.add(Request(f"http://a.test/{number}", number))

    def owes(self) -> bool:
        return self.handle.owes

    def hungry(self) -> bool:
        return self.handle.hungry

    async def start(self, index: int = 0) -> Puppet:
        """Start the process; return it when it has been told its setup, before it says a word."""
        _, puppet = await asyncio.gather(self.handle.start(), self._begun(index))
        return puppet

    async def greeted(self, *parks: Park) -> Puppet:
        """Return a puppet that is there and knows that."""
        puppet = await self.start(len(self.puppets.started))
        self.handle.greet(parks)
        return puppet

    async def _begun(self, index: int) -> Puppet:
        puppet = await self.puppets.puppet(index)
        await puppet.begin()
        return puppet

    async def rest(self) -> list[FromParent]:
        """End the process that is there; return what it was told and nobody heard."""
        self.handle.kill()
        await self.handle.wait_killed()
        return await self.puppets.started[-1].rest()


def _numbers(message: Requests) -> list[int]:
    return [request.seq for request in message.requests()]


def _away(seq: int = 7) -> Away:
    return Away.of(job("http://b.test/", seq), 5.0, 5.0)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    there = Place()
    yield there
    await there.handle.wait_killed()


async def test_process_is_told_its_setup_and_nothing_more_before_it_says_hello(
    place: Place,
) -> None:
    place.add(1)
    puppet = await place.start()
    assert puppet.setup == place.setup
    handle = place.handle
    assert handle.number == puppet.number
    handle.wants(5)
    handle.feed(is_all=True)
    handle.tell(Stop())
    handle.give(_away())
    handle.introduce(TARGET)
    handle.greet([])
    assert (await puppet.hear(Hop)).unpack(0.0)[0].request.seq == 7, "kept for it until it is there"
    handle.feed(is_all=True)
    assert _numbers(await puppet.hear(Requests)) == [1]
    await puppet.hear(NoMore)
    assert await place.rest() == []


async def test_requests_are_sent_as_far_as_there_is_room(place: Place) -> None:
    puppet = await place.greeted()
    handle = place.handle
    place.add(1, 2)
    assert not place.hungry(), "something waits for it"
    handle.feed(is_all=False)
    handle.wants(3)
    handle.feed(is_all=False)
    assert _numbers(await puppet.hear(Requests)) == [1, 2]
    assert place.hungry(), "there is room for one more"
    place.add(3)
    handle.feed(is_all=False)
    assert _numbers(await puppet.hear(Requests)) == [3]
    assert not place.hungry()
    place.add(4)
    handle.feed(is_all=True)
    assert await place.rest() == [], "no room, and not the end either"


async def test_end_of_the_list_is_told_once_and_behind_the_last_request(place: Place) -> None:
    puppet = await place.greeted()
    place.add(1)
    place.handle.wants(1)
    for _ in range(3):
        place.handle.feed(is_all=True)
    await puppet.hear(Requests)
    await puppet.hear(NoMore)
    assert await place.rest() == []


async def test_place_without_a_process_is_hungry_until_something_waits(place: Place) -> None:
    assert place.hungry()
    place.add(1)
    assert not place.hungry()


async def test_pauses_of_its_own_hosts_only_are_told_at_the_beginning(place: Place) -> None:
    own, other = (Park(f"h{n}", 9.0, 429) for n in (1, 4))
    assert (owner(own.host, 2), owner(other.host, 2)) == (0, 1)
    await place.greeted(other, own)
    assert await place.rest() == [own]


async def test_one_host_that_answered_is_told_and_no_second_one(place: Place) -> None:
    for _ in range(2):  # and anew to whoever comes after
        await place.greeted()
        for _ in range(2):
            place.handle.introduce(TARGET)
        assert await place.rest() == [Alive(TARGET)]


async def test_it_owes_what_it_was_given_until_that_is_settled(place: Place) -> None:
    handle = place.handle
    assert not place.owes()
    handle.give(_away(7))
    assert place.owes()
    place.add(1)
    puppet = await place.greeted()
    await puppet.hear(Hop)
    handle.wants(1)
    handle.feed(is_all=False)
    handle.settle(7)
    assert place.owes()
    handle.settle(1)
    assert not place.owes()


async def test_next_process_is_given_what_the_dead_one_left(place: Place) -> None:
    handle = place.handle
    place.add(1, 2)
    first = await place.greeted()
    handle.wants(9)
    handle.feed(is_all=True)
    handle.give(_away(7))
    handle.give(_away(8))
    handle.last = Tick(running=3)
    for number in (1, 8):
        handle.settle(number)
        place.settled.add_all((number,))
    first.end(-11)
    assert await handle.wait() == "signal 11"
    handle.died()
    assert handle.fruitless_deaths == 1
    assert (handle.number, handle.last, handle.hungry) == (0, Tick(), False)

    second = await place.greeted()
    handle.feed(is_all=True)
    assert (await second.hear(Hop)).unpack(0.0)[0].request.seq == 7
    handle.wants(1)
    handle.feed(is_all=True)
    assert _numbers(await second.hear(Requests)) == [2]
    await second.hear(NoMore)
    assert await place.rest() == []


async def test_what_it_says_ends_with_its_last_word_or_with_itself(place: Place) -> None:

    async def said() -> list[FromWorker]:
        return [message async for message in place.handle.messages()]

    first = await place.start()
    first.say(Hello(), Bye(), Want(1))
    assert await said() == [Hello(), Bye()]
    first.end(3)
    assert await place.handle.wait() == "status 3"
    second = await place.start(1)
    second.say(Want(2))
    second.end()
    assert await said() == [Want(2)]
    assert await place.handle.wait() == "status 0"


@pytest.mark.parametrize("word", [Stop(), Abort(), Finish()], ids=str)
async def test_last_word_is_said_to_who_is_there_and_cuts_off_who_is_not_yet(
    place: Place, word: Stop | Abort | Finish
) -> None:
    place.handle.end(word)  # nobody at all
    early = await place.start()
    place.handle.end(word)
    assert early.code == -9
    await place.handle.wait()
    there = await place.greeted()
    place.handle.end(word)
    assert there.code is None
    assert await there.hear(type(word)) == word
    assert await place.rest() == []


async def test_process_that_cannot_be_started_is_no_crash(place: Place) -> None:

    def refuse() -> Puppet:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    handle = WorkerHandle(place.setup, place.outbox, refuse)
    with pytest.raises(NoWorkersError, match=f"worker process: {os.strerror(errno.EAGAIN)}"):
        await handle.start()


async def test_process_that_died_before_its_setup_says_nothing_and_is_known_to_be_dead(
    place: Place,
) -> None:
    def stillborn() -> Puppet:
        puppet = place.puppets.start()
        puppet.end(-9)
        return puppet

    handle = WorkerHandle(place.setup, place.outbox, stillborn)
    await handle.start()
    assert [message async for message in handle.messages()] == []
    assert await handle.wait() == "signal 9"

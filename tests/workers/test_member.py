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
from fetchpool.scaling.hiring import Hired, NoWorkersError
from fetchpool.scaling.member import Member
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
    JobState,
    NoMore,
    Park,
    Requests,
    Stop,
    Tick,
    Want,
)
from fetchpool.scaling.outbox import Outbox, Shelf
from fetchpool.scaling.sharing import owner
from tests.judging import job
from tests.workers.puppets import Agency, Puppet, setups

TARGET = parse_url("http://alive.test/")


class Place:
    """A member with its puppet, and the requests that are settled."""

    def __init__(self) -> None:
        self.agency = Agency()
        self.settled = Bitmap()
        self.outbox = Outbox(Shelf(None), self.settled.__contains__)
        self.setup = setups(Config(workers=2))[0]
        self.member = Member(self.setup, self.outbox, self.agency.hire)

    def add(self, *numbers: int) -> None:
        for number in numbers:
            self.outbox.add(Request(f"http://a.test/{number}", number))

    def owes(self) -> bool:
        return self.member.owes

    def hungry(self) -> bool:
        return self.member.hungry

    async def start(self, index: int = 0) -> Puppet:
        """Start the process; return it when it has been told its setup, before it says a word."""
        _, puppet = await asyncio.gather(self.member.start(), self._begun(index))
        return puppet

    async def greeted(self, *parks: Park) -> Puppet:
        """Return a puppet that is there and knows that."""
        puppet = await self.start(len(self.agency.hired))
        self.member.greet(parks)
        return puppet

    async def _begun(self, index: int) -> Puppet:
        puppet = await self.agency.puppet(index)
        await puppet.begin()
        return puppet

    async def rest(self) -> list[FromParent]:
        """End the process that is there; return what it was told and nobody heard."""
        self.member.kill()
        await self.member.reap()
        return await self.agency.hired[-1].rest()


def _numbers(message: Requests) -> list[int]:
    return [request.seq for request in message.requests()]


def _away(seq: int = 7) -> Away:
    return Away(JobState.of(job("http://b.test/", seq)), 5.0)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    there = Place()
    yield there
    await there.member.reap()
    await there.agency.close()


async def test_process_is_told_its_setup_and_nothing_more_before_it_says_hello(
    place: Place,
) -> None:
    place.add(1)
    puppet = await place.start()
    assert puppet.setup == place.setup
    member = place.member
    assert member.pid == puppet.pid
    member.wants(5)
    member.feed(is_all=True)
    member.tell(Stop())
    member.give(_away())
    member.introduce(TARGET)
    member.greet([])
    assert (await puppet.hear(Hop)).job.request.seq == 7, "kept for it until it is there"
    member.feed(is_all=True)
    assert _numbers(await puppet.hear(Requests)) == [1]
    await puppet.hear(NoMore)
    assert await place.rest() == []


async def test_requests_are_sent_as_far_as_there_is_room(place: Place) -> None:
    puppet = await place.greeted()
    member = place.member
    place.add(1, 2)
    assert not place.hungry(), "something waits for it"
    member.feed(is_all=False)
    member.wants(3)
    member.feed(is_all=False)
    assert _numbers(await puppet.hear(Requests)) == [1, 2]
    assert place.hungry(), "there is room for one more"
    place.add(3)
    member.feed(is_all=False)
    assert _numbers(await puppet.hear(Requests)) == [3]
    assert not place.hungry()
    place.add(4)
    member.feed(is_all=True)
    assert await place.rest() == [], "no room, and not the end either"


async def test_end_of_the_list_is_told_once_and_behind_the_last_request(place: Place) -> None:
    puppet = await place.greeted()
    place.add(1)
    place.member.wants(1)
    for _ in range(3):
        place.member.feed(is_all=True)
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
            place.member.introduce(TARGET)
        assert await place.rest() == [Alive(TARGET)]


async def test_it_owes_what_it_was_given_until_that_is_settled(place: Place) -> None:
    member = place.member
    assert not place.owes()
    member.give(_away(7))
    assert place.owes()
    place.add(1)
    puppet = await place.greeted()
    await puppet.hear(Hop)
    member.wants(1)
    member.feed(is_all=False)
    member.settle(7)
    assert place.owes()
    member.settle(1)
    assert not place.owes()


async def test_next_process_is_given_what_the_dead_one_left(place: Place) -> None:
    member = place.member
    place.add(1, 2)
    first = await place.greeted()
    member.wants(9)
    member.feed(is_all=True)
    member.give(_away(7))
    member.give(_away(8))
    member.last = Tick(running=3)
    for number in (1, 8):
        member.settle(number)
        place.settled.add_all((number,))
    first.end(-11)
    assert await member.wait() == "signal 11"
    member.died()
    assert member.barren_deaths == 1
    assert (member.pid, member.last, member.hungry) == (0, Tick(), False)

    second = await place.greeted()
    member.feed(is_all=True)
    assert (await second.hear(Hop)).job.request.seq == 7
    member.wants(1)
    member.feed(is_all=True)
    assert _numbers(await second.hear(Requests)) == [2]
    await second.hear(NoMore)
    assert await place.rest() == []


async def test_what_it_says_ends_with_its_last_word_or_with_itself(place: Place) -> None:

    async def said() -> list[FromWorker]:
        return [message async for message in place.member.messages()]

    first = await place.start()
    first.say(Hello(), Bye(), Want(1))
    assert await said() == [Hello(), Bye()]
    first.end(3)
    assert await place.member.wait() == "status 3"
    second = await place.start(1)
    second.say(Want(2))
    second.end()
    assert await said() == [Want(2)]
    assert await place.member.wait() == "status 0"


@pytest.mark.parametrize("word", [Stop(), Abort(), Finish()], ids=str)
async def test_last_word_is_said_to_who_is_there_and_cuts_off_who_is_not_yet(
    place: Place, word: Stop | Abort | Finish
) -> None:
    place.member.end(word)  # nobody at all
    early = await place.start()
    place.member.end(word)
    assert early.code == -9
    await place.member.wait()
    there = await place.greeted()
    place.member.end(word)
    assert there.code is None
    assert await there.hear(type(word)) == word
    assert await place.rest() == []


async def test_process_that_cannot_be_started_is_no_crash(place: Place) -> None:

    def refuse() -> Hired:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    member = Member(place.setup, place.outbox, refuse)
    with pytest.raises(NoWorkersError, match=f"worker process: {os.strerror(errno.EAGAIN)}"):
        await member.start()


async def test_process_that_died_before_its_setup_says_nothing_and_is_known_to_be_dead(
    place: Place,
) -> None:
    agency = place.agency

    def stillborn() -> Hired:
        ours, process = agency.hire()
        agency.hired[-1].end(-9)
        return ours, process

    member = Member(place.setup, place.outbox, stillborn)
    await member.start()
    assert [message async for message in member.messages()] == []
    assert await member.wait() == "signal 9"

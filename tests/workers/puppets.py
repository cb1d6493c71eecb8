"""A worker whose part the test plays, at the other end of its link."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from fetchpool.config import Config
from fetchpool.scaling.link import Link
from fetchpool.scaling.messages import FromParent, Hello, Message, encode, from_parent
from fetchpool.scaling.setup import Setup, setups_of, unpack_setup
from tests.workers.memory_link import link_pair

M = TypeVar("M", bound=Message)


def setups(config: Config) -> list[Setup]:
    """Return what the workers of a run with *config* are told."""
    return setups_of(config, (), None, shows=False)


class Puppet:
    """A worker that says what the test says, and ends when the test ends it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.code: int | None = None
        self._ours, self._theirs = link_pair()
        self.setup: Setup | None = None

    # -- what the parent sees of it

    async def connect(self) -> Link:
        return self._ours

    def kill(self) -> None:
        self.end(-9)

    async def wait(self, at_most_s: float | None = None) -> str:
        if self.code is None:
            raise TimeoutError
        return f"status {self.code}" if self.code >= 0 else f"signal {-self.code}"

    # -- what the test has it do

    async def begin(self) -> None:
        """Take the setup; nothing is said yet."""
        data = await self._theirs.receive()
        assert data is not None
        self.setup = unpack_setup(data)

    async def greet(self) -> None:
        """Take the setup and say Hello."""
        await self.begin()
        self.say(Hello())

    def say(self, *messages: Message) -> None:
        for message in messages:
            self._theirs.send(encode(message))

    async def hear(self, kind: type[M]) -> M:
        """Return the next message, which must be a *kind*."""
        data = await self._theirs.receive()
        assert data is not None, "the parent has closed"
        message = from_parent(data)
        assert isinstance(message, kind), message
        return message

    async def rest(self) -> list[FromParent]:
        """Return all that is said until the parent hangs up."""
        found = []
        while (data := await self._theirs.receive()) is not None:
            found.append(from_parent(data))
        return found

    def end(self, code: int = 0) -> None:
        """Have it end with *code* (minus a signal's number); what it was told it keeps."""
        if self.code is None:
            self.code = code
            self._theirs.end()


class Puppeteer:
    """Starts puppets, in order."""

    def __init__(self) -> None:
        self.started: list[Puppet] = []

    def start(self) -> Puppet:
        puppet = Puppet(len(self.started) + 1)
        self.started.append(puppet)
        return puppet

    async def puppet(self, index: int) -> Puppet:
        """Return the puppet that is started as number *index*, from 0, once it is."""
        await until(lambda: len(self.started) > index)
        return self.started[index]


async def until(claim: Callable[[], bool]) -> None:
    """Let everything go on until *claim* holds."""
    while not claim():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)

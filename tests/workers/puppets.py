"""A worker's part played by the test: a process that is none, and the other end of its channel."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from fetchpool.config import Config
from fetchpool.scaling.channel import Channel, open_channel
from fetchpool.scaling.hiring import Hired
from fetchpool.scaling.messages import FromParent, Hello, Message, from_parent
from fetchpool.scaling.setup import Setup, receive_setup
from fetchpool.scaling.sharing import shares

M = TypeVar("M", bound=Message)


def setups(config: Config, limit: int = 100) -> list[Setup]:
    """Return what the workers of a run with *config* are told."""
    return [Setup(config, share, None, None, False) for share in shares(config, limit)]


class Puppet:
    """A worker that says what the test says, and whose process ends when the test ends it."""

    def __init__(self, number: int) -> None:
        self.pid = number
        self.code: int | None = None
        self.ours, self.theirs = socket.socketpair()
        self.setup: Setup | None = None
        self._channel: Channel[FromParent] | None = None
        self._heard: AsyncIterator[FromParent] | None = None

    # -- what the parent sees of the process

    def poll(self) -> int | None:
        return self.code

    def wait(self, timeout: float | None = None) -> int:
        if self.code is None:
            raise subprocess.TimeoutExpired("a puppet", timeout or 0.0)
        return self.code

    def kill(self) -> None:
        self.end(-9)

    # -- what the test has it do

    async def begin(self) -> None:
        """Take the setup; nothing is said yet."""
        self.theirs.setblocking(True)
        self.setup = await asyncio.to_thread(receive_setup, self.theirs)
        self._channel = await open_channel(self.theirs, from_parent)
        self._heard = self._channel.messages()

    async def greet(self) -> None:
        """Take the setup and say Hello."""
        await self.begin()
        self.say(Hello())

    def say(self, *messages: Message) -> None:
        assert self._channel is not None
        for message in messages:
            self._channel.send(message)

    async def hear(self, kind: type[M]) -> M:
        """Return the next message, which must be a *kind*."""
        assert self._heard is not None
        message = await anext(self._heard)
        assert isinstance(message, kind), message
        return message

    async def rest(self) -> list[FromParent]:
        """Return all that is said until the parent hangs up."""
        assert self._heard is not None
        return [message async for message in self._heard]

    async def close(self) -> None:
        if self._channel is None:
            self.theirs.close()
        else:
            await self._channel.close()

    def end(self, code: int = 0) -> None:
        """Have the process end with *code* (minus a signal's number); what it was told it keeps."""
        if self.code is None:
            self.code = code
            self.theirs.shutdown(socket.SHUT_WR)


class Agency:
    """Hands out puppets, in order."""

    def __init__(self) -> None:
        self.hired: list[Puppet] = []

    def hire(self) -> Hired:
        puppet = Puppet(len(self.hired) + 1)
        self.hired.append(puppet)
        return puppet.ours, puppet

    async def puppet(self, index: int) -> Puppet:
        """Return the puppet that is hired as number *index*, from 0, once it is."""
        await until(lambda: len(self.hired) > index)
        return self.hired[index]

    async def close(self) -> None:
        for puppet in self.hired:
            await puppet.close()


async def until(claim: Callable[[], bool]) -> None:
    """Let everything go on until *claim* holds."""
    while not claim():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)

"""One worker as the parent sees it: its process, what it was given, what it last told."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

from msgspec import Raw

from fetchpool.model.values import Target
from fetchpool.scaling.channel import Channel, open_channel
from fetchpool.scaling.hiring import REAP_S, Hire, NoWorkersError, Process
from fetchpool.scaling.messages import (
    Abort,
    Alive,
    Away,
    Bye,
    Finish,
    FromWorker,
    Hop,
    Message,
    NoMore,
    Park,
    Requests,
    Stop,
    Tick,
    encode,
    from_worker,
)
from fetchpool.scaling.outbox import Outbox
from fetchpool.scaling.setup import Setup, packed_setup
from fetchpool.scheduling.scheduler import HostState


class Member:
    """A worker's place in the fleet; the process in it may be replaced."""

    def __init__(self, setup: Setup, outbox: Outbox, hire: Hire) -> None:
        self._hire = hire
        self.setup = setup
        self.outbox = outbox
        self.hops: dict[int, bytes] = {}
        """Jobs begun elsewhere that are this worker's now, by the number of their request: each an
        encoded `Hop`, a fifth of what the object takes."""
        self.said_bye = False
        self.barren_deaths = 0
        """Processes that died one after another without a single outcome."""
        self.last = Tick()
        """How things stood a moment ago."""
        self._credit = 0
        self._knows_somebody = False
        self._channel: Channel[FromWorker] | None = None
        self._process: Process | None = None
        self._ready = False
        self._has_all = False

    # -- the process -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Start a process; raises `NoWorkersError` where that fails."""
        self.said_bye = self._ready = self._has_all = self._knows_somebody = False
        self._credit = 0
        try:
            ours, self._process = self._hire()
        except OSError as error:
            raise NoWorkersError(f"cannot start a worker process: {error.strerror}") from error
        try:
            ours.setblocking(False)
            with suppress(ConnectionError):  # it died already: `messages` ends at once
                await asyncio.get_running_loop().sock_sendall(ours, packed_setup(self.setup))
            self._channel = await open_channel(ours, from_worker)
        except BaseException:
            ours.close()
            raise

    async def messages(self) -> AsyncIterator[FromWorker]:
        """Yield what the worker says, until its last word, or until it is gone."""
        assert self._channel is not None
        async for message in self._channel.messages():
            yield message
            if isinstance(message, Bye):
                return

    async def wait(self) -> str:
        """Wait until the process has ended; return how, in words."""
        assert self._process is not None
        assert self._channel is not None
        self._ready = False
        await self._channel.close()
        code = await asyncio.to_thread(self._process.wait)
        return f"status {code}" if code >= 0 else f"signal {-code}"

    def kill(self) -> None:
        """End the process, if it runs, without asking."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    async def reap(self) -> None:
        """Wait until the process that was killed is gone, unless the system holds on to it."""
        process = self._process
        if process is not None and process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, REAP_S)
        if self._channel is not None:
            await self._channel.close()

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        return self._process.pid if self._process is not None else 0

    # -- what it does ----------------------------------------------------------------------------

    @property
    def owes(self) -> bool:
        """True if there are requests that it must answer."""
        return bool(self.outbox.unsettled or self.hops)

    @property
    def hungry(self) -> bool:
        """True if it could do with more than it was given."""
        return not self.outbox.unsent and (self._credit > 0 or self._process is None)

    def greet(self, pauses: Iterable[Park]) -> None:
        """Take note that the process is there; tell it which hosts asked for *pauses*, and give it
        what its predecessor had begun.
        """
        self._ready = True
        for park in pauses:
            if self.setup.share.owns(park.host):
                self.tell(park)
        for hop in self.hops.values():
            self._send(hop)

    def wants(self, count: int) -> None:
        """Take note that it has room for *count* requests more."""
        self._credit += count

    def feed(self, *, is_all: bool) -> None:
        """Send requests, as far as it has room for them; raises OSError.

        Where they are all there will be (*is_all*), tell it so once it has them.
        """
        while self._ready and self._credit > 0 and (batch := self.outbox.next_batch()) is not None:
            data, count = batch
            self._credit -= count
            self.tell(Requests(Raw(data)))
        if is_all and self._ready and not self.outbox.unsent and not self._has_all:
            self._has_all = True
            self.tell(NoMore())

    def give(self, away: Away) -> None:
        """Have it go on with a job that another worker began."""
        hop = encode(Hop(away.job, away.at))
        self.hops[away.job.request.seq] = hop
        self._send(hop)

    def introduce(self, target: Target) -> None:
        """Tell it of a host that answered another worker, unless it knows one already."""
        if self._ready and not self._knows_somebody:
            self._knows_somebody = True
            self.tell(Alive(target))

    def settle(self, seq: int) -> None:
        """Take note that the request *seq* is no business of this worker any more."""
        if self.hops.pop(seq, None) is None:
            self.outbox.settle(seq)

    def tell(self, message: Message) -> None:
        """Send *message*, if there is somebody; one who comes later is told by `greet`."""
        self._send(encode(message))

    def end(self, word: Stop | Abort | Finish) -> None:
        """Have the process end as *word* says; one that was given nothing yet ends at once."""
        if self._ready:
            self.tell(word)
        else:
            self.kill()

    def died(self) -> None:
        """Have what it was given sent to the next process."""
        self._process = None
        self._credit = 0
        self.barren_deaths += 1
        self.last = Tick()
        self.outbox.rewind()

    @property
    def busiest(self) -> list[HostState]:
        """The hosts that hold it up."""
        return self.last.busiest

    def _send(self, data: bytes) -> None:
        if self._ready and self._channel is not None:
            self._channel.send_encoded(data)

"""One worker as the parent sees it: what it was given, and how things stood a moment ago."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from time import monotonic

from msgspec import Raw

from fetchpool.model.values import Target
from fetchpool.scaling.link import Link, NoWorkersError, StartedWorker, StartWorker
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
from fetchpool.scaling.setup import Setup

KILLED_S = 2.0
"""How long a worker that was killed may take to end: one that waits for a dead disk stays."""


class WorkerHandle:
    """One of a run's workers. One that dies is replaced, and the next one gets its requests."""

    def __init__(self, setup: Setup, outbox: Outbox, start_worker: StartWorker) -> None:
        self._start_worker = start_worker
        self.setup = setup
        self.outbox = outbox
        self._hops: dict[int, tuple[Raw, float]] = {}
        """Jobs begun elsewhere that are this worker's now, by the number of their request: each as
        it came (a fifth of what the object takes), and when."""
        self.said_bye = False
        self.fruitless_deaths = 0
        """Workers that died one after another without a single outcome."""
        self.last = Tick()
        """How things stood a moment ago."""
        self._credit = 0
        self._knows_live_host = False
        self._worker: StartedWorker | None = None
        self._link: Link | None = None
        self._ready = False
        self._has_all = False

    # -- its life --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the worker; raises `NoWorkersError` where that fails."""
        self.said_bye = self._ready = self._has_all = self._knows_live_host = False
        self._credit = 0
        try:
            self._worker = self._start_worker()
        except OSError as error:
            raise NoWorkersError(f"cannot start a worker process: {error.strerror}") from error
        self._link = await self._worker.connect()
        self._link.send(self.setup.pack())

    async def messages(self) -> AsyncIterator[FromWorker]:
        """Yield what the worker says, until its last word, or until it is gone."""
        assert self._link is not None
        while (data := await self._link.receive()) is not None:
            message = from_worker(data)
            yield message
            if isinstance(message, Bye):
                return

    async def wait(self) -> str:
        """Close the link and wait until the worker has ended; return how, in words."""
        assert self._worker is not None
        assert self._link is not None
        self._ready = False
        await self._link.close()
        return await self._worker.wait()

    def kill(self) -> None:
        """End the worker at once, if there is one."""
        if self._worker is not None:
            self._worker.kill()

    async def wait_killed(self) -> None:
        """Wait until the worker that was killed is gone, unless the system holds on to it."""
        if self._worker is not None:
            with suppress(TimeoutError):
                await self._worker.wait(KILLED_S)
        if self._link is not None:
            await self._link.close()

    @property
    def number(self) -> int:
        """What logs call the worker that was started last."""
        return self._worker.number if self._worker is not None else 0

    # -- what it is told -------------------------------------------------------------------------

    @property
    def owes(self) -> bool:
        """True if there are requests that it must answer."""
        return bool(self.outbox.unsettled or self._hops)

    @property
    def hungry(self) -> bool:
        """True if it could do with more than it was given."""
        return not self.outbox.unsent and (self._credit > 0 or self._worker is None)

    def greet(self, pauses: Iterable[Park]) -> None:
        """Begin to talk to the worker, which has said Hello.

        It is told which of its hosts asked for *pauses*, and gets the hops that a worker before it
        had.
        """
        self._ready = True
        for park in pauses:
            if self.setup.share.owns(park.host):
                self.tell(park)
        for seq in self._hops:
            self._tell_hop(seq)

    def wants(self, count: int) -> None:
        """Note that it has room for *count* requests more."""
        self._credit += count

    def feed(self, *, is_all: bool) -> None:
        """Send requests, as far as it has room for them; raises OSError.

        If no more will come (*is_all*), tell it so once it has them all.
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
        self._hops[away.seq] = away.job.copy(), monotonic()
        self._tell_hop(away.seq)

    def introduce(self, target: Target) -> None:
        """Tell it of a host that answered another worker, unless it knows one already."""
        if self._ready and not self._knows_live_host:
            self._knows_live_host = True
            self.tell(Alive(target))

    def settle(self, seq: int) -> None:
        """Forget the request *seq*: it has its outcome, or another worker."""
        if self._hops.pop(seq, None) is None:
            self.outbox.settle(seq)

    def tell(self, message: Message) -> None:
        """Send *message*, if the worker is there; a later one is told by `greet`."""
        if self._ready and self._link is not None:
            self._link.send(encode(message))

    def end(self, word: Stop | Abort | Finish) -> None:
        """Have the worker end as *word* says; one that was given nothing yet ends at once."""
        if self._ready:
            self.tell(word)
        else:
            self.kill()

    def died(self) -> None:
        """Have what the worker was given sent to the next one."""
        self._worker = None
        self._credit = 0
        self.fruitless_deaths += 1
        self.last = Tick()
        self.outbox.rewind()

    def _tell_hop(self, seq: int) -> None:
        job, since = self._hops[seq]
        self.tell(Hop(job, monotonic() - since))

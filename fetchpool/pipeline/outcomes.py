"""What `FetchPool.fetch` returns: the outcomes of one list, and an end however its loop is left.

    async for outcome in pool.fetch(urls):     made, and begun with the first outcome asked for
        break                                  nobody has it any more: its fetching ends

The pool knows the fetching, the consumer alone this handle: so the pool can tell that he has gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from fetchpool.model.values import Outcome
    from fetchpool.pipeline.fetching import Fetching
    from fetchpool.scheduling.backlog import Spill
    from fetchpool.sources import Batch, RequestReader


class RunningList:
    """One list that a pool is fetching, with all that is to be put away at its end."""

    def __init__(self, fetching: Fetching, spill: Spill[Any]) -> None:
        self.fetching = fetching
        self.loop = asyncio.get_running_loop()
        self.consumer: asyncio.Task[Any] | None = None
        """The task that asked for the last outcome, where that is known."""
        self.left = False
        """True once nobody can ask for another outcome."""
        self._spill = spill
        self._ending: asyncio.Task[None] | None = None

    @property
    def in_use(self) -> bool:
        """True if another task than this one may still ask for outcomes."""
        if self.left or self.is_ending or self.fetching.ended:
            return False
        if self.consumer is None:
            return True
        return not self.consumer.done() and self.consumer is not asyncio.current_task()

    def end(self) -> asyncio.Task[None]:
        """End the fetching and return the task that does; always the same one."""
        if self._ending is None:
            self._ending = self.loop.create_task(self._end(), name="fetchpool-end")
        return self._ending

    @property
    def is_ending(self) -> bool:
        """True once `end` was called."""
        return self._ending is not None

    async def _end(self) -> None:
        try:
            await self.fetching.aclose()
        finally:
            self._spill.close()


class Owner(Protocol):
    """The pool, as its lists see it."""

    def begin(self, reader: RequestReader) -> RunningList:
        """Begin a new list; RuntimeError where the pool has another in use."""

    async def make_way(self, running: RunningList) -> None:
        """Wait until everything but *running* has ended."""


class Outcomes(AsyncIterator["Outcome"]):
    """The outcomes of one list, in the order they end: an asynchronous iterator.

    A loop over it may be left at any time, by `break`, an exception or a cancellation: what was
    being fetched is cut off then, and the pool is free for the next list. Where somebody still
    holds the iterator, he may go on with it, until the pool begins another list.
    """

    def __init__(self, owner: Owner, reader: RequestReader) -> None:
        """Be made by `FetchPool.fetch`."""
        self._owner = owner
        self._reader = _Counted(reader)
        self._list: RunningList | None = None
        self._over = False

    @property
    def skipped(self) -> int:
        """Blank strings and comments among the URLs read so far."""
        return self._reader.skipped

    async def __anext__(self) -> Outcome:
        """Return the next outcome.

        Raises what went wrong on our side, or in the iterable, after the outcomes before it;
        RuntimeError where the pool fetches another list for somebody else, has begun another one
        since, or was left.
        """
        running = self._list
        if running is None:
            if self._over:
                raise StopAsyncIteration
            running = self._list = self._owner.begin(self._reader)
        self._refuse_if_ended(running)
        running.consumer = asyncio.current_task()
        await self._owner.make_way(running)
        try:
            return await anext(running.fetching)
        except Exception:  # not where the wait was cancelled: who asked may ask again
            self._refuse_if_ended(running)
            await self.aclose()
            raise

    def _refuse_if_ended(self, running: RunningList) -> None:
        if running.is_ending and not self._over:
            raise RuntimeError(
                "these outcomes have ended early: their pool has begun another list, or was left"
            )

    async def aclose(self) -> None:
        """End the fetching, wait until nothing of it is left; outcomes not yet taken are lost."""
        self._over = True
        if self._list is not None:
            await asyncio.shield(self._list.end())
        else:
            await self._reader.aclose()

    def __del__(self) -> None:
        running = self._list
        if running is not None and not running.is_ending:
            running.left = True
            # By whatever thread collects garbage; a loop that is closed has nothing left to end.
            with suppress(RuntimeError):
                running.loop.call_soon_threadsafe(running.end)


class _Counted:
    """A reader that counts the lines it skips."""

    def __init__(self, reader: RequestReader) -> None:
        self._reader = reader
        self.skipped = 0

    async def next_batch(self) -> Batch | None:
        batch = await self._reader.next_batch()
        if batch is not None:
            self.skipped += batch.skipped
        return batch

    async def aclose(self) -> None:
        await self._reader.aclose()

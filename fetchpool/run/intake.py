"""What of the list is still to be fetched: lines that an earlier run answered are passed over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from fetchpool.sources import Batch

if TYPE_CHECKING:
    from fetchpool.model.values import Request
    from fetchpool.output.ledger import Bitmap, Waiting
    from fetchpool.output.ledger.baseline import Baseline
    from fetchpool.output.ledger.claims import Claims
    from fetchpool.output.ledger.entries import Line
    from fetchpool.sources import RequestReader

Kept = Callable[["Line"], Awaitable[None]]
"""Takes the record that a request has of an earlier run, renumbered for today's ledger."""


class Remaining:
    """A reader of requests without those that have their answer."""

    def __init__(
        self,
        reader: RequestReader,
        done: Bitmap | None = None,
        waiting: Waiting | None = None,
        kept: Kept | None = None,
    ) -> None:
        """Pass over lines in *done*; give those that *waiting* has a record for to *kept*."""
        self._reader = reader
        self._done = done
        self._any_done = done is not None and len(done) > 0
        self._waiting = waiting
        self._kept = kept
        self._first: list[Batch] = []
        self._offset = 0
        self.baseline: Baseline | None = None
        """What the run before got, for a run that compares with it."""
        self.claims: Claims | None = None
        """Who has which of the names that lines wish for their files."""
        self.requests = 0
        """Requests of the list so far, those passed over included."""
        self.lines = 0
        """Lines of the list so far."""
        self.answered_before = 0
        """Requests so far whose answer is in the ledger as another list's: they get no record."""
        self.ended = False
        self.skipped = 0
        """Lines before the first request that are blank or comments."""

    async def find_first(self) -> bool:
        """Read until the first request, which stays to be read; return False if there is none."""
        while (batch := await self._reader.next_batch()) is not None:
            self.skipped += batch.skipped
            self.lines = batch.lines
            if batch.requests:
                self._first.append(Batch(batch.requests, self.skipped, batch.lines))
                return True
        return False

    async def next_batch(self) -> Batch | None:
        """Return the next requests that need an answer, or None at the end of the list."""
        batch = self._first.pop() if self._first else await self._reader.next_batch()
        if batch is None:
            self.ended = True
            return None
        return await self.take(batch)

    async def take(self, batch: Batch) -> Batch:
        """Return what of *batch*, the next of the list, needs an answer."""
        self.requests += len(batch.requests)
        self.lines = batch.lines
        requests = batch.requests
        if self._offset:
            requests = [replace(each, seq=each.seq + self._offset) for each in requests]
        if self.claims is not None:
            requests = self.claims.settled(requests)
        if self.baseline is not None:
            requests = await asyncio.to_thread(self.baseline.attach, requests, self._done)
        if self._done is not None:
            if self._any_done:
                done = self._done
                requests = [request for request in requests if request.seq not in done]
        elif self._waiting is not None and len(self._waiting):
            requests = [
                request
                for request in requests
                if request.is_sitemap or not await self._has_record(request)
            ]
        return replace(batch, requests=requests)

    def take_back(self, count: int = 1) -> None:
        """Count so many of the requests no more: they are nobody's, and get no record."""
        self.requests -= count

    async def _has_record(self, request: Request) -> bool:
        assert self._waiting is not None
        record = self._waiting.kept_for(
            request.seq, request.url, request.source, request.line, variant=request.variant
        )
        if record is None:
            return False
        assert self._kept is not None
        self.answered_before += self._waiting.in_place
        await self._kept(record)
        return True

    def set_aside(
        self,
        done: Bitmap | None,
        waiting: Waiting | None,
        kept: Kept | None,
        *,
        offset: int = 0,
    ) -> None:
        """Say which lines are answered, once the directory of the run is settled.

        Requests are numbered behind *offset* from now on.
        """
        self._done, self._waiting, self._kept = done, waiting, kept
        self._any_done = done is not None and len(done) > 0
        self._offset = offset

    async def aclose(self) -> None:
        """Stop reading."""
        await self._reader.aclose()


class Divided:
    """A reader of the requests of several shards, each without those that have their answer."""

    def __init__(
        self, whole: Remaining, parts: Mapping[int, Remaining], shard_of: Callable[[Request], int]
    ) -> None:
        """Read on in *whole*; *shard_of* says through which of *parts* a request goes."""
        self._whole = whole
        self._parts = parts
        self._shard_of = shard_of

    async def next_batch(self) -> Batch | None:
        """Return the next requests that need an answer, or None at the end of the list."""
        batch = await self._whole.next_batch()
        if batch is None:
            for part in self._parts.values():
                part.ended = True
            return None
        found: dict[int, list[Request]] = {index: [] for index in self._parts}
        for request in batch.requests:
            found[self._shard_of(request)].append(request)
        left = [
            await self._parts[index].take(replace(batch, requests=requests))
            for index, requests in found.items()
        ]
        return replace(batch, requests=[request for each in left for request in each.requests])

    async def aclose(self) -> None:
        """Stop reading."""
        await self._whole.aclose()

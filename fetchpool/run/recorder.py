"""Takes the outcomes of a run to where they are recorded: one ledger, or one for each shard.

                          ┌─▶ Recording ─▶ DEST/shard-00003-of-00064/results.jsonl
fetcher.batch() ─▶ Recorder
                          └─▶ Recording ─▶ DEST/shard-00019-of-00064/results.jsonl
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from fetchpool.run.trouble import OurTrouble

if TYPE_CHECKING:
    from fetchpool.model.values import Outcome, Request
    from fetchpool.pipeline.fetcher import Fetcher
    from fetchpool.reporting.stats import FailureGroup
    from fetchpool.run.counting import Counting
    from fetchpool.run.recording import Recording
    from fetchpool.run.telling import Telling
    from fetchpool.run.trouble import Trouble


class Recorder:
    """All recordings of a run."""

    def __init__(
        self,
        recordings: dict[int, Recording],
        telling: Telling,
        counting: Counting,
        shard_of: Callable[[Request], int] | None,
    ) -> None:
        """Record each outcome where *shard_of* says; None: there is one recording.

        *counting* has what all of *recordings* have recorded.
        """
        self._recordings = recordings
        self._counting = counting
        self._telling = telling
        self._shard_of = shard_of
        self.flushed_s = 0.0
        """How long it took to write down what was still to be written when all was fetched."""

    def __iter__(self) -> Iterator[Recording]:
        return iter(self._recordings.values())

    @property
    def begins_anew(self) -> bool:
        """Whether this command keeps nothing of an earlier run."""
        return all(each.begins_anew for each in self)

    async def settle(self) -> None:
        """Make the ledgers of an earlier run today's; raises what `Recording.settle` does."""
        for each in self:
            await each.settle()

    def start(self, on_trouble: Callable[[], None]) -> None:
        """Begin to write what gathers; *on_trouble* is called once fetching must end."""
        for each in self:
            each.start(on_trouble)

    async def record_all(self, fetcher: Fetcher) -> None:
        """Record outcomes until there are no more.

        Whatever ends that early, what was fetched is recorded, unless just that is the trouble.
        """
        recording = asyncio.ensure_future(self._record(fetcher))
        try:
            await asyncio.shield(recording)
        except OurTrouble as error:
            next(iter(self)).note(error)
            await fetcher.aclose()
        except asyncio.CancelledError:  # Ctrl-C in a program that doesn't have us watch signals
            fetcher.abort()
            with suppress(*OurTrouble):
                await recording
            for each in self:
                await each.rescue()
            raise
        began = monotonic()
        for each in self:
            await each.flush()
        self.flushed_s = monotonic() - began

    async def close(self, *, complete: bool) -> None:
        """Close the ledgers, finished if *complete*, and write the file of `--records`."""
        for each in self:
            await each.close(complete=complete)

    async def remove_leftovers(self, *, goes_on: bool) -> None:
        """Delete what no record names; see `Recording.remove_leftovers`."""
        for each in self:
            await each.remove_leftovers(goes_on=goes_on)

    async def finish_remote(self, *, complete: bool) -> None:
        """Send up what isn't in the object store yet, where DEST is in one."""
        for each in self:
            await each.finish_remote(complete=complete)

    async def list_handed_over(self) -> None:
        """List the redirects that another shard is to follow, where they are handed over."""
        for each in self:
            await each.list_handed_over()

    async def prune(self) -> int:
        """Move away the bodies of URLs that have left the list; return how many."""
        return sum([await each.prune() for each in self])

    def abort(self, fetcher: Fetcher) -> None:
        """Cut off what runs, and wait for no reader of records."""
        fetcher.abort()
        for each in self:
            each.give_up()

    async def failures(self) -> list[FailureGroup]:
        """Return the failures by reason, those of all ledgers."""
        ledgers = [each.ledger for each in self if each.ledger is not None]
        return await self._counting.failures(ledgers)

    def end_with(self, trouble: Trouble) -> None:
        """Say that *trouble* ends the run, if nothing did before."""
        if self.trouble is None:
            next(iter(self)).trouble = trouble

    @property
    def trouble(self) -> Trouble | None:
        """Why it can't be recorded, if it can't be."""
        return next((each.trouble for each in self if each.trouble is not None), None)

    @property
    def left(self) -> int:
        """URLs that the list has no more, as far as the run compares with the one before."""
        return sum(each.left for each in self)

    async def _record(self, fetcher: Fetcher) -> None:
        while outcomes := await fetcher.batch():
            for recording, some in self._divided(outcomes):
                await recording.record(some)
            self._telling.warn_of_descriptors(fetcher.lowered_to)

    def _divided(self, outcomes: list[Outcome]) -> list[tuple[Recording, list[Outcome]]]:
        if self._shard_of is None:
            return [(next(iter(self)), outcomes)]
        parts: dict[int, list[Outcome]] = {}
        for outcome in outcomes:
            parts.setdefault(self._shard_of(outcome.request), []).append(outcome)
        return [(self._recordings[index], some) for index, some in parts.items()]

"""How many requests at once are best over all hosts, found while they run: `--limit auto`.

Which hosts answer changes all the time, and each has latencies of its own. So what is looked at is
by how much each host's differ from those it had one level before. Where they grow as fast as more
runs, it is our side that has enough, or what lies between: one host alone could not do that.

Pure: time is an argument called `now` (monotonic seconds).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fetchpool.scheduling.concurrency import Finder, logarithm_of

if TYPE_CHECKING:
    from fetchpool.model.attempts import Timeline

FIRST_LIMIT = 100
"""Requests at once over all hosts before anything is known: the default of `--limit`. With fewer, a
few hosts that don't answer would have all of them, and no answer would come."""


class Usual:
    """Latencies of a host at the level before, with which those at the present one are compared."""

    __slots__ = ("_answers", "_before", "_level", "_mean")

    def __init__(self) -> None:
        self._level = -1
        self._before: float | None = None
        self._answers = 0
        self._mean = 0.0

    def compared(self, logarithm: float, level: int) -> float | None:
        """Return how much a latency differs from those before *level*; None: there were none."""
        if level != self._level:
            if self._answers:
                self._before = self._mean
            self._level, self._answers, self._mean = level, 0, 0.0
        self._answers += 1
        self._mean += (logarithm - self._mean) / self._answers
        return None if self._before is None else logarithm - self._before


class Finding:
    """Finds the limit over all hosts, by what becomes of each host's own latencies.

    Hosts differ, and which of them answer changes all the time. Where all get slower at once as
    more runs, it is our side, or what lies between, that has enough.
    """

    def __init__(self, most: int) -> None:
        self._finder = Finder(most, FIRST_LIMIT, is_paired=True)

    @property
    def limit(self) -> int:
        """Requests in progress at most, over all hosts."""
        return self._finder.window

    @property
    def most(self) -> int:
        """What the limit may come to: less than at first if descriptors have run out."""
        return self._finder.most

    @property
    def found(self) -> int | None:
        """The limit that has been found to be the best so far; None = none was."""
        return self._finder.found

    def answered(
        self, timeline: Timeline, usual: Usual, limit: int, running: int, now: float
    ) -> int:
        """Take in an answer of a host, with what is *usual* there; return the new limit.

        *limit* is the present one: lower than it was if descriptors have run out meanwhile.
        """
        finder = self._finder
        if limit < finder.window:
            finder.bound(limit)
        is_full = running >= limit
        if not is_full or not finder.measures:
            return finder.answered(None, now, is_full=is_full)
        sent = timeline.started if timeline.sent is None else timeline.sent
        took_s = timeline.ended - sent  # the way to a connection is long for a host's first ones
        compared = usual.compared(logarithm_of(took_s), finder.level)
        return finder.answered(compared, now, is_full=True, weight=took_s)

"""A run over time from its records, in one pass and in flat memory.

Records come in any order, over any time: a second, or a month with an hour of work each night.
Buckets of a width that doubles hold what happened in each; only those in which something did exist,
so a long pause costs nothing, and the pause is left out of what is shown.

    add(began, ended, …) ──▶ buckets (at most 480) ──finish──▶ Timeline(moments, stretches)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fetchpool.reporting.report.values import Moment, Stretch, Timeline
from fetchpool.reporting.stats.buckets import percentile

MOMENTS: Final = 240
"""Most buckets that are shown."""
_FINEST: Final = 2.0**-4
"""Width of buckets at first, in seconds. Powers of two, so merging two is exact."""
_FEWEST_URLS: Final = 16
"""How many URLs a bucket should have on average: with fewer, chance is all that shows."""
_FEWEST: Final = 12

_IDLE_S: Final = 60.0
_IDLE_BUCKETS: Final = 20
"""Where nothing is going on for so long, a stretch ends."""

STEPS: Final = 10
"""Times are counted in buckets whose neighbours differ by 10.5 %."""


class Bucket:
    """What happened in a span of time."""

    __slots__ = ("began", "failed", "moment", "ok", "times", "wire_bytes")

    def __init__(self) -> None:
        self.ok = 0
        self.failed = 0
        self.wire_bytes = 0
        self.began = 0
        self.moment = 0.0
        """Sum of the times at which URLs were done, less those at which others were begun."""
        self.times: dict[int, int] = {}
        """How long the URLs that were done took, by bucket of `STEPS`."""

    def merge(self, other: Bucket) -> None:
        """Take in what happened in *other*."""
        self.ok += other.ok
        self.failed += other.failed
        self.wire_bytes += other.wire_bytes
        self.began += other.began
        self.moment += other.moment
        for number, count in other.times.items():
            self.times[number] = self.times.get(number, 0) + count


class TimelineMaker:
    """Counts what happened when; times are seconds from any origin, the same for all."""

    def __init__(self) -> None:
        self.width = _FINEST
        self.buckets: dict[float, Bucket] = {}
        """By the whole number of widths at which they begin."""

    def add(self, began: float, elapsed_s: float, ok: bool, wire_bytes: int, number: int) -> None:
        """Count a URL that was begun at *began* and took *elapsed_s*.

        *number* is the bucket of `STEPS` in which that is.
        """
        width = self.width
        buckets = self.buckets
        ended = began + elapsed_s
        index = ended // width
        bucket = buckets.get(index) or self._enter(index)
        if ok:
            bucket.ok += 1
        else:
            bucket.failed += 1
        bucket.wire_bytes += wire_bytes
        times = bucket.times
        times[number] = times.get(number, 0) + 1
        if began >= index * width:
            bucket.began += 1
            bucket.moment += elapsed_s
        else:
            bucket.moment += ended
            index = began // width
            bucket = buckets.get(index) or self._enter(index)
            bucket.began += 1
            bucket.moment -= began
        if len(buckets) > 2 * MOMENTS:
            self._coarsen(2 * MOMENTS)

    def _enter(self, index: float) -> Bucket:
        bucket = self.buckets[index] = Bucket()
        return bucket

    def _coarsen(self, most: int) -> None:
        """Double the width until there are at most *most* buckets."""
        while len(self.buckets) > most:
            old, self.buckets = self.buckets, {}
            self.width *= 2
            for index in sorted(old):
                bucket = self.buckets.get(index // 2)
                if bucket is None:
                    self.buckets[index // 2] = old[index]
                else:
                    bucket.merge(old[index])

    def finish(self, origin: float) -> Timeline:
        """Return what was counted; *origin* is when time 0 was, in seconds since the epoch."""
        urls = sum(bucket.ok + bucket.failed for bucket in self.buckets.values())
        self._coarsen(max(_FEWEST, min(MOMENTS, urls // _FEWEST_URLS)))
        moments: list[Moment] = []
        stretches: list[Stretch] = []
        before_s = 0.0
        for first, last, running in self._stretches():
            moments += self._moments(first, last, running, before_s)
            done = [b for i, b in self.buckets.items() if first <= i <= last]
            seconds = (last - first + 1) * self.width
            stretches.append(
                Stretch(
                    origin + first * self.width,
                    seconds,
                    sum(bucket.ok + bucket.failed for bucket in done),
                )
            )
            before_s += seconds
        return Timeline(before_s, self.width, tuple(moments), tuple(stretches))

    def _stretches(self) -> Iterator[tuple[float, float, int]]:
        """Yield the first and last bucket of each stretch, and what was going on before it."""
        idle = max(_IDLE_BUCKETS, _IDLE_S / self.width)
        running = before = 0
        first = last = None
        for index in sorted(self.buckets):
            if first is None or last is None:
                first = index
            elif not running and index - last > idle:
                yield first, last, before
                first, before = index, running
            last = index
            bucket = self.buckets[index]
            running += bucket.began - bucket.ok - bucket.failed
        if first is not None and last is not None:
            yield first, last, before

    def _moments(
        self, first: float, last: float, running: int, before_s: float
    ) -> Iterator[Moment]:
        """Yield what happened from bucket *first* to *last*, *running* URLs being begun already.

        A time in which nothing did is one moment, however long.
        """
        width = self.width
        previous = first - 1
        for index in sorted(index for index in self.buckets if first <= index <= last):
            at = before_s + (index - first) * width
            if index - previous > 1:
                yield Moment(at - (index - previous - 1) * width, 0.0, 0.0, 0.0, float(running))
            bucket = self.buckets[index]
            done = bucket.ok + bucket.failed
            # Each that was begun or went on fills the rest of the bucket, each that was done
            # gives the rest of it back.
            net = bucket.began - done
            area = running * width + net * (index + 1) * width + bucket.moment
            yield Moment(
                at,
                bucket.ok / width,
                bucket.failed / width,
                bucket.wire_bytes / width,
                max(0.0, area / width),
                percentile(bucket.times, 0.5, STEPS) if done else None,
                percentile(bucket.times, 0.9, STEPS) if done else None,
            )
            running += net
            previous = index

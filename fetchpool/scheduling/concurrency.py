"""How many requests at once are best, found while they run: `--per-host auto` and `--limit auto`.

    good answers ──▶ a step up, measured ──▶ kept if throughput grew, and the next
                          ▲                 └▶ else taken back
                          └── after a while: another step, up or down in turns

With as much running as may, throughput is what runs divided by the time that each takes (Little's
law). So a step from v to w requests at once gains log(w / v) in throughput, less what latencies
grew by (a difference of logarithms, too). This compares actual with expected throughput, as TCP
Vegas does (Brakmo and Peterson, IEEE JSAC 13(8), 1995), and is the gradient, long-term by
short-term latency, of Netflix's concurrency-limits (`Gradient2Limit` and `VegasLimit` of
github.com/Netflix/concurrency-limits). As there, latencies say nothing while fewer run than may.
Two things differ, as what is wanted is throughput, and a host has small and large bodies:

- Latencies are compared with those one step earlier, not with the least ever (Vegas), which small
  bodies decide, nor with an average over all levels (`Gradient2Limit`), which follows a queue up.
- What counts as growth depends on the noise of these very latencies; there it is a constant
  (a queue of 3 to 6 requests, or a factor of 1.5).

Pure: time is an argument called `now` (monotonic seconds).
"""

from __future__ import annotations

import math

SHORTEST_S = 1e-6
"""What a shorter latency is taken for."""

FIRST = 2
"""Requests at once before anything is known; see `host_health.FIRST_WINDOW`."""

WORTH = 0.15
"""What a step must gain, as a share of what it would if latencies stayed as they were. A doubling
that gains less brings at most 11 %."""

FIRST_STEP = 4.0
"""The size of the first step: from 2 to 8 after eight answers, as a fixed limit grows. Later ones
are doublings. Of all hosts together each is as large as the first: they are told apart sooner."""

STEP = 1.25
"""The size of a step once doubling has gained nothing: up, and by its inverse down."""

CLEAR = 1 / 3
"""The noise that is waited for, as a share of what the step could gain, before it is judged."""

ROUNDS_AT_MOST = 4
"""Rounds after which a step is judged in any case; in one, as many are answered as may run."""

ANSWERS_AT_LEAST = 4
"""Answers by which a step is judged at least."""

FREELY = 8
"""Up to so many at once a step is taken back only if it clearly gained nothing."""

FIRST_PATIENCE = 4
"""Rounds before a step is tried again; doubles with each that was taken back."""

MOST_PATIENCE = 64

ANSWERS_OF_LATE = 16
"""Answers, at least, by which it is told whether a host is slower or faster than before."""

MUCH = 0.4
"""By how much the logarithm of its latency has changed then, at least: by half of it."""

REMEMBERED = 16
"""Rounds over which latencies are averaged; what is older counts for less and less."""

FIRST_CALM_S = 8.0
"""How long no more is tried after a refusal; doubles with each, halves with each try without."""

SHORTEST_CALM_S = 2.0
LONGEST_CALM_S = 30.0


class Level:
    """Latencies with so many requests at once: mean and spread of their logarithms."""

    __slots__ = ("_squares", "_weight", "_weights", "answers", "mean", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.answers = 0
        """How many the mean is made of."""
        self.mean = 0.0
        self._weight = 0.0  # of all answers
        self._weights = 0.0  # squared, of all answers
        self._squares = 0.0

    def add(self, logarithm: float, weight: float = 1.0) -> None:
        """Take in the logarithm of a latency, which counts for so much."""
        most = max(ANSWERS_AT_LEAST, REMEMBERED * self.window)
        if self.answers < most:
            self.answers += 1
        else:
            kept = 1.0 - 1.0 / most
            self._weight *= kept
            self._weights *= kept
            self._squares *= kept
        self._weight += weight
        self._weights += weight * weight
        off = logarithm - self.mean
        self.mean += off * weight / self._weight
        self._squares += weight * off * (logarithm - self.mean)

    @property
    def error(self) -> float:
        """The variance of the mean, as far as is known."""
        squares = max(0.0, self._squares)  # rounded
        return squares * self._weights / self._weight**3 if self.answers else 0.0


def logarithm_of(latency_s: float) -> float:
    """Return the logarithm of a latency, however short it is."""
    return math.log(max(latency_s, SHORTEST_S))


class Finder:
    """Finds how many requests at once are best, from the answers to those that ran."""

    __slots__ = (
        "_calm_s",
        "_calm_until",
        "_ceiling",
        "_factor",
        "_goal",
        "_grown",
        "_held",
        "_here",
        "_is_new",
        "_is_paired",
        "_is_up",
        "_lately",
        "_least",
        "_patience",
        "_seen",
        "_slowly",
        "_stale",
        "_stride",
        "found",
        "level",
        "most",
        "window",
    )

    def __init__(self, most: int, first: int = FIRST, *, is_paired: bool = False) -> None:
        """Begin with *first* requests at once; never let more than *most* run.

        *is_paired*: latencies are relative already to what they were one level before.
        """
        self.most = most
        self.window = min(first, most)
        """How many requests may run at once."""
        self.level = 0
        """The number of the level that is measured, counted on with each that begins."""
        self.found: int | None = None
        """The window that the last step judged has shown to be the best; None = none was."""
        self._is_paired = is_paired
        self._is_new = True  # every step so far has led up
        self._least = self.window
        self._goal = self.window  # where the present step leads
        self._here = Level(self.window)
        self._lately = Level(self.window)
        self._held: Level | None = None  # what a step is compared with; None: none is under way
        self._is_up = True  # which way the present step leads, or the next one will
        self._factor = FIRST_STEP
        self._stride = FIRST_STEP if is_paired else 2.0
        self._stale = 0  # answers to come of requests sent before this level was reached
        self._seen = 0  # answers since those
        self._patience = 1
        self._ceiling: int | None = None  # the most that the host has not refused
        self._calm_s = FIRST_CALM_S
        self._calm_until = 0.0
        self._slowly = False  # after a refusal: one more a round, not with each answer
        self._grown = 0

    def answered(
        self, logarithm: float | None, now: float, *, is_full: bool, weight: float = 1.0
    ) -> int:
        """Take in a good answer; return how many requests may run at once.

        *logarithm* is that of its latency, which counts for *weight*; None where there is nothing
        to compare it with. *is_full*: as many were running as might.
        """
        if not is_full:
            return self.window
        if self.window < self._goal:
            self._grow(now)
        elif self._stale:
            self._stale -= 1
        else:
            self._seen += 1
            if logarithm is not None:
                self._here.add(logarithm, weight)
                self._lately.add(logarithm, weight)
            if self._held is not None:
                self._look(self._held, now)
            elif self._seen >= self._patience * self.window:
                self._step(now)
            else:
                self._compare_lately()
        return self.window

    @property
    def measures(self) -> bool:
        """True while the next good answer says something of the present level."""
        return self.window >= self._goal and not self._stale

    def refused(self, now: float) -> int:
        """Halve the window, as the host refused a request; return it.

        It grows back to below what was refused; more than that is tried once it has been calm.
        """
        before, held = self.window, self._held
        self.window = max(1, before // 2)
        below = before - 1 if held is None else min(before - 1, held.window)
        if self._ceiling is not None and now >= self._calm_until:  # it was tried again in vain
            self._calm_s = min(LONGEST_CALM_S, 2.0 * self._calm_s)
        self._ceiling = max(self.window, below)
        self._calm_until = now + self._calm_s
        self._factor = STEP
        self._patience = FIRST_PATIENCE
        self._is_up = True
        self._is_new = False
        self._slowly = True
        self.found = self._ceiling
        self._go_to(self._ceiling, Level(self._ceiling))
        return self.window

    def lost(self) -> None:
        """Go back to one request at a time, as the host can't be reached; it will grow again."""
        self.window = 1
        self._held = None
        self._here = Level(self._goal)

    def bound(self, most: int) -> int:
        """Never let more than *most* run from now on; return how many may."""
        self.most = most
        if self.window > most or self._goal > most:
            self.window = min(self.window, most)
            self._held = None
            self._goal = most
            self._here = Level(most)
        return self.window

    def _go_to(self, goal: int, level: Level) -> None:
        """Measure *level* once *goal* requests run at once; nothing else is under way."""
        was = self.window
        self.window = min(was, goal)
        self._held = None
        self._goal = goal
        self._here = level
        self._grown = 0
        if self.window >= goal:
            self._begin(was)

    def _grow(self, now: float) -> None:
        """Let one more run: never more than one an answer, one a round after a refusal."""
        self._grown += 1
        if not self._slowly or self._grown >= self.window:
            self._grown = 0
            self.window += 1
            if self.window >= self._goal:
                self._begin()

    def _begin(self, was: int = 0) -> None:
        """Measure the level that has been reached; until now *was* requests ran at once."""
        self._slowly = False
        # Not told by when they were sent: of those sent since, quick answers come first.
        self._stale = max(self.window, was)
        self._seen = 0
        self._lately = Level(self.window)
        self.level += 1

    def _step(self, now: float) -> None:
        """Begin a step in the direction whose turn it is, if it leads anywhere."""
        window, here = self.window, self._here
        if self._is_up:
            goal = min(self._highest(now), max(window + 1, math.ceil(window * self._factor)))
        else:
            goal = max(min(self._least, window), min(window - 1, int(window / STEP)))
        if goal == window:
            self._turn()
            return
        self._goal = goal
        self._held = Level(window) if self._is_paired else here
        self._here = Level(goal)
        self._grown = 0
        if goal < window:
            self.window = goal
            self._begin(window)

    def _highest(self, now: float) -> int:
        """Return the most that may be tried at *now*."""
        ceiling = self._ceiling
        if ceiling is None:
            return self.most
        return min(self.most, max(self.window, ceiling + (now >= self._calm_until)))

    def _turn(self) -> None:
        """Have the next step lead the other way."""
        self._is_up = not self._is_up
        self._factor = STEP
        self._seen = 0
        self._patience = max(FIRST_PATIENCE, self._patience)

    def _compare_lately(self) -> None:
        """Measure the level anew if the host is slower or faster of late: then a step is soon due.

        Called after each answer while no step is under way; looks once a round.
        """
        lately, here = self._lately, self._here
        if lately.answers < max(self.window, ANSWERS_OF_LATE):
            return
        self._lately = Level(self.window)
        change = lately.mean - here.mean
        if abs(change) > MUCH + 2.0 * math.sqrt(lately.error + here.error):
            self._is_up = change < 0.0
            self._factor = STEP
            self._patience = FIRST_PATIENCE
            self._here = Level(self.window)
            self._begin()

    def _look(self, held: Level, now: float) -> None:
        """Judge the step from *held* once there are answers enough to do so."""
        here, is_up = self._here, self._is_up
        needed = max(ANSWERS_AT_LEAST, self.window)
        is_late = self._seen >= ROUNDS_AT_MOST * needed
        if here.answers < needed and not is_late:
            return
        low, high = (held, here) if is_up else (here, held)
        could = math.log(high.window / low.window)
        gain = could - (high.mean - low.mean)
        noise = math.sqrt(low.error + high.error)
        if not is_late and noise > max(CLEAR * could, abs(gain - could / 2)):
            return
        # Of few answers nothing is clear, and few requests at once do no harm.
        is_free = self._is_new and here.window <= FREELY
        least = could * WORTH + (-noise if is_free else noise)
        has_grown = not here.answers or gain >= min(could / 2, least)
        if has_grown is is_up:
            self._keep(now)
        else:
            self._take_back(held, is_clear=noise <= CLEAR * could)

    def _keep(self, now: float) -> None:
        """Stay where the step led, and go on from there."""
        self.found = window = self.window
        self._held = None
        self._patience = FIRST_PATIENCE
        if self._is_up:
            self._factor = min(self._stride, self._factor**2)
            if self._ceiling is not None and window > self._ceiling:
                self._lift(window, now)
        self._step(now)

    def _take_back(self, held: Level, *, is_clear: bool) -> None:
        """Go back to the level before the step; if that wasn't *is_clear*, it is tried again."""
        self.found = held.window
        self._is_new = False
        if is_clear or not self._is_up:
            self._patience = min(MOST_PATIENCE, 2 * self._patience)
            self._turn()
        else:
            self._factor = min(self._stride, self._factor)
            self._patience = FIRST_PATIENCE
        self._go_to(held.window, held)

    def _lift(self, window: int, now: float) -> None:
        """Take *window* for what the host doesn't refuse, and wait before more is tried."""
        self._ceiling = window
        self._calm_s = max(SHORTEST_CALM_S, self._calm_s / 2)
        self._calm_until = now + self._calm_s

"""Which changes of the settings make a list faster: each measured in turns with the best so far.

Pure but for what measures: a test gives it a model of hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median

import msgspec

from fetchpool.config import Config
from fetchpool.model.slot_time import DOING, SlotTime
from fetchpool.run.tuning.trial import Measured

ROUNDS = 2
"""Trials of the best settings so far, and of a change, before they are compared."""

CLEAR_GAIN = 1.1
"""Times as many URLs a second, from which on a change may be worth it; its slowest trial must also
be faster than the fastest without it."""

MOST_PER_HOST = 64
MOST_AT_ONCE = 1024

WORTH_TRYING = 0.1
"""The share of slot time that a limit must cost before a higher one is tried."""

BUSY = 0.6
"""Of its time that the event loop is busy, from which on more processes are tried."""

PARTS_OF_BUDGET = 20
"""A trial takes this part of the budget."""

Measure = Callable[[Config, int], Measured | None]


class Change(msgspec.Struct, frozen=True):
    """A change of one setting."""

    option: str
    """As it is written on a command line."""
    config: Config


class Step(msgspec.Struct, frozen=True):
    """What a change brought."""

    option: str
    """Empty: nothing was changed, these are the settings to begin with."""
    rates: tuple[float, ...]
    """URLs a second, by trial."""
    before: tuple[float, ...] = ()
    """The same without the change, in turns with it."""
    is_kept: bool = False

    @property
    def rate(self) -> float:
        """The median of its rates."""
        return median(self.rates)

    @property
    def spread(self) -> float:
        """How far the rates are apart, as a share of the median."""
        return (max(self.rates) - min(self.rates)) / self.rate if self.rate else 0.0

    @property
    def ratio(self) -> float:
        """Times as fast as without the change; 1 for the settings to begin with."""
        before = median(self.before) if self.before else self.rate
        return self.rate / before if before else 1.0


class Found(msgspec.Struct, frozen=True):
    """What the search came to."""

    config: Config
    options: tuple[str, ...]
    """The changes that are worth it, in the order they were found."""
    steps: tuple[Step, ...]
    time: SlotTime
    """Where the time goes with the settings found."""
    is_whole: bool
    """False if the budget, or the sample, ended before everything was tried."""


class OutOfBudgetError(Exception):
    """There are no requests left to try more."""


def search(config: Config, measure: Measure, count: int, cores: int) -> Found | None:
    """Return the settings found, beginning with *config*; None if nothing could be measured.

    *measure* makes a trial of so many URLs; None means that it may make no more.
    """
    work = _Search(config, measure, count)
    try:
        work.begin()
    except OutOfBudgetError:
        return None
    is_whole = True
    try:
        for changes in (_more_per_host, _more_at_once, _other_connections):
            work.try_all(changes)
        if cores > 1:
            work.try_all(_more_processes)
    except OutOfBudgetError:
        is_whole = False
    return Found(work.best, tuple(work.options), tuple(work.steps), work.time, is_whole)


class _Search:
    """What has been tried so far."""

    def __init__(self, config: Config, measure: Measure, count: int) -> None:
        self.best = config
        self.options: list[str] = []
        self.steps: list[Step] = []
        self.time = SlotTime()
        self._measure = measure
        self._count = count
        self._rates: list[float] = []

    def begin(self) -> None:
        """Measure the settings to begin with."""
        trials = [self._trial(self.best) for _ in range(ROUNDS)]
        self.time, self._rates = trials[-1].time, [each.rate for each in trials]
        self.steps.append(Step("", tuple(self._rates), is_kept=True))

    def try_all(self, changes: Callable[[Config, SlotTime], Iterator[Change]]) -> None:
        """Try *changes* of the best settings, and again of what is better, until nothing is."""
        improved = True
        while improved:
            improved = False
            for change in changes(self.best, self.time):
                if self._try(change):
                    improved = True
                    break

    def _try(self, change: Change) -> bool:
        """Measure *change* in turns with the best settings so far; keep it if it is better."""
        with_it = [self._trial(change.config)]
        before = self._rates[-1:]
        while len(with_it) < ROUNDS:
            before.append(self._trial(self.best).rate)
            with_it.append(self._trial(change.config))
        rates = [each.rate for each in with_it]
        is_better = median(rates) >= CLEAR_GAIN * median(before) and min(rates) > max(before)
        self.steps.append(Step(change.option, tuple(rates), tuple(before), is_better))
        if is_better:
            name = change.option.split()[0]
            self.options = [each for each in self.options if each.split()[0] != name]
            self.options.append(change.option)
            self.best, self._rates, self.time = change.config, rates, with_it[-1].time
        return is_better

    def _trial(self, config: Config) -> Measured:
        measured = self._measure(config, self._count)
        if measured is None:
            raise OutOfBudgetError
        return measured


def _share(time: SlotTime, *parts: str) -> float:
    return sum(time.parts.get(part, 0.0) for part in parts) / time.slot_s if time.slot_s else 0.0


def _more_per_host(config: Config, time: SlotTime) -> Iterator[Change]:
    limit = _number(config.per_host)
    most = min(MOST_PER_HOST, _number(config.limit) or MOST_AT_ONCE)
    if 0 < limit < most and _share(time, "per_host") >= WORTH_TRYING:
        more = min(most, 2 * limit)
        yield Change(f"--per-host {more}", replace(config, per_host=more))


def _more_at_once(config: Config, time: SlotTime) -> Iterator[Change]:
    limit = _number(config.limit)
    is_full = _share(time, *DOING) >= 1 - 2 * WORTH_TRYING
    if 0 < limit < MOST_AT_ONCE and is_full:
        more = min(MOST_AT_ONCE, 2 * limit)
        yield Change(f"--limit {more}", replace(config, limit=more))


def _number(limit: int | str) -> int:
    """Return *limit*; 0 where it finds itself."""
    return limit if isinstance(limit, int) else 0


def _other_connections(config: Config, _: SlotTime) -> Iterator[Change]:
    if config.force_close:
        yield Change("--no-force-close", replace(config, force_close=False))
    elif config.keepalive is None:
        yield Change("--force-close", replace(config, force_close=True))


def _more_processes(config: Config, time: SlotTime) -> Iterator[Change]:
    if config.workers == 1 and time.busiest >= BUSY and not config.asks_robots:
        yield Change("--workers 0", replace(config, workers=0))

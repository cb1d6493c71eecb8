"""The account of a run's slots, made ready for tables and charts: over all of its commands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from fetchpool.model.slot_time import DOING, FREE, PARTS, RunAccount, together

SPANS: Final = 300
"""Most points of the chart over time."""
_PARTS_SHOWN: Final = 9
"""Parts with an area of their own; the rest is one."""


class Part(NamedTuple):
    """A part of the slot time of all commands."""

    name: str
    words: str
    doing: bool
    """A request was held; else the slot was free."""
    seconds: float
    share: float


class Span(NamedTuple):
    """Slots over a span of time."""

    at: float
    """Seconds of commands before it."""
    slots: Mapping[str, float]
    """How many were in each part, on average."""


class SlotsOverTime(NamedTuple):
    """What slots did over time."""

    seconds: float
    spans: Sequence[Span]
    parts: Sequence[str]
    """Those that took most, in the order of `PARTS`; `other` is the rest."""
    starts: Sequence[float]
    """Where the second and further commands begin."""


def parts_of(accounts: Sequence[RunAccount]) -> list[Part]:
    """Return the parts that took time, in their order."""
    time = together([account.time for account in accounts])
    whole = time.slot_s or sum(time.parts.values())
    return [
        Part(name, words_of(name), name in DOING, time.parts[name], time.parts[name] / whole)
        for name in PARTS
        if time.parts.get(name, 0.0) > 0.0 and whole > 0.0
    ]


def words_of(name: str) -> str:
    """Return a part in words."""
    return DOING.get(name) or FREE.get(name) or name


def over_time(accounts: Sequence[RunAccount]) -> SlotsOverTime | None:
    """Return what slots did, one command after the other; None where nothing was measured."""
    largest = sorted(parts_of(accounts), key=lambda part: -part.seconds)[:_PARTS_SHOWN]
    names = [name for name in PARTS if name in {part.name for part in largest}]
    spans: list[Span] = []
    starts: list[float] = []
    before_s = 0.0
    each = max(2, SPANS // max(1, len(accounts)))
    for account in accounts:
        if account.seconds <= 0.0:
            continue
        if spans:
            starts.append(before_s)
        spans += _spans(account, before_s, each)
        before_s += account.seconds
    if not spans or not names:
        return None
    shown = [Span(span.at, _shown(span.slots, names)) for span in spans]
    if any("other" in span.slots for span in shown):
        names.append("other")
    return SlotsOverTime(before_s, shown, names, starts)


def _shown(slots: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    found = {name: slots.get(name, 0.0) for name in names}
    rest = sum(slots.values()) - sum(found.values())
    return {**found, "other": rest} if rest > 1e-6 else found


def _spans(account: RunAccount, before_s: float, most: int) -> Iterator[Span]:
    """Yield up to about *most* spans of a command, which began *before_s* after the first."""
    samples = [(sample.at, sample.parts) for sample in account.samples if sample.at > 0.0]
    step = -(-len(samples) // most) or 1
    thinned = samples[step - 1 :: step]
    thinned.append((account.seconds, account.time.parts))
    at = 0.0
    so_far: Mapping[str, float] = {}
    for until, parts in thinned:
        if until <= at:
            continue
        grown = {
            name: max(0.0, seconds - so_far.get(name, 0.0)) / (until - at)
            for name, seconds in parts.items()
        }
        yield Span(before_s + at, grown)
        at, so_far = until, parts


def waited_for(accounts: Sequence[RunAccount]) -> dict[str, float]:
    """Return how many seconds times slots the run waited for each host it waited for most."""
    hosts = together([account.time for account in accounts]).hosts
    return {host.host: host.cost for host in hosts if host.cost}

"""The sink of a run of several shards: each body goes to the sink of its line's shard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from fetchpool.config.splitting import split_of
from fetchpool.model.bodies import (
    BodyWriter,
    Chunk,
    PartWriter,
    Representation,
    Sink,
    Stored,
)
from fetchpool.model.exchanges import Recording
from fetchpool.model.split import Split
from fetchpool.model.values import Earlier, Head, Outcome, Receipt, Target

if TYPE_CHECKING:
    from fetchpool.config import Config


def routed(sinks: Sequence[Sink], config: Config) -> Sink:
    """Return the sink of a run whose bodies go to *sinks*: one, or one for each shard of it."""
    if len(sinks) == 1:
        return sinks[0]
    split = split_of(config)
    assert split is not None
    indexes = [shard.index for shard in config.shard]
    return RoutedSink(dict(zip(indexes, sinks, strict=True)), split)


class RoutedSink(Sink):
    """Several sinks of one kind, by the numbers of their shards.

    What concerns a container (`recover`, `ends_with`) is asked of its own sink.
    """

    def __init__(self, sinks: dict[int, Sink], split: Split) -> None:
        self._sinks = sinks
        self._split = split
        some = next(iter(sinks.values()))
        # Class variables of a sink: here of the kind that the others are.
        self.appends = some.appends  # type: ignore[misc]
        self.takes_records = some.takes_records  # type: ignore[misc]
        self.keeps_messages = some.keeps_messages  # type: ignore[misc]
        self.has_containers = some.has_containers  # type: ignore[misc]

    def put(self, target: Target, head: Head, body: Chunk) -> Stored:
        return self._of(target).put(target, head, body)

    def open(self, target: Target, head: Head, about: Representation | None = None) -> BodyWriter:
        return self._of(target).open(target, head, about)

    def reopen(self, target: Target, url: str) -> PartWriter | None:
        return self._of(target).reopen(target, url)

    def recording(self, target: Target) -> Recording:
        return self._of(target).recording(target)

    def has(self, target: Target, earlier: Earlier) -> bool:
        return self._of(target).has(target, earlier)

    @property
    def behind(self) -> bool:
        return any(sink.behind for sink in self._sinks.values())

    def append(self, outcomes: Sequence[Outcome], records: Sequence[Any]) -> None:
        parts: dict[int, list[int]] = {}
        for place, outcome in enumerate(outcomes):
            parts.setdefault(self._split.shard_of(outcome.request), []).append(place)
        for shard, places in parts.items():
            some = [records[place] for place in places] if records else ()
            self._sinks[shard].append([outcomes[place] for place in places], some)

    def give_up(self) -> None:
        for sink in self._sinks.values():
            sink.give_up()

    def sync(self) -> None:
        for sink in self._sinks.values():
            sink.sync()

    def recover(self, receipts: Iterable[Receipt], *, goes_on: bool, anew: bool = False) -> None:
        raise NotImplementedError("each shard's sink recovers what is its own")

    def close(self) -> None:
        for sink in self._sinks.values():
            sink.close()

    def _of(self, target: Target) -> Sink:
        return self._sinks[self._split.shard_of_target(target)]

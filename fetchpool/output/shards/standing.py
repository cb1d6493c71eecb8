"""How the shards of a DEST stand, read without disturbing those that are on."""

from __future__ import annotations

from pathlib import Path

import msgspec

from fetchpool.model.shards import Shard
from fetchpool.output.ledger.checkpoint import read_checkpoint
from fetchpool.output.ledger.holding import is_held
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.standing import Standing, Totals
from fetchpool.output.ledger.state import FileStamp, read_state
from fetchpool.output.shards.finding import Shards

SILENT_S = 900.0
"""A shard that is on and has recorded nothing for so long is named: it may hang, or all its hosts
ask for patience."""

NOT_BEGUN, RUNNING, STOPPED, FINISHED = "not begun", "running", "stopped", "finished"


class ShardStanding(msgspec.Struct, frozen=True):
    """One shard at a moment."""

    shard: Shard
    phase: str
    """`not begun`, `running`, `stopped` (nobody is at it, and it is not finished) or `finished`."""
    totals: Totals = msgspec.field(default_factory=Totals)
    requests: int | None = None
    """URLs of it; None until it has read the list to its end."""
    lines: int = 0
    """Lines of the whole list; 0 as long as *requests* is None."""
    without_request: int = 0
    """Lines of the whole list that are no URL's: blank ones, comments, headers."""
    last_at: float | None = None
    """When the last record was written, in seconds since the epoch."""
    damaged: int = 0
    """Lines of the ledger that are no record."""

    @property
    def left(self) -> int | None:
        """URLs without a record; None until that is known."""
        return None if self.requests is None else max(0, self.requests - self.totals.records)

    def is_silent(self, now: float) -> bool:
        """Tell whether it is on, and has recorded nothing for long."""
        return self.phase == RUNNING and (self.last_at is None or now - self.last_at > SILENT_S)


def standings(shards: Shards) -> list[ShardStanding]:
    """Return how each of *shards* stands, in their order; raises OSError, `NotARunError`."""
    found = []
    for shard in shards:
        with shards.records_of(shard) as place:
            found.append(
                ShardStanding(shard, NOT_BEGUN) if place is None else standing_in(shard, place)
            )
    return found


def standing_in(shard: Shard, place: Path) -> ShardStanding:
    """Return how *shard*, whose records are in the directory *place*, stands.

    By its checkpoint and what came after, where that holds; else 1.1 µs a record. Raises OSError.
    """
    layout = Layout(place)
    is_running = is_held(layout)  # before the state: a run that ends meanwhile is then finished
    state = read_state(layout.state)
    standing = None
    if state is not None:
        standing = read_checkpoint(layout.checkpoint, layout.ledger, state.run)
    standing = standing or Standing()
    standing.read_on(layout.ledger)
    found = layout.ledger.stat()
    requests = None if state is None else state.requests
    is_whole = state is not None and (
        state.finished == FileStamp.of(found) or requests == standing.totals.records
    )
    return ShardStanding(
        shard,
        RUNNING if is_running else FINISHED if is_whole else STOPPED,
        standing.totals,
        requests,
        0 if state is None else state.lines,
        0 if state is None else state.without_request,
        found.st_mtime if standing.totals.records else None,
        standing.unfit,
    )


class Sum(msgspec.Struct, frozen=True):
    """What the standings of all shards come to."""

    totals: Totals
    urls: int | None
    """Of the whole list; None until some shard has read it to its end."""

    @property
    def left(self) -> int | None:
        """URLs without a record, of shards that have not begun, too; None until that is known."""
        return None if self.urls is None else max(0, self.urls - self.totals.records)


def sum_of(found: list[ShardStanding]) -> Sum:
    """Return what *found* come to."""
    totals = Totals()
    for each in found:
        part = each.totals
        totals.records += part.records
        totals.ok += part.ok
        totals.bytes += part.bytes
        totals.wire_bytes += part.wire_bytes
        for label, count in part.failed.items():
            totals.failed[label] = totals.failed.get(label, 0) + count
    totals.failed = dict(sorted(totals.failed.items(), key=lambda item: -item[1]))
    known = next((each for each in found if each.requests is not None), None)
    urls = None if known is None else known.lines - known.without_request
    return Sum(totals, urls)

"""Records whose bodies a loss of power has taken are dropped, so that those are fetched again.

A ledger may reach the disk a second or so before the container that its last records name. A
process that is killed leaves no such records.
"""

from __future__ import annotations

from pathlib import Path

from fetchpool.model.bodies import HasPlace
from fetchpool.output.ledger.files import LineWriter, sync_directory
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.receipts import places


def drop_lost(layout: Layout, has_place: HasPlace, *, fsync: bool) -> int:
    """Drop the records of bodies that *has_place* misses from the ledger; return how many.

    Also from the records that wait for their lines. To be called while nothing has them open.
    Raises OSError.
    """
    return sum(
        _drop_lost(path, has_place, fsync=fsync)
        for path in (layout.ledger, layout.waiting)
        if path.exists()
    )


def _drop_lost(path: Path, has_place: HasPlace, *, fsync: bool) -> int:
    lost = {at for at, _, place in places(path) if place is not None and not has_place(*place)}
    if not lost:
        return 0
    beside = path.with_name(f"{path.name}.new")
    with LineWriter(beside, fsync=fsync) as writer:
        for at, line, _ in places(path):
            if at not in lost:
                writer.write(line)
    beside.replace(path)
    if fsync:
        sync_directory(path.parent)
    return len(lost)

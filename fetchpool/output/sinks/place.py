"""`Place`: the directories of a run, as one of its processes opens a sink in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # the ledger reads bodies back
    from fetchpool.output.ledger.layout import Layout


class Place(NamedTuple):
    """The directories of a run, as one of its processes opens a sink in them."""

    layout: Layout
    is_foreign: Callable[[str], bool]
    """Tells whether a path relative to DEST was there before fetchpool."""
    directories: int = 64
    """How many directories may be kept open."""

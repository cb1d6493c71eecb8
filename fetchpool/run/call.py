"""`Call`: what a run was called with, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fetchpool.output.export import is_stream
from fetchpool.output.ledger.layout import LEDGER

if TYPE_CHECKING:
    from fetchpool.config import Config
    from fetchpool.sources import Sources


@dataclass(frozen=True, slots=True)
class Call:
    """A run before it has begun."""

    config: Config
    lists: Sources
    names: Sequence[str]
    """The lists and URLs as they were given."""
    title: str
    """What is fetched, for a person."""
    dest: Path | None
    """The run's directory; None where nothing stays on disk."""
    named: bool
    """Whether the user chose *dest*."""

    @property
    def ledger(self) -> Path | None:
        """Where the ledger is, where there is one."""
        return None if self.dest is None else self.dest / LEDGER

    @property
    def dest_text(self) -> str | None:
        """The directory for a person."""
        return None if self.dest is None else str(self.dest)

    @property
    def records_text(self) -> str | None:
        """Where the records can be found afterwards, for a person."""
        if self.dest is not None:
            return f"{self.dest}/{LEDGER}"
        records = self.config.records
        return None if records is None or is_stream(records) else records

"""`Call`: what a run was called with, and what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fetchpool.config.host_rules import altered
from fetchpool.output.export import is_stream

if TYPE_CHECKING:
    from fetchpool.config import Config
    from fetchpool.output.ledger.layout import Layout
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
    layout: Layout | None
    """Where the files of the run are; None where nothing stays on disk."""
    named: bool
    """Whether the user chose DEST."""
    root: Layout | None = None
    """DEST itself, where the run is one or several of its shards."""

    @property
    def parts(self) -> list[Call]:
        """The run as one for each of its shards; itself, without any."""
        root, config = self.root, self.config
        if root is None or not config.shard:
            return [self]
        return [
            replace(
                self,
                layout=root.below(shard.directory),
                config=altered(config, {"shard": (shard,)}),
            )
            for shard in config.shard
        ]

    @property
    def root_text(self) -> str | None:
        """What the user calls DEST."""
        return self.dest_text if self.root is None else self.root.name

    @property
    def dest(self) -> Path | None:
        """The directory of the bodies; None where nothing stays on disk."""
        return None if self.layout is None else self.layout.dest

    @property
    def ledger(self) -> Path | None:
        """Where the ledger is, where there is one."""
        return None if self.layout is None else self.layout.ledger

    @property
    def dest_text(self) -> str | None:
        """The directory for a person."""
        return None if self.layout is None else self.layout.name

    @property
    def records_text(self) -> str | None:
        """Where the records can be found afterwards, for a person."""
        if self.layout is not None:
            several = "/shard-*" if len(self.config.shard) > 1 else ""
            return f"{self.layout.home}{several}/{self.layout.ledger.name}"
        records = self.config.records
        return None if records is None or is_stream(records) else records

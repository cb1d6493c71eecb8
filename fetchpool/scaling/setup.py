"""What a worker is told at its start, and where bodies go."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass

from fetchpool.config import Config
from fetchpool.model.disposition import suggested_filename
from fetchpool.network.descriptors import make_budget
from fetchpool.output.ledger.checkpoint import boot_id
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.sinks.directory import DirectoryStore
from fetchpool.scaling.sharing import Share, shares


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker needs to know: the first message to it."""

    config: Config
    """Of the whole run."""
    share: Share
    layout: Layout | None
    """The run's directory; None where bodies are not stored."""
    spill_directory: str | None
    shows: bool
    """True if a display shows the hosts that hold things up."""

    def pack(self) -> bytes:
        """Return the message."""
        return pickle.dumps(self)


def setups_of(
    config: Config, layout: Layout | None, spill_directory: str | None, shows: bool
) -> list[Setup]:
    """Return what each worker of the run is told."""
    parts = shares(config, make_budget(config.limit).limit)
    return [Setup(config, part, layout, spill_directory, shows) for part in parts]


def unpack_setup(data: bytes) -> Setup:
    """Return what `Setup.pack` made *data* of."""
    setup = pickle.loads(data)  # noqa: S301 - our own parent's
    assert isinstance(setup, Setup)
    return setup


def open_bodies(
    config: Config, layout: Layout, is_foreign: Callable[[str], bool]
) -> DirectoryStore:
    """Return the store of a run's bodies; every process of the run has one of its own.

    Raises `StoreError`.
    """
    return DirectoryStore(
        layout.dest,
        is_foreign=is_foreign,
        durability=config.durability,
        directories=make_budget(config.limit).directories,
        filename_of=suggested_filename if config.content_disposition else None,
        boot=boot_id(),
    )

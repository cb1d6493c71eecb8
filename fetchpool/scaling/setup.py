"""What a worker is told at its start."""

from __future__ import annotations

import pickle
from dataclasses import dataclass

from fetchpool.config import Config
from fetchpool.network.descriptors import make_budget
from fetchpool.output.ledger.layout import Layout
from fetchpool.scaling.sharing import Share, shares


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker needs to know: the first message to it."""

    config: Config
    """Of the whole run."""
    share: Share
    layouts: tuple[Layout, ...]
    """The run's directory, or those of its shards (`Config.shard`); none: no body is stored."""
    spill_directory: str | None
    shows: bool
    """True if a display shows the hosts that hold things up."""
    record_keys: frozenset[str] = frozenset()
    """Which of the keys that not all records have are those of this run."""

    def pack(self) -> bytes:
        """Return the message."""
        return pickle.dumps(self)


def setups_of(
    config: Config,
    layouts: tuple[Layout, ...],
    spill_directory: str | None,
    shows: bool,
    record_keys: frozenset[str] = frozenset(),
) -> list[Setup]:
    """Return what each worker of the run is told."""
    parts = shares(config, make_budget(config.limit).limit)
    return [Setup(config, part, layouts, spill_directory, shows, record_keys) for part in parts]


def unpack_setup(data: bytes) -> Setup:
    """Return what `Setup.pack` made *data* of."""
    setup = pickle.loads(data)  # noqa: S301 - our own parent's
    assert isinstance(setup, Setup)
    return setup

"""What a worker is started with, and where bodies go."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Callable
from dataclasses import dataclass

from fetchpool.config import Config
from fetchpool.model.disposition import suggested_filename
from fetchpool.network.descriptors import make_budget
from fetchpool.output.ledger.checkpoint import boot_id
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.sinks.directory import DirectoryStore
from fetchpool.scaling.sharing import Share

_LENGTH_BYTES = 4


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker needs to know; goes to it pickled."""

    config: Config
    """Of the whole run."""
    share: Share
    layout: Layout | None
    """The run's directory; None where bodies are not stored."""
    spill_directory: str | None
    shows: bool
    """True if somebody looks at the hosts that hold things up."""


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


def packed_setup(setup: Setup) -> bytes:
    """Return *setup* as it goes to a worker, before any message."""
    data = pickle.dumps(setup)
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


def receive_setup(end: socket.socket) -> Setup:
    """Return what the parent sent; raises EOFError if it is gone."""
    length = int.from_bytes(_receive(end, _LENGTH_BYTES), "big")
    setup = pickle.loads(_receive(end, length))  # noqa: S301 - our own parent's
    assert isinstance(setup, Setup)
    return setup


def _receive(end: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = end.recv(count - len(data))
        if not piece:
            raise EOFError("the parent is gone")
        data += piece
    return bytes(data)

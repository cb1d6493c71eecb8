"""What of a run is in the store: `run.json` there, `remote.json` beside the state here."""

from __future__ import annotations

from pathlib import Path

import msgspec

from fetchpool.output.ledger.files import replace_file
from fetchpool.output.ledger.state import State
from fetchpool.output.remote.bucket import Bucket, Version
from fetchpool.output.remote.lease import FOLDER

MANIFEST = f"{FOLDER}/run.json"


class Part(msgspec.Struct, frozen=True):
    """Pieces that one session of a run put, from number 0 on."""

    session: str
    pieces: int | None = None
    """How many count; None, of the last part: all that follow each other."""

    def name(self, number: int) -> str:
        """Return the name of piece *number*."""
        return f"{FOLDER}/results-{self.session}-{number:06}.jsonl"


class Manifest(msgspec.Struct, frozen=True):
    """`run.json`: where the ledger is in the store, and the state that belongs to it."""

    state: State
    ledger: tuple[Part, ...]
    waiting: tuple[Part, ...] = ()
    """The records that wait for the lines of a stream."""
    previous: tuple[Part, ...] = ()
    """The ledger before it, where a run here has compared with that;"""
    carried: tuple[Part, ...] = ()
    """and the last good records that neither of them has."""
    left: tuple[Part, ...] = ()
    """The records of URLs that the list has no more."""
    archived: tuple[str, ...] = ()
    """WARCs that are kept although no record of today may name them."""

    @property
    def sessions(self) -> set[str]:
        """All whose pieces count."""
        every = (self.ledger, self.waiting, self.previous, self.carried, self.left)
        return {part.session for parts in every for part in parts}


class Published(msgspec.Struct):
    """`remote.json`: how much of the ledger here is in the store."""

    url: str
    """Of DEST: this directory is the state of no other."""
    holders: tuple[str, ...] = ()
    """Who may have taken the lease last: a process here, which is dead once the lock is ours."""
    session: str = ""
    run: str = ""
    """Which ledger: `State.run`."""
    offset: int = 0
    """Bytes of the ledger that are in pieces."""
    pieces: int = 0
    """How many pieces of the session there are."""
    is_cut: bool = False
    """Whether containers in the store hold nothing that the ledger doesn't name."""


def read_manifest(bucket: Bucket) -> tuple[Manifest, Version] | None:
    """Return `run.json`; None if there is none. Raises `RemoteStoreError`, msgspec.DecodeError."""
    found = bucket.read(MANIFEST)
    if found is None:
        return None
    return msgspec.json.decode(found.data, type=Manifest), found.version


def read_published(path: Path) -> Published | None:
    """Return what *path* says; None if it isn't there, or can't be understood."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Published)
    except (OSError, msgspec.DecodeError):
        return None


def write_published(path: Path, published: Published) -> None:
    """Put *published* down in one step. Raises OSError."""
    replace_file(path, msgspec.json.encode(published), fsync=False)

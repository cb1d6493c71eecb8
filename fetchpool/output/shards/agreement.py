"""`_shards.json`: what all shards of a DEST have in common, put down by the first of them."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec

from fetchpool.output.ledger.errors import CannotGoOnError, OutputError, output_errors
from fetchpool.output.ledger.files import LineWriter, sync_directory, write_all
from fetchpool.output.ledger.layout import SHARDS, Layout

NAMES_KEPT = 8
"""Lists that are named, for a person."""

_TRIES, _PAUSE_S = 100, 0.02


class ListedSource(msgspec.Struct, frozen=True, omit_defaults=True):
    """A list, as all shards see it."""

    name: str
    """Without its directory, which may differ from machine to machine."""
    size: int | None = None
    """Of a file, in bytes."""


class Agreement(msgspec.Struct, frozen=True):
    """What decides whose line is whose, and the limits that hold over all shards."""

    shards: int
    rules: str
    """How lines are divided, and the version of that: `split 1 by host`."""
    lists: int
    """How many there are."""
    first_lists: tuple[ListedSource, ...]
    digest: str
    """Of all of them, in their order: which numbers the lines have depends on it."""
    reading: dict[str, str]
    """Options that decide how a list is read, where they aren't the defaults."""
    limits: dict[str, str]


def digest_of(lists: Sequence[ListedSource]) -> str:
    """Return what tells *lists*, in their order, from others."""
    return blake2b(msgspec.json.encode(lists), digest_size=16).hexdigest()


def check(layout: Layout, agreement: Agreement, *, only_look: bool = False) -> None:
    """Put *agreement* down in DEST, *layout*, or compare it with what is there.

    Of several that begin at once, one is first. With *only_look* nothing is put down, and no object
    store is asked. Raises `CannotGoOnError`, which names what differs, and `OutputError`.
    """
    if only_look:
        there = None if layout.remote is not None else _read_there(layout)
        if there is not None:
            _compare(layout.name, _decoded(layout.name, there), agreement)
        return
    data = msgspec.json.format(msgspec.json.encode(agreement), indent=2) + b"\n"
    if layout.remote is not None:
        there = _create_object(layout, data)
    else:
        with output_errors(layout.dest):
            layout.dest.mkdir(parents=True, exist_ok=True)
            _check_no_run(layout)
            there = _create_file(layout.dest / SHARDS, data)
    if there is not None and there != data:
        _compare(layout.name, _decoded(layout.name, there), agreement)


def read(path: Path) -> Agreement | None:
    """Return what the file *path* says; None if there is none. Raises OSError, `OutputError`."""
    try:
        return _decoded(str(path.parent), path.read_bytes())
    except FileNotFoundError:
        return None


def decode(dest: str, data: bytes) -> Agreement:
    """Return what *data*, found in *dest*, says. Raises `OutputError`."""
    return _decoded(dest, data)


def _read_there(layout: Layout) -> bytes | None:
    with output_errors(layout.dest):
        _check_no_run(layout)
        path = layout.dest / SHARDS
        return path.read_bytes() if path.exists() else None


def _create_file(path: Path, data: bytes) -> bytes | None:
    """Make *path* hold *data* if it isn't there, whole from the first moment; else return it."""
    if not path.exists():
        beside = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
        try:
            with LineWriter(beside, fsync=True) as writer:
                writer.write(data)
            _link(beside, path, data)
        except FileExistsError:
            pass
        else:
            sync_directory(path.parent)
            return None
        finally:
            beside.unlink(missing_ok=True)
    return _read_whole(path)


def _link(beside: Path, path: Path, data: bytes) -> None:
    """Give the file *beside*, which holds *data*, the name *path*; raises FileExistsError."""
    try:
        os.link(beside, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)


def _read_whole(path: Path) -> bytes:
    """Return what *path* holds; without links, another one may be writing it just now."""
    for _ in range(_TRIES):
        data = path.read_bytes()
        if data.endswith(b"}\n"):
            break
        time.sleep(_PAUSE_S)
    return data


def _create_object(layout: Layout, data: bytes) -> bytes | None:
    from fetchpool.model.bodies import RemoteStoreError
    from fetchpool.output.remote.bucket import Bucket
    from fetchpool.output.remote.run import PATIENCE_AT_START_S

    assert layout.remote is not None
    bucket = Bucket(layout.remote, PATIENCE_AT_START_S)
    try:
        found = bucket.read(SHARDS)
        if found is None and bucket.create(SHARDS, data) is not None:
            return None
        found = found or bucket.read(SHARDS)
    except RemoteStoreError as error:
        raise OutputError(f"{error}") from error
    if found is None:
        raise OutputError(f"{layout.remote}/{SHARDS} was deleted while it was read: try again")
    return found.data


def _check_no_run(layout: Layout) -> None:
    if layout.private.exists() or layout.ledger.exists():
        raise CannotGoOnError(
            f"{layout.dest} holds the run of a whole list: choose another directory for shards "
            "with --output"
        )


def _decoded(dest: str, data: bytes) -> Agreement:
    try:
        return msgspec.json.decode(data, type=Agreement)
    except msgspec.DecodeError as error:
        raise OutputError(
            f"{dest}/{SHARDS} is none that this version understands: {error}"
        ) from error


def _compare(dest: str, there: Agreement, here: Agreement) -> None:
    """Raise `CannotGoOnError` for the first thing in which the two differ."""
    for what, first, second in (
        ("N", there.shards, here.shards),
        ("the rule", there.rules, here.rules),
        ("the list", _listed(there), _listed(here)),
        ("the digest of all lists", there.digest, here.digest),
        *_pairs(there.reading, here.reading),
        *_pairs(there.limits, here.limits),
    ):
        if first != second:
            raise CannotGoOnError(
                f"of the shards in {dest}, {what} is {first}; this command has {second}: give all "
                "shards the same, or choose another directory with --output"
            )


def _listed(agreement: Agreement) -> str:
    named = [
        each.name if each.size is None else f"{each.name} of {each.size:,} bytes"
        for each in agreement.first_lists
    ]
    more = agreement.lists - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _pairs(there: dict[str, str], here: dict[str, str]) -> list[tuple[str, str, str]]:
    none = "not given"
    names = dict.fromkeys((*there, *here))
    return [(name, there.get(name, none), here.get(name, none)) for name in names]

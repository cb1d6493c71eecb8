"""The shards that `merge` is told to bring together: those of one DEST, or of several directories.

DEST                         all N of it, there or not
A/DEST B/DEST                those that are there: each machine had a disk of its own
…/shard-00003-of-00064 …     the same, named one by one
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import msgspec

from fetchpool.model.shards import Shard, shard_named
from fetchpool.output.ledger.errors import NotARunError
from fetchpool.output.ledger.files import replace_file
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.shards.finding import Shards, shard_in, shards_at
from fetchpool.output.shards.merging import MANIFEST, Manifest, Part


class Gathered(msgspec.Struct):
    """What is to be merged."""

    parts: list[Part]
    count: int
    """N, as the first of them says."""
    manifest: str
    """Where the manifest goes: a path, or an object's whole name."""
    shards: Shards | None = None
    """Those of a DEST in an object store, where the manifest goes, too."""

    def write(self, manifest: Manifest) -> None:
        """Put *manifest* down in one step. Raises OSError, `RemoteStoreError`."""
        data = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
        if self.shards is None:
            replace_file(Path(self.manifest), data, fsync=True)
        else:
            self.shards.put(MANIFEST, data)


def gather(names: Sequence[str], manifest: str | None) -> Gathered:
    """Return what *names* mean; *manifest* is where to say what they came to, if not with them.

    Raises OSError, ValueError for no possible name, `NotARunError` where a name has no shard's run,
    `OutputError` where that can't be understood.
    """
    if len(names) == 1 and (shards := shards_at(names[0])) is not None:
        return _of_dest(shards, manifest)
    found: list[tuple[Shard, Path]] = []
    for name in names:
        found += _in_directory(name)
    if manifest is None:
        folder = os.path.commonpath([directory.parent.resolve() for _, directory in found])
        manifest = str(Path(folder, MANIFEST))
    base = Path(manifest).resolve().parent
    parts = [
        Part(
            shard,
            os.path.relpath(directory.resolve(), base),
            partial(_there, directory),
            partial(_size, directory),
        )
        for shard, directory in found
    ]
    return Gathered(parts, parts[0].shard.count, manifest)


def _of_dest(shards: Shards, manifest: str | None) -> Gathered:
    count = shards.agreed.shards
    if shards.is_remote:
        parts = [
            Part(
                shard,
                shard.directory,
                partial(shards.records_of, shard),
                partial(shards.size_of, shard),
            )
            for shard in shards
        ]
        return Gathered(parts, count, f"{shards.dest}/{MANIFEST}", shards)
    dest = Path(shards.dest)
    target = Path(manifest) if manifest is not None else dest / MANIFEST
    base = target.resolve().parent
    parts = [
        Part(
            shard,
            os.path.relpath((dest / shard.directory).resolve(), base),
            partial(shards.records_of, shard),
            partial(_size, dest / shard.directory),
        )
        for shard in shards
    ]
    return Gathered(parts, count, str(target))


def _in_directory(name: str) -> list[tuple[Shard, Path]]:
    """Return the shards whose runs are in the directory *name*, or below it."""
    directory = Path(name)
    if (own := shard_in(directory)) is not None:
        return [(own, directory)]
    below = [path for path in sorted(directory.iterdir()) if shard_named(path.name) is not None]
    found = [(shard, path) for path in below if (shard := shard_in(path)) is not None]
    if not found:
        raise NotARunError(f"{name} holds no shard's run")
    return found


@contextmanager
def _there(directory: Path) -> Iterator[Path | None]:
    yield directory if Layout(directory).ledger.exists() else None


def _size(directory: Path, name: str) -> int | None:
    try:
        return (directory / name).stat().st_size
    except OSError:
        return None

"""A run's ledger and state, made from what is in the store: on another machine, or after one."""

from __future__ import annotations

import errno
from pathlib import Path

from msgspec.structs import replace

from fetchpool.output.ledger.files import replace_file
from fetchpool.output.ledger.layout import Layout, remove
from fetchpool.output.ledger.state import State, write_state
from fetchpool.output.remote.bucket import Bucket
from fetchpool.output.remote.pieces import read_parts
from fetchpool.output.remote.published import Manifest, Part, Published
from fetchpool.output.sinks.containers import container_with, leftovers_of


def restore(
    bucket: Bucket,
    manifest: Manifest,
    layout: Layout,
    published: Published,
    *,
    earlier: bool = True,
) -> Published:
    """Make ledger and state of *layout* what *manifest* says; return what of it is in the store.

    Without *earlier*, what only a run needs that compares with earlier ones is left there.
    What was there is deleted, containers that had not gone up included: another run has gone on
    without them. Killed on the way, it is to be done again. Raises `RemoteStoreError`, OSError.
    """
    _remove_containers(layout)
    stale = (layout.checkpoint, layout.waiting, layout.previous, layout.carried, layout.left)
    for path in stale:
        remove(path)
    _restore_file(bucket, manifest.waiting, layout.next_waiting, layout.waiting)
    if earlier:
        _restore_file(bucket, manifest.previous, layout.next_previous, layout.previous)
        _restore_file(bucket, manifest.carried, layout.next_carried, layout.carried)
    _restore_file(bucket, manifest.left, layout.next_ledger, layout.left)
    size, pieces = read_parts(bucket, manifest.ledger, layout.next_ledger)
    _register(bucket, manifest.state, layout)
    archived = "".join(f"{name}\n" for name in manifest.archived).encode()
    replace_file(layout.archived, archived, fsync=False)
    layout.foreign.touch()
    layout.next_ledger.replace(layout.ledger)
    write_state(layout.state, manifest.state, fsync=False)
    session = manifest.ledger[-1].session
    run = manifest.state.run
    return replace(published, session=session, run=run, offset=size, pieces=pieces, is_cut=False)


def _restore_file(bucket: Bucket, parts: tuple[Part, ...], aside: Path, path: Path) -> None:
    if parts:
        read_parts(bucket, parts, aside)
        aside.replace(path)


def stored_state(state: State, *, waiting: bool) -> State:
    """Return *state* as it goes to the store: without what is true of this machine only."""
    return replace(state, finished=None, install=False, archive=False, waiting=waiting)


def registered(layout: Layout) -> list[str]:
    """Return the names of all containers that were ever begun here."""
    try:
        names = (layout.private / "containers").read_text("utf-8").split("\n")
    except FileNotFoundError:
        return []
    return [name for name in dict.fromkeys(names) if name]


def local_path(layout: Layout, name: str) -> Path:
    """Return where container *name* is while it is here. Raises OSError for no name of one."""
    if name.startswith("/") or ".." in name.split("/"):
        raise OSError(errno.EINVAL, "it is no path in DEST", name)
    return layout.dest / name


def _remove_containers(layout: Layout) -> None:
    for name in registered(layout):
        for path in leftovers_of(local_path(layout, name)):
            remove(path)


def _register(bucket: Bucket, state: State, layout: Layout) -> None:
    """Note the containers in the store, so that none gets its name again."""
    if state.body.store == "files":
        return
    stored = map(container_with, bucket.names(f"{state.body.store}/"))
    names = sorted({*stored} - {*registered(layout)})
    if names:
        with (layout.private / "containers").open("a", encoding="utf-8") as file:
            file.write("\n" + "\n".join(names) + "\n")

"""Containers on their way up: each goes when it is sealed and the ledger names all that is in it.

    DIR/tar/00000.tar ──put──▶ PREFIX/tar/00000.tar, then it is deleted here

A piece of the ledger names no container that isn't there. The opposite may be: a machine that is
lost has sent up containers, and not yet all pieces that name what is in them. Who goes on without
it brings those back, leaves in them what today's records name, and puts them in place (`cut`).
Only the process that holds the lease ships, those of its workers, too.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from fetchpool.model.bodies import RemoteStoreError, Sink
from fetchpool.model.values import Receipt
from fetchpool.output.ledger.entries import read_blocks
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.receipts import Placed, read_receipts
from fetchpool.output.remote.bucket import Bucket
from fetchpool.output.remote.restoring import local_path, registered
from fetchpool.output.remote.stored import bring
from fetchpool.output.sinks.containers import OPEN, files_with, sync_file
from fetchpool.output.sinks.segments import pieces_of

ROWS = "rows"
"""What an object says of itself, where it holds rows: how many."""
_LOOKS_AT_ONCE = 16

_decode = msgspec.json.Decoder(Placed).decode


class Shipping:
    """Sends sealed containers up. Methods raise OSError, `StoreError`, `LeaseLostError`."""

    def __init__(self, bucket: Bucket, layout: Layout, sink: Sink) -> None:
        self._bucket = bucket
        self._layout = layout
        self._sink = sink
        self._has_any = sink.has_containers
        self._scanned = 0
        self._last: dict[str, Receipt] = {}
        """The last body that the ledger names of each container that is here."""

    def ship_new(self) -> None:
        """Send up every container that is here and not there: each was cut, and sealed."""
        for name in self._sealed():
            if self._bucket.size(name) is None:
                self._ship(name)

    def replace(self) -> None:
        """Send up every container that is here, in the place of what is there of it.

        To be called once the store has today's ledger: an older one may name more.
        """
        for name in self._sealed():
            self._ship(name)

    def cut(self) -> None:
        """Leave in each container in the store what records name; as `replace`."""
        if not self._has_any:
            return
        extents = self._sink.extents(read_receipts(self._layout, earlier=True))
        sizes = self._stored()
        named = [name for name in extents if name in sizes]

        def exceeds(name: str) -> bool:
            return self._sink.exceeds(extents[name], sizes[name], partial(self._rows, name))

        with ThreadPoolExecutor(_LOOKS_AT_ONCE, "fetchpool-look") as pool:
            too_long = [
                name for name, is_so in zip(named, pool.map(exceeds, named), strict=True) if is_so
            ]
        for name in too_long:
            self._cut(name, extents[name])

    def ship_sealed(self) -> None:
        """Send up those containers whose bodies are all in the ledger."""
        sealed = self._sealed()
        if not sealed:
            return
        self._scan()
        ready = [name for name in sealed if name in self._last]
        ready = [name for name in ready if self._sink.ends_with(self._last[name])]
        if ready:  # a loss of power must not take records of what is there
            sync_file(self._layout.ledger)
        for name in ready:
            self._ship(name)

    def ready(self, data: bytes) -> int:
        """Return how many bytes of the lines *data* name only what is in the store."""
        if not self._has_any:
            return len(data)
        end = 0
        for line in data.splitlines(keepends=True):
            try:
                name = _decode(line).container
            except msgspec.DecodeError:
                name = None
            if name is not None and self._is_here(name):
                break
            end += len(line)
        return end

    def remove_unnamed(self, *, anew: bool) -> None:
        """Delete the containers in the store that no record names; what fails is left.

        Those of the run before stay, unless this one fetched everything *anew*.
        """
        if not self._has_any:
            return
        named = {each.container for each in read_receipts(self._layout, earlier=not anew)}
        with suppress(RemoteStoreError):
            stored = self._stored()
            for name in registered(self._layout):
                if name not in named and self._sink.may_go(name, anew=anew):
                    for each in (name, *files_with(name)):
                        if each in stored:
                            self._bucket.remove(each)

    def _cut(self, name: str, extent: Any) -> None:
        path, aside = local_path(self._layout, name), self._layout.private / "brought.new"
        bring(self._bucket, name, aside)
        path.parent.mkdir(exist_ok=True)
        aside.rename(path)
        self._sink.cut(name, extent)
        self._ship(name)

    def _stored(self) -> dict[str, int]:
        """Return the lengths of all objects in folders of containers."""
        found: dict[str, int] = {}
        for folder in sorted({name.rpartition("/")[0] for name in registered(self._layout)}):
            found |= self._bucket.sizes(f"{folder}/")
        return found

    def _rows(self, name: str) -> int | None:
        """Return how many rows an object says that it has."""
        found = self._bucket.look(name)
        told = "" if found is None else found.attributes.get(ROWS, "")
        return int(told) if told.isdecimal() else None

    def _sealed(self) -> list[str]:
        """Return the containers that are here, sealed, in the order in which they were begun."""
        if not self._has_any:
            return []
        names = registered(self._layout)
        return [name for name in names if local_path(self._layout, name).exists()]

    def _is_here(self, name: str) -> bool:
        path = local_path(self._layout, name)
        return path.exists() or path.with_name(path.name + OPEN).exists()

    def _scan(self) -> None:
        for block in read_blocks(self._layout.ledger, self._scanned):
            for line, entry in zip(block.lines(), block.entries, strict=True):
                if entry is None:
                    continue
                place = _decode(line).place
                if place is not None:
                    last = self._last.get(place[0])
                    if last is None or last.offset <= place[1]:
                        self._last[place[0]] = Receipt(*place)
            self._scanned = block.offset + len(block.data)

    def _ship(self, name: str) -> None:
        """Send up a container, and before it what goes with it; then delete both here."""
        rows = self._sink.rows_in(name)
        told = {} if rows is None else {ROWS: str(rows)}
        paths = [local_path(self._layout, each) for each in (*files_with(name), name)]
        for path, each in zip(paths, (*files_with(name), name), strict=True):
            self._bucket.put(each, partial(pieces_of, path, 0, None), path.stat().st_size, told)
        for path in paths:
            path.unlink()
        self._last.pop(name, None)

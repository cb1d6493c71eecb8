"""Containers on their way up: each goes when it is sealed and the ledger names all that is in it.

    DIR/tar/00000.tar ──put──▶ PREFIX/tar/00000.tar, then it is deleted here

So no container in the store has a body that no record names, whatever is killed, and a piece of the
ledger names none that isn't there. Only the process that holds the lease ships, those of its
workers, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from fetchpool.model.bodies import RemoteStoreError, Sink
from fetchpool.model.values import Receipt
from fetchpool.output.ledger.entries import read_blocks
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.receipts import Placed, read_receipts
from fetchpool.output.remote.bucket import Bucket
from fetchpool.output.remote.restoring import local_path, registered
from fetchpool.output.sinks.containers import OPEN
from fetchpool.output.sinks.segments import pieces_of

_decode = msgspec.json.Decoder(Placed).decode


class Shipping:
    """Sends sealed containers up. Methods raise OSError, `RemoteStoreError`."""

    def __init__(self, bucket: Bucket, layout: Layout, sink: Sink) -> None:
        self._bucket = bucket
        self._layout = layout
        self._sink = sink
        self._has_any = sink.has_containers
        self._scanned = 0
        self._last: dict[str, Receipt] = {}
        """The last body that the ledger names of each container that is here."""

    def ship_all(self) -> None:
        """Send up every container that is here: each was cut behind its last record, and sealed."""
        if self._has_any:
            for name in list(self._sealed()):
                self._ship(name)

    def ship_sealed(self) -> None:
        """Send up those containers whose bodies are all in the ledger."""
        if not self._has_any:
            return
        self._scan()
        for name in list(self._sealed()):
            last = self._last.get(name)
            if last is not None and self._sink.ends_with(last):
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

    def remove_unnamed(self) -> None:
        """Delete the containers in the store that no record names; what fails is left."""
        if not self._has_any:
            return
        named = {each.container for each in read_receipts(self._layout, earlier=False)}
        folders = {name.rpartition("/")[0] for name in registered(self._layout)}
        with suppress(RemoteStoreError):
            for folder in sorted(folders):
                for name in self._bucket.names(f"{folder}/"):
                    if name not in named and name in set(registered(self._layout)):
                        self._bucket.remove(name)

    def _sealed(self) -> Iterator[str]:
        for name in registered(self._layout):
            if local_path(self._layout, name).exists():
                yield name

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
                    self._last[place[0]] = Receipt(*place)
            self._scanned = block.offset + len(block.data)

    def _ship(self, name: str) -> None:
        path: Path = local_path(self._layout, name)
        size = path.stat().st_size
        self._bucket.put(name, partial(pieces_of, path, 0, None), size)
        path.unlink()
        self._last.pop(name, None)

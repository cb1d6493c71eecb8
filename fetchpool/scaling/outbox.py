"""Requests on their way to one worker, kept until each has its outcome.

    add ──▶ open batch ──▶ sealed, in order ──next_batch──▶ sent ──settle──▶ gone
                               ▲                              │
                               └───────────── rewind ◀────────┘   the worker died

A worker may die with everything it was given, so what has no outcome yet can be sent again. What
doesn't fit in memory is in a temporary file, so memory stays flat even if half of a list of ten
million waits for one stuck host.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable

from fetchpool.model.values import Request
from fetchpool.scheduling.blocks import MAX_BLOCK, Block, BlockFile
from fetchpool.sources import Codec
from fetchpool.sources.codec import array_of, items_of

BATCH_REQUESTS = 512
BATCH_BYTES = 48 * 1024
"""A batch is sealed when it has so much, or when the worker wants it."""

IN_MEMORY = 8 * 1024 * 1024
"""Bytes of sealed batches kept in memory over all workers; the next ones are written to disk."""


class Shelf:
    """Where the outboxes of a run keep their batches: in memory, or in one temporary file.

    The file is made in *directory* (else the system's own) and goes with the process.
    """

    def __init__(
        self, directory: str | os.PathLike[str] | None, *, in_memory: int = IN_MEMORY
    ) -> None:
        self._file = BlockFile(directory)
        self._room = in_memory

    def put(self, data: bytes) -> bytes | list[Block]:
        """Keep *data*; return what `get` and `free` want. Raises OSError (disk full)."""
        if len(data) <= self._room:
            self._room -= len(data)
            return data
        blocks = []
        for start in range(0, len(data), MAX_BLOCK):
            piece = data[start : start + MAX_BLOCK]
            block = self._file.allocate(len(piece))
            self._file.write(block.offset, piece)
            block.written = len(piece)
            blocks.append(block)
        return blocks

    def get(self, kept: bytes | list[Block]) -> bytes:
        """Return what was put; raises OSError."""
        if isinstance(kept, bytes):
            return kept
        return b"".join(self._file.read(block.offset, block.written) for block in kept)

    def free(self, kept: bytes | list[Block]) -> None:
        """Forget what was put, and use its room again."""
        if isinstance(kept, bytes):
            self._room += len(kept)
            return
        for block in kept:
            self._file.free(block)

    def close(self) -> None:
        """Forget everything, and close the file."""
        self._file.close()


class _Batch:
    """Some requests that follow each other, as they go over the wire: a MessagePack array."""

    __slots__ = ("count", "first", "kept", "left", "resent")

    def __init__(self, first: int, count: int, kept: bytes | list[Block]) -> None:
        self.first = first
        """Number of its first request; others' are larger."""
        self.count = count
        self.left = count
        """Requests in it without an outcome."""
        self.kept = kept
        self.resent = False
        """True if some of it may have an outcome already when it is sent."""


class Outbox:
    """A queue of requests with growing `seq`, each kept until `settle` is called for it."""

    def __init__(
        self, shelf: Shelf, is_settled: Callable[[int], bool], codec: Codec | None = None
    ) -> None:
        """*is_settled* says of a `seq` whether its request need not be sent once more.

        *codec* packs them, that of a plain run if there is none.
        """
        self._pack = (codec or Codec()).pack
        self._shelf = shelf
        self._is_settled = is_settled
        self._open: list[bytes] = []
        self._open_bytes = 0
        self._open_first = 0
        self._batches: list[_Batch] = []
        self._sent = 0
        """How many of the batches are sent."""
        self.unsent = 0
        """Requests that are still to be sent, or to be sent again."""
        self.unsettled = 0
        """Requests without an outcome."""

    def add(self, request: Request) -> None:
        """Put *request* at the end. Raises OSError where the disk is full: then it is lost."""
        packed = self._pack(request)
        if not self._open:
            self._open_first = request.seq
        self._open.append(packed)
        self._open_bytes += len(packed)
        self.unsent += 1
        self.unsettled += 1
        if len(self._open) >= BATCH_REQUESTS or self._open_bytes >= BATCH_BYTES:
            self._seal()

    def next_batch(self) -> tuple[bytes, int] | None:
        """Return the next requests, encoded, and how many they are; None if all are sent."""
        while True:
            if self._sent == len(self._batches):
                if not self._open:
                    return None
                self._seal()
            batch = self._batches[self._sent]
            self._sent += 1
            data, count = self._shelf.get(batch.kept), batch.count
            if batch.resent:
                data, count = self._without_settled(data)
            self.unsent -= count
            if count:
                return data, count

    def settle(self, seq: int) -> None:
        """Forget the request *seq*: it was sent, and has its outcome or another worker."""
        index = bisect_right(self._batches, seq, key=_first) - 1
        batch = self._batches[index]
        batch.left -= 1
        self.unsettled -= 1
        if not batch.left:
            self._shelf.free(batch.kept)
            del self._batches[index]
            self._sent -= 1

    def rewind(self) -> None:
        """Have everything that is not settled sent again."""
        for batch in self._batches[: self._sent]:
            batch.resent = True
            self.unsent += batch.left
        self._sent = 0

    def _seal(self) -> None:
        items, self._open, self._open_bytes = self._open, [], 0
        kept = self._shelf.put(array_of(items))
        self._batches.append(_Batch(self._open_first, len(items), kept))

    def _without_settled(self, data: bytes) -> tuple[bytes, int]:
        items = [item for seq, item in items_of(data) if not self._is_settled(seq)]
        return array_of(items), len(items)


def _first(batch: _Batch) -> int:
    return batch.first

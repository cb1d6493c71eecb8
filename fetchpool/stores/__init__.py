"""Where bodies go: the interface every store keeps, and what can go wrong on our side.

    engine ──put(target, head, body)──────────────────────────▶ Stored     a body that came whole
    engine ──open(target, head)──▶ BodyWriter ──write…commit──▶ Stored     a body that streams
                                              └─discard                    nothing of it remains

One file a kind: `directory` keeps bodies as files, `memory` hands them back, `null` drops them.
"""

from __future__ import annotations

import errno
import os
from typing import Protocol, TypeAlias

import msgspec

from fetchpool.models import Head, Target

Chunk: TypeAlias = bytes | bytearray | memoryview
"""Bytes of a body; a memoryview must be one of single bytes."""


class Stored(msgspec.Struct, frozen=True, gc=False):
    """Where a body ended up; both None: it was dropped, as asked."""

    path: str | None = None
    """Relative to the store's root, parts joined by `/`."""
    body: bytes | None = None
    """The body itself, from a store that hands bodies back."""


class StoreError(Exception):
    """Trouble on our side: disk full, quota, I/O error, a directory gone or read-only.

    Never a URL's failure: the run stops, and the same command goes on later. The one passing kind
    is `out_of_descriptors`: nothing is wrong with the disk, fewer requests at a time will do.
    """

    def __init__(self, what: str, where: str, code: int) -> None:
        """Say that *what* ("cannot write") failed at *where* (a path) with errno *code*."""
        super().__init__(what, where, code)
        self.what = what
        self.where = where
        self.errno = code

    def __str__(self) -> str:
        return f"{self.what} {self.where}: {os.strerror(self.errno)}"

    @property
    def out_of_descriptors(self) -> bool:
        """True if this process (EMFILE) or the whole system (ENFILE) may open no further file."""
        return self.errno in (errno.EMFILE, errno.ENFILE)


class BodyWriter(Protocol):
    """A body on its way into a store; ends with one `commit` or `discard`."""

    def write(self, chunk: Chunk) -> None:
        """Take the body's next bytes; they may be reused after the call.

        Raises StoreError, after which nothing of the body remains.
        """
        ...

    def commit(self) -> Stored:
        """Give the complete body its final name, in one step, and return where it is.

        Raises StoreError, after which nothing of the body remains.
        """
        ...

    def discard(self) -> None:
        """Leave nothing of the body behind. May be called again, or after `commit`: no effect."""
        ...


class Store(Protocol):
    """A place for bodies.

    A store belongs to the process that made it, and all its methods but `sync` to one thread at a
    time. Bodies of one URL may be written at the same time: each commits whole, the last one stays.
    """

    def put(self, target: Target, head: Head, body: Chunk) -> Stored:
        """Store a complete body with one call; raises StoreError."""
        ...

    def open(self, target: Target, head: Head) -> BodyWriter:
        """Begin a body that comes in chunks; raises StoreError."""
        ...

    def sync(self) -> None:
        """Bring every body committed so far to stable storage, as far as the store promises that.

        To be called before the ledger syncs the records of these bodies. May block for long and may
        be called from another thread. Raises StoreError.
        """
        ...

    def close(self) -> None:
        """Free what the store holds; may be called again. Writers must have ended before."""
        ...

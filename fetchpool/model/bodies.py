"""Bodies on their way: the interface every store keeps, and what can go wrong on our side.

engine ──put(target, head, body)──────────────────────────▶ Stored     a body that came whole
engine ──open(target, head)──▶ BodyWriter ──write…commit──▶ Stored     a body that streams
              ▲                           ├─discard                    nothing of it remains
              └─── reopen(target) ◀───────└─suspend                    may be gone on with
"""

from __future__ import annotations

import errno
import os
from typing import Protocol, TypeAlias

import msgspec

from fetchpool.model.values import Head, Target

Chunk: TypeAlias = bytes | bytearray | memoryview
"""Bytes of a body; a memoryview must be one of single bytes."""


class Stored(msgspec.Struct, frozen=True, gc=False):
    """Where a body ended up; both None: it was dropped, as asked."""

    path: str | None = None
    """Relative to the store's root, parts joined by `/`."""
    body: bytes | None = None
    """The body itself, from a store that hands bodies back."""


class Representation(msgspec.Struct, frozen=True):
    """What exactly a body is the bytes of, so that one that broke off can be gone on with."""

    url: str
    """Of the hop that answered, without userinfo."""
    etag: str
    """A strong validator (RFC 9110 §8.8.1): the same one at the same URL means the same bytes."""
    total: int
    """Length of the whole body in bytes."""
    headers: tuple[tuple[str, str], ...] = ()
    """Fields that describe it and which the answer with the rest may leave out."""


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
    """A body on its way into a store; ends with one `commit`, `discard` or `suspend`."""

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

    def suspend(self) -> None:
        """Keep what came for `reopen`, if that is possible; else, and after `commit`: `discard`."""
        ...


class PartWriter(BodyWriter, Protocol):
    """A body that broke off: what is written comes after what there is."""

    @property
    def about(self) -> Representation:
        """What the bytes belong to."""
        ...

    @property
    def length(self) -> int:
        """How many bytes there were when it was reopened: at least 1, less than the whole."""
        ...

    def read(self, start: int, size: int) -> bytes:
        """Return up to *size* of the bytes there were, from *start* on; from any thread.

        Raises StoreError.
        """
        ...


class Store(Protocol):
    """A place for bodies.

    A store belongs to the process that made it, and all its methods but `sync` to one thread at a
    time. Bodies of one URL may be written at the same time: each commits whole, the last one stays.
    """

    def put(self, target: Target, head: Head, body: Chunk) -> Stored:
        """Store a complete body with one call; raises StoreError."""
        ...

    def open(self, target: Target, head: Head, about: Representation | None = None) -> BodyWriter:
        """Begin a body that comes in chunks; raises StoreError.

        With *about* it may be gone on with if it breaks off, should the store be able to.
        """
        ...

    def reopen(self, target: Target, url: str) -> PartWriter | None:
        """Return what there is of *target*'s body, as *url* answered; None if that is nothing.

        Nobody else gets it until that writer has ended. Raises StoreError.
        """
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

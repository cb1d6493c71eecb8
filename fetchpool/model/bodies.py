"""Where bodies go: what a store is, what a run asks of its sink beyond that, and `StoreError`.

http ──put(target, head, body)──────────────────────────▶ Stored   a body that came whole
http ──open(target, head)──▶ BodyWriter ──write…commit──▶ Stored   a body that streams
          ▲                           ├─discard                    nothing of it remains
          └─── reopen(target) ◀───────└─suspend                    may be resumed

outcomes ──append──▶ sink, then their records ──▶ ledger           in the ledger's order
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeAlias

import msgspec

from fetchpool.model.exchanges import Recording
from fetchpool.model.values import Earlier, Head, Outcome, Receipt, Target

Chunk: TypeAlias = bytes | bytearray | memoryview
"""Bytes of a body; a memoryview must be one of single bytes."""


class Stored(msgspec.Struct, frozen=True, gc=False):
    """Where a complete body is; all None: it was dropped, as the user asked."""

    path: str | None = None
    """Relative to the store's root, parts joined by `/`."""
    body: bytes | None = None
    """The body itself, from a store that returns bodies."""
    receipt: Receipt | None = None
    """Where the body is in a container; filled in by `Sink.append`."""


class Representation(msgspec.Struct, frozen=True):
    """Which bytes a body consists of, so that one that broke off can be resumed."""

    url: str
    """Of the hop that sent the response, without userinfo."""
    etag: str
    """A strong validator (RFC 9110 §8.8.1): at one URL, the same validator means the same bytes."""
    total: int
    """Length of the whole body in bytes."""
    headers: tuple[tuple[str, str], ...] = ()
    """Fields that describe the body and that a 206 response may leave out."""


class StoreError(Exception):
    """Trouble on our side: disk full, quota, I/O error, a directory gone or read-only.

    It is never a URL's failure: the run stops, and the same command goes on later. Only
    `out_of_descriptors` is passing: the disk is fine, and fewer requests at a time will do.
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


class NoSuchBodyError(LookupError):
    """A record says of no body where it is."""


ReadBody: TypeAlias = Callable[[str | None, tuple[str, int, int] | None], Iterator[bytes]]
"""Yields the body of a record by its path, or by its container, offset and length. Raises OSError,
`NoSuchBodyError`."""


HasPlace: TypeAlias = Callable[[str, int, int], bool]
"""Tells whether a container, if it is there, holds what begins at an offset, and has a length."""


class Stock(Protocol):
    """What lies in an object store, for a run whose bodies are there (`output/remote/stock`)."""

    def bodies(self, paths: Collection[str]) -> Mapping[str, tuple[int, str | None]]:
        """Return length and SHA-256 of the bodies at *paths*, of those that are there.

        Raises `StoreError`.
        """
        ...

    def has_container(self, name: str) -> bool:
        """Tell whether a container is there. Raises `StoreError`."""
        ...


class RemoteStoreError(StoreError):
    """Trouble with an object store that lasted: refused, out of reach, or failing each time."""

    def __init__(self, what: str, where: str, reason: str) -> None:
        """Say that *what* ("cannot put") failed at *where* (`s3://…`), for the *reason* it gave."""
        super().__init__(what, where, errno.EIO)
        self.args = (what, where, reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.what} {self.where}: {self.reason}"


class BodyWriter(Protocol):
    """A body that is being stored; ends with one `commit`, `discard` or `suspend`."""

    def write(self, chunk: Chunk) -> None:
        """Take the next bytes of the body; the caller may reuse the memory after the call.

        Raises StoreError, after which nothing of the body remains.
        """
        ...

    def commit(self) -> Stored:
        """Complete the body and return where it is: a file gets its final name, in one step.

        A sink that appends returns a receipt, and keeps the body ready for `Sink.append`. Raises
        StoreError, after which nothing of the body remains.
        """
        ...

    def discard(self) -> None:
        """Leave nothing of the body behind. May be called again, or after `commit`: no effect."""
        ...

    def suspend(self) -> None:
        """Keep the bytes for `reopen` if that is possible; otherwise do what `discard` does."""
        ...


class PartWriter(BodyWriter, Protocol):
    """A body that broke off: what is written goes behind the bytes that are there."""

    @property
    def about(self) -> Representation:
        """Which body the bytes belong to."""
        ...

    @property
    def length(self) -> int:
        """How many bytes there were at `reopen`: at least 1, less than the whole body."""
        ...

    def read(self, start: int, size: int) -> bytes:
        """Return up to *size* of those bytes, from *start* on; may be called from any thread.

        Raises StoreError.
        """
        ...


class Store(Protocol):
    """A place for bodies. A program may give one of its own to `FetchPool(config, store=...)`.

    A store belongs to the process that made it. All methods but `sync` are called from one thread.
    Bodies of one URL may be written at the same time: each is committed whole, the last one stays.
    """

    def put(self, target: Target, head: Head, body: Chunk) -> Stored:
        """Store a complete body with one call; raises StoreError."""
        ...

    def open(self, target: Target, head: Head, about: Representation | None = None) -> BodyWriter:
        """Begin a body that comes in chunks; raises StoreError.

        *about* is given for a body that may be resumed if it breaks off; a store that can't resume
        ignores it.
        """
        ...

    def reopen(self, target: Target, url: str) -> PartWriter | None:
        """Return the suspended body of *target* that came from *url*; None if there is none.

        It is returned to nobody else until that writer has ended. Raises StoreError.
        """
        ...

    def sync(self) -> None:
        """Bring every body committed so far to stable storage, as far as the store promises that.

        Called before the ledger syncs the records of these bodies, from the ledger's thread. May
        take long. Raises StoreError.
        """
        ...

    def close(self) -> None:
        """Free what the store holds; may be called again. All writers have ended before."""
        ...


class Sink(Store):
    """The store of a run: what the ledger needs of it. The defaults are right for files.

    A sink of containers (files that hold many bodies and only grow) sets `appends` and writes each
    body in `append`, not in `commit`: what is committed may still be lost before it is recorded,
    and a container can be cut at its end only. `docs/architecture.md` has an example.
    """

    appends: ClassVar[bool] = False
    """Whether `append` does anything: if not, it is never called."""
    takes_records: ClassVar[bool] = False
    """Whether `append` looks at the records: else a worker process makes none."""
    keeps_messages: ClassVar[bool] = False
    """Whether the sink wants requests and responses as they go over the wire (`recording`)."""

    has_containers: ClassVar[bool] = False
    """Whether bodies go to files that hold many."""

    @property
    def behind(self) -> bool:
        """Whether too much waits for `append`: no further request starts while it is true."""
        return False

    def recording(self, target: Target) -> Recording:
        """Return where the response to one request for *target* is kept until `append`.

        Called for each attempt and each hop of a redirect, if the sink `keeps_messages`. What
        becomes an outcome comes back as `Receipt.exchanges`. Raises StoreError.
        """
        raise NotImplementedError

    def has(self, target: Target, earlier: Earlier) -> bool:
        """Tell whether the body that a run before stored for *target* is still there.

        It has its size then, and a name that *target*'s body may have today.
        """
        return False

    def keep(self, earlier: Earlier) -> Stored:
        """Return where the body of an earlier run is, which `has` has found: it stays as it is.

        A sink of containers copies it, so that each run's containers are complete.
        """
        return Stored(earlier.path)

    def append(self, outcomes: Sequence[Outcome], records: Sequence[Any]) -> None:
        """Write the bodies of *outcomes* to their containers and fill in their receipts.

        The outcomes are all that are about to be recorded, those without a body too, in the
        ledger's order. *records* are theirs (`output.ledger.record.Record`), without the places
        that the receipts will say; they are written to the ledger after the call. A receipt with a
        place is one that another process of the run has filled in: `sync` covers its container,
        too. Called in the ledger's thread, or where a worker process sends its outcomes. Raises
        StoreError: none of *outcomes* gets a record then, and the run ends.
        """

    def give_up(self) -> None:
        """Try nothing again from now on: the run is to end at once. From any thread."""

    def ends_with(self, last: Receipt) -> bool:
        """Tell whether nothing is behind *last* in its container, which is sealed.

        Only then may it leave this machine. Raises OSError.
        """
        return True

    def rows_in(self, name: str) -> int | None:
        """Return how many rows container *name* has, which is sealed; None: it is not of rows.

        Raises OSError.
        """
        return None

    def may_go(self, name: str, *, anew: bool) -> bool:
        """Tell whether container *name*, which no record names, is to be deleted.

        *anew* is as in `recover`.
        """
        return True

    def extents(self, receipts: Iterable[Receipt]) -> dict[str, Any]:
        """Return what *receipts* name of each container, as `exceeds` and `cut` take it.

        Containers that are left as they are in any case are not among them.
        """
        return {}

    def exceeds(self, extent: Any, size: int, rows: Callable[[], int | None]) -> bool:
        """Tell whether a sealed container of *size* bytes has more than an *extent*.

        *rows* returns what `rows_in` returned for it; it may ask an object store.
        """
        return False

    def cut(self, name: str, extent: Any) -> None:
        """Leave in the sealed container *name* what *extent* says. Raises StoreError, OSError."""

    def recover(self, receipts: Iterable[Receipt], *, goes_on: bool, anew: bool = False) -> None:
        """Remove what no record names: cut each container behind the last of *receipts* in it.

        *receipts* are those of all records, read from the disk as they are iterated. With
        *goes_on*, bodies that broke off are kept for `reopen`. Called at the start, before anything
        is stored, and at the end of a run that has fetched all; no other process stores bodies
        then. *anew* says that it is that end, and that no record of an earlier run was kept: their
        containers are needed no more. Raises StoreError, also where a container is shorter than its
        records say.
        """

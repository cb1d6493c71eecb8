"""What every form of a list can do: see `forms` for the table of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from fetchpool.sources.lines import BATCH, Batch, Origin

if TYPE_CHECKING:
    from fetchpool.sources.fetched import FetchedSitemaps


class Data(Protocol):
    """A list as bytes."""

    name: str
    """For a person."""
    fetched: FetchedSitemaps | None
    """What the run fetches for it; None where nothing is fetched, as before a run."""

    def blocks(self) -> Iterator[bytes]:
        """Read it from its start, unpacked, in blocks of at most `BLOCK` bytes."""

    def descriptor(self) -> int | None:
        """Return a descriptor of the file, as it is, that the caller closes; None: it is none."""


class Form(ABC):
    """How one list is read: found by a look at its beginning, and the same each time."""

    title = ""
    """What it was taken for, for the first line said; empty for a plain list."""
    mark = ""
    """What decides which of its lines become which requests; empty for a plain list."""

    is_fetched = False
    """Whether most of it is fetched while it is read: it is another one each time."""

    sheet: tuple[str, bool] | None = None
    """Of a table as spreadsheets write it (`,` or `;`): what stands between its cells, and whether
    it begins with a byte order mark."""

    @abstractmethod
    def batches(self, data: Data, origin: Origin, max_lines: int = BATCH) -> Iterator[Batch]:
        """Yield the requests of *data* in batches, each as soon as what it is made of was read.

        Numbers begin at `origin.seq`, are each given once, and are the same each time the list is
        read. Raises OSError, or `InputError` where it can't be read on.
        """

    def counts(self, data: Data) -> Iterator[int]:
        """Yield how many requests it holds, in pieces, for the progress display."""
        return (len(batch.requests) for batch in self.batches(data, Origin(1, None)))

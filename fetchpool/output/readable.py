"""`Readable`: what is opened and read from any place in it, a file here or an object elsewhere."""

from __future__ import annotations

from typing import IO, Literal, Protocol


class Readable(Protocol):
    """A `pathlib.Path` is one."""

    @property
    def name(self) -> str:
        """The last part of its path."""
        ...

    def open(self, mode: Literal["rb"], /) -> IO[bytes]:
        """Return it opened: it can seek. Raises OSError, of an object `StoreError`."""
        ...

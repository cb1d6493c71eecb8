"""Bodies read back from where a record says that they are, whatever the store."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

from fetchpool.model.bodies import NoSuchBodyError
from fetchpool.output.sinks.containers import OPEN, path_of
from fetchpool.output.sinks.segments import pieces_of


def read_body(dest: Path, path: str | None, place: tuple[str, int, int] | None) -> Iterator[bytes]:
    """Yield the body that a record says is at *path*, or at *place*: container, offset, length.

    Both are relative to *dest*, and lead nowhere else. Raises OSError, `NoSuchBodyError` where
    the record says neither.
    """
    if place is not None:
        container, offset, length = place
        _refuse_outside(container)
        return _in_container(path_of(dest, container), offset, length)
    if path is None:
        raise NoSuchBodyError("no body was stored")
    _refuse_outside(path)
    return pieces_of(dest / path, 0, None)


def _in_container(path: Path, offset: int, length: int) -> Iterator[bytes]:
    """Read by the kind of container that the name of *path* tells."""
    if path.name.removesuffix(OPEN).endswith(".warc.gz"):
        from fetchpool.output.warc.bodies import body_at

        return body_at(path, offset, length)
    return pieces_of(path, offset, length)


def _refuse_outside(path: str) -> None:
    """Raise OSError where *path* leads out of DEST, as a ledger that somebody wrote may have it."""
    if path.startswith("/") or ".." in path.split("/"):
        raise OSError(errno.EINVAL, "it is no path in DEST", path)


class Reach:
    """Tells what containers in *dest* hold, each of which is looked at once."""

    def __init__(self, dest: Path) -> None:
        self._dest = dest
        self._ends: dict[str, int | None] = {}

    def holds(self, container: str, offset: int, length: int) -> bool:
        """Tell whether *container* holds that place, or isn't there: somebody has moved it away.

        Raises OSError.
        """
        if container not in self._ends:
            self._ends[container] = self._end_of(container)
        end = self._ends[container]
        return end is None or offset + length <= end

    def _end_of(self, container: str) -> int | None:
        _refuse_outside(container)
        try:
            return path_of(self._dest, container).stat().st_size
        except FileNotFoundError:
            return None

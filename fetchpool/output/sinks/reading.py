"""Bodies read back from where a record says that they are, whatever the store."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fetchpool.model.bodies import NoSuchBodyError
from fetchpool.output.ledger.bitmap import Bitmap
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.remote.published import read_published
from fetchpool.output.sinks.containers import OPEN, path_of
from fetchpool.output.sinks.segments import pieces_of


def read_body(dest: Path, path: str | None, place: tuple[str, int, int] | None) -> Iterator[bytes]:
    """Yield the body that a record says is at *path*, or at *place*: container, offset, length.

    Both are relative to *dest*, and lead nowhere else; where that is the state of a run in an
    object store, they are there. Raises OSError, `StoreError`, `NoSuchBodyError` where the record
    says neither.
    """
    published = read_published(Layout(dest).published)
    if place is not None:
        container, offset, length = place
        _refuse_outside(container)
        if published is not None and not path_of(dest, container).exists():
            return _in_store(published.url, container, (offset, length))
        return _in_container(path_of(dest, container), offset, length)
    if path is None:
        raise NoSuchBodyError("no body was stored")
    _refuse_outside(path)
    if published is not None:
        return _in_store(published.url, path, None)
    return pieces_of(dest / path, 0, None)


def read_head(dest: Path, place: tuple[str, int, int] | None) -> Iterator[bytes]:
    """Yield the head of the response at *place*, as it was received.

    Raises OSError, `NoSuchBodyError` where the store keeps none: only WARCs do.
    """
    if place is None or _kind_of(Path(place[0])) != "gz":
        raise NoSuchBodyError("no head was stored")
    from fetchpool.output.warc.reading import entry_at

    container, offset, length = place
    _refuse_outside(container)
    yield entry_at(path_of(dest, container), offset, length).head


def _in_store(url: str, name: str, place: tuple[int, int] | None) -> Iterator[bytes]:
    from fetchpool.output.remote.reading import read_object

    return read_object(url, name, place)


def _in_container(path: Path, offset: int, length: int) -> Iterator[bytes]:
    """Read by the kind of container that the name of *path* tells."""
    if path.name.removesuffix(OPEN).endswith(".warc.gz"):
        from fetchpool.output.warc.bodies import body_at

        return body_at(path, offset, length)
    match _kind_of(path):
        case "parquet":
            from fetchpool.output.sinks.parquet_file import read_row as of_parquet

            return of_parquet(path, offset, length)
        case "sqlite":
            from fetchpool.output.sinks.sqlite_file import read_row as of_sqlite

            return of_sqlite(path, offset, length)
    return pieces_of(path, offset, length)


def _refuse_outside(path: str) -> None:
    """Raise OSError where *path* leads out of DEST, as a ledger that somebody wrote may have it."""
    if path.startswith("/") or ".." in path.split("/"):
        raise OSError(errno.EINVAL, "it is no path in DEST", path)


class Reach:
    """Tells what containers in *dest* hold, each of which is looked at once."""

    def __init__(self, dest: Path) -> None:
        self._dest = dest
        self._looks: dict[str, Callable[[int, int], bool]] = {}

    def holds(self, container: str, offset: int, length: int) -> bool:
        """Tell whether *container* holds that place, or isn't there: somebody has moved it away.

        Raises OSError.
        """
        look = self._looks.get(container)
        if look is None:
            look = self._looks[container] = self._look_at(container)
        return look(offset, length)

    def _look_at(self, container: str) -> Callable[[int, int], bool]:
        _refuse_outside(container)
        path = path_of(self._dest, container)
        try:
            end = path.stat().st_size
        except FileNotFoundError:
            return lambda offset, length: True
        numbers = _rows_in(path)
        if numbers is not None:
            rows = Bitmap()
            rows.add_all(numbers)
            return lambda offset, length: offset in rows
        return lambda offset, length: offset + length <= end


def _rows_in(path: Path) -> Iterable[int] | None:
    """Return the numbers of the rows in a container; None where it is no container of rows."""
    match _kind_of(path):
        case "parquet":
            from fetchpool.output.sinks.parquet_file import numbers_of as of_parquet

            return of_parquet(path)
        case "sqlite":
            from fetchpool.output.sinks.sqlite_file import numbers_of as of_sqlite

            return of_sqlite(path)
    return None


def _kind_of(path: Path) -> str:
    """Return the ending of a container's name when it is sealed: `tar`."""
    return path.name.removesuffix(OPEN).rpartition(".")[2]

"""Bodies read back from where a record says that they are, whatever the store."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from fetchpool.model.bodies import NoSuchBodyError
from fetchpool.output.ledger.bitmap import Bitmap
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.readable import Readable
from fetchpool.output.remote.published import read_published
from fetchpool.output.sinks.containers import OPEN, path_of
from fetchpool.output.sinks.segments import pieces_of


def read_body(dest: Path, path: str | None, place: tuple[str, int, int] | None) -> Iterator[bytes]:
    """Yield the body that a record says is at *path*, or at *place*: container, offset, length.

    Both are relative to *dest*, and lead nowhere else; where that is the state of a run in an
    object store, they are there. Raises OSError, `StoreError`, `NoSuchBodyError` where the record
    says neither.
    """
    if place is not None:
        return _in_container(dest, *place)
    if path is None:
        raise NoSuchBodyError("no body was stored")
    _refuse_outside(path)
    url = _store_of(dest)
    if url is not None:
        from fetchpool.output.remote.stored import bucket_of

        return bucket_of(url).pieces(path)
    return pieces_of(dest / path, 0, None)


def read_head(dest: Path, place: tuple[str, int, int] | None) -> Iterator[bytes]:
    """Yield the head of the response at *place*, as it was received.

    Raises OSError, `StoreError`, `NoSuchBodyError` where the store keeps none: only WARCs do.
    """
    if place is None or _kind_of(Path(place[0])) != "gz":
        raise NoSuchBodyError("no head was stored")
    from fetchpool.output.warc.reading import entry_at

    container, offset, length = place
    yield entry_at(container_of(dest, container), offset, length).head


def container_of(dest: Path, name: str) -> Readable:
    """Return container *name* of the run in *dest*: a file, or an object where it has gone up.

    Raises OSError for a name that leads elsewhere.
    """
    _refuse_outside(name)
    path = path_of(dest, name)
    url = None if path.exists() else _store_of(dest)
    if url is None:
        return path
    from fetchpool.output.remote.stored import StoredFile

    return StoredFile(url, name)


def files_in(dest: Path, folder: str) -> Mapping[str, Readable]:
    """Return what lies in a folder of containers of the run in *dest*, by name; here or elsewhere.

    Raises OSError, `StoreError`.
    """
    found: dict[str, Readable] = {}
    url = _store_of(dest)
    if url is not None:
        from fetchpool.output.remote.stored import StoredFile, bucket_of

        stored = (StoredFile(url, name) for name in bucket_of(url).names(f"{folder}/"))
        found |= {file.name: file for file in stored}
    path = dest / folder
    if path.is_dir():
        found |= {each.name: each for each in path.iterdir()}
    return found


def _store_of(dest: Path) -> str | None:
    """Return where the bodies of the run in *dest* are, if that is in an object store."""
    published = read_published(Layout(dest).published)
    return None if published is None else published.url


def _in_container(dest: Path, name: str, offset: int, length: int) -> Iterator[bytes]:
    """Read by the kind of container that its *name* tells."""
    container = container_of(dest, name)
    if name.endswith(".warc.gz"):
        from fetchpool.output.warc.bodies import body_at

        folder = name.rpartition("/")[0]
        return body_at(container, offset, length, partial(files_in, dest, folder))
    match name.rpartition(".")[2]:
        case "parquet":
            from fetchpool.output.sinks.parquet_file import read_row as of_parquet

            return of_parquet(container, offset, length)
        case "sqlite":
            from fetchpool.output.sinks.sqlite_file import read_row as of_sqlite

            return of_sqlite(_brought_here(container), offset, length)
    return pieces_of(container, offset, length)


def _brought_here(container: Readable) -> Path:
    """Return *container* as a file, for a reader that takes nothing else. Raises `StoreError`."""
    if isinstance(container, Path):
        return container
    from fetchpool.output.remote.stored import StoredFile, brought_here

    assert isinstance(container, StoredFile)
    return brought_here(container)


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

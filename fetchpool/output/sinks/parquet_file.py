"""The Parquet files of `--store parquet`: their schema, made of a spool, read and made anew.

pyarrow is imported here, when it is needed: that takes 0.15 s, and 80 MB of memory. It gets no
threads of its own, which a process that is forked would lack.
"""

from __future__ import annotations

import errno
from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import msgspec

from fetchpool.config import ConfigError
from fetchpool.model.bodies import NoSuchBodyError
from fetchpool.output.ledger.record import Record
from fetchpool.output.readable import Readable
from fetchpool.output.sinks.row_spool import SpooledRow, read_rows
from fetchpool.output.sinks.rows import BODY, COLUMNS, NUMBER, values_of

ENDING = ".parquet"
GROUP_BYTES = 4 << 20
"""Of bodies in one row group; one that is larger is alone in it.

Who reads has a group in memory, who writes some eight times as much, of a large one four times.
"""
GROUP_ROWS = 1 << 15
_TIMES = "started_at"
_UNIQUE = frozenset({NUMBER, BODY, "url", "final_url", "sha256", _TIMES, "elapsed_s"})
"""Columns that a dictionary would make larger."""

_decode = msgspec.json.Decoder(Record).decode


def check_installed() -> None:
    """Raise `ConfigError` where pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise ConfigError(
            "--store parquet needs pyarrow: pip install 'fetchpool[parquet]'"
        ) from None


@cache
def _schema() -> Any:
    """Return the one schema of all parts.

    Bodies are of the type whose columns may be longer than 2 GiB, though in a file it is the same.
    """
    import pyarrow as pa

    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    fields = {NUMBER: pa.int64(), **{name: types[kind] for name, kind in COLUMNS.items()}}
    fields[_TIMES] = pa.timestamp("ms", tz="UTC")
    return pa.schema({**fields, BODY: pa.large_binary()})


def convert(spool: Path, to: Path, is_named: Callable[[int], bool] | None = None) -> int:
    """Write the rows of *spool* to *to*, those that are named or all; return how many.

    *to* is not made where there are none. Raises OSError.
    """
    rows = read_rows(spool)
    if is_named is not None:
        rows = (row for row in rows if is_named(row.number))
    return _write(to, _tables(rows))


def rewrite(part: Path, to: Path, is_named: Callable[[int], bool]) -> int:
    """Write the rows of *part* that are named to *to*; return how many. Raises OSError."""
    with _opened(part) as file:
        return _write(to, _named_tables(file, is_named))


def numbers_of(path: Path) -> list[int]:
    """Return the numbers of the rows in a part, or in what will become one. Raises OSError."""
    if path.suffix != ENDING:
        return [row.number for row in read_rows(path)]
    with _opened(path) as file:
        found: list[int] = file.read(columns=[NUMBER], use_threads=False).column(0).to_pylist()
        return found


class Part:
    """Where the rows of a Parquet file are. Methods raise OSError."""

    def __init__(self, path: Readable) -> None:
        """Read it from the file."""
        self._path = path
        self._groups: list[range] = []
        with _opened(path) as file:
            table = file.read(columns=[NUMBER, "bytes"], use_threads=False)
            numbers: list[int] = table.column(0).to_pylist()
            self._bytes: list[int] = table.column(1).to_pylist()
            end = 0
            for group in range(file.metadata.num_row_groups):
                begin, end = end, end + file.metadata.row_group(group).num_rows
                self._groups.append(range(begin, end))
        self._places = {number: at for at, number in enumerate(numbers)}

    def length(self, number: int) -> int | None:
        """Return how many bytes the body of a row has by its record; None: there is no row."""
        at = self._places.get(number)
        return None if at is None else self._bytes[at]

    def body(self, number: int) -> bytes | None:
        """Return the body of a row; None: it has none."""
        at = self._places.get(number)
        if at is None:
            raise OSError(errno.EIO, "the part lacks a row", self._path.name)
        group = next(n for n, rows in enumerate(self._groups) if at in rows)
        read = _bodies_of_group.__wrapped__ if self._bytes[at] > GROUP_BYTES else _bodies_of_group
        body: bytes | None = read(self, group)[at - self._groups[group].start].as_py()
        return body

    def bodies(self, group: int) -> Any:
        """Return the column of bodies of a row group."""
        with _opened(self._path) as file:
            return file.read_row_group(group, columns=[BODY], use_threads=False).column(0)


def part_of(path: Readable) -> Part:
    """Return the part at *path*, from memory if it was read lately. Raises OSError, `StoreError`.

    One in an object store is as it was: what is removed from it no record of today's names.
    """
    if isinstance(path, Path):
        return _part(path, path.stat().st_mtime_ns)
    assert isinstance(path, Hashable)
    return _part(path, 0)


# Who reads the bodies of a ledger, of one list or of several workers, comes back to few parts, and
# in them to few groups. Both caches may be used from any thread.
@lru_cache(maxsize=8)
def _part(path: Readable, changed_at: int) -> Part:
    return Part(path)


@lru_cache(maxsize=4)
def _bodies_of_group(part: Part, group: int) -> Any:
    return part.bodies(group)


def read_row(path: Readable, number: int, length: int) -> Iterator[bytes]:
    """Yield the body of row *number* of the part at *path*, or of what will become one.

    Raises OSError, `StoreError`, `NoSuchBodyError` where the row has no body, `ConfigError` without
    pyarrow.
    """
    if not isinstance(path, Path) or path.suffix == ENDING:
        body = part_of(path).body(number)
        if body is not None:
            yield body
            return
    else:
        for row in read_rows(path):
            if row.number == number and row.length is not None:
                yield row.file.read(row.length)
                return
    raise NoSuchBodyError("no body was stored")


def _tables(rows: Iterable[SpooledRow]) -> Iterator[Any]:
    """Yield *rows* as tables, each to be one row group."""
    gathered: list[tuple[int, Record, bytes | None]] = []
    size = 0
    for row in rows:
        length = row.length or 0
        if gathered and (size + length > GROUP_BYTES or len(gathered) >= GROUP_ROWS):
            table = _table(gathered)
            gathered.clear()  # before it is written
            size = 0
            yield table
            del table
        body = None if row.length is None else row.file.read(row.length)
        gathered.append((row.number, _decode(row.record), body))
        size += length
    if gathered:
        yield _table(gathered)


def _table(rows: list[tuple[int, Record, bytes | None]]) -> Any:
    import pyarrow as pa

    schema = _schema()
    columns = dict(
        zip(COLUMNS, zip(*(values_of(record) for _, record, _ in rows), strict=True), strict=True)
    )
    columns[_TIMES] = tuple(map(_milliseconds, columns[_TIMES]))
    return pa.Table.from_arrays(
        [
            pa.array([number for number, _, _ in rows], pa.int64()),
            *(pa.array(values, schema.field(name).type) for name, values in columns.items()),
            _bodies([body for _, _, body in rows]),
        ],
        schema=schema,
    )


def _milliseconds(text: str | None) -> int | None:
    """Return a time of a record in milliseconds since the epoch.

    In pyarrow that would be a cast, whose library takes 50 MB.
    """
    return None if text is None else round(datetime.fromisoformat(text).timestamp() * 1000)


def _bodies(bodies: list[bytes | None]) -> Any:
    """Return the column of *bodies*, which are copied once, or not at all if there is one."""
    import pyarrow as pa

    validity = pa.array([body is not None for body in bodies]).buffers()[1]
    present = [body or b"" for body in bodies]
    ends = array("q", accumulate(map(len, present), initial=0))
    values = present[0] if len(present) == 1 else b"".join(present)
    buffers = [validity, pa.py_buffer(ends), pa.py_buffer(values)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(bodies), buffers)


def _named_tables(file: Any, is_named: Callable[[int], bool]) -> Iterator[Any]:
    for group in range(file.metadata.num_row_groups):
        table = file.read_row_group(group, use_threads=False)
        mask = [is_named(number) for number in table.column(0).to_pylist()]
        if any(mask):
            yield table if all(mask) else table.filter(mask)


def _write(to: Path, tables: Iterable[Any]) -> int:
    """Write each of *tables* as a row group; return the number of rows."""
    import pyarrow.parquet as pq

    schema = _schema()
    written = 0
    writer = None
    with _os_errors(to):
        try:
            for table in tables:
                if writer is None:
                    writer = pq.ParquetWriter(
                        to,
                        schema,
                        compression="zstd",
                        use_dictionary=[name for name in schema.names if name not in _UNIQUE],
                        write_statistics=[name for name in schema.names if name != BODY],
                    )
                writer.write_table(table, row_group_size=max(len(table), 1))
                written += len(table)
        finally:
            if writer is not None:
                writer.close()
    return written


@contextmanager
def _opened(path: Readable) -> Iterator[Any]:
    check_installed()
    import pyarrow.parquet as pq

    with _os_errors(path), ExitStack() as stack:
        source = path if isinstance(path, Path) else stack.enter_context(path.open("rb"))
        yield stack.enter_context(pq.ParquetFile(source, pre_buffer=False))


@contextmanager
def _os_errors(path: Readable) -> Iterator[None]:
    """Raise OSError for what pyarrow says is wrong."""
    import pyarrow as pa

    try:
        yield
    except OSError as error:
        raise OSError(error.errno or errno.EIO, str(error), str(path)) from error
    except pa.ArrowException as error:
        raise OSError(errno.EIO, str(error), str(path)) from error

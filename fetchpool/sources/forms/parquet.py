"""Parquet, by pyarrow where it is installed: a row group's pages at a time, rows are numbered."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from fetchpool.model.reading import Reading
from fetchpool.model.values import Request
from fetchpool.sources.columns import Columns, find_candidates, quoted, settle
from fetchpool.sources.errors import InputError
from fetchpool.sources.forms.form import Data, Form
from fetchpool.sources.head import LINES, Head
from fetchpool.sources.lines import BATCH, Batch, Origin
from fetchpool.sources.making import NOTHING, Maker, given_by, row_of

MAGIC = b"PAR1"
_BUFFER = 1 << 20


def find(head: Head, reading: Reading, *, asked: bool) -> Form | None:
    """Return the Parquet file that *head* begins; None if it begins none."""
    if not asked and not head.data.startswith(MAGIC):
        return None
    descriptor = None if head.stream else head.descriptor()
    if descriptor is not None and os.pread(descriptor, len(MAGIC), 0) != head.data[: len(MAGIC)]:
        os.close(descriptor)
        descriptor = None
    if descriptor is None:
        raise InputError(
            f"{head.name}: Parquet can't be read from a pipe, nor packed once more; give it as a "
            "file"
        )
    with _Open(descriptor, head.name) as file:
        names = tuple(file.schema_arrow.names)
        rows: list[list[str]] = []
        for batch in file.iter_batches(batch_size=LINES):
            rows = [
                [each if isinstance(each, str) else "" for each in row.values()]
                for row in batch.to_pylist()
            ]
            break
    candidates = find_candidates(rows, len(names), reading)
    columns = settle(names, candidates, reading, head, has_names=True)
    if columns is None and rows:
        raise InputError(
            f"{head.name}: no column of it holds URLs in most of its rows; say which with "
            f"--column url=NAME. It has {', '.join(map(quoted, names[:12]))}"
        )
    return Parquet(columns, reading)


class _Open:
    """A Parquet file, open meanwhile; what is wrong with it comes out as `InputError`."""

    def __init__(self, descriptor: int, name: str) -> None:
        self._name = name
        is_first = "pyarrow" not in sys.modules
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            os.close(descriptor)
            raise InputError(
                f"{name} is Parquet, which needs pyarrow: pip install 'fetchpool[parquet]'"
            ) from None
        if is_first and "ARROW_DEFAULT_MEMORY_POOL" not in os.environ:
            # Its own allocator keeps 30 MB more, of 10^6 rows in groups of 10^5.
            pyarrow.set_memory_pool(pyarrow.system_memory_pool())
        self._errors = (pyarrow.ArrowException, OSError, ValueError)
        self._file = os.fdopen(descriptor, "rb")
        try:
            self.file: Any = pyarrow.parquet.ParquetFile(
                self._file, buffer_size=_BUFFER, pre_buffer=False
            )
        except self._errors as error:
            self._file.close()
            raise self._broken(error) from None

    def __enter__(self) -> Any:
        return self.file

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        self.file.close()
        self._file.close()
        if isinstance(error, self._errors) and not isinstance(error, InputError):
            raise self._broken(error) from None

    def _broken(self, error: BaseException) -> InputError:
        why = " ".join(str(error).split())[:200]
        return InputError(f"{self._name} is no Parquet that can be read: {why}")


class Parquet(Form):
    """A list that is a Parquet file."""

    def __init__(self, columns: Columns | None, reading: Reading) -> None:
        """Without *columns* there is no row."""
        self._columns = columns
        self._reading = reading
        if columns is not None:
            names = columns.names
            self.title = f"Parquet, {len(names)} columns, URLs from {quoted(names[columns.url])}"
            self.mark = f"parquet {columns.mark}"

    def batches(self, data: Data, origin: Origin, max_lines: int = BATCH) -> Iterator[Batch]:
        columns = self._columns
        descriptor = data.descriptor() if columns is not None else None
        if columns is None or descriptor is None:
            return
        maker = Maker(origin, self._reading)
        read = origin.seq - 1
        wanted = {columns.url, *columns.carried, *(at for _, at in columns.fields)}
        names = [columns.names[at] for at in sorted(wanted)]
        with _Open(descriptor, data.name) as file:
            for batch in file.iter_batches(batch_size=max_lines, columns=names, use_threads=False):
                rows = batch.to_pylist()
                requests = [
                    self._request(row, columns, read + number, maker)
                    for number, row in enumerate(rows, 1)
                ]
                read += len(rows)
                weight = sum(len(request.row or b"") for request in requests)
                yield Batch(requests, 0, read, weight)

    def counts(self, data: Data) -> Iterator[int]:
        """Yield the number of rows, which the file says."""
        descriptor = data.descriptor() if self._columns is not None else None
        if descriptor is not None:
            with _Open(descriptor, data.name) as file:
                yield file.metadata.num_rows

    def _request(self, row: dict[str, Any], columns: Columns, seq: int, maker: Maker) -> Request:
        names: Sequence[str] = columns.names
        url = row[names[columns.url]]
        carried = None
        if columns.carried:
            carried = row_of({names[at]: row[names[at]] for at in columns.carried})
        given = NOTHING
        if columns.fields:
            cells = ((field, row[names[at]]) for field, at in columns.fields)
            given = given_by((field, str(value)) for field, value in cells if value is not None)
        return maker.request(url if isinstance(url, str) else "", seq, given, carried)

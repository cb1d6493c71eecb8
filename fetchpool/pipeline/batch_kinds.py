"""The kinds of batches that `fetch_partition` takes: read as columns, and made of rows.

pandas and pyarrow are imported only where a batch is theirs, so they are there already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from fetchpool.config import Config

ROW = "row"
BODY = "body"

COLUMNS: dict[str, type] = {
    "url": str,
    "ok": bool,
    "status": int,
    "error": str,
    "detail": str,
    "final_url": str,
    "redirects": int,
    "attempts": int,
    "bytes": int,
    "wire_bytes": int,
    "content_type": str,
    "sha256": str,
    "started_at": str,
    "elapsed_s": float,
    ROW: str,
    BODY: bytes,
}
"""The columns of a batch that is returned: keys of a record, and the body."""

_SQL = {str: "string", bool: "boolean", int: "bigint", float: "double", bytes: "binary"}


def columns_of(config: Config) -> dict[str, type]:
    """Return the columns of batches that are returned with *config*: `no_body` drops the body."""
    return {name: it for name, it in COLUMNS.items() if name != BODY or not config.no_body}


def partition_schema(config: Config | None = None) -> str:
    """Return the schema of what `fetch_partition` returns, as Spark takes it: `url string, …`."""
    columns = columns_of(config or Config())
    return ", ".join(f"{name} {_SQL[kind]}" for name, kind in columns.items())


class Kind(Protocol):
    """One kind of batches."""

    def names(self, batch: Any) -> list[str]:
        """Return what the columns of *batch* are called, in their order."""

    def values(self, batch: Any, at: int) -> list[Any]:
        """Return what the column *at* holds, as values of Python."""

    def made(self, columns: dict[str, type], rows: Sequence[tuple[Any, ...]]) -> Any:
        """Return a batch of *rows*."""


class _Arrow:
    def names(self, batch: Any) -> list[str]:
        return list(batch.schema.names)

    def values(self, batch: Any, at: int) -> list[Any]:
        values: list[Any] = batch.column(at).to_pylist()
        return values

    def made(self, columns: dict[str, type], rows: Sequence[tuple[Any, ...]]) -> Any:
        import pyarrow as pa

        types = {
            str: pa.string(),
            bool: pa.bool_(),
            int: pa.int64(),
            float: pa.float64(),
            bytes: pa.binary(),
        }
        arrays = [
            pa.array(values, types[kind])
            for values, kind in zip(zip(*rows, strict=True), columns.values(), strict=True)
        ]
        return pa.record_batch(arrays, names=list(columns))


class _Pandas:
    def names(self, batch: Any) -> list[str]:
        return list(map(str, batch.columns))

    def values(self, batch: Any, at: int) -> list[Any]:
        values: list[Any] = batch.iloc[:, at].tolist()
        return values

    def made(self, columns: dict[str, type], rows: Sequence[tuple[Any, ...]]) -> Any:
        import pandas as pd

        # Whole numbers that may be missing would else become fractions.
        types = {str: object, bool: bool, int: "Int64", float: float, bytes: object}
        return pd.DataFrame(
            {
                name: pd.Series(values, dtype=types[kind])
                for values, (name, kind) in zip(
                    zip(*rows, strict=True), columns.items(), strict=True
                )
            }
        )


def kind_of(batch: object) -> Kind:
    """Return what kind of batches *batch* is one of. TypeError: one that isn't known."""
    name = f"{type(batch).__module__.partition('.')[0]}.{type(batch).__name__}"
    if name == "pyarrow.RecordBatch":
        return _Arrow()
    if name == "pandas.DataFrame":
        return _Pandas()
    raise TypeError(f"batches are DataFrames of pandas or RecordBatches of pyarrow, not {name}")

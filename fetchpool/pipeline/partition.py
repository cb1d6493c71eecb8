"""`fetch_partition`: batches of rows with URLs in, batches of the same kind with records out.

    batches ──thread──▶ requests ──▶ FetchPool, in a loop and thread of its own ──▶ rows ──▶ batches

For engines that call a function with the rows of a partition: Spark's `mapInPandas`, `mapInArrow`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, count
from typing import TYPE_CHECKING, Any, TypeVar

from fetchpool.config import Config, ConfigError
from fetchpool.model.values import Request
from fetchpool.output.ledger.record import Record, whole_characters
from fetchpool.pipeline.batch_kinds import BODY, ROW, Kind, columns_of, kind_of
from fetchpool.pipeline.event_loop import loop_factory
from fetchpool.pipeline.outcomes import Outcomes
from fetchpool.pipeline.pool import FetchPool
from fetchpool.sources import Reader
from fetchpool.sources.lines import Batch, Origin
from fetchpool.sources.making import Maker, given_by, row_of

if TYPE_CHECKING:
    from fetchpool.model.values import Outcome

T = TypeVar("T")
B = TypeVar("B")

ROWS = 1000
"""In a batch that is returned, at most."""
BODY_BYTES = 16 << 20
"""Of bodies in such a batch, but for the last of them."""
AT_ONCE = 64
WEIGHT = 1 << 20
"""What is read at once: so many rows, or bytes of them."""


def fetch_partition(batches: Iterable[B], config: Config | None = None) -> Iterator[B]:
    """Yield batches of records for *batches* of URLs: exactly one row for each row, as they end.

    Batches are pandas DataFrames or pyarrow RecordBatches, and so are those that are yielded. URLs
    are in the column `url`, or the one that `Config.column` names; a cell that is no URL gets a row
    as well, with the error `input`. Other columns come back as JSON in `row`, all or those of
    `Config.carry`. `partition_schema` has the columns; `Config.no_body` drops `body`. URLs
    are without their secrets, as in records.

    Memory doesn't grow with the partition: at most some 16,000 rows wait in it, others on disk.
    Limits hold in this call alone: bring all rows of a host into one partition by `host_key`.
    Nothing is kept: a partition that is lost is fetched again.

    Raises `ConfigError` for a missing column or settings that can't be, TypeError for other
    batches, and what *batches* raises; what is wrong with a URL is in its row.
    """
    config = config or Config()
    if config.shard:
        raise ConfigError("--shard is for fetchpool.run(): a partition is fetched whole")
    given = iter(batches)
    first = next(given, None)
    if first is None:
        return
    kind = kind_of(first)
    requests = _read(chain((first,), given), kind, config)
    columns = columns_of(config)
    with _fetching(config, requests) as next_rows:
        while rows := next_rows():
            yield kind.made(columns, rows)


@contextmanager
def _fetching(
    config: Config, requests: Iterator[Batch]
) -> Iterator[Callable[[], list[tuple[Any, ...]]]]:
    """Have *requests* fetched in a loop of its own, and give what returns the next rows.

    At the end these are none. The loop goes on while the caller is busy with what he got, so that
    no time-out counts that.
    """
    columns = tuple(columns_of(config))
    loop = loop_factory(config)()
    thread = threading.Thread(target=loop.run_forever, name="fetchpool-partition", daemon=True)
    thread.start()

    def done(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    async def open_pool() -> FetchPool:
        return await FetchPool(config).__aenter__()

    try:
        pool = done(open_pool())
        try:
            outcomes = Outcomes(pool, Reader(requests))
            yield lambda: done(_next_rows(outcomes, columns))
        finally:
            done(pool.__aexit__(None, None, None))
    finally:
        done(loop.shutdown_asyncgens())
        done(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _next_rows(outcomes: Outcomes, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    size = 0
    async for outcome in outcomes:
        rows.append(_row(outcome, columns))
        size += len(outcome.body or b"")
        if len(rows) == ROWS or size >= BODY_BYTES:
            break
    return rows


def _row(outcome: Outcome, columns: tuple[str, ...]) -> tuple[Any, ...]:
    record = Record.of(outcome)
    values: list[Any] = []
    for name in columns:
        if name == BODY:
            values.append(outcome.body)
            continue
        value = getattr(record, name)
        if name == ROW:
            value = bytes(value).decode() or None
        elif isinstance(value, str):
            value = whole_characters(value)
        values.append(value)
    return tuple(values)


def _read(batches: Iterable[Any], kind: Kind, config: Config) -> Iterator[Batch]:
    """Yield requests for the rows of *batches*, some at a time."""
    seq, some, weight = 0, list[Request](), 0
    for request in _requests(batches, kind, config):
        seq += 1
        some.append(request)
        weight += len(request.row or b"") + len(request.body or b"")
        if len(some) == AT_ONCE or weight >= WEIGHT:
            yield Batch(some, 0, seq, weight)
            some, weight = [], 0
    yield Batch(some, 0, seq, weight)


def _requests(batches: Iterable[Any], kind: Kind, config: Config) -> Iterator[Request]:
    """Yield a request for each row of *batches*."""
    reading = config.reading
    maker = Maker(Origin(1, None, config.ask), reading)
    fields = {"url": "url", **dict(reading.columns)}
    numbers = count(1)
    for batch in batches:
        names = kind.names(batch)
        given = {field: kind.values(batch, _place(name, names)) for field, name in fields.items()}
        urls = given.pop("url")
        carried = [
            (name, kind.values(batch, _place(name, names)))
            for name in _carried(reading.carry, names, fields)
        ]
        for at, (url, seq) in enumerate(zip(urls, numbers, strict=False)):
            row = row_of({name: values[at] for name, values in carried}) if carried else None
            asked = given_by((field, _text(values[at])) for field, values in given.items())
            yield maker.request(_text(url), seq, asked, row)


def _carried(carry: str, names: list[str], fields: dict[str, str]) -> list[str]:
    """Return the columns that come along."""
    if carry == "none":
        return []
    if carry != "all":
        return [each.strip() for each in carry.split(",")]
    untold = {
        names[_place(fields[field], names)]
        for field in ("url", "headers", "body")
        if field in fields
    }
    return [name for name in names if name not in untold]


def _place(name: str, names: list[str]) -> int:
    """Return where the column *name* is, which may be its number from 1. Raises `ConfigError`."""
    if name in names:
        return names.index(name)
    if name.isascii() and name.isdecimal() and 0 < int(name) <= len(names):
        return int(name) - 1
    has = ", ".join(names[:12])
    raise ConfigError(f"a batch has no column {name!r}; it has {has}: give --column url=NAME")


def _text(cell: object) -> str:
    """Return what *cell* says; what is no text, such as what is missing, says nothing."""
    return cell if isinstance(cell, str) else ""

"""What the sinks of rows have in common: every outcome is a row, one that brought no body too.

    Outcome + Record ──▶ number | the record's columns | body
                         └─ `offset` of the record

A number is given once in a container and stays a row's own, so a row that no record names can be
taken out of the middle.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from types import NoneType
from typing import Any, get_args, get_type_hints

from msgspec.structs import force_setattr

from fetchpool.model.values import Outcome, Receipt, Timings
from fetchpool.output.ledger.bitmap import Bitmap
from fetchpool.output.ledger.record import Record
from fetchpool.output.sinks.spool import Spooled

NUMBER = "number"
"""The column of a row's number."""
BODY = "body"
LIST_ROW = "list_row"
"""The column of what a record has as `row`, the list's other columns, as JSON."""
_ELSEWHERE = frozenset({"path", "container", "offset", "length"})
"""Keys that say where the body is: in this row."""
_APART = frozenset({"row", "timings"})
"""Keys whose values are more than one."""
_NAMES = tuple(name for name in Record.__struct_fields__ if name not in _ELSEWHERE | _APART)
_get = attrgetter(*_NAMES)
_steps = attrgetter(*Timings.__struct_fields__)
_NO_TIMINGS = (None,) * len(Timings.__struct_fields__)


def _columns() -> dict[str, type]:
    hints = get_type_hints(Record)
    found: dict[str, type] = {}
    for name in _NAMES:
        (kind,) = {*(get_args(hints[name]) or (hints[name],))} - {NoneType}
        found[name] = str if issubclass(kind, str) else kind
    found |= {f"timings_{step}": float for step in Timings.__struct_fields__}
    return {**found, LIST_ROW: str}


COLUMNS = _columns()
"""The columns of a record and their types: str, int, float or bool; in the order of `values_of`."""


def values_of(record: Record) -> tuple[Any, ...]:
    """Return what *record* has in each of `COLUMNS`."""
    timings, row = record.timings, bytes(record.row)
    steps = _NO_TIMINGS if timings is None else _steps(timings)
    return (*_get(record), *steps, row.decode() if row else None)


def receipt_of(outcome: Outcome) -> Receipt:
    """Return the receipt of *outcome*; where nothing was stored, it gets one that has no body.

    An outcome is frozen for all but its sink: a record must say which row is that of a failure.
    """
    receipt = outcome.receipt
    if receipt is None:
        receipt = Receipt()
        force_setattr(outcome, "receipt", receipt)
    return receipt


def body_of(receipt: Receipt) -> Any:
    """Return the body that waits for its row, a `Spool` or its like; None if there is none."""
    return receipt.body if isinstance(receipt, Spooled) else None


def named_rows(receipts: Iterable[Receipt]) -> dict[str, Bitmap]:
    """Return which rows of each container *receipts* name."""
    found: dict[str, Bitmap] = {}
    for each in receipts:
        found.setdefault(each.container, Bitmap()).add_all((each.offset,))
    return found

"""The forms in which records are written: what each makes of records, and of lines of a ledger."""

from __future__ import annotations

from enum import Enum
from typing import Protocol

from fetchpool.output.export.rows import PLAIN, Columns, Table, begun
from fetchpool.output.ledger.record import Batch


class Form(Enum):
    """How records are written."""

    JSONL = "jsonl"
    CSV = "csv"


def form_of(wanted: str, path: str) -> Form:
    """Return the form *wanted*: `jsonl`, `csv`, or `auto`, which is by the name of *path*."""
    if wanted == "auto":
        return Form.CSV if path.lower().endswith(".csv") else Form.JSONL
    return Form(wanted)


class Format(Protocol):
    """A form at work; every record is a line in it."""

    @property
    def header(self) -> bytes:
        """What stands before the first record: nothing, or a line."""

    def batch(self, batch: Batch) -> bytes:
        """Return the records in *batch*."""

    def lines(self, data: bytes) -> bytes:
        """Return the records in *data*, whole lines of a ledger."""

    def count(self, data: bytes) -> int:
        """Return how many records are whole in *data*, the beginning of some."""


class JsonLines:
    """JSON, as in the ledger: the same bytes."""

    header = b""

    def batch(self, batch: Batch) -> bytes:
        """Return what the ledger holds of *batch*."""
        return batch.lines

    def lines(self, data: bytes) -> bytes:
        """Return *data*."""
        return data

    def count(self, data: bytes) -> int:
        """Return how many lines end in *data*."""
        return data.count(b"\n")


def format_of(form: Form, table: Table = PLAIN, first: Batch | None = None) -> Format:
    """Return *form*; CSV for the columns of *table*, and those that the *first* records have."""
    if form is Form.JSONL:
        return JsonLines()
    return Columns(table if first is None else begun(table, first))

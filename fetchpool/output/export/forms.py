"""The forms in which records are written: what each makes of records, and of lines of a ledger."""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from typing import Protocol

from fetchpool.output.export.rows import Columns
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


class JsonLines:
    """JSON, as in the ledger: the same bytes."""

    header = b""

    def batch(self, batch: Batch) -> bytes:
        """Return what the ledger holds of *batch*."""
        return batch.lines

    def lines(self, data: bytes) -> bytes:
        """Return *data*."""
        return data


def format_of(form: Form, keys: Collection[str]) -> Format:
    """Return *form* for records that have those of *keys* beside the ones every record has."""
    return Columns(keys) if form is Form.CSV else JsonLines()

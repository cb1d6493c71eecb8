"""The ledger in another file: as it is or as CSV, written aside and put in place in one step.

    results.jsonl ──whole lines that are records──▶ JSON Lines │ rows ──▶ FILE, standard output

`copy` reads the ledger, `forms` says what there is, `rows` makes CSV, `files` replaces a file.
"""

from fetchpool.output.export.copy import copy_records
from fetchpool.output.export.files import (
    Replacement,
    descriptor_written,
    is_stream,
    open_stream,
    write_some,
    write_whole,
)
from fetchpool.output.export.forms import Form, Format, form_of, format_of
from fetchpool.output.export.rows import PLAIN, Dialect, Table

__all__ = [
    "PLAIN",
    "Dialect",
    "Form",
    "Format",
    "Replacement",
    "Table",
    "copy_records",
    "descriptor_written",
    "form_of",
    "format_of",
    "is_stream",
    "open_stream",
    "write_some",
    "write_whole",
]

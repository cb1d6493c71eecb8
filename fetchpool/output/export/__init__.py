"""The ledger in another file: as it is or as CSV, written aside and put in place in one step.

    results.jsonl ──whole lines that are records──▶ JSON Lines │ rows ──▶ FILE, standard output

`copy` reads the ledger, `rows` makes CSV, `files` replaces a file, `command` is `fetchpool export`.
"""

from fetchpool.output.export.copy import Form, copy_records, form_of
from fetchpool.output.export.files import Replacement, is_stream, write_some, write_whole
from fetchpool.output.export.rows import Columns

__all__ = [
    "Columns",
    "Form",
    "Replacement",
    "copy_records",
    "form_of",
    "is_stream",
    "write_some",
    "write_whole",
]

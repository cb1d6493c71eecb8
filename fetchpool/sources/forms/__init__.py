"""The forms that a list can have, one file each, and which of them a list has.

A form is found by a look at the first lines of a list (`Head`) and reads it from its start
(`Form.batches`). A new one is a file here, and its row in `FORMS`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from fetchpool.model.reading import Reading
from fetchpool.sources.forms import aria2, json_rows, markup, parquet, patterns, plain, table
from fetchpool.sources.forms.form import Data, Form
from fetchpool.sources.forms.plain import Plain
from fetchpool.sources.head import Head

__all__ = ["FORMS", "Data", "Form", "Plain", "form_of"]

Find = Callable[..., "Form | None"]
"""Takes a head and the user's word; returns the form if the list has it.

With *asked* the user says that the list has this form. Raises `InputError` with the option that
settles what can't be told.
"""

FORMS: dict[str, Find] = {
    "parquet": parquet.find,
    "sitemap": partial(markup.find, kind="sitemap"),
    "opml": partial(markup.find, kind="opml"),
    "bookmarks": partial(markup.find, kind="bookmarks"),
    "jsonl": json_rows.find_lines,
    "json": json_rows.find_array,
    "aria2": aria2.find,
    "sums": partial(patterns.find, mark="sums"),
    "apt": partial(patterns.find, mark="apt"),
    "tsv": partial(table.find, kind="tsv"),
    "csv": partial(table.find, kind="csv"),
    "lines": plain.find,
}
"""By their names on the command line, in the order in which they are looked for."""


def form_of(head: Head, reading: Reading) -> Form:
    """Return the form of the list that *head* begins.

    Raises `InputError`, with lines of it and the option that settles it, where that can't be told.
    """
    if reading.form != "auto":
        return FORMS[reading.form](head, reading, asked=True) or Plain(reading)
    if not head.lines:
        return Plain(reading)
    for find in FORMS.values():
        form = find(head, reading, asked=False)
        if form is not None:
            return form
    raise AssertionError("every list can be read by lines")

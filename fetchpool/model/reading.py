"""How the lines and rows of a list are to be read: the user's word on it, for sources."""

from __future__ import annotations

from typing import NamedTuple

INPUT_FORMATS = (
    "auto", "lines", "csv", "tsv", "jsonl", "json", "parquet", "sitemap", "opml", "bookmarks",
    "aria2", "sums", "apt",
)  # fmt: skip
"""What a list can be; `auto`: found out from its first lines."""

COLUMN_FIELDS = ("url", "method", "headers", "body", "name", "checksum")
"""What of a request a column can give."""


class Reading(NamedTuple):
    """How lists are read."""

    form: str = "lines"
    """One of `INPUT_FORMATS`."""
    columns: tuple[tuple[str, str], ...] = ()
    """Field of a request, and the column that gives it: its name, or its number from 1."""
    carry: str = "all"
    """Which other columns a record has: `all`, `none`, or names with commas between."""
    scheme: str | None = None
    """What a bare host gets before it."""
    base: str | None = None
    """The URL that a path is joined to."""

    @property
    def completes(self) -> bool:
        """Whether what lacks a scheme may become a URL."""
        return self.scheme is not None or self.base is not None

    @property
    def names_columns(self) -> bool:
        """Whether columns were named."""
        return bool(self.columns) or self.carry not in ("all", "none")

    def column(self, field: str) -> str | None:
        """Return the column that gives *field*, if one was named."""
        return dict(self.columns).get(field)


AS_LINES = Reading()
"""A URL a line, without a look at what it is."""

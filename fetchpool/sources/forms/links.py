"""The links of a page, by the standard library's HTML parser."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_NO_LINKS = re.compile(r"(?:#|javascript:|data:|mailto:|tel:|place:|about:|blob:)", re.IGNORECASE)


class LinkReader(HTMLParser):
    """Collects the links of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._found: list[str] = []
        self._skipped = 0

    def take(self) -> tuple[list[str], int]:
        """Return the links since the last time, and how many lead to nothing to fetch."""
        taken = self._found, self._skipped
        self._found, self._skipped = [], 0
        return taken

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        url = dict(attrs).get("href") if tag in ("a", "area") else None
        if url is None:
            return
        if _NO_LINKS.match(url.strip()) or not url.strip():
            self._skipped += 1
        else:
            self._found.append(url)

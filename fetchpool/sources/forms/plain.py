"""A URL a line."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from msgspec.structs import replace

from fetchpool.model.reading import AS_LINES, Reading
from fetchpool.model.urls.completing import completed
from fetchpool.model.values import Request
from fetchpool.sources.errors import InputError
from fetchpool.sources.forms import table
from fetchpool.sources.forms.form import Data, Form
from fetchpool.sources.head import Head
from fetchpool.sources.lines import (
    BATCH,
    BLANKS,
    Batch,
    Origin,
    Stretch,
    batches,
    count_requests,
    stretches,
    unwrapped,
)

_SCHEME = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:[/\\]{1,2}|(?:magnet|mailto|doi|urn|data|tel|javascript):"
)
_PATH = re.compile(r"\.{0,2}/|[^\s:]+/\S")
_HEADERS = frozenset(("url", "urls", "link", "links", "uri", "href", "website", "@explicit"))
"""First lines that name what stands below."""

FRAGMENT = "#"
"""Names what stands behind a URL's `#`, where it is a checksum: conda's explicit lists have it."""


def find(head: Head, reading: Reading, *, asked: bool) -> Form:
    """Return the plain list that *head* begins.

    Raises `InputError`, unless *asked*, where over half of its lines don't begin as URLs do; of a
    stream more may come, so each of its lines is judged for itself.
    """
    if asked or not head.lines:
        return Plain(reading)
    header = _header(head)
    if head.stream or _is_begun(head, reading):
        return Plain(reading, header, unwrapped(head.start))
    lines = [line.text.strip(BLANKS) for line in head.lines[1 if header else 0 :]]
    raise InputError(f"{head.name}: {table.hint(head) or _why(lines)}", head.samples())


def _is_begun(head: Head, reading: Reading) -> bool:
    """Tell whether half of the lines begin with a scheme, or would with what completes them."""
    lines = [line.text.strip(BLANKS) for line in head.lines[1 if _header(head) else 0 :]]
    return sum(_begins(line, reading) for line in lines) * 2 >= len(lines)


def _header(head: Head) -> int:
    """Return the number of the line that names what stands below; 0: there is none."""
    return head.lines[0].number if unwrapped(head.start).lower() in _HEADERS else 0


def _begins(line: str, reading: Reading) -> bool:
    """Tell whether *line*, stripped, begins with a scheme, or would with what completes it."""
    line = unwrapped(line) if line else line
    if _SCHEME.match(line) is not None:
        return True
    return reading.completes and completed(line, reading.scheme, reading.base) != line


def _why(lines: list[str]) -> str:
    """Return why *lines* are no URLs, by what most of them are, and the option that settles it."""
    kinds = Counter(_kind(line) for line in lines)
    return {
        "host": "its lines are hosts without a scheme; --default-scheme https makes URLs of them",
        "path": "its lines are paths; --base URL makes URLs of them",
        "return": "its lines end with a carriage return alone; convert it (tr '\\r' '\\n')",
        "text": "most of its lines don't begin with a URL, and it is no table with a column of "
        "them; --input-format lines reads it as it is, with a record for each line",
    }[kinds.most_common(1)[0][0]]


def _kind(line: str) -> str:
    from fetchpool.model.urls.mistakes import would_be  # 1 ms, which many lists don't need

    if "\r" in line:
        return "return"
    if would_be(line) is not None:
        return "host"
    return "path" if _PATH.match(line) and " " not in line else "text"


class Plain(Form):
    """A list of a URL a line."""

    def __init__(self, reading: Reading = AS_LINES, header: int = 0, name: str = "") -> None:
        """*header* is the line that names what stands below, from 1; 0: there is none."""
        self._reading = reading
        self._header = header
        self._checks = reading.column("checksum") == FRAGMENT
        if header:
            self.title = f'a URL a line, below "{name}"'
        if header or reading.completes:
            self.mark = f"lines {header}"

    def batches(self, data: Data, origin: Origin, max_lines: int = BATCH) -> Iterator[Batch]:
        found = batches(self._stretches(data), origin, max_lines)
        if self._reading.completes or self._checks:
            return map(self._completed, found)
        return found

    def counts(self, data: Data) -> Iterator[int]:
        """Yield the number of requests in each stretch, in a fifth of the time."""
        return map(count_requests, self._stretches(data))

    def _stretches(self, data: Data) -> Iterator[Stretch]:
        pieces = stretches(data.blocks())
        return _without(self._header, pieces) if self._header else pieces

    def _completed(self, batch: Batch) -> Batch:
        batch.requests = [self._complete(request) for request in batch.requests]
        return batch

    def _complete(self, request: Request) -> Request:
        if request.problem is not None:
            return request
        url = completed(request.url, self._reading.scheme, self._reading.base)
        checksum = url.partition("#")[2] if self._checks else ""
        if url is request.url and not checksum:
            return request
        return replace(request, url=url, checksum=checksum or None)


def _without(number: int, pieces: Iterator[Stretch]) -> Iterator[Stretch]:
    """Yield *pieces* with a comment in the place of line *number*."""
    read = 0
    for piece in pieces:
        lines = piece.data.count(b"\n") + 1
        if read < number <= read + lines:
            every = piece.data.split(b"\n")
            every[number - read - 1] = b"#"
            yield Stretch(b"\n".join(every), piece.too_long)
            break
        read += lines
        yield piece
    yield from pieces

"""The beginning of a list: what it shows of its form before anything is requested."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property

from fetchpool.sources.lines import BLANKS, MAX_LINE

LINES = 200
"""Lines looked at that are neither blank nor comments."""
LONGEST = 1 << 20
"""Bytes looked at, where the lines are long."""

_CELLS = re.compile(r"[\t,;|]")


class Line(tuple[int, str]):
    """A line that is neither blank nor a comment: its number from 1, and its text."""

    __slots__ = ()

    @property
    def number(self) -> int:
        """Its number in the list, from 1."""
        return self[0]

    @property
    def text(self) -> str:
        """As it stands, without its end."""
        return self[1]


class Head:
    """The first bytes of a list, unpacked."""

    def __init__(
        self,
        data: bytes,
        name: str,
        *,
        whole: bool,
        stream: bool,
        descriptor: Callable[[], int | None] = lambda: None,
    ) -> None:
        """*whole*: the list is no longer than *data*. *stream*: it is read once, as it comes."""
        self.data = data
        self.name = name
        """For a person."""
        self.whole = whole
        self.stream = stream
        self.descriptor = descriptor
        """Opens the file that it is the head of, as it is; the caller closes it."""

    @cached_property
    def text(self) -> str:
        """The whole lines of it; of a single one that is longer, all there is."""
        data = self.data
        if not self.whole and (end := data.rfind(b"\n") + 1):
            data = data[:end]
        return data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")

    @cached_property
    def lines(self) -> list[Line]:
        """The first `LINES` of them that are neither blank nor comments."""
        found: list[Line] = []
        for number, text in enumerate(self.text.split("\n"), 1):
            stripped = text.strip(BLANKS)
            if stripped and stripped[0] != "#":
                found.append(Line((number, text.rstrip("\r"))))
                if len(found) == LINES:
                    break
        return found

    @cached_property
    def start(self) -> str:
        """The first of them, stripped; empty if there is none."""
        return self.lines[0].text.strip(BLANKS) if self.lines else ""

    def samples(self, count: int = 3) -> list[str]:
        """Return the first lines for a message."""
        return [
            f"line {line.number}: {line.text[:160].strip(BLANKS)}" for line in self.lines[:count]
        ]


def beginning(blocks: Iterator[bytes], *, stream: bool) -> tuple[bytes, bool]:
    """Take as much from *blocks* as tells their form; return it, and whether that is all.

    Of a stream that is what has come, once it holds a whole line that could be requested or tells
    the form: nothing is waited for that might not come.
    """
    data = b""
    for block in blocks:
        data += block
        if len(data) >= LONGEST:
            break
        if _shows_enough(data) if stream else data.count(b"\n") > LINES * 2:
            break
    else:
        return data, True
    return data, False


def _shows_enough(data: bytes) -> bool:
    """Tell whether a stream's first bytes are enough to go on with.

    Not while they could be no more than the header of a table, or of an XML document: a row below
    would be requested whole, or a tag be taken for a line.
    """
    if len(data) >= MAX_LINE:
        return True
    if b"\n" not in data:
        return False
    head = Head(data, "", whole=False, stream=True)
    if not head.lines:
        return False
    if head.start.startswith("<"):
        return re.search(r"<[A-Za-z]|<!doctype\s+\S", head.text, re.IGNORECASE) is not None
    if head.start.startswith("["):
        return _has_element(head.text)
    if "://" in head.text or head.start[0] == "{" or len(head.lines) >= LINES:
        return True
    return not all(_CELLS.search(line.text) for line in head.lines)


def _has_element(text: str) -> bool:
    """Tell whether the first element of a JSON array is there, and what stands behind it."""
    import json  # 5 ms, which most lists don't need

    inside = text.lstrip()[1:].lstrip()
    try:
        _, end = json.JSONDecoder().raw_decode(inside)
    except ValueError:
        return inside.startswith("]")
    except RecursionError:
        return True
    return inside[end:].lstrip() != ""

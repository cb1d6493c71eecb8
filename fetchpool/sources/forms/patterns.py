"""Lists of which each line follows a pattern: a URL, and what a program wrote beside it.

sums   `sha256sum` and its like: a checksum, and the URL it is of
apt    `apt-get --print-uris`: 'URL' NAME SIZE HASH:CHECKSUM, the last not always
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from fetchpool.model.reading import Reading
from fetchpool.model.values import Request
from fetchpool.sources.forms.form import Data, Form
from fetchpool.sources.head import Head
from fetchpool.sources.lines import BATCH, BLANKS, Batch, Origin, stretches
from fetchpool.sources.making import NOTHING, Given, Maker, row_of


class Pattern(NamedTuple):
    """What a line is: the columns are the groups, by name, or by number from 1."""

    mark: str
    title: str
    line: re.Pattern[str]
    problem: str
    """Of a line that is no such one."""


PATTERNS = (
    Pattern(
        "sums",
        "checksums, each with its URL",
        re.compile(
            r"(?P<checksum>[0-9a-f]{32,128})[ \t]+\*?(?P<url>(?:https?|ftp|s3)://.+)", re.IGNORECASE
        ),
        "the line is no checksum with a URL behind it",
    ),
    Pattern(
        "apt",
        "URLs as apt prints them",
        re.compile(
            r"'(?P<url>(?:https?|ftp)://[^']+)' (?P<name>\S+) (?P<size>[0-9]+) ?"
            r"(?:(?:SHA512|SHA256|SHA1|MD5Sum):(?P<checksum>[0-9a-f]{32,128}))?",
            re.IGNORECASE,
        ),
        "the line is not as apt prints it: 'URL' NAME SIZE HASH",
    ),
)


def find(head: Head, reading: Reading, *, asked: bool, mark: str) -> Form | None:
    """Return the form *mark* for the list that *head* begins; None unless all its lines fit."""
    (pattern,) = (each for each in PATTERNS if each.mark == mark)
    texts = [line.text.strip(BLANKS) for line in head.lines]
    fits = asked or all(map(pattern.line.fullmatch, texts))
    return Patterned(pattern, reading) if fits else None


class Patterned(Form):
    """A list of lines of one pattern."""

    def __init__(self, pattern: Pattern, reading: Reading) -> None:
        self.title, self.mark = pattern.title, pattern.mark
        self._pattern = pattern
        self._reading = reading
        columns = pattern.line.groupindex  # name → number
        wanted = {name.strip() for name in reading.carry.split(",")}
        self._carried = [
            name
            for name, number in columns.items()
            if name != "url" and (reading.carry == "all" or wanted & {name, str(number)})
        ]
        self._taken = [
            (field, name)
            for field in ("name", "checksum")
            for name, number in columns.items()
            if reading.column(field) in (name, str(number))
        ]

    def batches(self, data: Data, origin: Origin, max_lines: int = BATCH) -> Iterator[Batch]:
        maker = Maker(origin, self._reading)
        seq = origin.seq
        for piece in stretches(data.blocks()):
            lines = piece.data.decode("utf-8", "surrogateescape").split("\n")
            for at in range(0, len(lines), max_lines):
                some = lines[at : at + max_lines]
                requests = []
                for line in some:
                    text = line.strip(BLANKS)
                    if text and not text.startswith("#"):
                        requests.append(
                            self._request(maker, text, seq, too_long=bool(piece.too_long))
                        )
                    seq += 1
                yield Batch(requests, len(some) - len(requests), seq - 1)

    def _request(self, maker: Maker, text: str, seq: int, *, too_long: bool) -> Request:
        found = None if too_long else self._pattern.line.fullmatch(text)
        if found is None:
            return maker.refused(text, seq, self._pattern.problem)
        given = NOTHING
        if self._taken:
            given = Given(**{field: found[name] for field, name in self._taken})
        row = None
        if self._carried:
            row = row_of({name: found[name] for name in self._carried if found[name] is not None})
        return maker.request(found["url"], seq, given, row)

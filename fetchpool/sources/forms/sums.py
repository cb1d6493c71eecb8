"""What sha256sum and its like write: a checksum, and on the same line the URL it is of."""

from __future__ import annotations

import re
from collections.abc import Iterator

from fetchpool.model.reading import Reading
from fetchpool.sources.forms.form import Data, Form
from fetchpool.sources.head import Head
from fetchpool.sources.lines import BATCH, BLANKS, Batch, Origin, stretches
from fetchpool.sources.making import NOTHING, Given, Maker, row_of

_LINE = re.compile(r"([0-9a-f]{32,128})[ \t]+\*?((?:https?|ftp|s3)://.+)", re.IGNORECASE)
_NAME = "checksum"


def find(head: Head, reading: Reading, *, asked: bool) -> Form | None:
    """Return the list of checksums that *head* begins; None unless all of its lines are of it."""
    texts = [line.text.strip(BLANKS) for line in head.lines]
    return Sums(reading) if asked or all(map(_LINE.fullmatch, texts)) else None


class Sums(Form):
    """A list of checksums and URLs; its column is `checksum`, or number 1."""

    title = "checksums, each with its URL"
    mark = "sums"

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        wanted = [name.strip() for name in reading.carry.split(",")]
        self._carries = reading.carry == "all" or _NAME in wanted or "1" in wanted
        self._checks = reading.column("checksum") in (_NAME, "1")

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
                        found = None if piece.too_long else _LINE.fullmatch(text)
                        if found is None:
                            problem = "the line is no checksum with a URL behind it"
                            requests.append(maker.refused(text, seq, problem))
                        else:
                            given = Given(checksum=found[1]) if self._checks else NOTHING
                            row = row_of({_NAME: found[1]}) if self._carries else None
                            requests.append(maker.request(found[2], seq, given, row))
                    seq += 1
                yield Batch(requests, len(some) - len(requests), seq - 1)

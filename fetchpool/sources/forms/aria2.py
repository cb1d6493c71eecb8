"""aria2's input files: a URL a line, options for it on indented lines below."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from posixpath import basename

from fetchpool.model.reading import Reading
from fetchpool.model.values import Request
from fetchpool.sources.forms.form import Data, Form
from fetchpool.sources.head import Head
from fetchpool.sources.lines import BATCH, BLANKS, Batch, Origin, stretches
from fetchpool.sources.making import NOTHING, Given, Maker

_OPTION = re.compile(r"[ \t]+([a-z][a-z0-9-]*)=(.*)")
_URL = re.compile(r"(?:https?|ftp|sftp)://|magnet:", re.IGNORECASE)
_MOST_OPTIONS = 1000
"""Lines kept of one URL's options."""


def find(head: Head, reading: Reading, *, asked: bool) -> Form | None:
    """Return the input file that *head* begins; None if no indented option stands below a URL."""
    texts = [line.text for line in head.lines]
    has_options = any(
        _OPTION.fullmatch(below) and (_URL.match(above) or _OPTION.fullmatch(above))
        for above, below in pairwise(texts)
    )
    if asked or (has_options and _URL.match(head.start)):
        return Aria2(reading)
    return None


class Aria2(Form):
    """A list with `out`, `dir`, `checksum`, `header` and `referer`; other options are aria2's own.

    Of several URLs on a line, which aria2 takes for mirrors, the first one is asked for.
    """

    title = "an aria2 input file"
    mark = "aria2"

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def batches(self, data: Data, origin: Origin, max_lines: int = BATCH) -> Iterator[Batch]:
        maker = Maker(origin, self._reading)
        seq = origin.seq - 1
        told = seq
        waiting: _Download | None = None
        requests: list[Request] = []
        for piece in stretches(data.blocks()):
            for line in piece.data.decode("utf-8", "surrogateescape").split("\n"):
                seq += 1
                if line[:1] in (" ", "\t") and waiting is not None:
                    waiting.take(line)
                    continue
                text = line.strip(BLANKS)
                if not text or text.startswith("#"):
                    continue
                if waiting is not None:
                    requests.append(waiting.request(maker))
                waiting = _Download(text, seq)
                if len(requests) >= max_lines:
                    yield Batch(requests, 0, seq - 1)
                    requests, told = [], seq - 1
            if requests:
                yield Batch(requests, 0, seq)
                requests, told = [], seq
        if waiting is not None:
            requests.append(waiting.request(maker))
        if requests or seq > told:
            yield Batch(requests, 0, seq)


class _Download:
    """A URL, and the options below it."""

    def __init__(self, text: str, seq: int) -> None:
        urls = [each.strip() for each in text.split("\t") if each.strip()]
        http = [each for each in urls if each.lower().startswith(("http://", "https://"))]
        self._url = (http or urls)[0]
        self._seq = seq
        self._options: dict[str, list[str]] = {}
        self._count = 0

    def take(self, line: str) -> None:
        """Add the option on *line*."""
        found = _OPTION.fullmatch(line.rstrip(BLANKS))
        if found is not None and self._count < _MOST_OPTIONS:
            self._count += 1
            self._options.setdefault(found[1], []).append(found[2])

    def request(self, maker: Maker) -> Request:
        """Return the request that it is."""
        options = self._options
        headers = [*options.get("header", ())]
        headers += [f"Referer: {text}" for text in options.get("referer", ())[-1:]]
        name = options.get("out", [""])[-1]
        from urllib.parse import urlsplit  # 9 ms, which other lists don't need

        if directory := options.get("dir", [""])[-1].strip("/"):
            try:
                name = name or basename(urlsplit(self._url).path)
            except ValueError:
                name = ""
            name = f"{directory}/{name}" if name else ""
        given = Given(
            headers="\n".join(headers) or None,
            name=name or None,
            checksum=options.get("checksum", [""])[-1].strip() or None,
        )
        return maker.request(self._url, self._seq, given if options else NOTHING)

"""An index of sitemaps: these are fetched by the run, and what they name comes into its list.

    index ──▶ request of sitemap 1, 2, 3, 4 ──▶ wait for 1 ──▶ its URLs ──▶ request of 5 ──▶ …

A sitemap's request goes out like that of any URL and counts as an entry of the list, so that all
numbers are of one sequence. A few sitemaps are asked for ahead, and read in the order of the index.
One that can't be had has the record of its request, one that can't be read one of the kind `input`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain as chain_of

from msgspec.structs import replace

from fetchpool.model.asking import PLAIN
from fetchpool.model.reading import Reading
from fetchpool.model.urls import display
from fetchpool.sources.errors import InputError
from fetchpool.sources.fetched import MOST_BYTES, FetchedSitemaps
from fetchpool.sources.forms.form import Data, Form
from fetchpool.sources.forms.xml_reader import INDEX, XmlReader
from fetchpool.sources.lines import BATCH, BLANKS, BLOCK, Batch, Origin, Stretch, stretches
from fetchpool.sources.making import Maker
from fetchpool.sources.packed import unpacked

AHEAD = 4
"""Sitemaps that are asked for before the first of them was read."""

MOST_SITEMAPS = 250_000
"""As many as an index of five full ones names, some 30 MB in memory."""

DEEPEST = 4
"""Indexes in one another, that of the list included: sitemaps.org allows one."""


_NAME = "the sitemap"


class SitemapIndex(Form):
    """An index of sitemaps, whose entries are lists themselves.

    What is read of it is not the same each time: its numbers mean nothing to the next run. Before a
    run, where nothing is fetched, its entries are all there is of it.
    """

    title = "an index of sitemaps, URLs from the sitemaps it names"
    mark = "sitemap index"
    is_fetched = True

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def batches(self, data: Data, origin: Origin, max_lines: int = BATCH) -> Iterator[Batch]:
        return _Walk(self._reading, origin, data.fetched, max_lines).batches(data)


class _Walk:
    """One way through an index and all that it names."""

    def __init__(
        self, reading: Reading, origin: Origin, fetched: FetchedSitemaps | None, max_lines: int
    ) -> None:
        self._fetched = fetched
        self._max_lines = max_lines
        self._maker = Maker(origin, reading)
        self._plain = Maker(origin._replace(ask=PLAIN), reading)
        self._seq = origin.seq - 1
        self._met: set[int] = set()  # hashes: a chance of 1 in 600 million that two are alike

    def batches(self, data: Data) -> Iterator[Batch]:
        found = XmlReader("sitemap").read(data.blocks(), data.name)
        yield from self._sitemaps(found, ())

    def _sitemaps(self, found: Iterator[list[str]], chain: tuple[str, ...]) -> Iterator[Batch]:
        """Yield the requests of the sitemaps *found* in an index, and what these name.

        *chain* are the URLs of the indexes that led there. While a sitemap is under way nothing
        more is waited for of the index.
        """
        known: deque[str] = deque()
        under_way: deque[str] = deque()
        is_whole = False
        while True:
            while known and len(under_way) < AHEAD:
                batch = self._ask(known.popleft(), chain)
                if batch.requests and self._fetched is not None and not batch.requests[0].problem:
                    under_way.append(batch.requests[0].url)
                    self._fetched.ask(under_way[-1])
                yield batch
            if under_way:
                yield from self._fetch(under_way.popleft(), chain)
            elif not is_whole:
                urls = next(found, None)
                is_whole = urls is None
                known.extend(urls or ())
            elif not known:
                return

    def _ask(self, text: str, chain: tuple[str, ...]) -> Batch:
        """Return the request of a sitemap; none where its URLs are in the list already."""
        self._seq += 1
        request = replace(self._plain.request(text, self._seq), is_sitemap=True)
        if request.problem is not None:
            return Batch([request], 0, self._seq)
        if request.url in chain:
            self._seq -= 1
            return self._unread(request.url, "the index of sitemaps leads back to itself")
        if hash(request.url) in self._met:
            return Batch([], 1, self._seq)
        if len(self._met) == MOST_SITEMAPS:
            raise InputError(
                f"an index leads to more than {MOST_SITEMAPS:,} sitemaps; give it in several parts"
            )
        self._met.add(hash(request.url))
        return Batch([request], 0, self._seq)

    def _fetch(self, url: str, chain: tuple[str, ...]) -> Iterator[Batch]:
        """Wait for the sitemap at *url* and yield what it names."""
        assert self._fetched is not None
        descriptor = self._fetched.wait(url)
        if descriptor is None:  # its request has its record
            return
        try:
            yield from self._read(descriptor, url, chain)
        except InputError as error:
            yield self._unread(url, str(error))
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int, url: str, chain: tuple[str, ...]) -> Iterator[Batch]:
        """Yield what the sitemap in *descriptor* names: pages, or sitemaps where it is an index."""
        blocks = _bounded(unpacked(_blocks(descriptor), _NAME))
        first = next(blocks, b"")
        start = first.decode("utf-8", "replace").lstrip(BLANKS + "\n")
        blocks = chain_of((first,), blocks)
        if not start.startswith("<"):
            if not start.lower().startswith(("http://", "https://")):
                what = "is neither XML nor a URL a line" if start else "is empty"
                raise InputError(f"{_NAME} {what}")
            for piece in stretches(blocks):
                yield from self._pages(_lines_of(piece))
            return
        reader = XmlReader("sitemap")
        found = reader.read(blocks, _NAME)
        urls: list[str] = []
        while not reader.root:
            urls = next(found)
        found = chain_of((urls,), found)
        if reader.root == INDEX:
            if len(chain) == DEEPEST - 1:
                raise InputError(f"{_NAME} is an index within {DEEPEST} others")
            yield from self._sitemaps(found, (*chain, url))
            return
        if reader.root != "urlset":
            raise InputError(f"{_NAME} is none, but other XML: <{display(reader.root, 40)}>")
        for urls in found:
            yield from self._pages(urls)

    def _pages(self, texts: Sequence[str]) -> Iterator[Batch]:
        for at in range(0, len(texts), self._max_lines):
            some = texts[at : at + self._max_lines]
            first = self._seq + 1
            self._seq += len(some)
            requests = [self._maker.request(text, n) for n, text in enumerate(some, first)]
            yield Batch(requests, 0, self._seq)

    def _unread(self, url: str, problem: str) -> Batch:
        """Return what makes the record of a sitemap that can't be read."""
        self._seq += 1
        request = self._plain.request(url, self._seq)
        return Batch([replace(request, problem=problem, is_sitemap=True)], 0, self._seq)


def _blocks(descriptor: int) -> Iterator[bytes]:
    while block := os.read(descriptor, BLOCK):
        yield block


def _bounded(blocks: Iterable[bytes]) -> Iterator[bytes]:
    read = 0
    for block in blocks:
        read += len(block)
        if read > MOST_BYTES:
            raise InputError(f"{_NAME} is longer than {MOST_BYTES >> 20} MiB")
        yield block


def _lines_of(piece: Stretch) -> list[str]:
    if piece.too_long:
        raise InputError(f"{_NAME} has a line longer than a URL may be")
    lines = piece.data.decode("utf-8", "surrogateescape").split("\n")
    return [line for line in lines if line.strip(BLANKS)]

"""Sitemaps, OPML, bookmarks and other HTML: the URLs in them, numbered as they come."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator

from fetchpool.model.reading import Reading
from fetchpool.sources.errors import InputError
from fetchpool.sources.forms.form import Data, Form
from fetchpool.sources.head import Head
from fetchpool.sources.lines import BATCH, Batch, Origin
from fetchpool.sources.making import Maker

_LONGEST_TAG = 1 << 20
"""Bytes of a tag, comment or script whose end is waited for."""

_ROOT = re.compile(r"<(?:[\w.-]+:)?([A-Za-z][\w.-]*)")
_WRAPPED = re.compile(r"<https?:[^<>]*>")
_LINK = re.compile(r"<a\s[^>]*href|<!doctype\s+(?:html|netscape)|<html|<dl", re.IGNORECASE)

_ROOTS = {"urlset": "sitemap", "sitemapindex": "sitemap", "opml": "opml"}


def find(head: Head, reading: Reading, kind: str, *, asked: bool) -> Form | None:
    """Return the form of *kind* (sitemap, opml, bookmarks) that *head* begins; None: another.

    Raises `InputError` for XML of another kind.
    """
    if not asked and (not head.start.startswith("<") or _WRAPPED.fullmatch(head.start)):
        return None
    root = _ROOT.search(head.text)
    name = root[1] if root else ""
    if kind == "sitemap" and name == "sitemapindex":
        from fetchpool.sources.forms.sitemap_index import SitemapIndex

        return SitemapIndex(reading)
    if kind != "bookmarks":
        return Xml(reading, kind) if asked or _ROOTS.get(name) == kind else None
    if asked or _LINK.search(head.text):
        return Html(reading)
    if head.stream:
        return None
    raise InputError(
        f"{head.name} is XML or HTML without a list that is known: a sitemap, OPML, or links "
        "(<a href>); --input-format bookmarks reads its links",
        head.samples(),
    )


class _Markup(Form):
    """A list whose URLs stand in markup."""

    def __init__(self, reading: Reading, kind: str) -> None:
        self._reading = reading
        self._kind = kind
        self.mark = kind

    def batches(self, data: Data, origin: Origin, max_lines: int = BATCH) -> Iterator[Batch]:
        maker = Maker(origin, self._reading)
        read = origin.seq - 1
        for texts, skipped in self._urls(data):
            for at in range(0, len(texts), max_lines):
                some = texts[at : at + max_lines]
                requests = [maker.request(text, read + n) for n, text in enumerate(some, 1)]
                read += len(some)
                yield Batch(requests, 0, read)
            if skipped:
                yield Batch([], skipped, max(read, 0))

    @abstractmethod
    def _urls(self, data: Data) -> Iterator[tuple[list[str], int]]:
        """Yield the URLs of each block, and how many links there were that are none to fetch."""


class Xml(_Markup):
    """A sitemap or OPML."""

    def __init__(self, reading: Reading, kind: str) -> None:
        super().__init__(reading, kind)
        what = {"sitemap": "a sitemap, URLs from <loc>", "opml": "OPML, URLs from its outlines"}
        self.title = what[kind]

    def _urls(self, data: Data) -> Iterator[tuple[list[str], int]]:
        from fetchpool.sources.forms.xml_reader import INDEX, XmlReader  # expat: 3 ms

        reader = XmlReader(self._kind)
        for urls in reader.read(data.blocks(), data.name):
            if self._kind == "sitemap" and reader.root == INDEX:
                raise InputError(
                    f"{data.name} is an index of sitemaps, but does not begin as one; take away "
                    "what stands before <sitemapindex>"
                )
            yield urls, 0


class Html(_Markup):
    """Bookmarks, or any page: what its <a href> lead to."""

    title = "HTML, URLs from its links"

    def __init__(self, reading: Reading) -> None:
        super().__init__(reading, "bookmarks")

    def _urls(self, data: Data) -> Iterator[tuple[list[str], int]]:
        import codecs

        from fetchpool.sources.forms.links import LinkReader  # html.parser: 5 ms

        reader = LinkReader()
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        for block in data.blocks():
            reader.feed(decoder.decode(block))
            if len(reader.rawdata) > _LONGEST_TAG:
                raise InputError(f"{data.name} can't be read as HTML: a tag in it has no end")
            yield reader.take()
        reader.close()
        yield reader.take()

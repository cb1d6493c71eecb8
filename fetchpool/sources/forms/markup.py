"""Sitemaps, OPML, bookmarks and other HTML: the URLs in them, numbered as they come.

XML is read by expat, which is told to refuse a document type: without one there are no entities to
blow up or to fetch.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fetchpool.model.reading import Reading
from fetchpool.sources.errors import InputError
from fetchpool.sources.forms.form import Data, Form
from fetchpool.sources.head import Head
from fetchpool.sources.lines import BATCH, MAX_LINE, Batch, Origin
from fetchpool.sources.making import Maker

if TYPE_CHECKING:
    from xml.parsers.expat import XMLParserType

_LONGEST_TAG = 1 << 20
"""Bytes of a tag, comment or script whose end is waited for."""
_DEEPEST = 200
"""Elements in one another."""

_ROOT = re.compile(r"<(?:[\w.-]+:)?([A-Za-z][\w.-]*)")
_WRAPPED = re.compile(r"<https?:[^<>]*>")
_LINK = re.compile(r"<a\s[^>]*href|<!doctype\s+(?:html|netscape)|<html|<dl", re.IGNORECASE)

_ROOTS = {"urlset": "sitemap", "sitemapindex": "sitemap", "opml": "opml"}


def find(head: Head, reading: Reading, kind: str, *, asked: bool) -> Form | None:
    """Return the form of *kind* (sitemap, opml, bookmarks) that *head* begins; None: another.

    Raises `InputError` for XML of another kind, and for an index of sitemaps.
    """
    if not asked and (not head.start.startswith("<") or _WRAPPED.fullmatch(head.start)):
        return None
    root = _ROOT.search(head.text)
    name = root[1] if root else ""
    if name == "sitemapindex":
        raise InputError(
            f"{head.name} is an index of sitemaps; give the sitemaps that it names: "
            "fetchpool get URL... -o maps, then the files it stored",
            _locations(head),
        )
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


def _locations(head: Head) -> list[str]:
    """Return the first sitemaps that an index names."""
    return re.findall(r"<loc>\s*([^<]{1,500}?)\s*</loc>", head.text)[:3]


class _Markup(Form):
    """A list whose URLs stand in markup: what is found goes to `_found`."""

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
        from xml.parsers import expat

        reader = _XmlReader(self._kind)
        try:
            for block in data.blocks():
                reader.feed(block)
                yield reader.take(), 0
            reader.parser.Parse(b"", True)
        except (expat.ExpatError, _RefusedError) as error:
            if urls := reader.take():
                yield urls, 0
            raise InputError(f"{data.name} can't be read as XML: {error}") from None
        yield reader.take(), 0


class _RefusedError(Exception):
    """What is not read of a document."""


class _XmlReader:
    """Collects the URLs of a sitemap or OPML."""

    def __init__(self, kind: str) -> None:
        from xml.parsers import expat

        self.parser: XMLParserType = expat.ParserCreate()
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text
        self._is_sitemap = kind == "sitemap"
        self._path: list[str] = []
        self._location: str | None = None
        self._found: list[str] = []
        self._given = 0

    def feed(self, block: bytes) -> None:
        """Read on; raises ExpatError or `_RefusedError`."""
        self.parser.Parse(block, False)
        self._given += len(block)
        if self._given - self.parser.CurrentByteIndex > _LONGEST_TAG:
            raise _RefusedError("a tag in it has no end")

    def take(self) -> list[str]:
        """Return what was found since the last time."""
        found, self._found = self._found, []
        return found

    def _refuse(self, *_: object) -> None:
        raise _RefusedError("it declares a document type, which no sitemap or OPML needs")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2].lower()
        if self._is_sitemap:
            if name == "sitemap":
                raise _RefusedError("it is an index of sitemaps; give the sitemaps it names")
            # <image:image><image:loc> names what is on the page
            is_page = name == "loc" and self._path[-1:] == ["url"]
            self._location = "" if is_page else None
        elif name == "outline":
            by_name = {key.lower(): value for key, value in attributes.items()}
            url = by_name.get("xmlurl") or by_name.get("url") or by_name.get("htmlurl")
            if url:
                self._found.append(url)
        self._path.append(name)
        if len(self._path) > _DEEPEST:
            raise _RefusedError(f"its elements are nested more than {_DEEPEST} deep")

    def _end(self, _: str) -> None:
        self._path.pop()
        if self._location is not None:
            self._found.append(self._location)
            self._location = None

    def _text(self, text: str) -> None:
        if self._location is not None and len(self._location) <= MAX_LINE:
            self._location += text


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

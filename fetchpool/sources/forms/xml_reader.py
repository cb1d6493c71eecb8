"""Reads the URLs out of a sitemap, an index of sitemaps or OPML, a block at a time.

XML is read by expat, which is told to refuse a document type: without one there are no entities to
blow up or to fetch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from xml.parsers import expat

from fetchpool.sources.errors import InputError
from fetchpool.sources.lines import MAX_LINE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from xml.parsers.expat import XMLParserType

LONGEST_TAG = 1 << 20
"""Bytes of a tag, comment or script whose end is waited for."""
DEEPEST = 200
"""Elements in one another."""

INDEX = "sitemapindex"
"""The root of an index of sitemaps."""
_NAMING = {"urlset": "url", INDEX: "sitemap"}
"""Roots of sitemaps, and in which of their elements a `<loc>` counts."""
_NAMES_IN = frozenset(_NAMING.values())


class _RefusedError(Exception):
    """What is not read of a document."""


class XmlReader:
    """Collects the URLs of a document: of a sitemap if *kind* is so, else of OPML."""

    def __init__(self, kind: str) -> None:
        self._parser: XMLParserType = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        self._is_sitemap = kind == "sitemap"
        self._path: list[str] = []
        self._location: str | None = None
        self._found: list[str] = []
        self._given = 0
        self.root = ""
        """The name of the first element, in lower case; empty until it was read."""

    def read(self, blocks: Iterable[bytes], name: str) -> Iterator[list[str]]:
        """Yield what each block holds; raises `InputError` where *name* can't be read as XML."""
        try:
            for block in blocks:
                self._feed(block)
                yield self._take()
            self._parser.Parse(b"", True)
        except (expat.ExpatError, _RefusedError) as error:
            if urls := self._take():
                yield urls
            raise InputError(f"{name} can't be read as XML: {error}") from None
        yield self._take()

    def _feed(self, block: bytes) -> None:
        self._parser.Parse(block, False)
        self._given += len(block)
        if self._given - self._parser.CurrentByteIndex > LONGEST_TAG:
            raise _RefusedError("a tag in it has no end")

    def _take(self) -> list[str]:
        """Return what was found since the last time."""
        found, self._found = self._found, []
        return found

    @property
    def _naming(self) -> str:
        return _NAMING.get(self.root, "url")

    def _refuse(self, *_: object) -> None:
        raise _RefusedError("it declares a document type, which no sitemap or OPML needs")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(":")[2].lower()
        self.root = self.root or name
        if self._is_sitemap:
            if name in _NAMES_IN and self._path[-1:] == [self.root] and name != self._naming:
                raise _RefusedError(f"a <{name}> does not belong into a <{self.root}>")
            # <image:image><image:loc> names what is on the page
            is_named = name == "loc" and self._path[-1:] == [self._naming]
            self._location = "" if is_named else None
        elif name == "outline":
            by_name = {key.lower(): value for key, value in attributes.items()}
            url = by_name.get("xmlurl") or by_name.get("url") or by_name.get("htmlurl")
            if url:
                self._found.append(url)
        self._path.append(name)
        if len(self._path) > DEEPEST:
            raise _RefusedError(f"its elements are nested more than {DEEPEST} deep")

    def _end(self, _: str) -> None:
        self._path.pop()
        if self._location is not None:
            self._found.append(self._location)
            self._location = None

    def _text(self, text: str) -> None:
        if self._location is not None and len(self._location) <= MAX_LINE:
            self._location += text

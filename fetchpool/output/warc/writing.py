"""Records of exchanges: warcinfo, request, response, revisit.

Of each exchange the request comes first, then the response: so the place of the last record of an
outcome is where all that belongs to it ends.
"""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Iterator, Sequence
from functools import lru_cache
from secrets import token_hex
from time import gmtime, strftime
from typing import TYPE_CHECKING, NamedTuple

import fetchpool
from fetchpool.model.exchanges import Exchanged
from fetchpool.model.urls import redact
from fetchpool.output.warc.cdx import line_of
from fetchpool.output.warc.heads import (
    coding_in,
    hides_in,
    is_chunked,
    is_conditional,
    media_type_in,
    without_secrets,
)
from fetchpool.output.warc.originals import LEAST_BYTES, Original, Originals, key_of
from fetchpool.output.warc.packing import most_bytes, packed
from fetchpool.output.warc.payloads import payload_of

if TYPE_CHECKING:
    from fetchpool.output.warc.reading import Entry

SPECIFICATION = "http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/"
_REVISIT = "http://netpreserve.org/warc/1.1/revisit/"
IDENTICAL = f"{_REVISIT}identical-payload-digest"
NOT_MODIFIED = f"{_REVISIT}server-not-modified"

_HTTP = "application/http; msgtype="


class Earlier(NamedTuple):
    """A response of an earlier run, to which the one of today may refer."""

    url: str
    date: str
    digest: str
    chunked: bool
    coding: bytes

    @classmethod
    def of(cls, entry: Entry) -> Earlier:
        """Return what is to be said of *entry*; of a revisit, what that refers to."""
        fields, head = entry.fields, entry.head
        url, date = fields.get("warc-target-uri", ""), fields.get("warc-date", "")
        if entry.kind == "revisit":
            url = fields.get("warc-refers-to-target-uri", url)
            date = fields.get("warc-refers-to-date", date)
        digest = fields.get("warc-payload-digest", "")
        return cls(url, date, digest, is_chunked(head), coding_in(head))


class Packed(NamedTuple):
    """A record that is ready to be written: a gzip member."""

    pieces: Iterator[bytes]
    capture: Capture | None
    """What the index says of it; None: it is not indexed."""


class Capture(NamedTuple):
    """What an index says of a record, but for its place."""

    url: str
    date: str
    mime: str | None
    status: int
    digest: str

    def line(self, filename: str, offset: int, length: int) -> bytes:
        """Return its line in the index of *filename*."""
        place = (filename, offset, length)
        return line_of(self.url, self.date, self.mime, str(self.status), self.digest, place)


def warcinfo(filename: str, fields: Sequence[tuple[str, str]], now: float) -> tuple[str, bytes]:
    """Return the id and the member of the record that a container called *filename* begins with.

    *fields* are about the run; those about software and format are added.
    """
    own = (
        ("software", f"fetchpool/{fetchpool.__version__}"),
        ("format", "WARC File Format 1.1"),
        ("conformsTo", SPECIFICATION),
    )
    block = "".join(f"{name}: {value}\r\n" for name, value in (*own, *fields)).encode()
    record_id = _new_id()
    head = _head(
        "warcinfo",
        record_id,
        date_of(now),
        len(block),
        ("WARC-Filename", filename),
        ("Content-Type", "application/warc-fields"),
        ("WARC-Block-Digest", _digest(hashlib.sha1(block, usedforsecurity=False).digest())),
    )
    return record_id, b"".join(packed(head, [block], len(block)))


def most_bytes_of(exchanges: Sequence[Exchanged]) -> int:
    """Return how long the records of *exchanges* are at most."""
    return sum(
        most_bytes(each.length) + most_bytes(len(each.request) + len(each.body or b""))
        for each in exchanges
    )


class RecordMaker:
    """Makes the records of the exchanges that go to one container."""

    def __init__(self, warcinfo_id: str, originals: Originals) -> None:
        self._warcinfo_id = warcinfo_id
        self._originals = originals

    def records(self, exchanged: Exchanged, earlier: Earlier | None) -> tuple[Packed, Packed]:
        """Return the records of the request and of the response, to be written in this order.

        *earlier* is what an earlier run got for the same URL, if its record is still there. The
        pieces of the response are read from its recording when they are asked for. Raises OSError.
        """
        url, date = redact(exchanged.url), date_of(exchanged.sent_at)
        ids = _new_id(), _new_id()
        return (
            self._request(exchanged, url, date, ids),
            self._response(exchanged, url, date, ids, earlier),
        )

    def _request(self, exchanged: Exchanged, url: str, date: str, ids: tuple[str, str]) -> Packed:
        head = without_secrets(exchanged.request, exchanged.url)
        body, more = exchanged.body or b"", self._shared(exchanged, url, ids[1])
        if body and hides_in(body):
            body = b""
            more += (("WARC-Truncated", "unspecified"),)
        block = head + body
        digest = _digest(hashlib.sha1(block, usedforsecurity=False).digest())
        more += (("Content-Type", f"{_HTTP}request"), ("WARC-Block-Digest", digest))
        record = _head("request", ids[0], date, len(block), *more)
        return Packed(packed(record, [block], len(block)), None)

    def _response(
        self,
        exchanged: Exchanged,
        url: str,
        date: str,
        ids: tuple[str, str],
        earlier: Earlier | None,
    ) -> Packed:
        read = _read(exchanged)
        digest = _digest(read.payload)
        more = self._shared(exchanged, url, ids[0])
        if exchanged.status == 304 and is_conditional(exchanged.request):
            if earlier is not None:
                digest = earlier.digest
                more += _refers_to(earlier.url, earlier.date)
            return self._revisit(exchanged, read, NOT_MODIFIED, digest, more, (url, date, ids[1]))
        original = self._original(exchanged, read, digest, url, date, earlier)
        if original is not None:
            more += _refers_to(original.url, original.date)
            return self._revisit(exchanged, read, IDENTICAL, digest, more, (url, date, ids[1]))
        if exchanged.truncated is not None:
            more += (("WARC-Truncated", exchanged.truncated),)
        record = _head(
            "response",
            ids[1],
            date,
            exchanged.length,
            *more,
            ("Content-Type", f"{_HTTP}response"),
            ("WARC-Block-Digest", _digest(read.block)),
            ("WARC-Payload-Digest", digest),
        )
        capture = Capture(url, date, media_type_in(read.head), exchanged.status, digest)
        pieces = packed(record, exchanged.recording.pieces(), exchanged.length)
        return Packed(pieces, capture)

    def _original(
        self,
        exchanged: Exchanged,
        read: _Read,
        digest: str,
        url: str,
        date: str,
        earlier: Earlier | None,
    ) -> Original | None:
        """Return the response whose payload this one has, too; else remember this one's."""
        if exchanged.truncated is not None or read.payload_length < LEAST_BYTES:
            return None
        chunked, coding = exchanged.chunked, coding_in(read.head)
        key = key_of(read.payload, chunked=chunked, coding=coding)
        if (found := self._originals.find(key)) is not None:
            return found
        if earlier is not None and earlier[2:] == (digest, chunked, coding):
            return Original(earlier.url, earlier.date)
        self._originals.add(key, Original(url, date))
        return None

    def _revisit(
        self,
        exchanged: Exchanged,
        read: _Read,
        profile: str,
        digest: str,
        more: tuple[tuple[str, str], ...],
        who: tuple[str, str, str],
    ) -> Packed:
        url, date, record_id = who
        block = hashlib.sha1(read.head, usedforsecurity=False).digest()
        if profile == IDENTICAL:
            more += (("WARC-Truncated", "length"),)
        record = _head(
            "revisit",
            record_id,
            date,
            len(read.head),
            *more,
            ("WARC-Profile", profile),
            ("Content-Type", f"{_HTTP}response"),
            ("WARC-Block-Digest", _digest(block)),
            ("WARC-Payload-Digest", digest),
        )
        capture = Capture(url, date, "warc/revisit", exchanged.status, digest)
        return Packed(packed(record, [read.head], len(read.head)), capture)

    def _shared(self, exchanged: Exchanged, url: str, other_id: str) -> tuple[tuple[str, str], ...]:
        """Return the fields that both records of an exchange have."""
        fields = (
            ("WARC-Target-URI", url),
            ("WARC-Warcinfo-ID", self._warcinfo_id),
            ("WARC-Concurrent-To", other_id),
        )
        return (*fields, ("WARC-IP-Address", exchanged.peer)) if exchanged.peer else fields


class _Read(NamedTuple):
    head: bytes
    block: bytes
    payload: bytes
    payload_length: int


def _read(exchanged: Exchanged) -> _Read:
    """Return the head of a response, the digests of block and payload, and the payload's length."""
    block = hashlib.sha1(usedforsecurity=False)
    payload = hashlib.sha1(usedforsecurity=False)
    head, length, left = b"", 0, exchanged.head_length

    def pieces() -> Iterator[bytes]:
        nonlocal head
        for piece in exchanged.recording.pieces():
            block.update(piece)
            if len(head) < left:
                head += piece[: left - len(head)]
            yield piece

    every = pieces()
    for piece in payload_of(every, left, chunked=exchanged.chunked):
        payload.update(piece)
        length += len(piece)
    for _ in every:  # the trailer of a chunked body
        pass
    return _Read(head, block.digest(), payload.digest(), length)


def _head(kind: str, record_id: str, date: str, length: int, *fields: tuple[str, str]) -> bytes:
    """Return the head of a record, with the blank line behind it."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in fields])
    return (
        f"WARC/1.1\r\nWARC-Type: {kind}\r\nWARC-Record-ID: {record_id}\r\nWARC-Date: {date}\r\n"
        f"{lines}Content-Length: {length}\r\n\r\n"
    ).encode()


def _refers_to(url: str, date: str) -> tuple[tuple[str, str], ...]:
    return (("WARC-Refers-To-Target-URI", url), ("WARC-Refers-To-Date", date))


def _new_id() -> str:
    """Return an id as RFC 9562 has it, version 4; the `uuid` module takes three times as long."""
    text = token_hex(16)
    variant = "89ab"[int(text[16], 16) & 3]
    return f"<urn:uuid:{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}>"


def _digest(sha1: bytes) -> str:
    return f"sha1:{b32encode(sha1).decode()}"


def date_of(epoch: float) -> str:
    """Return *epoch*, seconds since 1970, as records have it."""
    return _date_of(int(epoch))


@lru_cache(maxsize=64)
def _date_of(epoch: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(epoch))

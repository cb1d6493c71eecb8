"""Records read back: all of a container, to index it anew, or one at its place."""

from __future__ import annotations

import zlib
from base64 import b32decode
from collections.abc import Iterator
from typing import Any, NamedTuple

from fetchpool.output.readable import Readable
from fetchpool.output.warc.cdx import line_of
from fetchpool.output.warc.heads import media_type_in

_GZIP = 31
_READ_BYTES = 128 * 1024
_STEP_BYTES = 256 * 1024
_LONGEST_HEAD = 512 * 1024
"""Of a record, or of the message in it: more than any response has."""
_END = b"\r\n\r\n"
_INDEXED = ("response", "revisit")


class BrokenRecordError(OSError):
    """What stands at a place in a container is no whole record."""


class Entry(NamedTuple):
    """One record: where it is, and what its head and the head of the message in it say."""

    offset: int
    length: int
    """Of the gzip member."""
    fields: dict[str, str]
    """Names in lower case."""
    head_length: int
    """Of the record, with the blank line."""
    head: bytes
    """Of the HTTP message, with the blank line; empty for another block."""

    @property
    def kind(self) -> str:
        """The type of the record."""
        return self.fields.get("warc-type", "")

    def line(self, filename: str) -> bytes | None:
        """Return its line in the index of *filename*; None: it is none that is indexed."""
        url, date = self.fields.get("warc-target-uri"), self.fields.get("warc-date")
        if self.kind not in _INDEXED or url is None or date is None:
            return None
        is_revisit = self.kind == "revisit"
        return line_of(
            url,
            date,
            "warc/revisit" if is_revisit else media_type_in(self.head),
            self.head.split(b" ", 2)[1][:3].decode("latin-1") if self.head else None,
            self.fields.get("warc-payload-digest", "-"),
            (filename, self.offset, self.length),
        )

    @property
    def body_length(self) -> int:
        """How long the body of the message is here, with its chunks."""
        length = self.fields.get("content-length", "")
        return int(length) - len(self.head) if length.isdecimal() else 0

    @property
    def payload_digest(self) -> bytes | None:
        """The SHA-1 of the payload, if the record has the whole of one."""
        algorithm, _, text = self.fields.get("warc-payload-digest", "").partition(":")
        if self.kind != "response" or "warc-truncated" in self.fields or algorithm != "sha1":
            return None
        try:
            return b32decode(text)
        except ValueError:
            return None


def entries_of(path: Readable) -> Iterator[Entry]:
    """Yield the records of the container at *path*, in flat memory.

    Raises OSError, `StoreError`, `BrokenRecordError` where one is not whole.
    """
    with path.open("rb") as file:
        offset, held = 0, b""
        while held or (held := file.read(_READ_BYTES)):
            reader = _Member(held)
            kept = b""
            for piece in reader.pieces(file.read):
                if len(kept) < 2 * _LONGEST_HEAD:
                    kept += piece
            yield _entry(offset, reader.taken, kept)
            offset += reader.taken
            held = reader.rest


def entry_at(path: Readable, offset: int, length: int) -> Entry:
    """Return the record at a place of the container at *path*, of which its heads are read.

    Raises OSError, `StoreError`, `BrokenRecordError` where it is none.
    """
    kept = b""
    for piece in unpacked(path, offset, length):
        kept += piece
        block = kept.partition(_END)[2]
        if _END in block or b"\n\n" in block or len(kept) > 2 * _LONGEST_HEAD:
            break
    return _entry(offset, length, kept)


def unpacked(path: Readable, offset: int, length: int) -> Iterator[bytes]:
    """Yield the record at a place, unpacked piece by piece; raises OSError."""
    with path.open("rb") as file:
        file.seek(offset)
        left = length

        def read(size: int) -> bytes:
            nonlocal left
            data = file.read(min(size, left))
            left -= len(data)
            return data

        yield from _Member(read(_READ_BYTES)).pieces(read)


class _Member:
    """One gzip member, of which some bytes have been read."""

    def __init__(self, held: bytes) -> None:
        self._held = held
        self.taken = 0
        """How many bytes it takes, once all its pieces are read."""
        self.rest = b""
        """What was read behind it."""

    def pieces(self, read: Any) -> Iterator[bytes]:
        unpacking = zlib.decompressobj(_GZIP)
        data = self._held
        try:
            while not unpacking.eof:
                if not data:
                    raise BrokenRecordError("a record is cut off")
                self.taken += len(data)
                while data and not unpacking.eof:
                    if piece := unpacking.decompress(data, _STEP_BYTES):
                        yield piece
                    data = unpacking.unconsumed_tail
                if not unpacking.eof:
                    data = read(_READ_BYTES)
        except zlib.error as error:
            raise BrokenRecordError(f"no record: {error}") from error
        self.rest = unpacking.unused_data
        self.taken -= len(self.rest)


def _entry(offset: int, length: int, kept: bytes) -> Entry:
    """Return the record whose first bytes are *kept*."""
    head, end, block = kept.partition(_END)
    first, *lines = head.decode("utf-8", "replace").split("\r\n")
    if not end or not first.startswith("WARC/"):
        raise BrokenRecordError("no record of a WARC")
    pairs = (line.partition(":") for line in lines)
    fields = {name.lower(): value.strip() for name, _, value in pairs}
    message = b""
    if fields.get("content-type", "").startswith("application/http"):
        message = block[: message_head_length(block)]
    return Entry(offset, length, fields, len(head) + len(end), message)


def message_head_length(message: bytes) -> int:
    """Return how long the head of *message* is, with the blank line; lines may end with LF."""
    at = 0
    while True:
        end = message.find(b"\n", at) + 1
        if not end:
            return len(message)
        if message[at:end] in (b"\r\n", b"\n"):
            return end
        at = end

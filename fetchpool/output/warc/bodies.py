"""The body of a response in a container: without its chunks, its coding undone.

Of a revisit it is that of the response it refers to, which the indexes beside it find.
"""

from __future__ import annotations

import errno
import importlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fetchpool.output.warc.cdx import ENDING as INDEX
from fetchpool.output.warc.cdx import lines_from, timestamp_of
from fetchpool.output.warc.heads import codings_in, is_chunked
from fetchpool.output.warc.payloads import behind_head, payload_of
from fetchpool.output.warc.reading import Entry, entries_of, entry_at, unpacked
from fetchpool.output.warc.surt import surt

_ZLIB_OR_GZIP = 47
_CHOICES = ("compression.zstd", "backports.zstd")


def body_at(path: Path, offset: int, length: int) -> Iterator[bytes]:
    """Yield the body of the response at a place in the container at *path*.

    A coding that nothing here can undo is left on. Raises OSError, also where there is no such
    response, or the original of a revisit is gone.
    """
    entry = entry_at(path, offset, length)
    original, place = entry, (path, offset, length)
    if entry.kind == "revisit":
        original, place = _original_of(entry, path.parent)
    record = unpacked(*place)
    pieces = payload_of(
        _block_of(record, original), len(original.head), chunked=is_chunked(original.head)
    )
    for coding in reversed(codings_in(entry.head)):
        pieces = _decoded(pieces, coding)
    return pieces


def _block_of(record: Iterator[bytes], entry: Entry) -> Iterator[bytes]:
    """Yield the block of the *record* that *entry* describes."""
    left = int(entry.fields["content-length"])
    for piece in behind_head(record, entry.head_length):
        yield piece[:left]
        left -= min(left, len(piece))


def _original_of(revisit: Entry, folder: Path) -> tuple[Entry, tuple[Path, int, int]]:
    """Return the response that *revisit* refers to, and its place. Raises OSError."""
    fields = revisit.fields
    url, date = fields.get("warc-refers-to-target-uri"), fields.get("warc-refers-to-date")
    if url is not None and date is not None:
        for path in sorted(folder.glob("*.warc.gz*")):
            for entry in _candidates(path, url, date):
                if (
                    entry.kind == "response"
                    and entry.fields.get("warc-target-uri") == url
                    and entry.fields.get("warc-date") == date
                    and entry.fields.get("warc-payload-digest") == fields["warc-payload-digest"]
                ):
                    return entry, (path, entry.offset, entry.length)
    raise OSError(errno.ENOENT, "the response that a revisit record refers to is gone", str(folder))


def _candidates(path: Path, url: str, date: str) -> Iterator[Entry]:
    """Yield the records in the container at *path* that may be *url*'s on *date*."""
    index = path.with_name(path.name.removesuffix(".open").removesuffix(".warc.gz") + INDEX)
    if path.name.endswith(".open") or not index.exists():
        yield from entries_of(path)
        return
    for line in lines_from(index, f"{surt(url)} {timestamp_of(date)} ".encode()):
        yield entry_at(path, line.offset, line.length)


def _decoded(pieces: Iterator[bytes], coding: str) -> Iterator[bytes]:
    """Yield *pieces* with *coding* undone, if that is known; raises OSError where it is broken."""
    match coding:
        case "gzip" | "x-gzip":
            return _unzipped(pieces, _ZLIB_OR_GZIP)
        case "deflate":
            return _inflated(pieces)
        case "br":
            return _with(pieces, ("brotli", "brotlicffi"), "Decompressor", "process")
        case "zstd":
            return _with(pieces, _CHOICES, "ZstdDecompressor", "decompress")
    return pieces


def _unzipped(pieces: Iterator[bytes], form: int) -> Iterator[bytes]:
    unpacking, is_whole = zlib.decompressobj(form), False
    try:
        for piece in pieces:
            data = piece
            while data:
                if unpacking.eof:  # another member, or what some servers send behind the last
                    unpacking, is_whole = zlib.decompressobj(form), True
                yield unpacking.decompress(data)
                data = unpacking.unused_data
    except zlib.error as error:
        if not is_whole:
            raise OSError(errno.EIO, f"the coding of a body is broken: {error}") from error


def _inflated(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Undo `deflate`, which some servers send without the two bytes that zlib begins with."""
    first = next(pieces, b"")
    while len(first) < 2 and (more := next(pieces, b"")):
        first += more
    is_zlib = len(first) > 1 and first[0] & 15 == 8 and not int.from_bytes(first[:2]) % 31

    def every() -> Iterator[bytes]:
        yield first
        yield from pieces

    return _unzipped(every(), _ZLIB_OR_GZIP if is_zlib else -15)


def _with(
    pieces: Iterator[bytes], modules: tuple[str, ...], maker: str, method: str
) -> Iterator[bytes]:
    """Decode with the first of *modules* that is installed; without any, not at all."""
    for name in modules:
        try:
            made = getattr(importlib.import_module(name), maker)
        except ImportError:
            continue
        return _by(pieces, made(), method)
    return pieces


def _by(pieces: Iterator[bytes], decoder: Any, method: str) -> Iterator[bytes]:
    decode: Callable[[bytes], bytes] = getattr(decoder, method)
    try:
        for piece in pieces:
            yield decode(piece)
    except Exception as error:
        raise OSError(errno.EIO, f"the coding of a body is broken: {error}") from error

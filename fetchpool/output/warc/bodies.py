"""The body of a response in a container: without its chunks, its coding undone.

Of a revisit it is that of the response it refers to, which the indexes beside it find.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

from fetchpool.model.decoding import BodyError, make_decoder, own_codings
from fetchpool.model.disposition import suggested_filename
from fetchpool.model.values import FailureKind, Head
from fetchpool.output.readable import Readable
from fetchpool.output.warc.cdx import ENDING as INDEX
from fetchpool.output.warc.cdx import lines_from, timestamp_of
from fetchpool.output.warc.heads import fields_of, is_chunked
from fetchpool.output.warc.payloads import behind_head, payload_of
from fetchpool.output.warc.reading import Entry, entries_of, entry_at, unpacked
from fetchpool.output.warc.surt import surt

_WARC = ".warc.gz"

Folder: TypeAlias = Callable[[], Mapping[str, Readable]]
"""Returns what lies in a folder of containers, by name."""


def beside(path: Path) -> Folder:
    """Return the folder of *path*."""
    return lambda: {each.name: each for each in path.parent.iterdir()}


def body_at(path: Readable, offset: int, length: int, folder: Folder) -> Iterator[bytes]:
    """Yield the body of the response at a place in the container at *path*, in *folder*.

    Raises OSError, `StoreError`, also where there is no such response, the original of a revisit is
    gone, or a coding can't be undone.
    """
    entry = entry_at(path, offset, length)
    original, place = entry, (path, offset, length)
    if entry.kind == "revisit":
        original, place = _original_of(entry, path.name, folder())
    record = unpacked(*place)
    pieces = payload_of(
        _block_of(record, original), len(original.head), chunked=is_chunked(original.head)
    )
    return _decoded(pieces, entry)


def _block_of(record: Iterator[bytes], entry: Entry) -> Iterator[bytes]:
    """Yield the block of the *record* that *entry* describes."""
    left = int(entry.fields["content-length"])
    for piece in behind_head(record, entry.head_length):
        yield piece[:left]
        left -= min(left, len(piece))


def _original_of(
    revisit: Entry, container: str, files: Mapping[str, Readable]
) -> tuple[Entry, tuple[Readable, int, int]]:
    """Return the response that *revisit* in *container* refers to, and its place.

    Mostly that is in the same container. Raises OSError.
    """
    fields = revisit.fields
    url, date = fields.get("warc-refers-to-target-uri"), fields.get("warc-refers-to-date")
    if url is not None and date is not None:
        names = (name for name in files if _WARC in name)
        for name in sorted(names, key=lambda name: (name != container, name)):
            path = files[name]
            for entry in _candidates(path, _index_of(name, files), url, date):
                if (
                    entry.kind == "response"
                    and entry.fields.get("warc-target-uri") == url
                    and entry.fields.get("warc-date") == date
                    and entry.fields.get("warc-payload-digest") == fields["warc-payload-digest"]
                ):
                    return entry, (path, entry.offset, entry.length)
    raise OSError(errno.ENOENT, "the response that a revisit record refers to is gone", container)


def _index_of(name: str, files: Mapping[str, Readable]) -> Readable | None:
    """Return the index of the container called so; None where it grows, or has lost it."""
    return files.get(name.removesuffix(_WARC) + INDEX)


def _candidates(path: Readable, index: Readable | None, url: str, date: str) -> Iterator[Entry]:
    """Yield the records in the container at *path* that may be *url*'s on *date*."""
    if index is None:
        yield from entries_of(path)
        return
    for line in lines_from(index, f"{surt(url)} {timestamp_of(date)} ".encode()):
        yield entry_at(path, line.offset, line.length)


def _decoded(pieces: Iterator[bytes], entry: Entry) -> Iterator[bytes]:
    """Yield *pieces* as the run has stored or hashed them: with the codings of *entry* undone.

    What came is not judged once more: of a body that broke off, there is what it came to.
    """
    head = Head(0, tuple(fields_of(entry.head)))
    codings = head.get_all("content-encoding")
    path = urlsplit(entry.fields.get("warc-target-uri", "")).path
    own = own_codings(head.get("content-type"), [path, suggested_filename(head)])
    decoder = make_decoder(codings, 0, own if entry.head[9:10] == b"2" else frozenset())
    try:
        for piece in pieces:
            yield from decoder.feed(piece)
        yield from decoder.finish()
    except BodyError as error:
        if error.failure.kind is not FailureKind.TRUNCATED:
            raise OSError(errno.EIO, f"the body is broken: {error.failure.detail}") from error

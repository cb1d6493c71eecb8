"""The body of a response in a container: without its chunks, its coding undone.

Of a revisit it is that of the response it refers to, which the indexes beside it find.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from fetchpool.model.decoding import BodyError, make_decoder, own_codings
from fetchpool.model.disposition import suggested_filename
from fetchpool.model.values import FailureKind, Head
from fetchpool.output.warc.cdx import ENDING as INDEX
from fetchpool.output.warc.cdx import lines_from, timestamp_of
from fetchpool.output.warc.heads import fields_of, is_chunked
from fetchpool.output.warc.payloads import behind_head, payload_of
from fetchpool.output.warc.reading import Entry, entries_of, entry_at, unpacked
from fetchpool.output.warc.surt import surt


def body_at(path: Path, offset: int, length: int) -> Iterator[bytes]:
    """Yield the body of the response at a place in the container at *path*.

    Raises OSError, also where there is no such response, the original of a revisit is gone, or a
    coding can't be undone.
    """
    entry = entry_at(path, offset, length)
    original, place = entry, (path, offset, length)
    if entry.kind == "revisit":
        original, place = _original_of(entry, path.parent)
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

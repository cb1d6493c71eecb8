"""What others read in a container, and what must be so of every one."""

from __future__ import annotations

import io
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

from fetchpool.output.warc.reading import Entry, entries_of


class Seen(NamedTuple):
    """A record as FastWARC reads it."""

    kind: str
    fields: dict[str, str]
    block: bytes
    payload: bytes
    """The body of the message without chunks; of what is none, the block."""


def check_container(path: Path) -> list[Entry]:
    """Assert that *path* is members one behind the other, each a record; return the records."""
    entries = list(entries_of(path))
    data, at = path.read_bytes(), 0
    for each in entries:
        assert each.offset == at
        at += each.length
        reader = zlib.decompressobj(31)
        record = reader.decompress(data[each.offset : at]) + reader.flush()
        assert reader.eof
        assert not reader.unused_data
        _, _, block = record.partition(b"\r\n\r\n")
        assert len(block) == int(each.fields["content-length"]) + 4
        assert block.endswith(b"\r\n\r\n")
    assert at == len(data)
    if entries:
        first = entries[0]
        assert first.kind == "warcinfo"
        assert first.fields["warc-filename"] == path.name.removesuffix(".open")
        ids = {each.fields["warc-record-id"] for each in entries}
        assert len(ids) == len(entries)
        for each in entries[1:]:
            assert each.fields["warc-warcinfo-id"] == first.fields["warc-record-id"]
            assert each.fields["warc-concurrent-to"] in ids
    return entries


def seen_by_fastwarc(path: Path) -> list[Seen]:
    """Return what FastWARC reads in *path*; assert that all digests are right, as it judges."""
    from fastwarc.warc import ArchiveIterator

    data = path.read_bytes()
    blocks = []
    for record in ArchiveIterator(io.BytesIO(data), parse_http=False):
        assert record.verify_block_digest(), record.headers
        blocks.append(record.reader.read())
    seen = []
    for record, block in zip(
        ArchiveIterator(io.BytesIO(data), parse_http=False), blocks, strict=True
    ):
        fields = {name.lower(): value for name, value in record.headers.items()}
        kind, payload = fields["warc-type"], block
        if kind == "response":
            record.verify_block_digest()  # without it FastWARC 2.0.1 can't look at the payload
            record.parse_http(auto_decode="transfer")
            assert record.verify_payload_digest(), fields
            payload = record.reader.read()
        seen.append(Seen(kind, fields, block, payload))
    return seen


def index_by_others(path: Path) -> list[str]:
    """Return the lines that `cdxj-indexer --sort` writes for *path*."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from cdxj_indexer.main import CDXJIndexer

        out = io.StringIO()
        CDXJIndexer(out, [str(path)], sort=True).process_all()
    return out.getvalue().splitlines()

"""A run's bodies and records in another store: `fetchpool export DEST --store tar -o OTHER`.

    ledger ──▶ Record ──read_body──▶ sink of the other store ──▶ Record with its new place ──▶ OTHER

OTHER gets its name in one step, when all is in it.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from datetime import datetime
from io import FileIO
from pathlib import Path

import msgspec
from msgspec.structs import replace

from fetchpool.config import Config
from fetchpool.model.bodies import NoSuchBodyError, Sink, Stored
from fetchpool.model.urls import InvalidURLError, parse_url
from fetchpool.model.values import Head, Outcome, Request, Target
from fetchpool.output.ledger.entries import blocks_in
from fetchpool.output.ledger.files import LineWriter
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.receipts import read_receipts
from fetchpool.output.ledger.record import Record, encode_all, placed
from fetchpool.output.ledger.state import read_state, write_state
from fetchpool.output.sinks import Place, open_sink
from fetchpool.output.sinks.reading import read_body

_BATCH = 256
_WHOLE_BODY_BYTES = 256 * 1024
_decode = msgspec.json.Decoder(Record).decode
_NOWHERE = Target("http://nowhere.invalid/", "http", "nowhere.invalid", 80, "/", "nowhere.invalid")
"""Names the body of a record whose URL is none, or can't be read as one with its secrets hidden."""


def export_bodies(ledger: FileIO, source: Path, dest: Path, store: str) -> int:
    """Write what *ledger* of the run in *source* holds to *dest*, bodies in *store*.

    Returns how many records there are. A run may be on in *source*: what was recorded at this
    moment is written. *dest* must not be there yet; nothing of it is where this raises. Raises
    OSError, `StoreError`; `BodyMissingError` for a body that isn't where its record says.
    """
    if os.path.lexists(dest):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(dest))
    dest.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{dest.name}.", dir=dest.parent))
    try:
        beside.chmod(0o777 & ~_umask())
        count = _write(ledger, source, beside, store)
        beside.rename(dest)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return count


class BodyMissingError(Exception):
    """A body that isn't where its record says."""

    def __init__(self, record: Record, reason: str) -> None:
        super().__init__(record.path or record.container, reason)
        self.where = record.path or record.container or ""
        self.reason = reason


def _write(ledger: FileIO, source: Path, dest: Path, store: str) -> int:
    layout = Layout(dest)
    layout.private.mkdir()
    layout.foreign.touch()
    sink = open_sink(Config(store=store), Place(layout, lambda _: False))  # type: ignore[arg-type]
    count = 0
    try:
        with LineWriter(layout.ledger, fsync=True) as writer:
            for records in _batches(ledger):
                writer.write(_moved(records, source, sink))
                count += len(records)
        # Completes each container: `close` would keep it to itself where that can't be done.
        sink.recover(read_receipts(layout, earlier=False), goes_on=False)
        sink.sync()
    finally:
        sink.close()
    state = read_state(Layout(source).state)
    if state is not None:
        state.body = replace(state.body, store=store)
        state.finished = None  # the ledger is another file
        write_state(layout.state, state, fsync=True)
    return count


def _batches(ledger: FileIO) -> Iterator[list[Record]]:
    """Yield the records there are now; what is no record is passed over."""
    records: list[Record] = []
    for block in blocks_in(ledger, 0, os.fstat(ledger.fileno()).st_size):
        for line, entry in zip(block.lines(), block.entries, strict=True):
            if entry is None:
                continue
            records.append(_decode(line))
            if len(records) == _BATCH:
                yield records
                records = []
    if records:
        yield records


def _moved(records: list[Record], source: Path, sink: Sink) -> bytes:
    """Store the bodies of *records* in *sink*; return the records with their new places."""
    bare = [replace(each, path=None, container=None, offset=None, length=None) for each in records]
    stored = [_stored(each, source, sink) for each in records]
    bare = [replace(each, path=at.path) for each, at in zip(bare, stored, strict=True)]
    if sink.appends:
        outcomes = [_outcome(each, at) for each, at in zip(bare, stored, strict=True)]
        sink.append(outcomes, bare)
        bare = [placed(each, out.receipt) for each, out in zip(bare, outcomes, strict=True)]
    return encode_all(bare)


def _stored(record: Record, source: Path, sink: Sink) -> Stored:
    if not record.ok and not record.bytes:
        return Stored()  # a WARC has what came, which isn't a body that was wanted
    place = None
    if record.container is not None:
        place = record.container, record.offset or 0, record.length or 0
    target = _target(record)
    head = Head(
        200, () if record.content_type is None else (("content-type", record.content_type),)
    )
    try:
        pieces = read_body(source, record.path, place)
        if record.bytes <= _WHOLE_BODY_BYTES:
            return sink.put(target, head, b"".join(pieces))
        writer = sink.open(target, head)
        try:
            for piece in pieces:
                writer.write(piece)
            return writer.commit()
        except BaseException:
            writer.discard()
            raise
    except NoSuchBodyError:
        return Stored()
    except OSError as error:
        raise BodyMissingError(record, error.strerror or str(error)) from error


def _target(record: Record) -> Target:
    try:
        target = parse_url(record.url)
    except InvalidURLError:
        return _NOWHERE
    if record.request_sha256 is not None:
        return replace(target, variant=f"{record.method} {record.request_sha256}")
    return target if record.method == "GET" else replace(target, variant=record.method)


def _outcome(record: Record, stored: Stored) -> Outcome:
    """Return the outcome that *record* was made of, as far as a sink looks at it."""
    return Outcome(
        Request(record.url, record.seq, record.source, record.line, method=record.method),
        record.ok,
        record.status,
        record.error,
        record.detail,
        record.final_url,
        record.redirects,
        record.attempts,
        record.bytes,
        record.wire_bytes,
        record.content_type,
        stored.path,
        record.sha256,
        None
        if record.started_at is None
        else datetime.fromisoformat(record.started_at).timestamp(),
        record.elapsed_s,
        receipt=stored.receipt,
    )


def _umask() -> int:
    """Return the file mode that new files don't get; asking means setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask

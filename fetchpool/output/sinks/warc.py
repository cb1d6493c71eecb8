"""Whole messages in WARCs (`--store warc`): what was asked, and what was answered, byte for byte.

    recording ─▶ Exchanged ─▶ append ─▶ DEST/warc/fetchpool-00000.warc.gz.open ─▶ …warc.gz
                                   └──▶ lines of the index ──────────────────────▶ …cdxj

The place of an outcome is that of its last record, which is where all that belongs to it ends. The
index is made of the container, so a container that was cut gets another one.

Unlike other stores this one keeps what today's records no longer name: captures of earlier runs,
until a run has fetched everything anew. So a revisit record always has its original.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from time import time
from typing import Any

from fetchpool.config import Config
from fetchpool.model.bodies import Chunk, Representation, Stored
from fetchpool.model.values import Earlier, Head, Outcome, Receipt, Target
from fetchpool.output.sinks.containers import Containers, sync_file
from fetchpool.output.sinks.place import Place
from fetchpool.output.sinks.recordings import MEMORY_BYTES, Recordings, SpooledRecording
from fetchpool.output.sinks.segments import Segment, SegmentSink
from fetchpool.output.sinks.spool import Waiting
from fetchpool.output.warc import writing
from fetchpool.output.warc.cdx import ASIDE, SortedLines, write_index
from fetchpool.output.warc.cdx import ENDING as INDEX
from fetchpool.output.warc.heads import coding_in, is_chunked
from fetchpool.output.warc.originals import LEAST_BYTES, Original, Originals, key_of
from fetchpool.output.warc.reading import Entry, entries_of, entry_at

SEGMENT_SIZE = 10**9
"""What Annex C of the standard recommends."""
ENDING = ".warc.gz"


class Waits(Receipt, eq=False):
    """The receipt of a body whose messages are not in a container yet."""

    weight: Any = None
    """A `Weight`; None once it is appended."""


class Weight:
    """How much waits in memory and in the file, as long as somebody holds this."""

    __slots__ = ("_in_files", "_in_memory", "_waiting")

    def __init__(self, waiting: Waiting, length: int) -> None:
        is_long = length > MEMORY_BYTES
        self._waiting = waiting
        self._in_memory, self._in_files = (0, length) if is_long else (length, 0)
        waiting.in_memory += self._in_memory
        waiting.in_files += self._in_files

    def __del__(self) -> None:
        self._waiting.in_memory -= self._in_memory
        self._waiting.in_files -= self._in_files


class BodyCounter:
    """A body that is not stored: its message is."""

    __slots__ = ("_length", "_waiting")

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting
        self._length = 0

    def write(self, chunk: Chunk) -> None:
        """See `BodyWriter.write`."""
        self._length += len(chunk)

    def commit(self) -> Stored:
        """See `BodyWriter.commit`."""
        return Stored(receipt=Waits(weight=Weight(self._waiting, self._length)))

    def discard(self) -> None:
        """See `BodyWriter.discard`."""

    suspend = discard


class WarcContainers(Containers):
    """WARCs, each with its index beside it."""

    def index_of(self, name: str) -> Path:
        """Return where the index of container *name* is."""
        path = self.path(name)
        return path.with_name(name.rpartition("/")[2].removesuffix(ENDING) + INDEX)

    def remove(self, name: str) -> None:
        """Delete a container and its index. Raises OSError."""
        index = self.index_of(name)
        for path in (index, index.with_name(index.name + ASIDE)):
            path.unlink(missing_ok=True)
        super().remove(name)


class WarcSink(SegmentSink):
    """Appends the messages of each outcome to a WARC."""

    keeps_messages = True
    containers: WarcContainers

    def __init__(self, config: Config, place: Place) -> None:
        """Store the messages of a run in *place*."""
        self._fsync = config.durability != "none"
        stem = f"{config.warc_prefix}-"
        containers = WarcContainers(place, "warc", ENDING, stem=stem, fsync=self._fsync)
        size = config.segment_size or SEGMENT_SIZE
        super().__init__(place, containers, size=size, patience_s=config.outage_patience)
        self._recordings = Recordings(place.layout.parts)
        robots = ("robots", "obey" if config.asks_robots else "ignore")
        self._about = (robots, *config.warc_header)
        self._originals = Originals()
        self._lines = SortedLines(place.layout.parts)
        self._indexed = ""  # the container whose index they are
        self._maker: writing.RecordMaker | None = None
        self._archived_path = place.layout.archived
        self._archived = self._read_archived()
        self._goes_on = False

    def recording(self, target: Target) -> SpooledRecording:
        """See `Sink.recording`."""
        return self._recordings.begin()

    def put(self, target: Target, head: Head, body: Chunk) -> Stored:
        """See `Store.put`: the body is in its message."""
        return Stored(receipt=Waits(weight=Weight(self.waiting, len(body))))

    def open(  # type: ignore[override]  # nothing is spooled
        self, target: Target, head: Head, about: Representation | None = None
    ) -> BodyCounter:
        """See `Store.open`: the body is in its message."""
        return BodyCounter(self.waiting)

    def has(self, target: Target, earlier: Earlier) -> bool:
        """See `Sink.has`; a WARC in an object store isn't looked at before it is referred to."""
        if self.leaving is not None:
            return earlier.place is not None and earlier.place[0].endswith(ENDING)
        return self._entry(earlier) is not None

    def keep(self, earlier: Earlier) -> Stored:
        """See `Sink.keep`: a revisit record will say where the body is."""
        return Stored()

    def write(self, outcome: Outcome, record: object) -> None:
        """See `SegmentSink.write`."""
        receipt = outcome.receipt
        if receipt is None or not receipt.exchanges:
            return
        exchanges, receipt.exchanges = receipt.exchanges, ()
        segment = self.segment_for(writing.most_bytes_of(exchanges))
        if not segment.end:
            self._begin(segment)
        assert self._maker is not None
        filename = _filename(segment.name)
        earlier = self._earlier(outcome.request.earlier)
        for each in exchanges:
            about = earlier if each is exchanges[-1] else None
            for packed in self._maker.records(each, about):
                at = segment.end
                for piece in packed.pieces:
                    segment.add(piece)
                receipt.offset, receipt.length = at, segment.end - at
                if packed.capture is not None:
                    self._lines.add(packed.capture.line(filename, at, receipt.length))
            each.recording.close()
        receipt.container = segment.name
        if isinstance(receipt, Waits):
            receipt.weight = None

    def complete(self, name: str, path: Path) -> None:
        """See `SegmentSink.complete`: write the index."""
        if name == self._indexed:
            lines, self._indexed = self._lines, ""
        else:
            lines = self._read_back(name, path)
        try:
            write_index(self.containers.index_of(name), lines.merged(), fsync=self._fsync)
        finally:
            lines.close()

    def recover(self, receipts: Iterable[Receipt], *, goes_on: bool, anew: bool = False) -> None:
        """See `Sink.recover`."""
        named: set[str] = set()

        def noted() -> Iterator[Receipt]:
            for each in receipts:
                named.add(each.container)
                yield each

        self._goes_on = goes_on
        try:
            super().recover(noted(), goes_on=goes_on, anew=anew)
            self._note_archived(named if anew else self._archived | named)
        except OSError as error:
            raise self.containers.error("cannot go on with", "warc", error) from error
        finally:
            self._goes_on = False

    def may_go(self, name: str, *, anew: bool) -> bool:
        """See `SegmentSink.may_go`: what records have named once is kept, for revisits."""
        return anew or name not in self._archived

    def extents(self, receipts: Iterable[Receipt]) -> dict[str, int]:
        """See `Sink.extents`: what an archive has, it keeps."""
        return {}

    def close(self) -> None:
        """See `Store.close`."""
        super().close()
        self._lines.close()
        self._recordings.close()

    def _begin(self, segment: Segment) -> None:
        """Write what a container begins with."""
        info_id, data = writing.warcinfo(_filename(segment.name), self._about, time())
        segment.add(data)
        self._maker = writing.RecordMaker(info_id, self._originals)
        self._lines.close()
        self._indexed = segment.name

    def _undo(self, begun_with: Segment | None, start: int) -> None:
        self._indexed = ""  # it has lines of what is cut
        super()._undo(begun_with, start)

    def _trim(self, name: str, end: int) -> None:
        """See `SegmentSink`; what was complete before is left alone, with originals behind *end*.

        No index is older than its container: it goes before that is cut.
        """
        path, index = self.containers.path(name), self.containers.index_of(name)
        if name in self._archived and not self.containers.is_open(name):
            end = max(end, path.stat().st_size)
        elif path.stat().st_size > end:
            index.unlink(missing_ok=True)
        super()._trim(name, end)
        if not index.exists():
            self.complete(name, path)

    def _read_back(self, name: str, path: Path) -> SortedLines:
        """Return the lines for what is in a container. Raises OSError."""
        lines, filename = SortedLines(self._parts), _filename(name)
        for entry in entries_of(path):
            if (line := entry.line(filename)) is not None:
                lines.add(line)
                if self._goes_on:
                    self._remember(entry)
        return lines

    def _remember(self, entry: Entry) -> None:
        """Have later responses refer to *entry*, if it has the whole of a payload."""
        digest = entry.payload_digest
        if digest is not None and entry.body_length >= LEAST_BYTES:
            key = key_of(digest, chunked=is_chunked(entry.head), coding=coding_in(entry.head))
            original = Original(entry.fields["warc-target-uri"], entry.fields["warc-date"])
            self._originals.add(key, original)

    def _earlier(self, earlier: Earlier | None) -> writing.Earlier | None:
        """Return the response that an *earlier* run got, if it is still here."""
        entry = None if earlier is None else self._entry(earlier)
        return None if entry is None else writing.Earlier.of(entry)

    def _entry(self, earlier: Earlier) -> Entry | None:
        """Return the record of the *earlier* response; None if it is not there."""
        if earlier.place is None or not earlier.place[0].endswith(ENDING):
            return None
        container, offset, length = earlier.place
        found = self.earlier(container)
        with suppress(OSError):
            if not isinstance(found, Path) or found.stat().st_size >= offset + length:
                return entry_at(found, offset, length)
        return None

    def _read_archived(self) -> set[str]:
        """Return the containers that records have named; none where that isn't known."""
        try:
            return set(self._archived_path.read_text("utf-8").splitlines())
        except (OSError, UnicodeError):
            return set()

    def _note_archived(self, names: set[str]) -> None:
        if names == self._archived:
            return
        aside = self._archived_path.with_suffix(".new")
        aside.write_text("".join(f"{name}\n" for name in sorted(names)), "utf-8")
        if self._fsync:
            sync_file(aside)
        aside.rename(self._archived_path)
        self._archived = names


def _filename(name: str) -> str:
    """Return what a container is called in its index, sealed or not."""
    return name.rpartition("/")[2]

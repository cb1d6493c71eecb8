"""Bodies as samples in tars, as WebDataset reads them (`--store tar`).

    0000000017.json     the record of line 17
    0000000017.html     its body

A sample is what has one key: its name up to the first dot. The record comes first, so that a tar
which was cut behind a body has only whole samples; of a body that is JSON the member is called
`KEY.body.json`. A header is 512 bytes (POSIX.1-1988 ustar), everything is padded to that.
"""

from __future__ import annotations

from fetchpool.config import Config
from fetchpool.model.bodies import Stored
from fetchpool.model.values import Earlier, Head, Outcome, Receipt, Target
from fetchpool.output.ledger.record import Record, encode
from fetchpool.output.media import answers_for, extension_of, split_extension
from fetchpool.output.sinks.containers import Containers
from fetchpool.output.sinks.place import Place
from fetchpool.output.sinks.segments import Elsewhere, SegmentSink
from fetchpool.output.sinks.spool import Spool, Spooled

SEGMENT_SIZE = 1 << 30
BLOCK = 512
_LARGEST_OCTAL = 8**11
_OWNER = b"0000644\0" + b"0000000\0" * 2
"""Mode 644, of user and group 0."""
_REST = b"0" + b"\0" * 100 + b"ustar\x0000" + b"\0" * 247
"""A plain file, and nothing more to be said of it."""
_SUM = sum(_OWNER + b" " * 8 + _REST)
"""What those add to the checksum, which itself counts as blanks: all 512 bytes take 4 µs."""


class TarSink(SegmentSink):
    """Appends each body, behind its record, to a tar."""

    takes_records = True
    trailer = b"\0" * (2 * BLOCK)

    def __init__(self, config: Config, place: Place) -> None:
        """Store the bodies of a run in *place*."""
        fsync = config.durability != "none"
        containers = Containers(place, "tar", ".tar", fsync=fsync)
        size = (config.segment_size or SEGMENT_SIZE) - len(self.trailer)
        super().__init__(place, containers, size=size, patience_s=config.outage_patience)
        self._most = config.samples
        self._samples = 0

    def spooled(self, target: Target, head: Head, spool: Spool) -> Stored:
        """See `SpoolingSink.spooled`."""
        return Stored(receipt=Spooled(body=spool, ending=ending_of(target, head)))

    def has(self, target: Target, earlier: Earlier) -> bool:
        """See `Sink.has`: the header before the body says its size.

        In an object store that isn't looked at: a tar there is as it was sent up.
        """
        if earlier.place is None or not earlier.place[0].endswith(".tar"):
            return False
        if self.leaving is not None:
            return True
        try:
            return _kept(self, earlier.place).before(BLOCK)[124:136] == _number(earlier.bytes)
        except (OSError, ValueError):
            return False

    def keep(self, earlier: Earlier) -> Stored:
        """See `Sink.keep`: what it is called is read when it is appended."""
        assert earlier.place is not None
        return Stored(receipt=Spooled(body=_kept(self, earlier.place)))

    def write(self, outcome: Outcome, record: Record) -> None:
        """See `SegmentSink.write`."""
        receipt = outcome.receipt
        if not isinstance(receipt, Spooled) or receipt.body is None:
            return
        body, key = receipt.body, f"{record.seq:010}"
        if isinstance(body, Elsewhere):
            receipt.ending = _ending_in(body.before(BLOCK))
        told = encode(record)
        size = 2 * BLOCK + _padded(len(told)) + _padded(body.length)
        if self._most and self._samples >= self._most:
            self.seal()
        segment = self.segment_for(size)
        self._samples = 1 if not segment.end else self._samples + 1
        at = int(outcome.started_at or 0)
        segment.add(header(f"{key}.json", len(told), at) + told + _padding(len(told)))
        segment.add(header(f"{key}.{receipt.ending}", body.length, at))
        receipt.container, receipt.offset, receipt.length = segment.name, segment.end, body.length
        for piece in body.pieces():
            segment.add(piece)
        segment.add(_padding(body.length))
        receipt.body = None

    def end_of(self, receipt: Receipt) -> int:
        """See `SegmentSink.end_of`: a body is padded."""
        return receipt.offset + _padded(receipt.length)


def _kept(sink: TarSink, place: tuple[str, int, int]) -> Elsewhere:
    container, offset, length = place
    return Elsewhere(sink.earlier(container), offset, length)


def _ending_in(header: bytes) -> str:
    """Return what follows the key in the name that a *header* has."""
    name = header[:100].rstrip(b"\0").decode("ascii", "replace")
    return name.partition(".")[2] or "bin"


def ending_of(target: Target, head: Head) -> str:
    """Return what follows the key in the name of a body: `html`, `tar.gz`, `body.json`."""
    content_type = head.get("content-type")
    extension = split_extension(target.path.partition("?")[0].rpartition("/")[2])[1]
    if extension is not None:
        extension = answers_for(extension, content_type) or extension
    extension = extension or extension_of(content_type) or "bin"
    return "body.json" if extension == "json" else extension


def header(name: str, size: int, modified: int) -> bytes:
    """Return the header of a file in a tar: an ASCII *name*, *size* bytes, *modified* at (Unix)."""
    named, sized, at = name.encode("ascii"), _number(size), _number(max(modified, 0))
    total = sum(named) + sum(sized) + sum(at) + _SUM
    return b"%b%b%b%b%06o\0 %b" % (named.ljust(100, b"\0"), _OWNER, sized, at, total, _REST)


def _number(value: int) -> bytes:
    """Return *value* in 12 bytes: octal, or where that is too short as GNU tar and others write it.

    (In base 256, with the first bit set.)
    """
    if value < _LARGEST_OCTAL:
        return b"%011o\0" % value
    return b"\x80" + value.to_bytes(11, "big")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _padding(size: int) -> bytes:
    return b"\0" * (-size % BLOCK)

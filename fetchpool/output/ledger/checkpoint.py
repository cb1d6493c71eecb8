"""The checkpoint: a `Standing` on disk, so that ten million records need not be read again.

    CRC-32 (8 hex digits) ␣ header (JSON) ⏎ pages of the bitmap

It is never believed for its own sake. It must be undamaged, belong to this run and this very file,
end where a line ends on the same bytes, and have been written after the ledger's bytes were on
stable storage, or by a system that has not been restarted since: otherwise a loss of power could
leave a checkpoint that knows more than the ledger. The ledger is read in full instead.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import msgspec

from fetchpool.model.values import GIVEN_UP, FailureKind
from fetchpool.output.ledger.bitmap import Bitmap
from fetchpool.output.ledger.files import replace_file
from fetchpool.output.ledger.standing import Standing, Totals

_COMPARED = 1 << 16
"""Bytes before the offset whose checksum must be the same: some hundred records."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class _Header(msgspec.Struct):
    run: str
    device: int
    inode: int
    offset: int
    before: int
    """CRC-32 of the bytes before the offset."""
    synced: bool
    boot: str
    totals: Totals
    secrets: bool
    pages: list[int]
    last: int = 0


def boot_id() -> str:
    """Return what changes with every start of the system; empty where nothing tells."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def write_checkpoint(
    path: Path, ledger: Path, run: str, standing: Standing, *, synced: bool, fsync: bool
) -> None:
    """Put down *standing* of *ledger*; *synced* says its bytes are on stable storage.

    Nothing is written for a standing without bitmap. Raises OSError.
    """
    if standing.done is None:
        return
    with ledger.open("rb", buffering=0) as file:
        stat = os.fstat(file.fileno())
        before = _checksum_before(file.fileno(), standing.offset)
    header = _Header(
        run=run,
        device=stat.st_dev,
        inode=stat.st_ino,
        offset=standing.offset,
        before=before,
        synced=synced,
        boot=boot_id(),
        totals=standing.totals,
        secrets=standing.secrets,
        pages=standing.done.page_numbers(),
        last=standing.last,
    )
    content = b"%b\n%b" % (msgspec.json.encode(header), standing.done.to_bytes())
    replace_file(path, b"%08x %b" % (zlib.crc32(content), content), fsync=fsync)


def read_checkpoint(path: Path, ledger: Path, run: str) -> Standing | None:
    """Return the standing in *path* if it holds for *ledger* as it is now, else None."""
    try:
        content = path.read_bytes()
        head, _, pages = content[9:].partition(b"\n")
        if content[:9] != b"%08x " % zlib.crc32(content[9:]):
            return None
        header = msgspec.json.decode(head, type=_Header)
        if header.run != run or not (header.synced or (header.boot and header.boot == boot_id())):
            return None
        with ledger.open("rb", buffering=0) as file:
            stat = os.fstat(file.fileno())
            same = (
                (stat.st_dev, stat.st_ino) == (header.device, header.inode)
                and stat.st_size >= header.offset
                and _checksum_before(file.fileno(), header.offset) == header.before
            )
        if not same:
            return None
        done = Bitmap.from_bytes(header.pages, pages)
    except (OSError, ValueError, msgspec.DecodeError):
        return None
    _relabel(header.totals)
    return Standing(
        offset=header.offset,
        totals=header.totals,
        done=done,
        secrets=header.secrets,
        last=header.last or done.last,
    )


def _relabel(totals: Totals) -> None:
    """Give *totals* that an earlier version wrote today's label for URLs of hosts given up."""
    count = totals.failed.pop(FailureKind.STATUS, 0)
    if count:
        totals.failed[GIVEN_UP] = totals.failed.get(GIVEN_UP, 0) + count


def _checksum_before(fd: int, offset: int) -> int:
    start = max(0, offset - _COMPARED)
    os.lseek(fd, start, os.SEEK_SET)
    return zlib.crc32(os.read(fd, offset - start))

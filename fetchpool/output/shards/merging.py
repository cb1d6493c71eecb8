"""`merge`: proves that the shards of a list are complete, and brings their records together.

    shard-…/results.jsonl ─▶ a bit for each line ─▶ missing? twice? ─▶ _manifest.json
                    └──────────(if all is well)──▶ one file of records

Memory is a bit for each line of the list: 125 MB for 10^9.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import msgspec

from fetchpool.model.shards import Shard
from fetchpool.output.ledger.bitmap import Bitmap
from fetchpool.output.ledger.entries import read_blocks
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.receipts import Placed
from fetchpool.output.ledger.record import escaped
from fetchpool.output.ledger.standing import Totals
from fetchpool.output.ledger.state import State, read_state

MANIFEST = "_manifest.json"
MOST_TOLD = 20
"""Ranges of lines that are told of each problem; how many lines are in all is told, too."""

Write = Callable[[bytes], None]


class Part(NamedTuple):
    """A shard's run that is to be merged."""

    shard: Shard
    name: str
    """Its directory, relative to where the manifest is; parts joined by `/`."""
    open: Callable[[], AbstractContextManager[Path | None]]
    """Has its records in a directory for a block; None: it has none."""
    size_of: Callable[[str], int | None]
    """Returns the bytes of a container, by its name in the directory; None: it isn't there."""


class FileOfRun(msgspec.Struct, frozen=True):
    """A file that a shard has."""

    file: str
    bytes: int


class PartDone(msgspec.Struct, frozen=True):
    """What a shard has come to."""

    shard: str
    directory: str
    records: int
    ok: int
    failed: int
    bytes: int
    """Of all bodies."""
    ledger: FileOfRun
    containers: tuple[FileOfRun, ...] = ()


class Manifest(msgspec.Struct, frozen=True):
    """What all shards have come to; made only where each line has exactly one record."""

    shards: int
    lines: int
    """Of the whole list."""
    without_request: int
    """Lines that are no URL's: blank ones, comments, headers."""
    records: int
    ok: int
    failed: int
    failed_by: dict[str, int]
    bytes: int
    wire_bytes: int
    parts: tuple[PartDone, ...]


class Found(NamedTuple):
    """What a look at all shards has brought."""

    manifest: Manifest | None
    """None where something is missing or double."""
    problems: list[str]
    """What that is, a line each."""


class _Read(NamedTuple):
    """One shard, read."""

    part: Part
    state: State | None
    totals: Totals
    ledger_bytes: int
    containers: tuple[FileOfRun, ...]


def look_at(parts: Sequence[Part], count: int) -> Found:
    """Read the ledgers of *parts*, of *count* shards, and tell whether they are complete.

    1 µs a record. Raises OSError, and what opening a part raises.
    """
    problems = _missing_shards(parts, count)
    seen, twice = Bitmap(), Bitmap()
    read: list[_Read] = []
    for part in sorted(parts, key=lambda part: part.shard):
        with part.open() as place:
            if place is None:
                problems.append(f"shard {part.shard} has no records: it has not begun")
                continue
            read.append(_read(part, place, seen, twice, problems))
    if read:
        problems += _of_the_list(read, seen, twice)
    if problems:
        return Found(None, problems)
    return Found(_manifest(read, count), [])


def write_records(parts: Iterable[Part], write: Write) -> None:
    """Give *write* all records: shard after shard, in the order of each ledger.

    What they say of where bodies are is relative to where the manifest is. Raises OSError.
    """
    for part in sorted(parts, key=lambda part: part.shard):
        with part.open() as place:
            assert place is not None
            for data in records_of(place, part.name):
                write(data)


def records_of(place: Path, name: str) -> Iterator[bytes]:
    """Yield the records in the directory *place*, with bodies in the directory *name*; in blocks.

    Lines that are no record are left out.
    """
    prefix = msgspec.json.encode(f"{name}/")[1:-1]
    for block in read_blocks(Layout(place).ledger):
        pairs = zip(block.lines(), block.entries, strict=True)
        yield b"".join([_moved(line, prefix) for line, entry in pairs if entry is not None])


# Before a record's `path` are numbers, texts and null alone; its `container` stands behind `row`,
# which may have a key of that name.
_PATH = b',"path":"'
_CONTAINER = b'"container":"'


def _moved(line: bytes, prefix: bytes) -> bytes:
    if _CONTAINER in line:
        fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        for key in ("path", "container"):
            value = bytes(fields.get(key, b"null"))
            if value != b"null":
                fields[key] = msgspec.Raw(b'"' + prefix + value[1:])
        return escaped(msgspec.json.encode(fields)) + b"\n"
    return line.replace(_PATH, _PATH + prefix, 1)


def _missing_shards(parts: Sequence[Part], count: int) -> list[str]:
    problems = []
    named: dict[Shard, str] = {}
    for part in parts:
        if part.shard.count != count:
            problems.append(f"{part.name} is shard {part.shard}, of another N than {count}")
        elif part.shard in named:
            problems.append(f"shard {part.shard} is there twice: {named[part.shard]}, {part.name}")
        named[part.shard] = part.name
    missing = [index for index in range(count) if Shard(index, count) not in named]
    if missing:
        ranges = ", ".join(ranges_of(_spans(missing)))
        problems.append(f"{len(missing):,} of {count:,} shards are not there: {ranges}")
    return problems


def _read(part: Part, place: Path, seen: Bitmap, twice: Bitmap, problems: list[str]) -> _Read:
    layout = Layout(place)
    state = read_state(layout.state)
    totals = Totals()
    names: set[str] = set()
    decode = msgspec.json.Decoder(Placed).decode
    damaged = 0
    for block in read_blocks(layout.ledger):
        entries = [entry for entry in block.entries if entry is not None]
        damaged += len(block.entries) - len(entries)
        totals.add(entries)
        numbers = [entry.seq for entry in entries]
        before = [number for number in numbers if number in seen]
        if seen.add_all(numbers) > len(before):  # some come twice here
            before = [number for number, times in Counter(numbers).items() if times > 1] + before
        twice.add_all(before)
        if _CONTAINER in block.data:
            lines = zip(block.lines(), block.entries, strict=True)
            found = (decode(line) for line, entry in lines if entry and _CONTAINER in line)
            names.update(each.container for each in found if each.container is not None)
    if damaged:
        what = _counted(damaged, "line")
        problems.append(f"shard {part.shard}: {what} of its results.jsonl can't be read")
    if state is None or state.requests is None:
        problems.append(f"shard {part.shard} has not read the list to its end")
    elif totals.records < state.requests:
        left = state.requests - totals.records
        what = _counted(left, "URL")
        problems.append(f"shard {part.shard} is not finished: {what} without a record")
    containers = []
    for name in sorted(names):
        size = part.size_of(name)
        if size is None:
            problems.append(f"shard {part.shard}: {name} is not there, and records name it")
        else:
            containers.append(FileOfRun(f"{part.name}/{name}", size))
    return _Read(part, state, totals, layout.ledger.stat().st_size, tuple(containers))


def _of_the_list(read: Sequence[_Read], seen: Bitmap, twice: Bitmap) -> list[str]:
    """Return what is wrong with the records of all shards together."""
    problems = []
    if len(twice):
        ranges = ", ".join(ranges_of(twice.spans(1, twice.last, there=True)))
        problems.append(f"{_counted(len(twice), 'line')} with more than one record: {ranges}")
    whole = [each.state for each in read if each.state and each.state.requests is not None]
    sizes = {(state.lines, state.without_request) for state in whole}
    if len(sizes) > 1:
        told = ", ".join(f"{lines:,} lines, {without:,} of them no URL" for lines, without in sizes)
        return [*problems, f"the shards have not read one list: {told}"]
    if not whole:
        return problems
    lines, without = whole[0].lines, whole[0].without_request
    missing = lines - without - len(seen)
    if missing > 0:
        among = f" (among {_counted(without, 'line')} that are no URL's)" if without else ""
        ranges = ", ".join(ranges_of(seen.spans(1, lines, there=False)))
        problems.append(f"{_counted(missing, 'line')} without a record{among}: {ranges}")
    if missing < 0 or seen.last > lines:
        problems.append(f"there are records of lines beyond the {lines:,} that the list has")
    return problems


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def ranges_of(spans: Iterable[tuple[int, int]]) -> list[str]:
    """Return the first `MOST_TOLD` of *spans* as texts, `3-17`, and whether there are more."""
    texts: list[str] = []
    for first, last in spans:
        if len(texts) == MOST_TOLD:
            return [*texts, "and more"]
        texts.append(f"{first}" if first == last else f"{first}-{last}")
    return texts


def _spans(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    bits = Bitmap()
    bits.add_all(numbers)
    return bits.spans(0, bits.last, there=True)


def _manifest(read: Sequence[_Read], count: int) -> Manifest:
    totals = Totals()
    parts = []
    for each in read:
        part, own = each.part, each.totals
        totals.records += own.records
        totals.ok += own.ok
        totals.bytes += own.bytes
        totals.wire_bytes += own.wire_bytes
        for label, number in own.failed.items():
            totals.failed[label] = totals.failed.get(label, 0) + number
        ledger = FileOfRun(f"{part.name}/results.jsonl", each.ledger_bytes)
        parts.append(
            PartDone(
                str(part.shard),
                part.name,
                own.records,
                own.ok,
                own.records - own.ok,
                own.bytes,
                ledger,
                each.containers,
            )
        )
    state = read[0].state
    assert state is not None
    return Manifest(
        count,
        state.lines,
        state.without_request,
        totals.records,
        totals.ok,
        totals.records - totals.ok,
        totals.failed,
        totals.bytes,
        totals.wire_bytes,
        tuple(parts),
    )

"""Reading a ledger back, whole or damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.values import FailureKind, Request, failure_label
from fetchpool.output.ledger import Record, encode, entries
from fetchpool.output.ledger.bitmap import PAGE_BYTES, Bitmap
from fetchpool.output.ledger.entries import read_blocks, read_entries, read_entry, renumbered
from fetchpool.output.ledger.record import SOURCE_KEYS
from tests.ledger.runs import outcome


def line_of(seq: int, *, source: str | None = None, insecure: bool = False) -> bytes:
    request = Request(f"http://h/{seq}", seq=seq, source=source, line=source and seq)  # type: ignore[arg-type]
    answer = outcome(request, detail="ö", insecure=insecure)
    return encode(Record.of(answer, SOURCE_KEYS))


GOOD = line_of(7)
DAMAGED = [
    b"\n",
    b"\0" * 300 + b"\n",
    b"hello\n",
    b"[" * 5000 + b"\n",
    b'{"seq":1}\n',
    GOOD.replace(b'"seq":7', b'"seq":0'),
    GOOD.replace(b'"seq":7', b'"seq":99999999999999999999'),
    GOOD.replace(b'"ok":true', b'"ok":tru\xff'),
    GOOD.replace("ö".encode(), b"\xff"),
    GOOD.rstrip(b"\n") + GOOD,
]


@pytest.mark.parametrize(
    ("ok", "error", "status", "label"),
    [
        (True, None, 200, None),
        (True, "status", 200, None),
        (False, "status", 404, "404"),
        (False, "status", None, "given up"),
        (False, "timeout", None, "timeout"),
        (False, "timeout", 200, "timeout"),
        (False, None, None, "internal"),
        (False, None, 200, "internal"),
    ],
)
def test_failure_is_labelled_as_while_it_happened(
    ok: bool, error: str | None, status: int | None, label: str | None
) -> None:
    fields = {**json.loads(GOOD), "ok": ok, "error": error, "status": status}
    entry = read_entry(json.dumps(fields).encode())
    assert entry is not None
    assert entry.label == label
    assert ok or label == (failure_label(error, status) or FailureKind.INTERNAL)


@pytest.mark.parametrize("damaged", DAMAGED)
def test_damaged_line_is_no_record_and_its_neighbours_are(damaged: bytes) -> None:
    found = read_entries(line_of(1) + damaged + line_of(2))
    assert [entry and entry.seq for entry in found] == [1, None, 2]


@given(st.integers(0, len(GOOD) - 2), st.integers(0, 255))
def test_changed_byte_leaves_valid_json_or_no_record(at: int, byte: int) -> None:
    changed = bytearray(GOOD)
    changed[at] = byte
    if byte != ord("\n") and read_entry(bytes(changed)) is not None:
        json.loads(changed)


@given(st.lists(st.integers(1, 9) | st.sampled_from(DAMAGED)), st.binary(max_size=30), st.data())
def test_blocks_are_the_whole_lines_whatever_their_size(
    items: list[int | bytes], tail: bytes, data: st.DataObject
) -> None:
    lines = [item if isinstance(item, bytes) else line_of(item) for item in items]
    content = b"".join(lines) + tail.replace(b"\n", b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entries, "BLOCK", data.draw(st.integers(1, 2000)))
        path = _file(content)
        blocks = list(read_blocks(path))
    assert [line for block in blocks for line in block.lines()] == lines
    assert all(content[block.offset :].startswith(block.data) for block in blocks)


def test_endless_line_counts_as_one_and_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entries, "BLOCK", 1000)
    monkeypatch.setattr(entries, "MAX_LINE", 3000)
    path = tmp_path / "ledger"
    path.write_bytes(line_of(1) + b"\0" * 9_500 + b"\n" + line_of(2) + line_of(3) + b"torn")
    blocks = list(read_blocks(path))
    found = [entry and entry.seq for block in blocks for entry in block.entries]
    assert found == [1, None, 2, 3]
    assert max(len(block.data) for block in blocks) <= 3000
    last = blocks[-1]
    assert last.offset + len(last.data) == path.stat().st_size - len(b"torn")


_scratch: Path | None = None


@pytest.fixture(autouse=True, scope="module")
def _directory(tmp_path_factory: pytest.TempPathFactory) -> None:
    global _scratch
    _scratch = tmp_path_factory.mktemp("entries")


def _file(content: bytes) -> Path:
    assert _scratch is not None
    path = _scratch / "ledger"
    path.write_bytes(content)
    return path


def test_renumbering_changes_the_number_alone() -> None:
    assert renumbered(GOOD, 12, None, None) == GOOD.replace(b'"seq":7', b'"seq":12')


@pytest.mark.parametrize("before", [None, "a.txt"])
@pytest.mark.parametrize("after", [None, "b.txt"])
@pytest.mark.parametrize("insecure", [False, True])
def test_renumbering_follows_the_sources(
    before: str | None, after: str | None, insecure: bool
) -> None:
    old = line_of(7, source=before, insecure=insecure)
    new = renumbered(old, 3, after, 5 if after else None)
    expected = json.loads(line_of(7, insecure=insecure)) | {"seq": 3}
    if after:
        expected |= {"source": after, "line": 5}
    assert json.loads(new) == expected
    ends = [key for key in ("source", "line", "insecure") if key in expected]
    assert list(json.loads(new))[16:] == ends


def test_renumbering_keeps_keys_of_a_later_version_and_other_spacing() -> None:
    fields = {**json.loads(GOOD), "new": [1]}
    new = json.loads(renumbered(json.dumps(fields).encode() + b"\n", 3, None, None))
    assert new == {**fields, "seq": 3}


@given(st.lists(st.integers(0, 200_000) | st.integers(0, 2**48)))
def test_bitmap_is_a_set(numbers: list[int]) -> None:
    bitmap = Bitmap()
    assert bitmap.add_all(numbers) == len(numbers) - len(set(numbers))
    copy = Bitmap.from_bytes(bitmap.page_numbers(), bitmap.to_bytes())
    assert len(copy) == len(set(numbers))
    for number in numbers:
        assert number in copy
        assert (number + 1 in copy) == (number + 1 in numbers)


def test_bitmap_takes_a_bit_a_line() -> None:
    bitmap = Bitmap()
    bitmap.add_all(range(1, 200_001))
    assert len(bitmap.to_bytes()) <= 200_000 // 8 + PAGE_BYTES


def test_bitmap_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="another length"):
        Bitmap.from_bytes([0], b"")

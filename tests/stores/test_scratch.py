"""Files that only the run itself reads: whole, readable by nobody else, gone when they are not."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from fetchpool.model.bodies import StoreError
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Head
from fetchpool.output.sinks.scratch import ScratchStore

TARGET, HEAD = parse_url("https://h.example/a"), Head(200, ())


def test_body_is_a_file_that_nobody_else_reads(tmp_path: Path) -> None:
    store = ScratchStore(str(tmp_path))
    whole = store.put(TARGET, HEAD, b"whole")
    writer = store.open(TARGET, HEAD)
    for piece in (b"in ", memoryview(b"pieces")):
        writer.write(piece)
    pieces = writer.commit()
    writer.discard()  # has no effect behind a commit
    for stored, body in ((whole, b"whole"), (pieces, b"in pieces")):
        assert stored.path is not None
        path = Path(stored.path)
        assert path.read_bytes() == body
        assert path.parent == tmp_path
        assert path.suffix == ".new"  # what a kill leaves is deleted by the next run
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_stays_of_what_is_not_whole(tmp_path: Path) -> None:
    store = ScratchStore(str(tmp_path))
    for end in ("discard", "suspend"):
        writer = store.open(TARGET, HEAD)
        writer.write(b"x")
        getattr(writer, end)()
        getattr(writer, end)()
    assert list(tmp_path.iterdir()) == []


def test_trouble_with_the_disk_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not-there: No such file or directory"):
        ScratchStore(str(tmp_path / "not-there")).put(TARGET, HEAD, b"")

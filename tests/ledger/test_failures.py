"""Failed lines read back from a ledger."""

from __future__ import annotations

from pathlib import Path

from fetchpool.model.values import FailureKind, Request
from fetchpool.output.ledger import Record, encode
from fetchpool.output.ledger.failures import read_failed
from fetchpool.output.ledger.record import SOURCE_KEYS
from tests.ledger.runs import outcome


def test_failed_lines_are_read_with_their_reason_and_place(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    good = outcome(Request("http://h/1", 1, "a.txt", 1))
    bad = outcome(
        Request("no url", 2, "b.txt", 7), ok=False, status=None, error=FailureKind.INPUT, detail="!"
    )
    lines = [encode(Record.of(each, SOURCE_KEYS)) for each in (good, bad)]
    path.write_bytes(b"".join([lines[0], b"no record\n", lines[1], lines[1][:20]]))
    (entry,) = read_failed(path)
    assert (entry.seq, entry.url, entry.status, entry.error) == (2, "no url", None, "input")
    assert (entry.detail, entry.source, entry.line) == ("!", "b.txt", 7)


def test_record_somebody_changed_is_listed_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    bad = outcome(Request("http://h/", 3), ok=False, error=FailureKind.TIMEOUT, detail="slow")
    line = encode(Record.of(bad)).replace(b'"slow"', b"[1]")
    path.write_bytes(line)
    (entry,) = read_failed(path)
    assert (entry.seq, entry.error, entry.detail) == (3, "timeout", None)

"""Records on their way out: values until a writer writes them, encoded once for all."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import pytest

from fetchpool.model.values import FailureKind, Outcome, Request
from fetchpool.output.export import Form, rows
from fetchpool.output.ledger import Record, entries, record
from fetchpool.output.ledger.entries import Line
from fetchpool.output.records import RecordsFile
from fetchpool.run.journal import Journal, Recorded
from tests.ledger.runs import Run, outcome, urls


class NoReading:
    """In the place of a decoder: nothing is to be read."""

    def __getattr__(self, name: str) -> NoReturn:
        pytest.fail("a record was read back that had just been made")


def no_trouble() -> None:
    pytest.fail("the journal gave up")


@pytest.mark.parametrize("form", Form)
async def test_records_are_encoded_once_and_never_read_back(
    form: Form, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    run.write_list(*urls("a", "b", "c"))
    answers = [
        outcome(Request(url, seq), ok=seq != 2, error=FailureKind.STATUS if seq == 2 else None)
        for seq, url in enumerate(urls("a", "b"), 1)
    ]
    kept = Record.of(outcome(Request("http://h/c", 9)))
    line = Line(raw := record.encode(kept), _read(raw)).renumbered(3, None, None)
    recorded: list[Recorded] = []
    encoded: list[int] = []
    with run.open() as directory:
        ledger = directory.settle(run.requests).ledger
        file = RecordsFile(str(tmp_path / "records"), form)
        journal = Journal(file, recorded.extend)
        journal.write_to(ledger, run.ledger)
        journal.start(on_trouble=no_trouble)
        real = record.encode_all

        def counted(records: Any) -> bytes:
            encoded.append(len(records))
            return real(records)

        with monkeypatch.context() as patch:
            patch.setattr(record, "encode_all", counted)
            patch.setattr(entries, "_decoder", NoReading())
            patch.setattr(rows, "_lines", NoReading())
            await journal.keep(line)
            await journal.put(answers)
            await journal.flush()
            await journal.close()
        assert ledger.totals.failed == {"503": 1}
    assert encoded == [2]
    assert recorded == [line.entry, *answers]
    assert [each["seq"] for each in run.records()] == [3, 1, 2]
    _check_written(form, (tmp_path / "records").read_bytes(), run.ledger, answers)


def _read(raw: bytes) -> entries.Entry:
    entry = entries.read_entry(raw)
    assert entry is not None
    return entry


def _check_written(form: Form, written: bytes, ledger: Path, answers: list[Outcome]) -> None:
    """Check that `--records` has what the ledger has, but for the record that was kept."""
    if form is Form.JSONL:
        assert written == b"".join(ledger.read_bytes().splitlines(keepends=True)[1:])
    else:
        table = csv.DictReader(StringIO(written.decode(), ""))
        assert [row["url"] for row in table] == [each.request.url for each in answers]

"""The keys of a record are declared once: every writer and every reader holds to that."""

from __future__ import annotations

import csv
import json
from io import StringIO
from types import NoneType
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple, replace

from fetchpool.config import Config
from fetchpool.model.urls import hiding
from fetchpool.model.values import Change, FailureKind, Outcome, Receipt, Request, Timings
from fetchpool.output.export import Form, Table, format_of
from fetchpool.output.ledger.entries import Entry, Line, read_entries, read_entry
from fetchpool.output.ledger.failures import FailedEntry
from fetchpool.output.ledger.record import NO_ROW, Batch, Record, encode, expected_keys, keys
from tests.ledger.runs import outcome

TEXTS = st.text(st.characters() | st.characters(categories=["Cs"]) | st.sampled_from('=;"\r\n\x7f'))
COUNTS = st.integers(0, 2**48)
TYPES: dict[object, st.SearchStrategy[Any]] = {
    str: TEXTS, int: COUNTS, float: st.floats(0, 1e9), bool: st.booleans(), NoneType: st.none(),
    FailureKind: st.sampled_from(FailureKind), msgspec.Raw: st.just(NO_ROW),
    Change: st.sampled_from(Change),
    Timings: st.builds(Timings, *[st.none() | st.floats(0, 1e9)] * 6),
}  # fmt: skip
READABLE = st.builds(
    Record,
    **{
        name: st.one_of(*(TYPES[each] for each in get_args(kind) or (kind,)))
        for name, kind in get_type_hints(Record).items()
        if name != "seq"
    },
    seq=st.integers(1, 2**48),
)
OPTIONAL = {name for name, key in keys().items() if key.only is not None}


def whole(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


@given(st.lists(READABLE, max_size=4))
def test_any_records_are_the_same_in_every_form_and_read_back(records: list[Record]) -> None:
    batch = Batch(records)
    assert batch.lines == b"".join(map(encode, records))
    read = msgspec.json.Decoder(Record).decode_lines(batch.lines)
    assert [astuple(each) for each in read] == [tuple(map(whole, astuple(r))) for r in records]
    for form in Form:
        written = format_of(form, Table(OPTIONAL))
        assert written.batch(batch) == written.lines(batch.lines)
        assert written.batch(batch).count(b"\n") == len(records)
    for reader in (Entry, FailedEntry):
        for record, said in zip(
            records, msgspec.json.Decoder(reader).decode_lines(batch.lines), strict=True
        ):
            for name in reader.__struct_fields__:
                assert getattr(said, name) == whole(getattr(record, name)), name
    assert read_entries(batch.lines) == [read_entry(encode(record)) for record in records]


@given(READABLE, st.integers(1, 2**48), st.none() | st.text(), st.integers(1))
def test_a_line_with_another_number_says_what_can_be_read_in_it(
    record: Record, seq: int, source: str | None, number: int
) -> None:
    raw = encode(record)
    entry = read_entry(raw)
    assert entry is not None
    line = Line(raw, entry).renumbered(seq, source, None if source is None else number)
    assert read_entry(line.raw) == line.entry
    assert json.loads(line.raw).get("source") == source


FIELDS: dict[str, Any] = {
    "request.seq": 8, "request.url": "http://other/", "request.source": "b.txt", "request.line": 3,
    "ok": False, "status": 404, "error": FailureKind.TLS, "detail": "words",
    "final_url": "http://final/", "redirects": 2, "attempts": 4, "bytes": 11, "wire_bytes": 12,
    "content_type": "text/css", "path": "h/other", "sha256": "0f", "started_at": 1.5,
    "elapsed_s": 7.0, "insecure": True, "request.method": "PUT", "request.body": b"page=1",
    "request.row": b'{"a":1}', "etag": '"1"', "last_modified": "Sun", "change": Change.SAME,
    "proxy": "http://proxy:3128", "receipt": Receipt("tar/00000.tar", 512, 7),
    "timings": Timings(dns=0.5),
}  # fmt: skip
"""For each field of an outcome that a record tells of, another value than it has below."""


def changed(answer: Outcome, field: str, value: Any) -> Outcome:
    name, _, inner = field.partition(".")
    if inner:
        value = replace(answer.request, **{inner: value})
    return replace(answer, **{name: value})


def test_each_key_comes_from_the_field_that_is_declared_and_from_no_other() -> None:
    answer = outcome(Request("http://h/", 7, "a.txt", 2), final_url="http://moved/")
    before = Record.of(answer, OPTIONAL)
    assert {key.of for key in keys().values()} == set(FIELDS)
    for field, value in FIELDS.items():
        after = Record.of(changed(answer, field, value), OPTIONAL)
        moved = [name for name in keys() if getattr(before, name) != getattr(after, name)]
        assert moved == [name for name, key in keys().items() if key.of == field], field


def test_what_is_declared_as_hidden_is_hidden() -> None:
    url = "http://u:canary@h/?token=canary"
    with hiding(["token"]):
        answer = outcome(Request(url, 1, None, 1), detail=f"no {url} here", final_url=f"{url}&a")
        line = encode(Record.of(answer, OPTIONAL))
        assert b"canary" not in line
        record = json.loads(line)
        for name, key in keys().items():
            if key.hide is not None and name in record:
                assert "***" in record[name], name


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("insecure", [False, True])
def test_columns_are_those_that_records_of_the_run_may_have(several: bool, insecure: bool) -> None:
    expected = expected_keys(Config(insecure=insecure), several=several)
    (header,) = csv.reader(StringIO(format_of(Form.CSV, Table(expected)).header.decode(), ""))
    request = Request("http://h/", 1, "a.txt", 1)
    record = Record.of(outcome(request, insecure=insecure), expected)
    assert header == list(json.loads(encode(record)))


def test_keys_that_some_records_lack_stand_behind_all_others_and_have_a_default() -> None:
    optional = Record.__struct_fields__[-len(Record.__struct_defaults__) :]
    assert set(optional) == OPTIONAL

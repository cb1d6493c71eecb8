"""Where `--records` go: JSON as it is, or CSV that neither a spreadsheet nor `cut` trips over."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.values import FailureKind
from fetchpool.output.export import Form, Table, form_of
from fetchpool.output.ledger import Record, encode
from fetchpool.output.ledger.record import Batch
from fetchpool.output.records import RecordsFile
from tests.harness import PROGRAM, RECORD_KEYS, clean_environment, read_records, run_fetchpool
from tests.program.helpers import PIPE, start, write_list
from tests.servers.counting import CountingServer

GOOD = Record(
    7, "http://h/a?b=1", True, 200, None, None, "http://h/a", 1, 2, 10, 5, "text/plain", "h/a",
    None, "2026-01-31T12:00:00.000Z", 0.5,
)  # fmt: skip
HEADER = ",".join(RECORD_KEYS)
STARTS = "=+-@\t\r\uff1d\uff0b\uff0d\uff20"
"""What begins a formula."""


def written(path: Path, *batches: list[Record], columns: set[str] | None = None) -> bytes:
    """Return what a file holds after *batches* were written to it."""
    file = RecordsFile(str(path), Form.CSV, Table(columns or ()))
    file.make_anew()
    for batch in batches:
        file.write(Batch(batch))
    file.close()
    return path.read_bytes()


def changed(**fields: Any) -> Record:
    return msgspec.structs.replace(GOOD, **fields)


def cell_of(text: str, path: Path) -> str:
    """Return *text*, the detail of a record, as it stands in its cell."""
    rows = list(csv.DictReader(StringIO(written(path, [changed(detail=text)]).decode(), "")))
    assert len(rows) == 1
    return rows[0]["detail"]


@pytest.mark.parametrize(
    ("form", "target", "expected"),
    [
        ("auto", "r.csv", True),
        ("auto", "dir/R.CSV", True),
        ("auto", "r.jsonl", False),
        ("auto", "csv", False),
        ("auto", "r.csv.gz", False),
        ("auto", "-", False),
        ("csv", "-", True),
        ("csv", "r.jsonl", True),
        ("jsonl", "r.csv", False),
    ],
)
def test_the_form_follows_from_option_and_name(form: str, target: str, expected: bool) -> None:
    assert form_of(form, target) is (Form.CSV if expected else Form.JSONL)


def test_rows_follow_the_header_in_the_order_of_the_keys(tmp_path: Path) -> None:
    failed = changed(
        ok=False, status=None, error=FailureKind.DNS, detail='no "name", none', final_url=None
    )
    assert written(tmp_path / "r.csv", [GOOD], [failed, GOOD]).decode().split("\r\n") == [
        HEADER,
        row := (
            "7,http://h/a?b=1,true,200,,,http://h/a,1,2,10,5,text/plain,h/a,,"
            "2026-01-31T12:00:00.000Z,0.5"
        ),
        '7,http://h/a?b=1,false,,dns,"no ""name"", none",,1,2,10,5,text/plain,h/a,,'
        "2026-01-31T12:00:00.000Z,0.5",
        row,
        "",
    ]


def test_columns_are_there_where_the_run_has_them(tmp_path: Path) -> None:
    record = changed(source="a,b.txt", line=3, insecure=True)
    text = written(
        tmp_path / "r.csv", [record, GOOD], columns={"source", "line", "insecure"}
    ).decode()
    header, first, second, _ = text.split("\r\n")
    assert header == f"{HEADER},source,line,insecure"
    assert first.endswith(',"a,b.txt",3,true')
    assert second.endswith(",,,false")
    assert written(tmp_path / "r.csv", [record]).decode().split("\r\n")[0] == HEADER


def test_without_any_record_there_is_a_header(tmp_path: Path) -> None:
    assert written(tmp_path / "r.csv") == f"{HEADER}\r\n".encode()


@pytest.mark.parametrize("begin", STARTS)
def test_what_begins_a_formula_is_a_text(begin: str, tmp_path: Path) -> None:
    for text in (f"{begin}1+1", f" {begin}1", f'"{begin}1"'):
        assert cell_of(text, tmp_path / "r.csv").startswith("'")
    assert cell_of(f"a;{begin}cmd()", tmp_path / "r.csv").startswith("a;'")
    assert cell_of(f"a{begin}b", tmp_path / "r.csv")[0] == "a"


@pytest.mark.parametrize(
    "text", ["https://h/?a=1&b=-2+3@4", "a - b", "text/html; charset=utf-8", "'", "a'b", ""]
)
def test_harmless_text_stays(text: str, tmp_path: Path) -> None:
    assert cell_of(text, tmp_path / "r.csv") == text


@given(
    st.lists(st.text(st.sampled_from("=+-@;, \t\r\n\"'\x00\x1b\x85\u2028\u202e") | st.characters()))
)
def test_any_text_is_one_row_and_no_formula(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    records = [changed(url=text, detail=text, content_type=text) for text in texts]
    text = written(path, records).decode()
    lines = text.splitlines()  # which takes much more than a line feed for the end of a line
    assert len(lines) == len(texts) + 1
    for row, given_text in zip(list(csv.reader(lines))[1:], texts, strict=True):
        assert len(row) == len(RECORD_KEYS)
        assert row[1] == row[5] == row[11]
        assert not row[1].lstrip(' "').startswith(tuple(STARTS))
        assert row[1].isprintable()
        assert not given_text.isalnum() or row[1] == given_text
    for piece in text.split(";")[1:]:
        assert not piece.lstrip(' "').startswith(tuple(STARTS))


def test_json_is_written_as_it_is(tmp_path: Path) -> None:
    file = RecordsFile(str(tmp_path / "r"), Form.JSONL)
    file.write(Batch([GOOD]))
    file.close()
    assert (tmp_path / "r").read_bytes() == encode(GOOD)


def test_records_of_a_run_are_the_ledgers(server: CountingServer, tmp_path: Path) -> None:
    urls = [server.url(f"/{n}") for n in range(300)] + ["=1+1", server.url("/x?status=404")]
    write_list(tmp_path / "urls.txt", urls)
    (tmp_path / "r.csv").write_text("old\n" * 100_000)
    args = ["get", "urls.txt", "--retries", "0", "--records", "r.csv"]
    assert run_fetchpool(args, cwd=tmp_path).returncode == 1
    text = (tmp_path / "r.csv").read_bytes().decode()
    records = read_records(tmp_path / "urls.fetched")
    rows = list(csv.DictReader(StringIO(text, "")))
    assert [tuple(row) for row in rows] == [RECORD_KEYS] * len(records)
    for row, record in zip(rows, records, strict=True):
        for key, value in record.items():
            shown = json.dumps(value) if isinstance(value, bool | float) else value
            expected = "" if value is None else str(shown)
            assert row[key] == ("'=1+1" if expected == "=1+1" else expected)


def test_csv_goes_to_standard_output_too(server: CountingServer, tmp_path: Path) -> None:
    write_list(tmp_path / "a.txt", [server.url("/a")])
    args = ["get", "a.txt", server.url("/b"), "--no-body", "--records=-"]
    result = run_fetchpool([*args, "--records-format", "csv"], cwd=tmp_path)
    assert result.returncode == 0
    rows = list(csv.DictReader(StringIO(result.stdout)))
    assert sorted((row["seq"], row["source"], row["line"]) for row in rows) == [
        ("1", "a.txt", "1"),
        ("2", server.url("/b"), "1"),
    ]
    assert {row["path"] for row in rows} == {""}


def test_a_reader_of_csv_that_goes_away_ends_the_run_quietly(
    server: CountingServer, tmp_path: Path
) -> None:
    write_list(tmp_path / "urls.txt", [server.url(f"/{n}") for n in range(2000)])
    args = ["get", "urls.txt", "--records=-", "--records-format=csv"]
    with start(args, cwd=tmp_path, stdout=PIPE) as process:
        assert process.stdout is not None
        assert os.read(process.stdout.fileno(), 10) == HEADER[:10].encode()
        process.stdout.close()
        process.stdout = None
        assert process.wait(30) == 128 + signal.SIGPIPE


def test_csv_of_a_run_that_is_refused_is_yesterdays_still(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("yesterday's\n")
    RecordsFile(str(tmp_path / "r.csv"), Form.CSV).close()
    assert (tmp_path / "r.csv").read_text() == "yesterday's\n"


def test_file_keeps_what_it_had_until_nothing_refuses_the_run(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("yesterday's\n")
    file = RecordsFile(str(tmp_path / "r"), Form.JSONL)
    assert (tmp_path / "r").read_text() == "yesterday's\n"
    file.make_anew()
    file.write(Batch([GOOD]))
    file.close()
    assert (tmp_path / "r").read_bytes() == encode(GOOD)


@pytest.mark.parametrize(
    ("path", "mode"),
    [("-", "wb"), ("-", "ab"), ("/dev/stdout", "wb"), ("/dev/fd/1", "ab"),
     ("/proc/self/fd/1", "wb")],
)  # fmt: skip
def test_records_go_on_where_an_open_stream_stands(
    server: CountingServer, tmp_path: Path, path: str, mode: str
) -> None:
    """`{ echo before; fetchpool … --records /dev/stdout; echo behind; } > file`."""
    write_list(tmp_path / "urls.txt", [server.url("/a"), server.url("/b")])
    now = (*PROGRAM, "get", "urls.txt", "-o", "out", "--records", path, "--quiet")
    later = (*PROGRAM, "export", "out", "-o", path)
    with (tmp_path / "all").open(mode) as file:
        os.write(file.fileno(), b"before\n")
        for command in (now, later):
            subprocess.run(
                command, cwd=tmp_path, stdout=file, check=True, env=clean_environment(tmp_path)
            )
        os.write(file.fileno(), b"behind\n")
    first, *records, last = (tmp_path / "all").read_text().splitlines()
    assert (first, last) == ("before", "behind")
    assert [json.loads(line)["seq"] for line in records[:2]] == [1, 2]
    assert sorted(records[:2]) == sorted(records[2:])


@pytest.mark.parametrize("path", ["-", "/dev/stdout"])
def test_records_to_a_closed_stream_are_refused(
    server: CountingServer, tmp_path: Path, path: str
) -> None:
    write_list(tmp_path / "urls.txt", [server.url("/a")])
    words = [*PROGRAM, "get", "urls.txt", "--records", path]
    done = subprocess.run(
        ["sh", "-c", '"$@" >&-', "sh", *words],
        cwd=tmp_path, stderr=PIPE, text=True, env=clean_environment(tmp_path), check=False,
    )  # fmt: skip
    assert done.returncode == 73
    assert done.stderr == f"fetchpool: cannot write --records {path}: it is closed\n"
    assert server.counts.hits == []

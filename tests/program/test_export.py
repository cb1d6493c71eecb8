"""`fetchpool export`, and what a file of `--records` holds: all records of a run, in one step."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
from io import FileIO, StringIO
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from fetchpool.model.values import FailureKind
from fetchpool.output.export import (
    Dialect,
    Form,
    Replacement,
    Table,
    copy_records,
    format_of,
    is_stream,
)
from fetchpool.output.export.rows import MOST_COLUMNS
from fetchpool.output.ledger import Record, encode
from fetchpool.output.ledger.entries import Line, read_entry
from fetchpool.output.ledger.record import Batch
from tests.harness import RECORD_KEYS, Result, read_records, run_fetchpool
from tests.program.helpers import PIPE, eventually, one_line, start, write_list
from tests.servers.counting import CountingServer

GOOD = Record(
    1, "http://h/a", True, 200, None, None, "http://h/a", 0, 1, 10, 5, "text/plain", "h/a",
    None, "2026-01-31T12:00:00.000Z", 0.5,
)  # fmt: skip


def copied(path: Path, form: Form, **options: Table) -> bytes:
    parts: list[bytes] = []
    with FileIO(path) as ledger:
        copy_records(ledger, form, parts.append, **options)
    return b"".join(parts)


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text, newline="")))


# -- what is copied


def test_torn_and_damaged_lines_are_left_out(tmp_path: Path) -> None:
    lines = [encode(GOOD), b"\0\0\0\n", b"{}\n", encode(GOOD), encode(GOOD)[:40]]
    (tmp_path / "l").write_bytes(b"".join(lines))
    assert copied(tmp_path / "l", Form.JSONL) == encode(GOOD) * 2
    assert len(table(copied(tmp_path / "l", Form.CSV).decode())) == 2


def test_what_is_appended_meanwhile_is_not_copied(tmp_path: Path) -> None:
    ledger = tmp_path / "l"
    ledger.write_bytes(encode(GOOD) * 3 + encode(GOOD)[:40])
    written: list[bytes] = []

    def write(data: bytes) -> None:
        written.append(data)
        with ledger.open("ab") as appending:
            appending.write(encode(GOOD)[40:] + encode(GOOD) * 5000)

    with FileIO(ledger) as file:
        copy_records(file, Form.JSONL, write)
    assert written == [encode(GOOD) * 3]


def test_columns_are_those_of_every_record_and_what_some_have(tmp_path: Path) -> None:
    source = replace(GOOD, source="a.txt", line=4)
    (tmp_path / "l").write_bytes(encode(GOOD) * 9000 + encode(source) + encode(GOOD))
    rows = table(copied(tmp_path / "l", Form.CSV).decode())
    assert tuple(rows[0]) == (*RECORD_KEYS, "source", "line")
    assert [row["line"] for row in rows if row["line"]] == ["4"]
    with_insecure = table(copied(tmp_path / "l", Form.CSV, table=Table({"insecure"})).decode())
    assert tuple(with_insecure[0]) == (*RECORD_KEYS, "source", "line", "insecure")
    assert with_insecure[0]["insecure"] == "false"


@example(["\ud800"])
@given(st.lists(st.text(st.sampled_from('",:source line{}\\') | st.characters())))
def test_no_text_is_taken_for_a_column(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    texts = [*texts, ',"source":"x"', '"line":1', ',"insecure":true']
    path.write_bytes(b"".join(encode(replace(GOOD, url=text, detail=text)) for text in texts))
    rows = table(copied(path, Form.CSV).decode())
    assert tuple(rows[0]) == RECORD_KEYS
    assert len(rows) == len(texts)


CELLS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("=-+@;\t\r\n\"',\0"))
ROWS = st.lists(st.dictionaries(CELLS, CELLS, max_size=4), max_size=5)


def bare(cell: str) -> str:
    """Return *cell* without what makes formulas harmless."""
    return re.sub(r"(\A|;)'", r"\1", cell)


@given(ROWS, st.sampled_from(",;\t|"), st.booleans())
def test_whatever_a_list_has_comes_back_from_csv_and_from_json(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, str]],
    delimiter: str,
    bom: bool,
) -> None:
    path = tmp_path_factory.getbasetemp() / "rows"
    records = [replace(GOOD, row=Raw(msgspec.json.encode(row))) for row in rows]
    path.write_bytes(b"".join(map(encode, records)))
    assert [json.loads(line)["row"] for line in path.read_bytes().splitlines()] == rows
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    table_as_given = Table(dialect=Dialect(delimiter, bom))
    whole = copied(path, Form.CSV, table=table_as_given)
    begun = format_of(Form.CSV, table_as_given, Batch(records))
    streamed = begun.header + begun.batch(Batch(records))
    assert begun.batch(Batch(records)) == begun.lines(path.read_bytes())
    assert begun.count(begun.batch(Batch(records))) == len(rows)
    for data, rest in ((whole, 0), (streamed, 1 if names else 0)):
        assert data.startswith(b"\xef\xbb\xbf") is bom
        text = data.decode("utf-8-sig" if bom else "utf-8")
        header, *lines = csv.reader(StringIO(text, newline=""), delimiter=delimiter)
        assert len(header) == len(names) + len(RECORD_KEYS) + rest
        assert len(set(header)) == len(header)
        for name, column in zip(names, header, strict=False):
            assert bare(column) == bare(name)
        for row, line in zip(rows, lines, strict=True):
            for name, cell in zip(names, line, strict=False):
                assert bare(cell) == bare(row.get(name, ""))
                assert not cell.startswith(("=", "@", "\t", "\r", "\n"))
            assert line[len(names) :][:2] == ["1", "http://h/a"]


def test_columns_of_lists_come_first_and_ours_give_way(tmp_path: Path) -> None:
    rows = [
        b'{"b":"x","seq":"7","a":"line\\nline"}',
        b'{"c":-1.50,"a":null,"d":{"e":[1, 2]},"f":true,"g":12345678901234567890123}',
        b'{"fetchpool_seq":"-5","a":"-5 + 1"}',
    ]
    (tmp_path / "l").write_bytes(
        encode(GOOD) + b"".join(encode(replace(GOOD, row=Raw(row))) for row in rows)
    )
    plain, first, second, third = table(copied(tmp_path / "l", Form.CSV).decode())
    own = ["b", "seq", "a", "c", "d", "f", "g", "fetchpool_seq"]
    assert list(plain) == [*own, "fetchpool_fetchpool_seq", *RECORD_KEYS[1:]]
    assert [plain[name] for name in own] == [""] * 8
    assert plain["fetchpool_fetchpool_seq"] == first["fetchpool_fetchpool_seq"] == "1"
    assert (first["a"], first["seq"], first["b"]) == ("line\nline", "7", "x")
    assert [second[name] for name in own[2:7]] == [
        "", "-1.50", '{"e":[1, 2]}', "true", "12345678901234567890123",
    ]  # fmt: skip
    assert (third["fetchpool_seq"], third["a"]) == ("-5", "'-5 + 1")


def test_what_looks_like_a_key_within_a_row_is_none(tmp_path: Path) -> None:
    row = Raw(b'{"x":1,"method":"m","source":{"line":1,"insecure":true}}')
    (tmp_path / "l").write_bytes(encode(replace(GOOD, row=row)))
    (only,) = table(copied(tmp_path / "l", Form.CSV).decode())
    assert list(only) == ["x", "method", "source", *RECORD_KEYS]


def test_columns_that_come_late_in_a_stream_stand_in_one_cell() -> None:
    early, late = (
        Batch([replace(GOOD, row=Raw(row))]) for row in (b'{"a":"1"}', b'{"b":"2","a":"3","c":[4]}')
    )
    form = format_of(Form.CSV, Table(columns=("z",)), early)
    data = form.header + form.batch(early) + form.batch(late)
    first, second = table(data.decode())
    assert list(first) == ["z", "a", *RECORD_KEYS, "row"]
    assert (first["a"], first["row"]) == ("1", "")
    assert (second["a"], second["row"]) == ("3", '{"b":"2","c":[4]}')


def test_table_has_no_more_columns_than_a_spreadsheet_holds(tmp_path: Path) -> None:
    wide = msgspec.json.encode({f"c{number}": number for number in range(20_000)})
    (tmp_path / "l").write_bytes(encode(replace(GOOD, row=Raw(wide))))
    (row,) = table(copied(tmp_path / "l", Form.CSV).decode())
    assert len(row) == MOST_COLUMNS + len(RECORD_KEYS) + 1 < 16_384
    assert len(json.loads(row["row"])) == 20_000 - MOST_COLUMNS


def test_row_that_is_no_object_is_passed_over(tmp_path: Path) -> None:
    lines = [encode(GOOD)[:-2] + b',"row":%b}\n' % each for each in (b'"x"', b"[1]", b"null")]
    (tmp_path / "l").write_bytes(b"".join(lines))
    assert [list(row) for row in table(copied(tmp_path / "l", Form.CSV).decode())] == [
        list(RECORD_KEYS)
    ] * 3


def test_record_that_is_renumbered_has_its_row_byte_for_byte() -> None:
    row = b'{"a":1.10,"b":1e400,"c":"\\u00e9","d":12345678901234567890123}'
    raw = encode(replace(GOOD, row=Raw(row)))
    entry = read_entry(raw)
    assert entry is not None
    for source in (None, "b.txt"):
        again = Line(raw, entry).renumbered(9, source, 3).raw
        assert again.endswith(b',"row":%b}\n' % row)
        assert json.loads(again)["seq"] == 9


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("form", Form)
def test_memory_stays_flat_however_many_records_there_are(tmp_path: Path, form: Form) -> None:
    with_row = replace(GOOD, row=Raw(b'{"name":"Ann","city":"Bonn"}'))
    (tmp_path / "l").write_bytes((encode(GOOD) + encode(with_row)) * 150_000)
    script = (
        "import sys; from io import FileIO; from pathlib import Path\n"
        "from fetchpool.output.export import Form, copy_records\n"
        "copy_records(FileIO(sys.argv[1]), Form(sys.argv[2]), len)\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(status.split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "l", form.value],
        capture_output=True,
        check=True,
        text=True,
    )
    assert int(done.stdout) << 10 < (tmp_path / "l").stat().st_size * 0.75


# -- the file


def test_old_content_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_text("old")
    path.chmod(0o640)
    replacement = Replacement(str(path))

    def broken(write: object) -> None:
        raise OSError(5, "no")

    with pytest.raises(OSError, match="no"):
        replacement.write(broken)
    assert path.read_text() == "old"
    replacement.write(lambda write: write(b"new"))
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(tmp_path) == ["r"]


def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    Replacement(str(tmp_path / "link")).write(lambda write: write(b"new"))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_where_nothing_can_be_put_beside_it_a_file_is_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r"
    path.write_text("much longer than the new one")
    real = os.open

    def refusing(name: object, flags: int, mode: int = 0o777) -> int:
        if ".fetchpool-" in str(name):
            raise PermissionError(13, "Permission denied")
        return real(name, flags, mode)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refusing)
    Replacement(str(path)).write(lambda write: write(b"new"))
    assert path.read_text() == "new"
    with pytest.raises(PermissionError):
        Replacement(str(tmp_path / "not-there"))


def test_streams_are_what_somebody_reads(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").touch()
    streams = ("-", "/dev/fd/1", "/dev/stdout", "/proc/self/fd/1", "/dev/null", tmp_path / "fifo")
    assert all(is_stream(str(path)) for path in streams)
    files = (tmp_path / "file", tmp_path / "not-there", tmp_path, "/dev/shm/not-there", "x/../y")
    assert not any(is_stream(str(path)) for path in files)


# -- the command


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run in `out`."""
    folder = tmp_path_factory.mktemp("shop")
    with CountingServer() as server:
        urls = [server.url("/a"), server.url("/b?status=404"), "=1+1"]
        write_list(folder / "urls.txt", urls)
        args = ["get", "urls.txt", "-o", "out", "--retries", "0"]
        assert run_fetchpool(args, cwd=folder).returncode == 1
    return folder


def export(folder: Path, *args: str) -> Result:
    return run_fetchpool(["export", *args], cwd=folder)


def test_ledger_is_written_to_standard_output_as_it_is(shop: Path) -> None:
    done = export(shop, "out")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (shop / "out" / "results.jsonl").read_text()
    assert export(shop, "out", "--format", "jsonl", "-o", "-").stdout == done.stdout


def test_form_is_that_of_the_name_or_the_one_that_was_asked_for(shop: Path) -> None:
    for args, is_csv in (
        (["-o", "r.csv"], True),
        (["-o", "r.jsonl"], False),
        (["-o", "r"], False),
        (["-o", "r.csv", "--format", "jsonl"], False),
        (["-o", "r.parquet", "--format", "csv"], True),
    ):
        done = export(shop, "out", *args)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        text = (shop / args[1]).read_bytes().decode()
        assert text.startswith("seq,url,") is is_csv
        rows = table(text) if is_csv else [json.loads(line) for line in text.splitlines()]
        assert len(rows) == 3
    rows = table(export(shop, "out", "--format", "csv").stdout)
    assert sorted(row["url"] for row in rows)[0] == "'=1+1"


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (["not-there"], 2, "not-there holds no run"),
        (["urls.txt"], 2, "urls.txt holds no run"),
        (["."], 2, "holds no run"),
        (["out", "-o", "out/results.jsonl"], 2, "is the ledger itself"),
        (["out", "-o", "r.parquet"], 2, "name it .csv or .jsonl"),
        (["out", "-o", "s3://bucket/r.csv"], 2, "name a local file"),
        (["out", "-o", "r.csv.gz", "--format", "csv"], 2, "pack it afterwards"),
        (["out", "--format", "xlsx"], 2, "--format takes csv or jsonl"),
        (["out", "--format", ""], 2, "--format takes csv or jsonl"),
        (["out", "-o", "a.csv", "-o", "b.csv"], 2, "--output is there twice"),
        (["out", "-o", ""], 2, "--output takes the path of a file"),
        (["out", "-o", "no/such/r.csv"], 73, "No such file or directory"),
        (["out", "-o", "out"], 73, "Is a directory"),
        (["out", "-o", "/dev/full"], 74, "No space left on device"),
        ([], 2, "missing argument 'DEST'"),
    ],
)
def test_what_cannot_be_exported_is_told_in_a_line(
    shop: Path, args: list[str], status: int, says: str
) -> None:
    done = export(shop, *args)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert says in one_line(done.stderr)


def test_reader_that_goes_away_ends_it_quietly(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.jsonl").write_bytes(encode(GOOD) * 100_000)
    with start(["export", "out"], cwd=tmp_path, stdout=PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(5) == b'{"seq'
        process.stdout.close()
        process.stdout = None
        status, error = process.ended()
    assert (status, error) == (128 + signal.SIGPIPE, "")


def test_closed_standard_output_is_told(shop: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m fetchpool export out >&-"],
        cwd=shop,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 73
    assert "standard output is closed" in one_line(done.stderr)


def test_run_that_is_on_is_exported_up_to_now(server: CountingServer, tmp_path: Path) -> None:
    urls = [server.url("/a"), server.url("/b"), server.url("/c?until=100000")]
    write_list(tmp_path / "urls.txt", urls)
    with start(["get", "urls.txt", "-o", "out"], cwd=tmp_path) as process:
        eventually(lambda: len(read_records(tmp_path / "out")) == 2, "two records")
        done = export(tmp_path, "out", "-o", "r.csv")
        assert process.poll() is None
    assert done.returncode == 0
    assert {row["url"] for row in table((tmp_path / "r.csv").read_text())} == set(urls[:2])


# -- `--records`


def test_file_has_all_records_after_a_kill_and_going_on(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = [server.url(f"/{n}") for n in range(4)] + [server.url("/last?until=100000")]
    write_list(tmp_path / "urls.txt", urls)
    (tmp_path / "r.csv").write_text("yesterday's\n")
    args = ["get", "urls.txt", "-o", "out", "--records", "r.csv"]
    with start(args, cwd=tmp_path) as process:
        eventually(lambda: len(read_records(tmp_path / "out")) == 4, "four records")
        process.kill()
        process.wait()
    assert (tmp_path / "r.csv").read_text() == "yesterday's\n"
    urls[4] = server.url("/last?status=404")
    write_list(tmp_path / "urls.txt", urls)
    assert run_fetchpool([*args, "--retries", "0"], cwd=tmp_path).returncode == 1
    check_same(tmp_path, urls)
    for flag in ("--retry-failed", "--once"):
        (tmp_path / "r.csv").unlink()
        again = [*args, "--retries", "0", flag]
        assert run_fetchpool(again, cwd=tmp_path).returncode == 1
        check_same(tmp_path, urls)
    assert [path for path in os.listdir(tmp_path) if path.endswith(".new")] == []


def check_same(folder: Path, urls: list[str]) -> None:
    rows = table((folder / "r.csv").read_text())
    assert sorted(row["url"] for row in rows) == sorted(urls)
    assert [row["seq"] for row in rows] == [str(r["seq"]) for r in read_records(folder / "out")]


def test_file_of_a_stopped_run_has_all_records_so_far(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = [server.url("/a"), server.url("/b"), server.url("/c?until=100000")]
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "-o", "out", "--records", "r.jsonl"]
    with start(args, cwd=tmp_path) as process:
        eventually(lambda: len(read_records(tmp_path / "out")) == 2, "two records")
        assert not (tmp_path / "r.jsonl").exists()
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        status, _ = process.ended()
    assert status in (130, 143)
    assert (tmp_path / "r.jsonl").read_bytes() == (tmp_path / "out/results.jsonl").read_bytes()


def test_pipe_gets_this_commands_records_as_they_come(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = [server.url("/a"), server.url("/b?status=404")]
    write_list(tmp_path / "urls.txt", urls)
    os.mkfifo(tmp_path / "fifo.csv.gz")
    args = ["get", "urls.txt", "-o", "out", "--retries", "0"]
    assert run_fetchpool(args, cwd=tmp_path).returncode == 1
    args += ["--retry-failed", "--records"]
    done = run_fetchpool([*args, "-"], cwd=tmp_path)
    assert [json.loads(line)["url"] for line in done.stdout.splitlines()] == urls[1:]
    read: list[str] = []
    reader = threading.Thread(
        target=lambda: read.append((tmp_path / "fifo.csv.gz").read_text()), daemon=True
    )
    reader.start()
    assert run_fetchpool([*args, "fifo.csv.gz"], cwd=tmp_path).returncode == 1
    reader.join(30)
    assert [json.loads(line)["url"] for line in read[0].splitlines()] == urls[1:]
    done = run_fetchpool([*args, "/dev/fd/1"], cwd=tmp_path)
    assert [json.loads(line)["url"] for line in done.stdout.splitlines()] == urls[1:]


def test_without_a_directory_a_file_gets_the_records_as_they_come(
    server: CountingServer, tmp_path: Path
) -> None:
    write_list(tmp_path / "urls.txt", [server.url("/a"), server.url("/b?until=100000")])
    args = ["get", "urls.txt", "--no-body", "--records", "r.jsonl"]
    with start(args, cwd=tmp_path):
        eventually(
            lambda: (
                (tmp_path / "r.jsonl").exists()
                and (tmp_path / "r.jsonl").read_bytes().count(b"\n") == 1
            ),
            "a record",
        )


def test_file_of_an_adding_run_has_the_records_of_all_lists(
    server: CountingServer, tmp_path: Path
) -> None:
    args = ["--add", "-o", "out", "--records", "r.csv"]
    for path in ("/a", "/b"):
        assert run_fetchpool(["get", server.url(path), *args], cwd=tmp_path).returncode == 0
    rows = table((tmp_path / "r.csv").read_text())
    assert [(row["source"], row["line"]) for row in rows] == [
        (server.url("/a"), "1"),
        (server.url("/b"), "1"),
    ]


def test_records_that_cannot_be_replaced_at_the_end_are_told(
    server: CountingServer, tmp_path: Path
) -> None:
    write_list(tmp_path / "urls.txt", [server.url("/a"), server.url("/b?until=100000")])
    (tmp_path / "sub").mkdir()
    args = ["get", "urls.txt", "-o", "out", "--records", "sub/r.csv", "-q"]
    with start(args, cwd=tmp_path) as process:
        eventually(lambda: read_records(tmp_path / "out"), "a record")
        (tmp_path / "sub").rmdir()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        status, error = process.ended()
    assert status == 74
    assert "sub/r.csv" in error
    assert len(read_records(tmp_path / "out")) == 1


def test_kinds_of_error_are_told_as_texts(tmp_path: Path) -> None:
    failed = replace(GOOD, ok=False, status=None, error=FailureKind.DNS)
    (tmp_path / "l").write_bytes(encode(failed))
    assert table(copied(tmp_path / "l", Form.CSV).decode())[0]["error"] == "dns"

"""`--store parquet`: parts that pyarrow, DuckDB and polars read, made of torn spools, too."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import duckdb
import pyarrow.parquet
import pytest

from fetchpool.output.ledger.record import Record, encode
from fetchpool.output.sinks.parquet_file import GROUP_BYTES, convert, part_of, rewrite
from fetchpool.output.sinks.row_spool import head_of, read_rows
from tests.containers.checking import check_containers, examples
from tests.containers.rows import sealed
from tests.harness import WORKERS, one_process, read_records, run_fetchpool
from tests.program.helpers import write_list
from tests.servers.counting import CountingServer

COUNT = 30
BODIES = [b"", None, b"one", b"x" * 5000, b"last"]


@pytest.fixture(scope="module")
def dest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in several parts, of two processes."""
    folder = tmp_path_factory.mktemp("parquet")
    with CountingServer() as server:
        urls = [server.url(f"/{n}?size={n * 300}", f"h{n % 4}.localhost") for n in range(COUNT)]
        write_list(folder / "urls.txt", [*urls, server.url("/no?status=404"), "no url"])
        args = ["get", "urls.txt", "-o", "pages", "-q", "--hash", "--workers", WORKERS or "2"]
        args += ["--store", "parquet", "--segment-size", "20K", "--retries", "0"]
        assert run_fetchpool(args, cwd=folder).returncode == 1
    return folder / "pages"


def test_each_record_has_its_row_in_one_of_several_parts(dest: Path) -> None:
    check_containers("parquet", read_records(dest), dest)
    parts = sealed(dest, "parquet")
    assert len(parts) >= 5
    schemas = {pyarrow.parquet.read_schema(part).to_string() for part in parts}
    assert len(schemas) == 1, "whatever the rows have"
    for part in parts:
        group = pyarrow.parquet.ParquetFile(part).metadata.row_group(0)
        body = group.column(group.num_columns - 1)
        assert (body.path_in_schema, body.compression) == ("body", "ZSTD")
        assert body.statistics is None
        assert not {"RLE_DICTIONARY", "PLAIN_DICTIONARY"} & set(body.encodings)


def test_duckdb_reads_the_same(dest: Path) -> None:
    records = read_records(dest)
    rows = duckdb.execute(
        "SELECT url, ok, started_at, sha256(body), body FROM read_parquet(?) WHERE ok",
        [str(dest / "parquet/*.parquet")],
    ).fetchall()
    found = {(url, sha256) for url, _, _, sha256, _ in rows}
    assert found == {(each["url"], each["sha256"]) for each in records if each["ok"]}
    assert all(hashlib.sha256(body).hexdigest() == sha256 for *_, sha256, body in rows)
    assert all(started.tzinfo is not None for _, _, started, _, _ in rows)


def test_lines_that_the_document_shows_read_it(dest: Path) -> None:
    with_duckdb, with_pandas = examples("Parquet")
    shown = _run(with_duckdb, dest)
    assert "status" in shown
    assert "404" in shown
    pytest.importorskip("pandas")
    assert len(_run(with_pandas, dest).splitlines()) >= COUNT // 2


def _run(program: str, dest: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=dest.parent, capture_output=True, text=True, check=True
    )
    return done.stdout


@one_process
def test_polars_reads_the_same(dest: Path) -> None:
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(dest / "parquet/*.parquet")
    assert len(frame) == COUNT + 2
    assert frame["body"].null_count() == 2
    assert frame["body"].bin.size().sum() == sum(each["bytes"] for each in read_records(dest))


def spooled(path: Path, bodies: list[bytes | None]) -> list[int]:
    """Write a spool of *bodies*; return where the row of each ends."""
    ends, data = [], b""
    for number, body in enumerate(bodies):
        told = encode(record_of(number))
        data += head_of(number, told, None if body is None else len(body)) + (body or b"")
        ends.append(len(data))
    path.write_bytes(data)
    return ends


def record_of(number: int) -> Record:
    url = f"http://example.org/{number}"
    return Record(
        number, url, True, 200, None, None, url, 0, 1, 0, 0, None, None, None, None, 0.5
    )  # fmt: skip


def test_torn_spool_is_read_up_to_its_last_complete_row(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    ends = spooled(spool, BODIES)
    whole = spool.read_bytes()
    for size in range(len(whole) + 1):
        if 600 < size < len(whole) - 600:  # within the long body
            continue
        spool.write_bytes(whole[:size])
        found = [
            (row.number, None if row.length is None else row.file.read(row.length))
            for row in read_rows(spool)
        ]
        assert found == list(enumerate(BODIES))[: sum(end <= size for end in ends)]


def test_row_that_no_record_names_goes_and_the_others_keep_their_numbers(tmp_path: Path) -> None:
    spool, first, second = (tmp_path / name for name in ("spool", "1.parquet", "2.parquet"))
    spooled(spool, BODIES)
    assert convert(spool, first, {0, 1, 3, 4}.__contains__) == 4
    assert rewrite(first, second, {1, 3, 4}.__contains__) == 3
    part = part_of(second)
    assert [part.body(number) for number in (1, 3, 4)] == [None, BODIES[3], BODIES[4]]
    for number in (0, 2):
        with pytest.raises(OSError, match="lacks a row"):
            part.body(number)
    assert convert(spool, tmp_path / "none.parquet", set[int]().__contains__) == 0
    assert not (tmp_path / "none.parquet").exists()


def test_row_group_has_few_bytes_and_a_large_body_is_alone_in_its(tmp_path: Path) -> None:
    half = b"x" * (GROUP_BYTES // 2)
    spooled(tmp_path / "spool", [b"a", half, half, b"y" * (GROUP_BYTES + 1), b"b"])
    assert convert(tmp_path / "spool", tmp_path / "part") == 5
    about = pyarrow.parquet.ParquetFile(tmp_path / "part").metadata
    groups = [about.row_group(group).num_rows for group in range(about.num_row_groups)]
    assert groups == [2, 1, 1, 1]
    assert part_of(tmp_path / "part").body(3) == b"y" * (GROUP_BYTES + 1)


def test_without_pyarrow_the_command_to_install_it_is_named(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "pyarrow.py").write_text("raise ImportError('not here')\n")
    args = ["get", "http://127.0.0.1:1/", "-o", "out", "--store", "parquet"]
    result = run_fetchpool(args, env={"PYTHONPATH": str(absent)}, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "pip install 'fetchpool[parquet]'" in result.stderr
    assert not (tmp_path / "out").exists()


def test_cat_without_pyarrow_names_it_too(dest: Path, tmp_path: Path) -> None:
    (tmp_path / "pyarrow.py").write_text("raise ImportError('not here')\n")
    result = run_fetchpool(["cat", str(dest), "5"], env={"PYTHONPATH": str(tmp_path)}, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "pip install 'fetchpool[parquet]'" in result.stderr

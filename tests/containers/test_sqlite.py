"""`--store sqlite`: one database, read by others while it grows, and what its rows can't hold."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fetchpool.config import Config, ConfigError, store_settings
from fetchpool.model.values import FailureKind
from fetchpool.output.ledger.record import Record, mended
from fetchpool.output.sinks.sqlite_file import RowDatabase, read_row
from fetchpool.pipeline.pool import FetchPool
from tests.containers.checking import check_containers, examples
from tests.harness import one_process, read_records, run_fetchpool
from tests.program.helpers import answer, eventually, start, write_list
from tests.servers.counting import CountingServer

COUNT = 30


@pytest.fixture(scope="module")
def server() -> Iterator[CountingServer]:
    with CountingServer() as there:
        yield there


@one_process
def test_others_read_it_while_it_grows(tmp_path: Path, server: CountingServer) -> None:
    urls = [server.url(f"/{n}?size=900") for n in range(COUNT)]
    write_list(tmp_path / "urls.txt", [*urls, server.url(f"/last?until={COUNT + 2}")])
    args = ["get", "urls.txt", "-o", "pages", "-q", "--store", "sqlite", "--per-host", "4"]
    dest = tmp_path / "pages"
    with start(args, cwd=tmp_path) as process:
        eventually(lambda: len(read_records(dest)) == COUNT, "all have records but one")
        path = dest / "sqlite/fetched-00000.sqlite.open"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
            counts = "SELECT count(*), count(body), sum(length(body)) FROM fetched"
            assert reader.execute(counts).fetchone() == (COUNT, COUNT, COUNT * 900)
        shown = run_fetchpool(["cat", str(dest), "7"], cwd=tmp_path)
        assert len(shown.stdout) == 900
        answer(server, 2)
        assert process.ended()[0] == 0
    assert [path.name for path in (dest / "sqlite").iterdir()] == ["fetched-00000.sqlite"]
    check_containers("sqlite", read_records(dest), dest)
    with closing(sqlite3.connect(dest / "sqlite/fetched-00000.sqlite")) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert database.execute("PRAGMA page_size").fetchone() == (8192,)
    (example,) = examples("SQLite")
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert len(done.stdout.splitlines()) == COUNT + 1


async def test_body_that_is_too_large_for_a_row_is_its_urls_failure(
    server: CountingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(store_settings.MOST_IN_A_ROW, "sqlite", 1000)
    urls = [server.url("/?size=1000"), server.url("/?size=1001")]
    async with FetchPool(Config(store="sqlite")) as pool:
        whole, too_big = sorted(
            [each async for each in pool.fetch(urls)], key=lambda o: o.error or ""
        )
    assert whole.ok
    assert too_big.error == FailureKind.TOO_BIG
    assert too_big.detail == "Content-Length is 1001 bytes; --store sqlite allows 1000 bytes"


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"store": "sqlite", "max_size": 0}, "--max-size 0 can't"),
        ({"store": "sqlite", "max_size": "2G"}, "--max-size 2147483648 can't"),
        ({"store": "parquet", "max_size": "2G"}, "--max-size 2147483648 can't"),
        ({"store": "sqlite", "samples": 3}, "--samples is about tars"),
    ],
)
def test_what_a_store_of_rows_can_not_do_is_refused(settings: dict[str, object], what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        Config(**settings)  # type: ignore[arg-type]


def test_largest_row_is_one_that_sqlite_takes() -> None:
    most = store_settings.MOST_IN_A_ROW["sqlite"]
    with closing(sqlite3.connect(":memory:")) as database:
        assert database.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) > most + 1000


def test_half_a_character_becomes_a_question_mark(tmp_path: Path) -> None:
    path = tmp_path / "rows.sqlite"
    path.touch()
    database = RowDatabase(path)
    database.begin(fsync=False)
    record = Record(
        1, "http://a/\ud800", True, 200, None, "x\ud83d", None, 0, 1, 0, 0, None, None, None, None,
        0.5,
    )  # fmt: skip
    database.add([(1, record, None)])
    database.complete()
    with closing(sqlite3.connect(path)) as read:
        assert read.execute("SELECT url, detail FROM records").fetchone() == ("http://a/?", "x?")
    assert mended(record).url == "http://a/?"
    with pytest.raises(LookupError, match="no body was stored"):
        list(read_row(path, 1, 0))

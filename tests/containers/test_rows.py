"""`--store sqlite` and `--store parquet` through the real program: each line has its row."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetchpool.output.sinks.reading import read_body
from tests.containers.rows import check_rows, rows_of, sealed
from tests.harness import Record, read_records, run_fetchpool
from tests.program.crowd import HOSTS, listed, needs_proc, workers_of
from tests.program.helpers import check_records, eventually, hits, start, write_list
from tests.servers.counting import CountingServer

STORES = ("sqlite", "parquet")
LARGE = 3_000_000
"""Bytes of a body that is spooled in a file, and copied in pieces."""


@pytest.fixture(scope="module")
def server() -> Iterator[CountingServer]:
    with CountingServer() as there:
        there.wishes[f"{there.host('127.0.0.1')}/empty"] = {"text": ""}
        yield there


def list_of(server: CountingServer, folder: Path) -> list[str]:
    """Write a list of all kinds of lines to `list.csv`; return its URLs."""
    urls = [server.url(f"/{n}?size={800 * n}") for n in range(1, 12)]
    urls += [server.url("/empty"), server.url("/no?status=404"), "no url", urls[0]]
    urls += [server.url(f"/large?size={LARGE}"), server.url("/there?to=%2F2%3Fsize%3D9")]
    rows = "".join(f'{url},{n},"ä, ""{n}"""\n' for n, url in enumerate(urls))
    (folder / "list.csv").write_text(f"url,id,label\n{rows}")
    return urls


def get(folder: Path, *options: str, store: str, status: int = 1) -> str:
    args = ["get", "list.csv", "-o", "out", "-q", "--retries", "0", "--hash", "--store", store]
    result = run_fetchpool([*args, *options], cwd=folder)
    assert result.returncode == status, result.stderr
    return result.stderr


def body_of(dest: Path, record: Record) -> bytes:
    place = record["container"], record["offset"], record["length"]
    return b"".join(read_body(dest, record["path"], place))


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_each_line_has_its_row_with_record_and_body(
    tmp_path: Path, server: CountingServer, store: str, workers: str
) -> None:
    urls = list_of(server, tmp_path)
    get(tmp_path, "--workers", workers, "--timings", store=store)
    dest = tmp_path / "out"
    check_rows(dest, store)
    records = sorted(read_records(dest), key=lambda each: each["seq"])
    assert [each["url"] for each in records] == urls
    assert all({"container", "offset", "length"} < each.keys() for each in records)
    assert "timings" in records[0]
    assert records[2]["row"] == {"id": "2", "label": 'ä, "2"'}
    assert body_of(dest, records[11]) == b""
    assert len(body_of(dest, records[15])) == LARGE
    for failed in records[12:14]:
        with pytest.raises(LookupError, match="no body was stored"):
            body_of(dest, failed)
    if workers == "1":
        assert len(sealed(dest, store)) == 1
        first = 1 if store == "sqlite" else 0
        in_order = [each["offset"] for each in read_records(dest)]
        assert in_order == list(range(first, first + len(urls))), "it has the ledger's order"


@pytest.mark.parametrize("store", STORES)
def test_a_refresh_copies_what_is_as_before_to_containers_of_its_own(
    tmp_path: Path, server: CountingServer, store: str
) -> None:
    list_of(server, tmp_path)
    get(tmp_path, store=store)
    before = {path.name: path.read_bytes() for path in sealed(tmp_path / "out", store)}
    get(tmp_path, "--refresh", store=store)
    check_rows(tmp_path / "out", store, refreshed=True)
    records = read_records(tmp_path / "out")
    assert {each["change"] for each in records if each["ok"]} == {"same"}
    assert not {Path(each["container"]).name for each in records} & before.keys()
    after = {path.name: path.read_bytes() for path in sealed(tmp_path / "out", store)}
    assert before.items() < after.items(), "the run before is as it was"
    get(tmp_path, "--refresh", store=store)
    check_rows(tmp_path / "out", store, refreshed=True)
    assert not before.keys() & {path.name for path in sealed(tmp_path / "out", store)}


@pytest.mark.parametrize("store", STORES)
def test_what_no_record_names_goes_out_of_containers_that_were_complete(
    tmp_path: Path, server: CountingServer, store: str
) -> None:
    """Rows of records that were lost, and failures that have been tried again since."""
    list_of(server, tmp_path)
    get(tmp_path, store=store)
    ledger = tmp_path / "out/results.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    kept = {json.loads(line)["url"] for line in lines[:6]} & {
        server.url(f"/{n}?size={800 * n}") for n in range(2, 12)
    }
    ledger.write_bytes(b"".join(lines[:6]) + lines[6][:50])
    since = len(server.counts.hits)
    get(tmp_path, store=store)
    assert not kept & hits(server, since).keys()
    check_rows(tmp_path / "out", store)
    get(tmp_path, "--retry-failed", store=store)
    check_rows(tmp_path / "out", store)
    if store == "sqlite":
        assert len(sealed(tmp_path / "out", store)) == 1, "a run goes on with what is there"


@pytest.mark.parametrize("store", STORES)
def test_rows_that_a_loss_of_power_took_are_fetched_again(
    tmp_path: Path, server: CountingServer, store: str
) -> None:
    list_of(server, tmp_path)
    get(tmp_path, store=store)
    ledger = tmp_path / "out/results.jsonl"
    lines = [json.loads(line) for line in ledger.read_bytes().splitlines()]
    (lost,) = (line for line in lines if "size=8000" in line["url"])
    lost["offset"] = 1000
    ledger.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    since = len(server.counts.hits)
    get(tmp_path, store=store)
    assert hits(server, since) == {lost["url"]: 1}
    check_rows(tmp_path / "out", store)


@pytest.mark.parametrize("store", STORES)
def test_a_full_disk_ends_the_run_and_the_next_one_goes_on(
    tmp_path: Path, server: CountingServer, store: str
) -> None:
    (tmp_path / "out").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(tmp_path / "out")]
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a file system")
    try:
        urls = [server.url(f"/{n}?size=60000&delay=0.02") for n in range(12)]
        (tmp_path / "list.csv").write_text("".join(f"{url}\n" for url in urls))
        error = get(tmp_path, "--limit", "1", store=store, status=74)
        assert "No space left on device" in error
        kept = {each["url"] for each in read_records(tmp_path / "out")}
        subprocess.run([*mount[:3], "-o", "remount,size=20m", mount[-1]], check=True)
        since = len(server.counts.hits)
        get(tmp_path, store=store, status=0)
        assert not kept & hits(server, since).keys()
        check_rows(tmp_path / "out", store)
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path / "out")], check=True)


@needs_proc
@pytest.mark.parametrize("store", STORES)
def test_killed_worker_leaves_nothing_that_no_record_names(tmp_path: Path, store: str) -> None:
    with CountingServer(HOSTS) as crowd:
        urls = listed(crowd, 10, "?delay=0.02&size=2000")
        write_list(tmp_path / "urls.txt", urls)
        args = ["get", "urls.txt", "-o", "out", "--store", store, "--hash", "--workers", "2"]
        if store == "parquet":
            args += ["--segment-size", "50K"]
        with start(args, cwd=tmp_path) as process:
            eventually(lambda: len(crowd.counts.hits) > 80, "some requests")
            os.kill(workers_of(process)[0], signal.SIGKILL)
            status, error = process.ended()
    assert status == 0, error
    assert "a worker process ended by signal 9" in error
    check_records(tmp_path / "out", urls)
    check_rows(tmp_path / "out", store)


def test_rows_of_a_list_through_a_pipe_stay_until_their_lines_come(
    tmp_path: Path, server: CountingServer
) -> None:
    urls = [server.url(f"/{n}") for n in range(8)]
    args = ["get", "-", "-o", "out", "-q", "--hash", "--store", "sqlite"]
    text = "".join(f"{url}\n" for url in urls)
    assert run_fetchpool(args, cwd=tmp_path, stdin=text).returncode == 0
    ledger = tmp_path / "out/results.jsonl"
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:5]))
    since = len(server.counts.hits)
    assert run_fetchpool(args, cwd=tmp_path, stdin=text).returncode == 0
    assert len(hits(server, since)) == 3
    check_rows(tmp_path / "out", "sqlite")
    assert len(rows_of(sealed(tmp_path / "out", "sqlite")[0])) == 8

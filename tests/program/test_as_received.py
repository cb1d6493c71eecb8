"""What is done with a body's coding, and what the record says of it."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.harness import Result, check_bodies, run_fetchpool
from tests.program.helpers import one_line, write_list
from tests.servers.ranges import Answer, RangeServer, hang_up, whole, with_status

PLAIN = b"the body " * 100_000
GZIP = gzip.compress(PLAIN)
WAYS = [("--exchange", "direct"), ("--exchange", "session"), ("--workers", "2")]


def labelled(body: bytes, coding: str, *fields: str) -> list[Answer]:
    return [whole(body, None, f"Content-Encoding: {coding}", *fields)]


def get(folder: Path, server: RangeServer, *options: str) -> Result:
    write_list(folder / "list.txt", [server.url(path) for path in server.answers])
    result = run_fetchpool(["get", "list.txt", "-o", "out", "--hash", *options], cwd=folder)
    check_bodies(result.records, folder / "out")
    return result


def bodies(result: Result, server: RangeServer, folder: Path) -> Mapping[str, bytes]:
    paths = {path: result.of(server.url(path))["path"] for path in server.answers}
    return {path: (folder / "out" / found).read_bytes() for path, found in paths.items()}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way[1])
def test_as_received_stores_what_came_whatever_the_coding(
    tmp_path: Path, way: tuple[str, ...]
) -> None:
    sent = {
        "/gzip": (GZIP, "gzip"),
        "/cut": (GZIP[:-9], "gzip"),
        "/lacking": (b"\x1f\x9d\x90", "compress"),
        "/layers": (GZIP, "gzip, gzip, gzip"),
        "/unknown": (PLAIN, "aws-chunked"),
        "/x.tar.gz": (GZIP, "gzip"),
    }
    with RangeServer({path: labelled(*each) for path, each in sent.items()}) as server:
        result = get(tmp_path, server, "--as-received", *way)
        stored = bodies(result, server, tmp_path)
        details = {path: result.of(server.url(path))["detail"] for path in sent}
    assert result.returncode == 0, result.stderr
    for path, (body, coding) in sent.items():
        assert stored[path] == body
        assert details[path] == f"stored as received, with Content-Encoding '{coding}'"
    for record in result.records:
        assert record["bytes"] == record["wire_bytes"]


def test_a_file_keeps_the_checksum_that_its_name_promises(tmp_path: Path) -> None:
    with RangeServer({"/x.tar.gz": labelled(GZIP, "gzip"), "/x": labelled(GZIP, "gzip")}) as server:
        result = get(tmp_path, server)
        file, page = (result.of(server.url(path)) for path in server.answers)
    assert file["sha256"] == hashlib.sha256(GZIP).hexdigest()
    assert page["sha256"] == hashlib.sha256(PLAIN).hexdigest()
    assert (file["detail"], page["detail"]) == (None, None)


def test_an_error_page_is_no_file_whatever_its_url_is_called(tmp_path: Path) -> None:
    missing = with_status(404, *labelled(GZIP, "gzip"))
    with RangeServer({"/x.tar.gz": [missing]}) as server:
        result = get(tmp_path, server, "--keep-errors")
        assert bodies(result, server, tmp_path) == {"/x.tar.gz": PLAIN}


def test_a_name_that_is_no_coding_is_told(tmp_path: Path) -> None:
    sent = {
        "/none": (PLAIN, "none"),
        "/two": (GZIP, "utf-8, gzip, x\x1b[31m"),
        "/empty": (b"", "none"),
        "/identity": (PLAIN, "identity"),
    }
    with RangeServer({path: labelled(*each) for path, each in sent.items()}) as server:
        result = get(tmp_path, server)
        none, two, empty, identity = (result.of(server.url(path)) for path in sent)
    assert none["detail"] == (
        "Content-Encoding: 'none' is no registered coding, and was passed over"
    )
    assert two["bytes"] == len(PLAIN)
    assert "'utf-8'" in two["detail"]
    assert two["detail"].isprintable()
    assert (empty["detail"], identity["detail"]) == (None, None)
    assert {record["ok"] for record in result.records} == {True}


def test_a_stopped_run_is_gone_on_with_as_it_was_begun(tmp_path: Path) -> None:
    with RangeServer({"/a": labelled(GZIP, "gzip"), "/b": [hang_up]}) as server:
        get(tmp_path, server, "--retries", "0")
        ledger = tmp_path / "out" / "results.jsonl"
        ledger.write_bytes(ledger.read_bytes().splitlines(keepends=True)[0])
        args = ["get", "list.txt", "-o", "out", "--hash"]
        other = run_fetchpool([*args, "--as-received"], cwd=tmp_path)
        fresh = run_fetchpool([*args, "--as-received", "--fresh"], cwd=tmp_path)
    assert other.returncode == 2
    assert "--fresh" in one_line(other.stderr)
    assert "--as-received" in other.stderr
    assert fresh.returncode == 1

"""`--store warc`: what went over the wire, as FastWARC, cdxj-indexer, warcio and pywb read it."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path

import pytest

from fetchpool.output.export.wacz import write_wacz
from fetchpool.output.warc.writing import IDENTICAL, NOT_MODIFIED
from tests.containers.checking import check_containers, examples
from tests.harness import (
    PROGRAM,
    WORKERS,
    Record,
    clean_environment,
    read_records,
    run_fetchpool,
)
from tests.program.helpers import eventually, write_list
from tests.servers.ranges import RangeServer, Say, bare, chunked, cut, to_the_close, whole
from tests.warc.readers import Seen, check_container, index_by_others, seen_by_fastwarc

PAGE = b"<html>" + b"words " * 300
BIG = random.Random(1).randbytes(1_500_000)
CODED = PAGE + BIG[:500]
ZIPPED = gzip.compress(CODED)
SECRET = "tell-nobody"
HTML = "Content-Type: text/html; charset=utf-8"
GZIP = "Content-Encoding: gzip"

ANSWERS = {
    "/page": whole(PAGE, '"1"', HTML),
    "/other": whole(PAGE, None, HTML, "X-Other: é"),
    "/gz": chunked(ZIPPED, GZIP, HTML),
    "/gz2": chunked(ZIPPED, GZIP, HTML),
    "/close": to_the_close(PAGE + b"close", "Set-Cookie: a=b"),
    "/big": whole(BIG, None),
    "/long": whole(b"." * 200_000, None),
    "/cut": cut(whole(PAGE + b"cut", None), 900),
    "/from": bare("HTTP/1.1 302 Found", "Location: /middle"),
    "/middle": lambda ask: Say(
        ("HTTP/1.1 301 Moved", "Location: /to", "Content-Length: 5"), b"moved"
    ),
    "/to": whole(PAGE + b"to", None, HTML),
    "/none": lambda ask: Say(("HTTP/1.1 404 Not Found", "Content-Length: 7"), b"nothing"),
    f"/secret?token={SECRET}": whole(PAGE + b"secret", None),
}


@pytest.fixture(scope="module")
def server() -> Iterator[RangeServer]:
    with RangeServer({path: [answer] for path, answer in ANSWERS.items()}) as there:
        yield there


def get(folder: Path, *options: str, workers: str = WORKERS or "1") -> tuple[int, str]:
    args = ["get", "urls.txt", "-o", "out", "-q", "--retries", "0", "--workers", workers]
    result = run_fetchpool([*args, "--store", "warc", *options], cwd=folder)
    return result.returncode, result.stderr


@pytest.fixture(scope="module")
def dest(tmp_path_factory: pytest.TempPathFactory, server: RangeServer) -> Path:
    """A run of one process over all kinds of answers, in several containers."""
    folder = tmp_path_factory.mktemp("warc")
    urls = [server.url(path) for path in ANSWERS if path not in ("/middle", "/to")]
    write_list(folder / "urls.txt", [*urls, "no url"])
    status, error = get(
        *(folder, "--hash", "--segment-size", "300K", "--secret-param", "token", "--limit", "1"),
        *("--warc-prefix", "crawl", "--warc-header", "operator: me", "--max-size", "2M"),
        *("--header", f"X-Key: {SECRET}", "--user", f"me:{SECRET}"),
        workers="1",
    )
    assert status == 1, error
    return folder / "out"


def containers(dest: Path) -> list[Path]:
    return sorted(dest.glob("warc/*.warc.gz"))


def captures(dest: Path) -> dict[str, Seen]:
    """Return the responses in all containers by path."""
    seen = [each for path in containers(dest) for each in seen_by_fastwarc(path)]
    kept = [each for each in seen if each.kind in ("response", "revisit")]
    found = {_path_of(each.fields["warc-target-uri"]): each for each in kept}
    assert len(found) == len(kept)
    return found


def _path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]


def message(answer: Say) -> bytes:
    return ("\r\n".join(answer.head) + "\r\n\r\n").encode("latin-1") + answer.body


def test_every_response_is_as_it_was_sent_and_every_record_says_where(dest: Path) -> None:
    records = read_records(dest)
    check_containers("warc", records, dest)
    seen = captures(dest)
    assert set(seen) == {path.replace(SECRET, "***") for path in ANSWERS}
    for path, answer in ANSWERS.items():
        sent, kept = message(answer(None)), seen[path.replace(SECRET, "***")]
        if kept.kind == "response" and path != "/long":
            assert kept.block == sent, path
        else:
            assert sent.startswith(kept.block), path
    assert {path for path, each in seen.items() if each.kind == "revisit"} == {"/other", "/gz2"}
    assert seen["/other"].fields["warc-profile"] == IDENTICAL
    assert seen["/other"].fields["warc-refers-to-target-uri"].endswith("/page")
    truncated = {path: each.fields.get("warc-truncated") for path, each in seen.items()}
    assert {path: why for path, why in truncated.items() if why is not None} == {
        "/cut": "disconnect",
        "/other": "length",
        "/gz2": "length",
    }
    by_path = {_path_of(record["url"]): record for record in records if "container" in record}
    assert len(by_path) == len(ANSWERS) - 2, "a redirect's line has one place, no other has it"
    for path, record in by_path.items():
        assert (record["path"], record["ok"]) == (None, path not in ("/cut", "/none"))
    assert "container" not in next(each for each in records if each["error"] == "input")


def test_containers_are_what_others_take_for_it(dest: Path) -> None:
    from warcio.archiveiterator import ArchiveIterator

    paths = containers(dest)
    assert len(paths) > 1
    assert all(path.name.startswith("crawl-0000") for path in paths)
    for path in paths:
        entries = check_container(path)
        assert path.stat().st_size <= 300 * 1024 or len(entries) == 3
        index = path.with_name(path.name.replace(".warc.gz", ".cdxj"))
        assert index.read_text().splitlines() == index_by_others(path)
        info = seen_by_fastwarc(path)[0].block.decode()
        assert "\r\noperator: me\r\n" in info
        assert "robots: ignore\r\n" in info
        # It takes the digest of a payload for one with the chunks, so there it finds a fault.
        with path.open("rb") as file:
            for record in ArchiveIterator(file, check_digests=True):
                record.content_stream().read()
                is_chunked = "/gz" in (record.rec_headers["WARC-Target-URI"] or "")
                assert is_chunked or record.digest_checker.passed is not False


def test_no_secret_is_in_a_request_record_or_a_url(dest: Path) -> None:
    for path in (*containers(dest), *dest.glob("warc/*.cdxj")):
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rb") as file:
            data = file.read()
        assert SECRET.encode() not in data
        assert b"bWU6" not in data, "the beginning of `me:` in Basic"
    requests = [
        each.block
        for path in containers(dest)
        for each in seen_by_fastwarc(path)
        if each.kind == "request"
    ]
    assert any(each.startswith(b"GET /secret?token=*** HTTP/1.1\r\n") for each in requests)
    assert all(b"\r\nX-Key: ***\r\n" in each for each in requests)
    assert all(b"\r\nAuthorization: ***\r\n" in each for each in requests)


def test_cat_writes_the_body_without_chunks_and_coding(dest: Path) -> None:
    bodies = {"/gz2": CODED, "/other": PAGE, "/big": BIG, "/from": PAGE + b"to"}
    by_path = {_path_of(each["url"]): each for each in read_records(dest) if each["status"]}
    for path, body in bodies.items():
        record = by_path[path]
        assert record["sha256"] == hashlib.sha256(body).hexdigest()
        assert _cat(dest, record) == body, path


def test_cat_writes_the_head_as_it_was_received(dest: Path) -> None:
    (record,) = (each for each in read_records(dest) if each["url"].endswith("/other"))
    shown = subprocess.run(
        [*PROGRAM, "cat", str(dest), record["url"], "--head"],
        capture_output=True, check=True, env=clean_environment(dest.parent),
    )  # fmt: skip
    assert shown.stdout.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"X-Other: \xe9\r\n" in shown.stdout
    assert shown.stdout.endswith(b"\r\n\r\n")


def _cat(dest: Path, record: Record) -> bytes:
    args = [*PROGRAM, "cat", str(dest), str(record["seq"])]
    environment = clean_environment(dest.parent)
    return subprocess.run(args, capture_output=True, check=True, env=environment).stdout


def test_with_keep_errors_and_size_what_is_wanted_is_kept(
    tmp_path: Path, server: RangeServer
) -> None:
    server.answers["/error"] = [lambda ask: Say(("HTTP/1.1 500 No", "Content-Length: 90000"), LONG)]
    server.answers["/toobig"] = [whole(BIG, None)]
    write_list(tmp_path / "urls.txt", [server.url("/error"), server.url("/toobig")])
    for options, kept in (([], 64 * 1024), (["--keep-errors", "--fresh"], 90_000)):
        assert get(tmp_path, "--max-size", "100K", *options)[0] == 1
        seen = captures(tmp_path / "out")
        assert len(seen["/error"].payload) == kept
        assert seen["/error"].fields.get("warc-truncated") == (None if options else "length")
        assert seen["/toobig"].payload == b""
        assert seen["/toobig"].fields["warc-truncated"] == "length"
        check_containers("warc", read_records(tmp_path / "out"), tmp_path / "out")


LONG = b"." * 90_000


def test_refresh_refers_to_what_an_earlier_run_stored(tmp_path: Path, server: RangeServer) -> None:
    paths = ["/r/304", "/r/same", "/r/new"]
    server.answers["/r/304"] = [whole(PAGE + b"304", '"1"'), bare(*NOT_MODIFIED_HEAD)]
    server.answers["/r/same"] = [whole(PAGE + b"same", None)]
    server.answers["/r/new"] = [whole(PAGE + b"old", None), whole(PAGE + b"new", None)]
    write_list(tmp_path / "urls.txt", [server.url(path) for path in paths])
    dest = tmp_path / "out"
    assert get(tmp_path)[0] == 0
    first = captures(dest)
    for night in (1, 2):
        status, error = get(tmp_path, "--refresh")
        assert status == 0, error
        records = {_path_of(each["url"]): each for each in read_records(dest)}
        changes = [records[path]["change"] for path in paths]
        assert changes == ["same", "same", "changed" if night == 1 else "same"]
        bodies = [_cat(dest, records[path]) for path in paths]
        assert bodies == [PAGE + b"304", PAGE + b"same", PAGE + b"new"]
        latest = {record["container"] for record in records.values()}
        seen = {
            _path_of(each.fields["warc-target-uri"]): each
            for name in latest
            for each in seen_by_fastwarc(dest / name)
            if each.kind in ("response", "revisit")
        }
        assert seen["/r/304"].fields["warc-profile"] == NOT_MODIFIED
        assert seen["/r/same"].fields["warc-profile"] == IDENTICAL
        for path in ("/r/304", "/r/same"):
            assert seen[path].fields["warc-refers-to-target-uri"] == server.url(path)
            assert seen[path].fields["warc-refers-to-date"] == first[path].fields["warc-date"]
    assert len(containers(dest)) == 3
    # Fetched anew, nothing of what was before is needed.
    server.answers["/r/304"] = [whole(PAGE + b"304", '"1"')]
    assert get(tmp_path, "--fresh")[0] == 0
    assert {f"warc/{path.name}" for path in containers(dest)} == {
        record["container"] for record in read_records(dest)
    }
    check_containers("warc", read_records(dest), dest)
    assert len(list(dest.glob("warc/*"))) == 2 * len(containers(dest))


NOT_MODIFIED_HEAD = ("HTTP/1.1 304 Not Modified", 'ETag: "1"')


def test_each_worker_has_containers_of_its_own(tmp_path: Path, server: RangeServer) -> None:
    urls = []
    for number in range(24):
        path = f"/w/{number}"
        onward = f"http://w{(number + 1) % 4}.localhost:{server.port}/w/to"
        server.answers[path] = (
            [bare("HTTP/1.1 302 Found", f"Location: {onward}")]
            if number % 6 == 5
            else [whole(b"%d " % number * 300, None)]
        )
        urls.append(f"http://w{number % 4}.localhost:{server.port}{path}")
    server.answers["/w/to"] = [whole(PAGE + b"at last", None)]
    write_list(tmp_path / "urls.txt", urls)
    status, error = get(tmp_path, "--segment-size", "10K", workers="2")
    assert status == 0, error
    dest = tmp_path / "out"
    records = read_records(dest)
    check_containers("warc", records, dest)
    hops = [
        each.fields["warc-target-uri"]
        for path in containers(dest)
        for each in seen_by_fastwarc(path)
        if each.kind == "response" and b"Location" in each.block
    ]
    assert sorted(hops) == sorted(url for url in urls if int(url.rpartition("/")[2]) % 6 == 5)
    assert all(record["redirects"] == (record["url"] in hops) for record in records)


# -- with the player of web archives, which can't be installed beside us: it brings another `brotli`

WAYBACK = os.environ.get("FETCHPOOL_TEST_WAYBACK") or shutil.which("wayback")
"""pywb's program, in an environment of its own: `python -m venv …; …/pip install pywb`."""


@pytest.fixture
def player(dest: Path, tmp_path: Path) -> Iterator[int]:
    """Return the port of a player of what *dest* has."""
    collection = tmp_path / "collections" / "all"
    shutil.copytree(dest / "warc", collection / "archive")
    (collection / "indexes").mkdir()
    for index in (collection / "archive").glob("*.cdxj"):
        index.rename(collection / "indexes" / index.name)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    args = [str(WAYBACK), "-b", "127.0.0.1", "-p", str(port), "-d", str(tmp_path)]
    with subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            eventually(lambda: _listens(port), "the player listens")
            yield port
        finally:
            process.kill()


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def played(port: int, url: str) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", f"/all/2id_/{url}")
        response = connection.getresponse()
        assert response.status == 200, (url, response.status)
        return response.read()
    finally:
        connection.close()


@pytest.mark.skipif(WAYBACK is None, reason="pywb is not there: FETCHPOOL_TEST_WAYBACK=…/wayback")
def test_player_plays_each_payload_byte_for_byte(
    dest: Path, player: int, server: RangeServer
) -> None:
    payloads: Sequence[tuple[str, bytes]] = [
        ("/page", PAGE),
        ("/other", PAGE),
        ("/gz", ZIPPED),
        ("/gz2", ZIPPED),
        ("/close", PAGE + b"close"),
        ("/big", BIG),
        ("/to", PAGE + b"to"),
        ("/secret?token=***", PAGE + b"secret"),
    ]
    for path, payload in payloads:
        shown = played(player, server.url(path))
        assert shown in (payload, gzip.decompress(payload) if payload == ZIPPED else payload), path


# -- WACZ


def test_wacz_has_all_of_it_and_is_valid(dest: Path, tmp_path: Path) -> None:
    done = run_fetchpool(["export", str(dest), "--wacz", "-o", "pages.wacz"], cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    code = "import sys, wacz.main; sys.exit(wacz.main.main(sys.argv[1:]))"
    check = [sys.executable, "-W", "ignore", "-c", code, "validate", "-f", "pages.wacz"]
    judged = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout + judged.stderr
    assert "the passed WACZ is valid" in judged.stdout
    with zipfile.ZipFile(tmp_path / "pages.wacz") as package:
        assert package.testzip() is None
        assert json.loads(package.read("datapackage.json"))["wacz_version"] == "1.1.1"
        for path in containers(dest):
            info = package.getinfo(f"archive/{path.name}")
            assert info.compress_type == zipfile.ZIP_STORED
            assert package.read(info) == path.read_bytes()
        lines = gzip.decompress(package.read("indexes/index.cdx.gz")).splitlines(keepends=True)
        indexes = [index.read_bytes() for index in dest.glob("warc/*.cdxj")]
        assert lines == sorted(b"".join(indexes).splitlines(keepends=True))
        _, first, *_ = package.read("indexes/index.idx").decode().splitlines()
        assert lines[0].decode().startswith(first.partition("{")[0])
        head, *pages = map(json.loads, package.read("pages/pages.jsonl").splitlines())
        assert head["format"] == "json-pages-1.0"
        paths = {_path_of(page["url"]) for page in pages}
        assert paths == {"/page", "/other", "/gz", "/gz2", "/to"}


def test_index_in_blocks_can_be_entered_at_each(
    dest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fetchpool.output.export.wacz.LINES_IN_BLOCK", 3)
    write_wacz(dest, tmp_path / "x.wacz")
    with zipfile.ZipFile(tmp_path / "x.wacz") as package:
        data = package.read("indexes/index.cdx.gz")
        _, *starts = package.read("indexes/index.idx").decode().splitlines()
    assert len(starts) == -(-len(gzip.decompress(data).splitlines()) // 3)
    for start in starts:
        key, _, said = start.partition(" {")
        place = json.loads("{" + said)
        block = gzip.decompress(data[place["offset"] :][: place["length"]])
        assert block.decode().startswith(f"{key} ")


def test_wacz_of_what_has_no_warc_is_refused(tmp_path: Path, server: RangeServer) -> None:
    write_list(tmp_path / "urls.txt", [server.url("/page")])
    assert run_fetchpool(["get", "urls.txt", "-o", "out", "-q"], cwd=tmp_path).returncode == 0
    for options, said in (
        (["-o", "x.wacz"], "out has no complete WARC"),
        ([], "--wacz writes a file: name it with --output"),
        (["-o", "x.wacz", "--store", "tar"], "--store can't be combined with --wacz"),
    ):
        done = run_fetchpool(["export", "out", "--wacz", *options], cwd=tmp_path)
        assert done.returncode == 2
        assert said in done.stderr
    assert not (tmp_path / "x.wacz").exists()


def test_lines_that_the_document_shows_read_it(dest: Path, tmp_path: Path) -> None:
    (tmp_path / "pages" / "warc").mkdir(parents=True)
    shutil.copy(containers(dest)[0], tmp_path / "pages/warc/fetchpool-00000.warc.gz")
    (example,) = examples("warc")
    shown = subprocess.run(
        [sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("warcinfo None\nrequest http://127.0.0.1:")

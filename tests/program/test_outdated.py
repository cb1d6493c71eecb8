"""A body that no record names doesn't stay, whatever led to it; nobody else's file goes."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.harness import Record, Result, check_bodies, read_records, run_fetchpool, stored_files
from tests.program.crowd import needs_proc, workers_of
from tests.program.helpers import eventually, start, write_list
from tests.servers.ranges import Answer, Ask, RangeServer, Say, hang_up

HTML, JPEG, PDF = (f"Content-Type: {kind}" for kind in ("text/html", "image/jpeg", "text/plain"))
WAYS = [("--exchange", "direct"), ("--exchange", "session"), ("--workers", "2")]


def page(body: bytes, *fields: str, status: int = 200) -> Answer:
    head = (f"HTTP/1.1 {status} So", f"Content-Length: {len(body)}", *fields)
    return lambda ask: Say(head, body)


def error(kind: str, status: int = 500) -> Answer:
    return page(kind.encode(), kind, status=status)


def get(server: RangeServer, folder: Path, *options: str, paths: Sequence[str]) -> Result:
    """Fetch *paths* into `out`."""
    write_list(folder / "list.txt", [server.url(path) for path in paths])
    return run_fetchpool(["get", "list.txt", "-o", "out", "--hash", *options], cwd=folder)


def stored_at_least(dest: Path, count: int) -> bool:
    return len(stored_files(dest)) >= count


def body_of(record: Record, folder: Path) -> bytes:
    return Path(folder, "out", record["path"]).read_bytes()


@pytest.fixture(params=WAYS, ids=lambda way: way[1])
def way(request: pytest.FixtureRequest) -> tuple[str, ...]:
    found: tuple[str, ...] = request.param
    return found


def test_only_the_last_attempts_error_page_is_kept(tmp_path: Path, way: tuple[str, ...]) -> None:
    moved = ("HTTP/1.1 302 Found", "Location: /there", "Content-Length: 0")
    answers: dict[str, list[Answer]] = {
        "/x": [error(PDF), error(JPEG), error(HTML)],
        "/good": [error(PDF), page(b"good", HTML)],
        "/gone": [error(PDF), error(HTML, 404)],
        "/lost": [error(PDF), hang_up],
        "/moved": [lambda ask: Say(moved, b"")],
        "/there": [error(PDF), error(JPEG), page(b"there", HTML)],
        "/big": [page(b"b" * 600_000, PDF, status=500), page(b"c" * 600_000, HTML, status=500)],
        "/empty": [page(b"", PDF, status=500), page(b"", HTML, status=500)],
        "/later": [page(b"wait", PDF, status=503), page(b"good", HTML)],
    }
    with RangeServer(answers) as server:
        paths = [path for path in answers if path != "/there"]
        result = get(server, tmp_path, "--keep-errors", *way, paths=paths)
        records = {path: result.of(server.url(path)) for path in paths}
    check_bodies(result.records, tmp_path / "out")
    assert body_of(records["/x"], tmp_path) == HTML.encode()
    assert body_of(records["/good"], tmp_path) == b"good"
    assert body_of(records["/gone"], tmp_path) == HTML.encode()
    assert records["/lost"]["path"] is None
    assert body_of(records["/moved"], tmp_path) == b"there"
    assert body_of(records["/big"], tmp_path) == b"c" * 600_000


def test_an_error_page_that_is_tried_again_costs_no_old_body(tmp_path: Path) -> None:
    with RangeServer({"/x": [page(b"old", HTML)]}) as server:
        get(server, tmp_path, paths=["/x"])
        server.answers["/x"] = [error(HTML), hang_up]
        result = get(server, tmp_path, "--keep-errors", "--fresh", paths=["/x"])
    assert result.records[0]["path"] is None
    (path,) = stored_files(tmp_path / "out")
    assert (tmp_path / "out" / path).read_bytes() == b"old"


@pytest.mark.parametrize(
    "way",
    [
        ("--exchange", "direct"),
        ("--exchange", "session", "--fresh"),
        ("--workers", "2", "--retry-failed"),
    ],
    ids=" ".join,
)
def test_a_url_whose_type_has_changed_has_one_file(tmp_path: Path, way: tuple[str, ...]) -> None:
    status = 404 if "--retry-failed" in way else 200
    paths = ["/a", "/b?c=d", "/e.png", "/"]
    with RangeServer({path: [page(b"1", JPEG, status=status)] for path in paths}) as server:
        get(server, tmp_path, "--keep-errors", *way, paths=paths)
        assert len(stored_files(tmp_path / "out")) == 4
        for kind, body in ((HTML, b"2"), (PDF, b"3"), (JPEG, b"4")):
            again = 200 if kind == JPEG else status
            server.answers = {path: [page(body, kind, status=again)] for path in paths}
            result = get(server, tmp_path, "--keep-errors", *way, paths=paths)
            check_bodies(result.records, tmp_path / "out")
            assert {body_of(record, tmp_path) for record in result.records} == {body}


def test_a_file_that_another_line_of_the_url_names_stays(tmp_path: Path) -> None:
    with RangeServer({"/x": [page(b"1", JPEG), page(b"2", HTML)]}) as server:
        result = get(server, tmp_path, "--limit", "1", paths=["/x", "/x"])
        check_bodies(result.records, tmp_path / "out")
        server.answers["/x"] = [page(b"3", HTML), page(b"4", JPEG)]
        result = get(server, tmp_path, "--limit", "1", paths=["/x", "/x"])
        check_bodies(result.records, tmp_path / "out")
        server.answers["/x"] = [page(b"5", PDF)]
        result = get(server, tmp_path, "--limit", "1", paths=["/x", "/x"])
        check_bodies(result.records, tmp_path / "out")
    assert len(stored_files(tmp_path / "out")) == 1


def test_a_kept_records_file_stays(tmp_path: Path) -> None:
    """Of a URL that stands twice in the list; only its second line failed."""
    with RangeServer({"/x": [page(b"1", JPEG), error(HTML, 404)]}) as server:
        get(server, tmp_path, "--limit", "1", paths=["/x", "/x"])
        server.answers["/x"] = [page(b"2", HTML)]
        result = get(server, tmp_path, "--retry-failed", paths=["/x", "/x"])
    check_bodies(result.records, tmp_path / "out")
    assert sorted(body_of(record, tmp_path) for record in result.records) == [b"1", b"2"]


def test_a_url_that_fails_now_keeps_its_old_body(tmp_path: Path) -> None:
    with RangeServer({"/x": [page(b"1", JPEG)], "/y": [page(b"1", HTML)]}) as server:
        get(server, tmp_path, paths=["/x", "/y"])
        server.answers["/x"] = [error(HTML, 404)]
        get(server, tmp_path, paths=["/x", "/y"])
        assert len(stored_files(tmp_path / "out")) == 2


def test_bodies_of_lines_that_left_the_list_stay(tmp_path: Path) -> None:
    with RangeServer({"/x": [page(b"1", JPEG)], "/y": [page(b"1", HTML)]}) as server:
        get(server, tmp_path, paths=["/x", "/y"])
        server.answers["/y"] = [page(b"2", JPEG)]
        get(server, tmp_path, paths=["/y"])
        assert len(stored_files(tmp_path / "out")) == 2


def test_foreign_files_are_never_outdated(tmp_path: Path) -> None:
    with RangeServer({"/x": [page(b"1", JPEG)], "/y": [page(b"1", HTML)]}) as server:
        get(server, tmp_path, paths=["/x", "/y"])
        (theirs,) = [path for path in stored_files(tmp_path / "out") if path.endswith(".jpg")]
        (tmp_path / "out" / theirs).rename(tmp_path / "kept")
        for name in ("results.jsonl", ".fetchpool"):
            (tmp_path / "out" / name).rename(tmp_path / name)
        (tmp_path / "out" / theirs).write_bytes(b"theirs")
        types = (tmp_path / ".fetchpool" / "types").read_bytes()
        server.answers["/x"] = [page(b"2", HTML)]
        get(server, tmp_path, paths=["/y"])  # takes note of what is foreign
        (tmp_path / "out" / ".fetchpool" / "types").write_bytes(types)
        get(server, tmp_path, "--fresh", paths=["/x", "/y"])
    assert (tmp_path / "out" / theirs).read_bytes() == b"theirs"


@pytest.mark.parametrize("then", ["--content-disposition", "--no-content-disposition"])
def test_a_name_that_a_server_suggested_goes_with_its_body(tmp_path: Path, then: str) -> None:
    def called(name: str, body: bytes) -> list[Answer]:
        return [page(body, HTML, f'Content-Disposition: attachment; filename="{name}"')]

    paths = ["/a", "/b/", "/c.txt", "/d?e"]
    with RangeServer({path: called("one.txt", b"1") for path in paths}) as server:
        get(server, tmp_path, "--content-disposition", paths=paths)
        server.answers = {path: called("two.pdf", b"2") for path in paths}
        result = get(server, tmp_path, then, paths=paths)
    check_bodies(result.records, tmp_path / "out")
    assert {body_of(record, tmp_path) for record in result.records} == {b"2"}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_body_that_was_stored_but_not_recorded_gives_way(tmp_path: Path, workers: str) -> None:
    """The program is killed between the two, as near as can be."""
    paths = [f"/{name}" for name in "abcdef"]
    kinds = {path: [page(b"1", JPEG)] for path in paths}
    with RangeServer({**kinds, "/held": [lambda ask: Say((), b"", "stalls")]}) as server:
        write_list(tmp_path / "list.txt", [server.url(path) for path in (*paths, "/held")])
        args = ["get", "list.txt", "-o", "out", "--workers", workers]
        with start(args, cwd=tmp_path) as program:
            eventually(lambda: len(stored_files(tmp_path / "out")) == 6, "all bodies are there")
            program.kill()
            program.wait()
        recorded = len(read_records(tmp_path / "out"))
        server.stalled.clear()
        ledger = tmp_path / "out" / "results.jsonl"
        whole = ledger.read_bytes().splitlines(keepends=True)
        ledger.write_bytes(b"".join(whole[: recorded // 2]))  # the rest was not recorded
        server.answers = {path: [page(b"2", HTML)] for path in (*paths, "/held")}
        result = run_fetchpool(args, cwd=tmp_path)
    assert len(result.records) == 7
    check_bodies(result.records, tmp_path / "out")


def test_what_a_killed_run_found_outdated_is_dealt_with_by_the_next(tmp_path: Path) -> None:
    def slow(ask: Ask) -> Say:
        return Say((), b"", "stalls")

    with RangeServer({"/x": [page(b"1", JPEG)], "/y": [page(b"1", JPEG)]}) as server:
        get(server, tmp_path, paths=["/x", "/y"])
        server.answers = {"/x": [page(b"2", HTML)], "/y": [slow]}
        args = ["get", "list.txt", "-o", "out"]
        with start(args, cwd=tmp_path) as program:
            eventually(lambda: len(read_records(tmp_path / "out")) == 1, "one is recorded")
            program.kill()
            program.wait()
        server.stalled.clear()
        server.answers["/y"] = [page(b"2", JPEG)]
        result = run_fetchpool(args, cwd=tmp_path)
    check_bodies(result.records, tmp_path / "out")
    assert not (tmp_path / "out" / ".fetchpool" / "outdated").exists()
    assert server.starts("/x") == [None, None]


@needs_proc
def test_workers_that_die_leave_no_body_that_no_record_names(tmp_path: Path) -> None:
    """What is asked for once more is of another type then."""
    paths = [f"/{number}" for number in range(300)]
    answers = {path: [page(b"1", JPEG), page(b"2", HTML), page(b"3", PDF)] for path in paths}
    with RangeServer(answers) as server:
        write_list(tmp_path / "list.txt", [server.url(path) for path in paths])
        args = ["get", "list.txt", "-o", "out", "--hash", "--workers", "2", "--per-host", "0"]
        with start([*args, "--rate", "150"], cwd=tmp_path) as program:
            for wanted in (20, 80, 140, 200):
                enough = partial(stored_at_least, tmp_path / "out", wanted)
                eventually(enough, "bodies come")
                for pid in workers_of(program)[:1]:
                    os.kill(pid, signal.SIGKILL)
            status, error = program.ended()
    assert status == 0, error
    records = read_records(tmp_path / "out")
    assert len(records) == len(paths)
    check_bodies(records, tmp_path / "out")


def as_an_earlier_version_left_it(dest: Path) -> dict[str, str]:
    """Give each body in *dest* a name that today's rules don't make; return them by URL."""
    records = read_records(dest)
    for record in records:
        if record["path"] is not None:
            folder = Path(record["path"]).parent
            name = f"{folder}/old{record['seq']}.gz"
            (dest / record["path"]).rename(dest / name)
            record["path"] = name
    lines = "".join(f"{json.dumps(record, separators=(',', ':'))}\n" for record in records)
    (dest / "results.jsonl").write_text(lines)
    state = dest / ".fetchpool" / "state.json"
    facts = json.loads(state.read_bytes())
    assert facts.pop("names") > 0
    facts.pop("renames")
    state.write_text(json.dumps(facts))
    return {record["url"]: record["path"] for record in records}


def test_bodies_that_an_earlier_version_named_otherwise_go_when_they_are_replaced(
    tmp_path: Path,
) -> None:
    paths = ["/E_1.fastq.gz", "/thumb.aspx?id=3", "/v//x.txt", "/fails.txt", "/left.txt"]
    dest = tmp_path / "out"
    with RangeServer({path: [page(b"old", JPEG)] for path in paths}) as server:
        get(server, tmp_path, paths=paths)
        old = as_an_earlier_version_left_it(dest)
        before = stored_files(dest)
        assert get(server, tmp_path, "--once", paths=paths).returncode == 0
        assert stored_files(dest) == before
        server.answers["/fails.txt"] = [page(b"no", HTML, status=404)]
        result = get(server, tmp_path, paths=paths[:-1])
        kept = {old[server.url(path)] for path in ("/fails.txt", "/left.txt")}
        new = {record["path"] for record in result.records if record["path"] is not None}
        assert len(new) == 3
        assert set(stored_files(dest)) == new | kept
        server.answers["/fails.txt"] = [page(b"new", HTML)]
        result = get(server, tmp_path, "--retry-failed", paths=paths[:-1])
        new = {record["path"] for record in result.records}
        assert len(new) == 4
        assert set(stored_files(dest)) == new | {old[server.url("/left.txt")]}

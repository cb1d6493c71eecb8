"""The real program goes on with big bodies: within a run, and after it was killed."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import Record, Result, check_bodies, read_records, run_fetchpool
from tests.program.helpers import Running, eventually, one_line, start, write_list
from tests.servers.ranges import (
    Answer,
    RangeServer,
    Say,
    bare,
    chunked,
    cut,
    every,
    hang_up,
    picky,
    rest,
    to_the_close,
    whole,
    with_status,
)

MB = 1 << 20
BODY = random.Random(1).randbytes(3 * MB)
OTHER = random.Random(2).randbytes(2 * MB)
PARTIAL = "HTTP/1.1 206 Partial Content"
DATE = "Last-Modified: Tue, 01 Jan 2030 00:00:00 GMT"


def get(
    server: RangeServer, folder: Path, *options: str, paths: Sequence[str] = ("/big",)
) -> Result:
    """Fetch *paths* into `out`, bodies checked."""
    write_list(folder / "list.txt", [server.url(path) for path in paths])
    result = run_fetchpool(["get", "list.txt", "-o", "out", "--hash", *options], cwd=folder)
    check_bodies(result.records, folder / "out")
    return result


def body_of(record: Record, folder: Path) -> bytes:
    return Path(folder, "out", record["path"]).read_bytes()


def parts(folder: Path) -> list[Path]:
    return sorted((folder / "out" / ".fetchpool" / "parts").iterdir())


def sizes(folder: Path) -> list[int]:
    """Return the lengths of the parts; of one that is being renamed, none."""
    try:
        return [path.stat().st_size for path in parts(folder)]
    except FileNotFoundError:
        return []


@contextmanager
def stalling(server: RangeServer, folder: Path, received: int) -> Iterator[Running]:
    """Fetch `/big`, which stalls, until *received* bytes of it are on disk; then the block runs."""
    write_list(folder / "list.txt", [server.url("/big")])
    with start(["get", "list.txt", "-o", "out", "--hash"], cwd=folder) as program:
        assert server.stalled.wait(30)
        eventually(
            lambda: received in sizes(folder),
            "all that was sent is on disk",
        )
        yield program
    server.stalled.clear()


# --- within a run: every case is a line of one list


@dataclass(frozen=True, slots=True)
class Case:
    """What a server says to the requests for one URL, and what must come of it."""

    answers: Sequence[Answer]
    body: bytes | None
    starts: Sequence[int | None]
    """Where the range of each request must begin."""
    status: int = 200


FIRST = cut(whole(BODY), MB)
REST = BODY[MB:]
ALL = f"bytes 0-{3 * MB - 1}/{3 * MB}"
SPAN = f"Content-Range: bytes {MB}-{3 * MB - 1}/{3 * MB}"
GZIP = "Content-Encoding: gzip"
ANEW = [None, MB, None]
CASES = {
    "rest": Case(
        [cut(whole(BODY, '"v1"', "Content-Type: text/html"), MB), cut(rest(BODY), MB), rest(BODY)],
        BODY,
        [None, MB, 2 * MB],
        206,
    ),
    "changed": Case([FIRST, rest(OTHER, '"v2"')], OTHER, [None, MB]),
    "changed-206": Case(
        [FIRST, rest(OTHER, '"v2"', blind=True), whole(OTHER)], OTHER, [None, MB, None]
    ),
    "weak-206": Case(
        [FIRST, rest(BODY, 'W/"v1"', blind=True), whole(OTHER)], OTHER, [None, MB, None]
    ),
    "ignored": Case([FIRST, whole(BODY)], BODY, [None, MB]),
    "other-version": Case([FIRST, whole(OTHER, '"v2"')], OTHER, [None, MB]),
    "rest-as-200": Case([FIRST, picky(whole(BODY), whole(REST))], BODY, ANEW),
    "rest-as-200-with-its-range": Case(
        [FIRST, picky(whole(BODY), whole(REST, '"v1"', SPAN))], BODY, ANEW
    ),
    "whole-with-a-range": Case(
        [FIRST, picky(whole(OTHER), whole(BODY, '"v1"', SPAN))], OTHER, ANEW
    ),
    "other-version-with-a-range": Case(
        [FIRST, picky(whole(BODY), whole(OTHER, '"v2"', SPAN))], BODY, ANEW
    ),
    "rest-as-203": Case([FIRST, picky(whole(BODY), with_status(203, whole(REST)))], BODY, ANEW),
    "rest-without-etag": Case([FIRST, picky(whole(BODY), whole(REST, None))], BODY, ANEW),
    "rest-weak": Case([FIRST, picky(whole(BODY), whole(REST, 'W/"v1"'))], BODY, ANEW),
    "nothing-as-204": Case([FIRST, picky(whole(BODY), bare("HTTP/1.1 204 No"))], BODY, ANEW),
    "rest-in-chunks": Case([FIRST, picky(whole(BODY), chunked(REST, 'ETag: "v1"'))], BODY, ANEW),
    "too-much-in-chunks": Case(
        [FIRST, picky(whole(BODY), chunked(BODY + b"x", 'ETag: "v1"'))], BODY, ANEW
    ),
    "whole-in-chunks": Case([FIRST, chunked(BODY, 'ETag: "v1"')], BODY, [None, MB]),
    "rest-to-the-close": Case(
        [FIRST, picky(whole(BODY), to_the_close(REST, 'ETag: "v1"'))], BODY, ANEW
    ),
    "rest-coded": Case(
        [FIRST, picky(whole(BODY), whole(gzip.compress(REST, 1), '"v1"', GZIP))], BODY, ANEW
    ),
    "whole-coded": Case([FIRST, whole(gzip.compress(BODY, 1), '"v1"', GZIP)], BODY, [None, MB]),
    "206-of-all": Case(
        [FIRST, picky(whole(BODY), with_status(206, whole(BODY, '"v1"', f"Content-Range: {ALL}")))],
        BODY,
        ANEW,
    ),
    "416": Case([FIRST, bare("HTTP/1.1 416 No"), whole(OTHER)], OTHER, [None, MB, None]),
    "403": Case([FIRST, bare("HTTP/1.1 403 No"), whole(OTHER)], OTHER, [None, MB, None]),
    "start": Case(
        [FIRST, bare(PARTIAL, 'ETag: "v1"', f"Content-Range: bytes 0-0/{3 * MB}"), whole(OTHER)],
        OTHER,
        [None, MB, None],
    ),
    "coded": Case(
        [FIRST, rest(BODY, '"v1"', "Content-Encoding: gzip"), whole(OTHER)],
        OTHER,
        [None, MB, None],
    ),
    "no-etag": Case([cut(whole(BODY, None), MB), whole(BODY, None)], BODY, [None, None]),
    "date": Case(
        [cut(whole(BODY, None, DATE, "Accept-Ranges: bytes"), MB), whole(BODY)],
        BODY,
        [None, None],
    ),
    "weak": Case([cut(whole(BODY, 'W/"v1"', DATE), MB), whole(BODY)], BODY, [None, None]),
    "unasked": Case([bare(PARTIAL, "Content-Range: bytes 0-0/5")], None, [None], 206),
    "moved": Case([bare("HTTP/1.1 302 Found", "Location: /there")], BODY, [None, None], 206),
}


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run over all cases."""

    server: RangeServer
    result: Result
    folder: Path

    def of(self, name: str) -> Record:
        return self.result.of(self.server.url(f"/{name}"))


@pytest.fixture(scope="module", params=["session", "direct"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("cases")
    answers = {f"/{name}": case.answers for name, case in CASES.items()}
    with RangeServer({**answers, "/there": [FIRST, rest(BODY)]}) as server:
        options = ("--exchange", request.param, "--retries", "2")
        yield Run(server, get(server, folder, *options, paths=list(answers)), folder)


@pytest.mark.parametrize("name", CASES)
def test_a_body_is_one_version_whole_or_none(run: Run, name: str) -> None:
    case, record = CASES[name], run.of(name)
    assert (None if record["path"] is None else body_of(record, run.folder)) == case.body
    assert record["status"] == case.status
    assert run.server.starts(f"/{name}") == case.starts


def test_only_the_rest_is_fetched_and_the_record_is_of_the_whole(run: Run) -> None:
    record = run.of("rest")
    assert (record["ok"], record["attempts"]) == (True, 3)
    assert (record["bytes"], record["wire_bytes"]) == (len(BODY), len(BODY))
    assert record["content_type"] == "text/html"
    assert record["path"].endswith(".html")
    assert record["sha256"] == hashlib.sha256(BODY).hexdigest()
    assert run.server.sent["/rest"] == len(BODY)
    whole, then, _ = (ask.headers for ask in run.server.asked if ask.target == "/rest")
    assert "if-range" not in whole
    assert (then["if-range"], then["accept-encoding"]) == ('"v1"', "identity")


def test_asking_for_the_whole_at_once_is_no_attempt(run: Run) -> None:
    names = ("ignored", "416", "403", "coded", "rest-as-200", "rest-in-chunks")
    assert {run.of(name)["attempts"] for name in names} == {2}


def test_a_206_nobody_asked_for_is_a_fault_of_the_server(run: Run) -> None:
    record = run.of("unasked")
    assert (record["error"], record["attempts"]) == ("protocol", 1)
    assert "without having been asked" in record["detail"]


def test_a_redirected_url_goes_on_where_it_leads(run: Run) -> None:
    assert run.server.starts("/there") == [None, MB]
    assert run.of("moved")["redirects"] == 1


def test_what_was_stored_leaves_no_part(run: Run) -> None:
    assert parts(run.folder) == []


# --- progress, and servers that bear no Range


LONG = random.Random(3).randbytes(12 * MB)


@dataclass(frozen=True, slots=True)
class Story:
    """A server's habit, and how many requests a URL takes there."""

    answer: Answer
    starts: Sequence[int | None]
    error: str | None = None


LATER = ("HTTP/1.1 503 Later", "Retry-After: 0")
CUTS = cut(whole(BODY), MB)
"""Whatever is asked for, the first third of the whole."""
STORIES = {
    "cut-every-2-MiB": Story(every(rest(LONG), 2 * MB), [None, *range(2 * MB, 12 * MB, 2 * MB)]),
    "cut-always-at-once": Story(CUTS, [None, MB, MB, None], "truncated"),
    "byte-by-byte": Story(every(rest(BODY[: MB + 9]), 1), [None] * 3, "truncated"),
    "1000-bytes-at-a-time": Story(
        picky(cut(whole(BODY), MB), cut(rest(BODY), 1000)),
        [None, MB, MB + 1000, None],
        "truncated",
    ),
}
PICKY = {
    "hangs-up": hang_up,
    "502": bare("HTTP/1.1 502 No"),
    "503": bare(*LATER),
    "429": bare("HTTP/1.1 429 Slower", "Retry-After: 0"),
    "408": bare("HTTP/1.1 408 Late"),
    "404": bare("HTTP/1.1 404 No"),
    "500": bare("HTTP/1.1 500 No"),
    "304": bare("HTTP/1.1 304 Same"),
    "moves-it-away": bare("HTTP/1.1 302 Found", "Location: /gone"),
    "moves-it-in-a-circle": bare("HTTP/1.1 302 Found", "Location: /moves-it-in-a-circle"),
    "no-http": lambda ask: Say(("Go away",), b"", "closes"),
    "nothing-of-the-rest": cut(rest(BODY), 0),
}


def steady(say: Answer) -> list[Answer]:
    """Return a server's answers: the first is cut, and then any to a Range is what *say* says."""
    return [cut(whole(BODY), 2 * MB), picky(whole(BODY), say)]


@pytest.mark.parametrize("way", ["direct", "session"])
def test_progress_costs_no_retries_and_must_be_some(tmp_path: Path, way: str) -> None:
    answers = {f"/{name}": [story.answer] for name, story in STORIES.items()}
    with RangeServer(answers) as server:
        options = ("--exchange", way, "--retries", "2")
        result = get(server, tmp_path, *options, paths=list(answers))
        for name, story in STORIES.items():
            record = result.of(server.url(f"/{name}"))
            assert record["error"] == story.error, name
            assert server.starts(f"/{name}") == story.starts, name
            assert record["attempts"] == len(story.starts), name
            assert story.error or body_of(record, tmp_path) == LONG


@pytest.mark.parametrize("retries", ["0", "2"])
def test_a_range_is_given_up_before_its_url(tmp_path: Path, retries: str) -> None:
    """With 0 a part of an earlier command is asked for once, and then the whole."""
    answers = {f"/{name}": steady(say) for name, say in PICKY.items()}
    gone = {"/gone": [bare("HTTP/1.1 404 No")]}
    with RangeServer({**answers, **gone}) as server:
        options = ("--retries", retries, "--per-host", "1")
        result = get(server, tmp_path, *options, paths=list(answers))
        if retries == "0":
            assert {record["error"] for record in result.records} == {"truncated"}
            result = get(server, tmp_path, *options, "--retry-failed", paths=list(answers))
        for name in PICKY:
            record = result.of(server.url(f"/{name}"))
            assert record["ok"], record
            assert body_of(record, tmp_path) == BODY
            starts = server.starts(f"/{name}")
            assert (starts[0], starts[1], starts[-1]) == (None, 2 * MB, None), name
            assert len([start for start in starts if start is None]) <= 3, name
    assert parts(tmp_path) == []


def test_a_part_outlives_an_error_of_the_server(tmp_path: Path) -> None:
    """The whole asked for is refused as well: what there is may be of use tomorrow."""
    refused = bare("HTTP/1.1 500 No")
    with RangeServer({"/big": [cut(whole(BODY), 2 * MB), refused]}) as server:
        get(server, tmp_path, "--retries", "1")
        assert len(parts(tmp_path)) == 2
        server.answers["/big"] = [rest(BODY)]
        result = get(server, tmp_path, "--retry-failed")
    assert body_of(result.records[0], tmp_path) == BODY
    assert server.starts()[-1] == 2 * MB


# --- from one command to the next


def test_after_kill_9_the_next_command_fetches_only_the_rest(tmp_path: Path) -> None:
    answers = [cut(whole(BODY), MB, "stalls"), cut(rest(BODY), MB, "stalls"), rest(BODY)]
    with RangeServer({"/big": answers}) as server:
        for received in (MB, 2 * MB):
            with stalling(server, tmp_path, received) as program:
                program.kill()
        assert read_records(tmp_path / "out") == []
        result = get(server, tmp_path)
    (record,) = result.records
    assert body_of(record, tmp_path) == BODY
    assert record["sha256"] == hashlib.sha256(BODY).hexdigest()
    assert server.starts() == [None, MB, 2 * MB]
    assert server.sent["/big"] == len(BODY)
    assert parts(tmp_path) == []


def test_after_a_stop_the_next_command_fetches_only_the_rest(tmp_path: Path) -> None:
    with RangeServer({"/big": [cut(whole(BODY), MB, "stalls"), rest(BODY)]}) as server:
        with stalling(server, tmp_path, MB) as program:
            program.send_signal(signal.SIGTERM)
            program.send_signal(signal.SIGINT)  # at once; two of one kind may arrive as one
            assert program.wait(30) in (128 + signal.SIGTERM, 128 + signal.SIGINT)
        result = get(server, tmp_path)
    assert body_of(result.records[0], tmp_path) == BODY
    assert server.starts() == [None, MB]


def test_retry_failed_goes_on_where_the_attempts_ended(tmp_path: Path) -> None:
    answers = [cut(whole(BODY), MB), cut(rest(BODY), MB), rest(BODY)]
    with RangeServer({"/big": answers}) as server:
        first = get(server, tmp_path, "--retries", "0")
        assert (first.returncode, first.records[0]["error"]) == (1, "truncated")
        second = get(server, tmp_path, "--retry-failed")
    assert second.returncode == 0
    assert body_of(second.records[0], tmp_path) == BODY
    assert server.sent["/big"] == len(BODY)
    assert parts(tmp_path) == []


def test_a_run_that_keeps_nothing_fetches_the_whole(tmp_path: Path) -> None:
    with RangeServer({"/big": [cut(whole(BODY), MB)]}) as server:
        for options in ((), (), ("--fresh",)):  # after a finished run, a new one
            get(server, tmp_path, "--retries", "0", *options)
            assert len(parts(tmp_path)) == 2
    assert server.starts() == [None, None, None]


@pytest.mark.parametrize("field", ["Range: bytes=5-", "range:bytes=-5", 'If-Range: "v1"'])
def test_a_piece_cannot_be_asked_for(tmp_path: Path, field: str) -> None:
    with RangeServer({"/big": [rest(BODY)]}) as server:
        result = get(server, tmp_path, "-H", field)
        assert server.asked == []
    assert result.returncode == 2
    assert "--header can't set" in one_line(result.stderr)
    assert not (tmp_path / "out").exists()


def test_a_url_twice_in_the_list_is_one_version_whole(tmp_path: Path) -> None:
    answers = [cut(whole(BODY), MB), cut(whole(BODY), 2 * MB), rest(BODY)]
    with RangeServer({"/big": answers}) as server:
        result = get(server, tmp_path, paths=("/big", "/big"))
    assert result.returncode == 0
    assert [body_of(record, tmp_path) for record in result.records] == [BODY, BODY]
    assert parts(tmp_path) == []


def test_a_line_that_left_the_list_leaves_no_part_behind(tmp_path: Path) -> None:
    answers = {"/big": [cut(whole(BODY), MB, "stalls")], "/small": [whole(b"small")]}
    with RangeServer(answers) as server:
        with stalling(server, tmp_path, MB) as program:
            os.kill(program.pid, signal.SIGKILL)
        assert len(parts(tmp_path)) == 2
        result = get(server, tmp_path, paths=("/small",))
    assert result.returncode == 0
    assert parts(tmp_path) == []

"""Whatever a server does, one typed outcome follows: HOSTILE cases against the real program.

All cases that need the same options are one list, fetched by one process; the runs go on side by
side. Each case then looks at its own records and at what the server saw of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import (
    ERROR_KINDS,
    PROGRAM,
    RECORD_KEYS,
    Record,
    Result,
    check_bodies,
    raise_descriptor_limit,
    read_records,
    run_fetchpool,
)
from tests.servers.behaviours import coded, drip, fails, stall
from tests.servers.cases import CASES, encodings, endings, framing, heads, redirects, secure
from tests.servers.cases.endings import PACKED_AGAIN, PACKED_START
from tests.servers.fault import TOKEN, Case, FaultServer, Options, Seen, token_of
from tests.servers.tls import Authority
from tests.ways import WAYS, rows_of

RETRIES = 1
SECRET = "canary-4711"
_COMMON = [
    "--retries", str(RETRIES), "--limit", "1000", "--per-host", "1", "--max-size", "1M",
    "-H", f"X-Canary: {SECRET}", "-H", f"Authorization: Bearer {SECRET}",
    "-H", f"Cookie: own={SECRET}",
]  # fmt: skip
_OPTIONS = {
    Options.PATIENT: ["--connect-timeout", "10", "--read-timeout", "10", "--timeout", "20"],
    Options.HURRIED: ["--connect-timeout", "2", "--read-timeout", "1.5", "--timeout", "4"],
    Options.SPACED: ["--host-rate", "3"],
}
KINDS = {
    module.__name__.rpartition(".")[2]: {case.name for case in module.CASES}
    for module in (encodings, endings, framing, heads, redirects, secure)
}
"""The names of the cases in each file."""


def _depends_on_both(case: Case) -> bool:
    """Tell whether an exchange may meet *case* in another way on another loop: connections end."""
    return case.speaks_first or case.name in KINDS["endings"] | KINDS["secure"]


_CASES = {way: rows_of(way, CASES, _depends_on_both) for way in WAYS}


@dataclass(frozen=True, slots=True)
class Runs:
    """The finished runs over all cases, with the server they talked to."""

    server: FaultServer
    cases: list[Case]
    results: dict[Options, Result]
    folder: Path

    def records(self, case: Case) -> list[Record]:
        """Return the records of *case*, one for each of its URLs."""
        return [self.results[case.options].of(url) for url in self.server.urls(case)]

    def dest(self, case: Case) -> Path:
        return self.folder / case.options / "out"


@pytest.fixture(scope="module", params=list(WAYS))
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Runs]:
    """Fetch the cases of a way, in as many processes as there are sets of options."""
    folder = tmp_path_factory.mktemp("hostile")
    raise_descriptor_limit()
    authority = Authority()
    roots = authority.write_roots(folder / "roots.pem")
    cases = _CASES[request.param]
    with FaultServer(cases, authority) as server:

        def fetch(options: Options) -> Result:
            place = folder / options
            place.mkdir()
            urls = [url for case in cases if case.options is options for url in server.urls(case)]
            (place / "list.txt").write_text("\n".join(urls) + "\n")
            args = ["get", "list.txt", "-o", "out", *WAYS[request.param], "--cacert", str(roots)]
            try:
                return run_fetchpool([*args, *_COMMON, *_OPTIONS[options]], cwd=place, timeout=90)
            except subprocess.TimeoutExpired as hang:
                # The rows that have no record name themselves.
                stderr = (hang.stderr or b"").decode(errors="replace") + "\nkilled after 90 s"
                return Result(-signal.SIGKILL, "", stderr, read_records(place / "out"))

        # First and alone: a program held up by the others might ask for the next URL before what
        # nobody asked for has come, and no client can tell such an answer from its own.
        results = {Options.SPACED: fetch(Options.SPACED)}
        others = [options for options in Options if options not in results]
        with ThreadPoolExecutor(len(others)) as threads:
            results.update(zip(others, threads.map(fetch, others), strict=True))
        yield Runs(server, cases, results, folder)


def _told(case: Case, runs: Runs, record: Record) -> str:
    """Return what a failing row needs to be understood."""
    seen = [(s.connection, s.target) for s in runs.server.requests(case)]
    return f"{case.name}: {record}\nserver saw {seen} on {runs.server.connections(case)}"


@pytest.mark.parametrize("kind", KINDS)
def test_answer_comes_to_the_outcome_it_must(kind: str, runs: Runs) -> None:
    wrong: list[str] = []
    for case in runs.cases:
        try:
            if case.name in KINDS[kind]:
                _check_records(case, runs)
        except AssertionError as error:
            wrong.append(str(error))
    assert not wrong, f"{len(wrong)} of the cases:\n\n" + "\n\n".join(wrong)


def _check_records(case: Case, runs: Runs) -> None:
    """Assert that the records of *case* say what they must."""
    for record in runs.records(case):
        told = _told(case, runs, record)
        expect = case.expect
        assert record["error"] in expect.errors, told
        assert record["ok"] == (record["error"] is None), told
        if expect.statuses:
            assert record["status"] in expect.statuses, told
        if expect.retried is not None:
            assert record["attempts"] == (1 + RETRIES if expect.retried else 1), told
        if record["error"] is None:
            _check_answer(case, runs, record, told)
        else:
            assert record["path"] is None, told
            assert record["detail"], told


def _check_answer(case: Case, runs: Runs, record: Record, told: str) -> None:
    """Assert what *case* expects of a good answer: body, lengths, type, the way there."""
    expect = case.expect
    stored = (runs.dest(case) / record["path"]).read_bytes()
    assert record["bytes"] == len(stored), told
    if expect.body is not None:
        own = record["url"].removeprefix(runs.server.origin(case)).encode()
        wanted = expect.body.replace(TOKEN, token_of(case.name)).replace(b"{target}", own)
        assert stored == wanted, f"{stored[:200]!r}\n{told}"
    for key, value in (
        ("wire_bytes", expect.wire_bytes),
        ("content_type", expect.content_type),
        ("redirects", expect.redirects),
    ):
        assert value is None or record[key] == value, f"{key}: {told}"
    if expect.final is not None:
        assert record["final_url"] == (runs.server.fill(expect.final, case) or record["url"]), told


def _of_own(requests: list[Seen], case: Case) -> list[Seen]:
    """Return the *requests* for the list's own URLs of *case*, not those redirects led to."""
    own = {f"/{case.name}{suffix}" for suffix in case.suffixes}
    return [seen for seen in requests if not seen.landed and seen.target in own]


def test_server_sees_one_request_an_attempt(runs: Runs) -> None:
    wrong = []
    for case in runs.cases:
        if case.speaks_first or "loop" in case.name:
            continue
        requests, records = runs.server.requests(case), runs.records(case)
        if "tls" in case.expect.errors:
            seen, attempts = requests, 0  # none that the server could read
        else:
            seen, attempts = _of_own(requests, case), sum(each["attempts"] for each in records)
        if len(seen) != attempts:
            wrong.append((case.name, [each.target for each in requests], records))
    assert wrong == []


@pytest.mark.parametrize("options", Options)
def test_run_ends_with_one_record_a_line_and_no_bug(options: Options, runs: Runs) -> None:
    result = runs.results[options]
    lines = (runs.folder / options / "list.txt").read_text().splitlines()
    assert result.returncode == (0 if options is Options.SPACED else 1), result.stderr[-2000:]
    assert sorted(r["seq"] for r in result.records) == list(range(1, len(lines) + 1))
    for record in result.records:
        assert lines[record["seq"] - 1] == record["url"]
        assert tuple(record)[: len(RECORD_KEYS)] == RECORD_KEYS
        assert record["error"] is None or record["error"] in ERROR_KINDS - {"internal"}, record
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("options", Options)
def test_only_whole_bodies_lie_in_the_output(options: Options, runs: Runs) -> None:
    check_bodies(runs.results[options].records, runs.folder / options / "out")


def test_own_headers_go_to_the_lists_own_origins_only(runs: Runs) -> None:
    requests = runs.server.requests()
    landed = [seen for seen in requests if seen.landed]
    assert landed, "no redirect led anywhere"
    assert not [seen for seen in landed if SECRET in str(seen.headers)]
    at_home = [seen for seen in requests if not seen.landed]
    assert not [seen for seen in at_home if seen.get("x-canary") != SECRET]


def test_no_cookie_of_a_server_is_ever_sent_back(runs: Runs) -> None:
    assert {seen.get("cookie") for seen in runs.server.requests()} == {None, f"own={SECRET}"}


def test_userinfo_of_a_location_is_dropped(runs: Runs) -> None:
    sent = {seen.get("authorization") for seen in runs.server.requests()}
    assert sent == {None, f"Bearer {SECRET}"}
    everything = subprocess.run(
        ["grep", "-rlE", "user:hush|dXNlcjpodXNo", str(runs.folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert everything.stdout == ""


def test_no_secret_is_written_anywhere(runs: Runs) -> None:
    for result in runs.results.values():
        assert SECRET not in result.stderr + result.stdout
    hits = subprocess.run(
        ["grep", "-rl", SECRET, str(runs.folder)], capture_output=True, text=True, check=False
    )
    assert hits.stdout == ""


_MEASURED = (
    "import pathlib, resource, subprocess, sys; code = subprocess.run(sys.argv[1:]).returncode;"
    " used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss;"
    " pathlib.Path('memory').write_text(str(used)); sys.exit(code)"
)


def test_bomb_is_met_with_flat_memory(tmp_path: Path) -> None:
    body = PACKED_START + PACKED_AGAIN * 60_000  # 4 GB in 5 MB
    bomb = Case("bomb", stall(coded(b"gzip", body)), fails("too_big"))
    with FaultServer([bomb]) as server:
        url = server.urls(bomb)[0]
        result = run_fetchpool(
            ["get", url, "-o", "out", "--max-size", "100M"],
            cwd=tmp_path,
            program=[sys.executable, "-c", _MEASURED, *PROGRAM],
        )
    assert result.of(url)["error"] == "too_big"
    unit = 1 if sys.platform == "darwin" else 1024
    # The program itself takes some 80 MB; the 100 MB it may decode must not be held.
    assert int((tmp_path / "memory").read_text()) * unit < 180 * 2**20


@pytest.mark.skipif(
    "FETCHPOOL_SLOW_TESTS" not in os.environ, reason="takes 30 s; set FETCHPOOL_SLOW_TESTS"
)
@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "])
def test_trickle_is_slower_than_min_speed(tmp_path: Path, start: bytes) -> None:
    trickle = Case("trickle", drip(start, b"slow", pause_s=0.1), fails("timeout"))
    with FaultServer([trickle]) as server:
        url = server.urls(trickle)[0]
        args = ["get", url, "-o", "out", "--retries", "0"]
        result = run_fetchpool(args, cwd=tmp_path, timeout=90)
    assert result.of(url)["error"] == "timeout"


def test_case_names_are_their_own_and_each_is_of_a_kind() -> None:
    names = [case.name for case in CASES]
    assert sorted(names) == sorted(set(names)) == sorted(set().union(*KINDS.values()))

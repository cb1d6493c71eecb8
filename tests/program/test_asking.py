"""Other requests than GET: what a list is asked with, what is sent again, and what is on record."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from fetchpool import Config, FetchPool, Outcome, Request
from tests.harness import check_bodies, fetchpool_in_pty, read_records, run_fetchpool
from tests.loops import LOOPS, run_on
from tests.program.helpers import check_records, eventually, one_line, start, write_list
from tests.program.test_secrets import leaks, shown
from tests.servers.echo import EchoServer

BODY = b"a=1&b=\xc3\xa9"
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def echo() -> Iterator[EchoServer]:
    with EchoServer() as server:
        yield server


@pytest.fixture(params=["direct", "session"])
def way(request: pytest.FixtureRequest) -> list[str]:
    """The options of an exchange."""
    return ["--exchange", str(request.param)]


@pytest.mark.parametrize("more", [["--event-loop", "asyncio"], ["--workers", "2"]])
def test_every_line_is_asked_as_the_run_says(
    echo: EchoServer, tmp_path: Path, way: list[str], more: list[str]
) -> None:
    urls = [echo.url(f"/{n}", host) for n in range(6) for host in ("127.0.0.1", "localhost")]
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "-d", BODY.decode(), "-o", "out", *way, *more]
    result = run_fetchpool(args, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert {(each.method, each.body) for each in echo.told} == {("POST", BODY)}
    assert len(echo.told) == len(urls)
    records = check_records(tmp_path / "out", urls)
    assert {record["method"] for record in records} == {"POST"}
    assert {record["request_sha256"] for record in records} == {SHA256}
    for record in records:
        assert (tmp_path / "out" / record["path"]).read_bytes() == b"POST\n" + BODY
    check_bodies(records, tmp_path / "out")


def test_head_stores_nothing_and_reuses_its_connection(
    echo: EchoServer, tmp_path: Path, way: list[str]
) -> None:
    urls = [echo.url("/a"), echo.url("/b?status=404"), echo.url("/c")]
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "-I", "-o", "out", "--per-host", "1", "--hash", *way]
    result = run_fetchpool(args, cwd=tmp_path)
    assert result.returncode == 1
    records = check_records(tmp_path / "out", urls)
    assert [record["status"] for record in records] == [200, 404, 200]
    assert {(record["path"], record["bytes"], record["sha256"]) for record in records} == {
        (None, 0, None)
    }
    assert [record["method"] for record in records] == ["HEAD"] * 3
    assert (echo.connections, len(echo.told)) == (1, 3)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_plain_run_names_no_method(echo: EchoServer, tmp_path: Path, workers: str) -> None:
    args = ["get", echo.url("/a.txt"), "-o", "out", "--workers", workers]
    run_fetchpool(args, cwd=tmp_path)
    (record,) = read_records(tmp_path / "out")
    assert not {"method", "request_sha256"} & set(record)
    assert record["path"] == f"127.0.0.1+{echo.port}/a.txt"


def test_requests_of_one_url_share_neither_record_nor_file(
    echo: EchoServer, tmp_path: Path
) -> None:
    url = echo.url("/a.txt")
    ways = [[], ["-d", "x"], ["-d", "y"], ["-X", "PUT", "-d", "x"]]
    for asked in [*ways, ways[0], ways[1]]:  # with --once those are there already
        args = ["get", "-", "-o", "out", "--add", "--once", "-q", *asked]
        assert run_fetchpool(args, stdin=url, cwd=tmp_path).returncode == 0
    records = read_records(tmp_path / "out")
    assert len(echo.told) == len(records) == len({each["path"] for each in records}) == 4
    bodies = {(tmp_path / "out" / each["path"]).read_bytes() for each in records}
    assert bodies == {b"GET\n", b"POST\nx", b"POST\ny", b"PUT\nx"}


# --- redirects


async def outcomes_of(requests: Sequence[Request], **settings: Any) -> list[Outcome]:
    """Return the outcomes of *requests* in their order."""
    async with FetchPool(Config(**settings)) as pool:
        found = [outcome async for outcome in pool.fetch(requests)]
    return sorted(found, key=lambda outcome: outcome.request.seq)


REDIRECTS = [
    ("POST", 301, "GET"),
    ("POST", 302, "GET"),
    ("POST", 303, "GET"),
    ("PUT", 303, "GET"),
    ("HEAD", 303, "HEAD"),
    ("PUT", 302, "PUT"),
    ("POST", 307, "POST"),
    ("PATCH", 308, "PATCH"),
]
"""Method, status, and the method that follows."""


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("exchange", ["direct", "session"])
def test_redirect_repeats_or_drops_method_and_body(
    echo: EchoServer, exchange: str, loop: str
) -> None:
    requests = [
        Request(
            echo.url(f"/{n}?code={code}&to=/{n}"),
            method=method,
            headers=(("Content-Language", "en"), ("X-Mine", "1")),
            body=None if method == "HEAD" else b"x=1",
        )
        for n, (method, code, _) in enumerate(REDIRECTS)
    ]

    async def work() -> None:
        outcomes = await outcomes_of(requests, exchange=exchange, host_rate=0)
        assert [(each.ok, each.redirects) for each in outcomes] == [(True, 1)] * len(REDIRECTS)

    run_on(loop, work())
    for n, (method, _, then) in enumerate(REDIRECTS):
        told = [each for each in echo.told if each.target.partition("?")[0] == f"/{n}"]
        assert [each.method for each in told] == [method, then]
        body = b"" if method == "HEAD" else b"x=1"
        assert [each.body for each in told] == [body, body if then == method else b""]
        described = {name for name in told[1].headers if name.startswith("content-")}
        length = {"content-length"} if body else set()
        assert described == ({"content-language", *length} if then == method else set())
        assert told[1].headers["x-mine"] == "1"


@pytest.mark.parametrize(("code", "workers"), [(303, "2"), (307, "1")])
def test_body_and_credentials_stay_with_their_origin(
    echo: EchoServer, tmp_path: Path, way: list[str], code: int, workers: str
) -> None:
    there = quote(echo.url("/b", "localhost"), safe="")
    args = ["get", echo.url(f"/a?code={code}&to={there}"), "-d", "canary", "-u", "me:canary"]
    result = run_fetchpool([*args, "-o", "out", "--workers", workers, *way], cwd=tmp_path)
    (record,) = read_records(tmp_path / "out")
    assert echo.told[0].headers["authorization"].startswith("Basic ")
    for other in echo.told[1:]:
        assert (other.method, other.body) == ("GET", b"")
        assert "authorization" not in other.headers
    if code in (307, 308):
        assert (result.returncode, record["error"], len(echo.told)) == (1, "redirect", 1)
        assert f"({code}) of a POST with a body to another origin" in record["detail"]
    else:
        assert (result.returncode, len(echo.told)) == (0, 2)


# --- once or again

TWICE = [
    ("POST", "status=500&first=1", 1, 2),
    ("PATCH", "status=502&first=1", 1, 2),
    ("POST", "hang=1", 1, 2),
    ("POST", "status=202&first=1&after=1", 1, 2),
    ("POST", "status=503&first=1", 2, 2),
    ("POST", "status=429&first=1", 2, 2),
    ("PATCH", "status=408&first=1", 2, 2),
    ("PUT", "status=500&first=1", 2, 2),
    ("DELETE", "hang=1", 2, 2),
    ("HEAD", "hang=1", 2, 2),
    ("POST", f"code=307&to={quote('/307?status=503&first=1', safe='')}", 4, 4),
    ("POST", f"code=303&to={quote('/303?status=503&first=1', safe='')}", 2, 4),
    ("POST", f"code=303&to={quote('/404?status=500&first=1', safe='')}", 2, 4),
]
"""Method, what the server does, and how many requests come of it with one retry: by itself, and
with `--retry-all-methods`."""


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("exchange", ["direct", "session"])
def test_post_is_sent_once_unless_it_was_not_done(exchange: str, repeats: bool) -> None:
    hosts = [f"127.0.0.{n + 1}" for n in range(len(TWICE))]  # what one says, others don't heed
    try:
        with EchoServer(hosts) as echo:
            check_how_often_each_is_sent(echo, exchange, repeats=repeats)
    except OSError:
        pytest.skip("this system has no loopback addresses beyond 127.0.0.1")


def check_how_often_each_is_sent(echo: EchoServer, exchange: str, *, repeats: bool) -> None:
    requests = [
        Request(echo.url(f"/{n}?n={n}&{wish}", f"127.0.0.{n + 1}"), method=method)
        for n, (method, wish, *_) in enumerate(TWICE)
    ]

    async def work() -> None:
        settings = {"exchange": exchange, "retries": 1, "retry_all_methods": repeats}
        outcomes = await outcomes_of(requests, **settings)
        for outcome, (_, wish, times, _) in zip(outcomes, TWICE, strict=True):
            if wish == "hang=1" and times == 1 and not repeats:
                assert outcome.detail is not None
                assert outcome.detail.endswith("not sent again, as POST isn't idempotent")

    run_on("asyncio", work())
    for n, (_, wish, times, most) in enumerate(TWICE):
        own = {f"/{n}?n={n}&{wish}", unquote(wish.partition("to=")[2])}
        found = sum(each.target in own for each in echo.told)
        assert found == (most if repeats else times), wish


def test_post_that_never_left_is_tried_again(echo: EchoServer, tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/a"  # a port that no other server of the tests gets meanwhile
    args = ["get", url, echo.url("/b"), "-d", "x", "-o", "out", "--retries", "1"]
    run_fetchpool(args, cwd=tmp_path)
    first, _ = sorted(read_records(tmp_path / "out"), key=lambda record: record["seq"])
    assert (first["error"], first["attempts"]) == ("connect", 2)


def test_connection_is_kept_where_posts_may_be_repeated(echo: EchoServer, tmp_path: Path) -> None:
    write_list(tmp_path / "urls.txt", [echo.url(f"/{n}") for n in range(5)])
    args = ["get", "urls.txt", "-d", "x", "--per-host", "1", "--fresh"]
    run_fetchpool([*args, "--retry-all-methods"], cwd=tmp_path)
    assert echo.connections == 1
    run_fetchpool(args, cwd=tmp_path)
    assert echo.connections == 6


# --- going on


@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_run_goes_on_with_the_same_request_alone(
    echo: EchoServer, tmp_path: Path, workers: str
) -> None:
    urls = [echo.url("/a"), echo.url("/b?until=4", "localhost"), echo.url("/c")]
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "-o", "out", "--workers", workers, "--durability", "none"]
    with start([*args, "-d", "x"], cwd=tmp_path) as running:
        eventually(lambda: len(read_records(tmp_path / "out")) == 2, "two records")
        running.send_signal(signal.SIGKILL)
        running.wait()
    for other in (["-d", "y"], []):
        refused = run_fetchpool([*args, *other], cwd=tmp_path)
        assert refused.returncode == 2
        assert "--fresh" in one_line(refused.stderr)
        assert "--method POST and a body" in refused.stderr
    assert len(echo.told) == 3
    again = run_fetchpool([*args, "-d", "x"], cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(echo.told) == 4  # the one without a record
    check_records(tmp_path / "out", urls)


def test_records_of_a_finished_run_are_kept_for_the_same_request_alone(
    echo: EchoServer, tmp_path: Path
) -> None:
    args = ["get", echo.url("/a"), "-o", "out", "-d", "x"]
    assert run_fetchpool(args, cwd=tmp_path).returncode == 0
    for flag in ("--once", "--retry-failed"):
        assert run_fetchpool([*args[:-1], "y", flag], cwd=tmp_path).returncode == 2
        assert run_fetchpool([*args, flag], cwd=tmp_path).returncode == 0
    assert len(echo.told) == 1
    assert run_fetchpool([*args[:-1], "y"], cwd=tmp_path).returncode == 0  # a new run
    assert echo.told[-1].body == b"y"


# --- standard input, and secrets


def test_body_comes_through_standard_input_where_the_list_does_not(
    echo: EchoServer, tmp_path: Path
) -> None:
    args = ["get", echo.url("/a"), "-o", "out", "--data", "@-"]
    assert run_fetchpool(args, stdin=b"\0\r\n\xff", cwd=tmp_path).returncode == 0
    assert echo.told[0].body == b"\0\r\n\xff"
    for sources in ([], [echo.url("/a"), "-"]):
        refused = run_fetchpool(["get", *sources, "-d", "@-"], stdin=b"x", cwd=tmp_path)
        assert refused.returncode == 2
        assert "--data @-" in one_line(refused.stderr)


@pytest.mark.parametrize(("exchange", "workers"), [("direct", "2"), ("session", "1")])
def test_credentials_and_bodies_are_sent_and_written_nowhere(
    echo: EchoServer, tmp_path: Path, exchange: str, workers: str
) -> None:
    secret = tmp_path / "body"
    secret.write_text("canary=1")
    urls = [echo.url("/a?status=404"), echo.url("/b?hang=1"), "http://127.0.0.1:1/"]
    source = write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "-u", "canary:canaryé", "-d", "@body", "-o", "out"]
    args += [
        "--exchange",
        exchange,
        "--records",
        "r.csv",
        "--log-file",
        "log",
        "--workers",
        workers,
        "--retries",
        "0",
    ]
    result = run_fetchpool(args, cwd=tmp_path)
    settings = run_fetchpool(["config", "-u", "canary:canary", "--json", '"canary"'], cwd=tmp_path)
    screen = fetchpool_in_pty([*args, "--fresh"], cwd=tmp_path)
    assert (result.returncode, settings.returncode) == (1, 0)
    assert "canary" not in shown(result) + shown(settings)
    assert b"canary" not in screen.output
    assert leaks(tmp_path, source, secret) == []
    assert {each.headers["authorization"] for each in echo.told} == {"Basic Y2FuYXJ5OmNhbmFyecOp"}
    assert {each.body for each in echo.told} == {b"canary=1"}


def test_urls_own_credentials_come_before_those_of_the_run(
    echo: EchoServer, tmp_path: Path
) -> None:
    url = echo.url("/a", "you:own@127.0.0.1")
    run_fetchpool(["get", url, echo.url("/b"), "-u", "me:pw", "--no-body"], cwd=tmp_path)
    sent = {each.target: each.headers["authorization"] for each in echo.told}
    assert sent == {"/a": "Basic eW91Om93bg==", "/b": "Basic bWU6cHc="}

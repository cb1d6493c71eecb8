"""Standard output is for records alone, standard error for a person; both may be slow or closed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.harness import PROGRAM, check_bodies, read_records, run_fetchpool
from tests.program.helpers import (
    PIPE,
    check_records,
    eventually,
    hits,
    lines_of,
    one_line,
    settled,
    start,
    write_list,
)
from tests.servers.counting import CountingServer

NO_URL = "no url at all"


def test_without_records_nothing_goes_to_standard_output(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = [server.url("/a"), server.url("/b?status=404"), NO_URL, "http://127.0.0.1:1/closed"]
    write_list(tmp_path / "urls.txt", urls)
    result = run_fetchpool(["get", "urls.txt", "--retries", "0"], cwd=tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    start_line, end_line = lines_of(result.stderr)
    assert "urls.txt" in start_line
    assert "urls.fetched" in start_line
    assert "1 ok, 3 failed" in end_line
    assert "\x1b" not in result.stderr
    check_records(tmp_path / "urls.fetched", urls)


def test_records_on_standard_output_are_those_of_the_ledger(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = [server.url(f"/{i}") for i in range(400)] + [NO_URL, server.url("/x?status=500")]
    args = ["get", "-", "-o", "out", "--records", "-", "--retries", "0", "--progress", "always"]
    args += ["--cleanup-closed", "--insecure"]
    result = run_fetchpool(args, stdin="\n".join(urls), cwd=tmp_path)
    assert result.returncode == 1
    assert result.stdout.encode() == (tmp_path / "out" / "results.jsonl").read_bytes()
    check_records(tmp_path / "out", urls)


def test_record_of_a_line_comes_before_the_next_line_is_written(
    server: CountingServer, tmp_path: Path
) -> None:
    args = ["get", "-o", "out", "--records", "-"]
    with start(args, cwd=tmp_path, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        for number in range(1, 6):
            url = server.url(f"/{number}") if number != 3 else NO_URL
            process.say(url)
            record = json.loads(process.stdout.readline())
            assert (record["seq"], record["url"]) == (number, url)
            assert record in read_records(tmp_path / "out")  # the ledger had it first
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait() == 1


# -- a reader that leaves


def test_reader_that_leaves_ends_the_run_quietly_and_what_was_fetched_is_recorded(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = [server.url(f"/{i}?delay=0.01") for i in range(600)]
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "-o", "out", "--limit", "4", "--retries", "0"]
    with start([*args, "--records", "-"], cwd=tmp_path, stdout=PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        status = process.wait()
        assert process.stderr is not None
        assert "urls.txt" in one_line(process.stderr.read().decode())
    assert status == 141
    recorded = {record["url"] for record in read_records(tmp_path / "out")}
    first = len(server.counts.hits)
    assert first < len(urls)
    assert len(hits(server)) - len(recorded) <= 4  # in progress

    assert run_fetchpool([*args, "-q"], cwd=tmp_path).returncode == 0
    assert not recorded & set(hits(server, first))
    check_bodies(check_records(tmp_path / "out", urls), tmp_path / "out")


def test_reader_that_leaves_is_noticed_though_a_batch_is_not_full(
    server: CountingServer, tmp_path: Path
) -> None:
    with start(
        ["get", "--no-body", "--records", "-"], cwd=tmp_path, stdin=PIPE, stdout=PIPE
    ) as process:
        assert process.stdout is not None
        process.say(NO_URL, server.url("/never?until=100000"))
        process.stdout.readline()
        process.stdout.close()
        process.say(NO_URL)
        assert process.wait() == 141


# -- a reader that is slow


AS_LINES = ["--input-format", "lines"]
"""For a list of lines most of which are no URLs."""


def _mostly_no_urls(server: CountingServer) -> list[str]:
    """Return a list whose records are many and whose requests are few."""
    return [server.url(f"/{i}") if i % 40 == 0 else f"{NO_URL} {i}" for i in range(24_000)]


def test_slow_reader_holds_the_fetching_back_and_gets_everything(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = _mostly_no_urls(server)
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", *AS_LINES, "--no-body", "--records", "-", "-q"]
    with start(args, cwd=tmp_path, stdout=PIPE) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        # 4,096 lines wait for the ledger and the reader, twice 512 are read ahead.
        assert settled(lambda: len(server.counts.hits)) < 300
        lines += process.stdout.readlines()
        assert process.wait() == 1
    assert sorted(json.loads(line)["seq"] for line in lines) == list(range(1, len(urls) + 1))
    assert set(hits(server).values()) == {1}
    assert len(hits(server)) == 600


def test_second_signal_ends_a_run_whose_reader_has_stopped_reading(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = _mostly_no_urls(server)
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", *AS_LINES, "-o", "out", "-q"]
    with start([*args, "--records", "-"], cwd=tmp_path, stdout=PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        settled(lambda: len(server.counts.hits))
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)  # of one kind, two may arrive as one
        assert process.wait() in (130, 143)
    first = len(server.counts.hits)
    recorded = {record["url"] for record in read_records(tmp_path / "out")}
    assert set(hits(server)) <= recorded
    assert run_fetchpool(args, cwd=tmp_path).returncode == 1
    assert not recorded & set(hits(server, first))
    check_records(tmp_path / "out", urls)


def test_second_signal_after_the_workers_ended_loses_nothing_they_said(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = _mostly_no_urls(server)
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", *AS_LINES, "-o", "out", "-q", "--workers", "2"]
    with start([*args, "--records", "-"], cwd=tmp_path, stdout=PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        settled(lambda: len(server.counts.hits))
        process.send_signal(signal.SIGINT)
        eventually(lambda: not server.open_connections, "the end of what runs")
        process.send_signal(signal.SIGTERM)
        assert process.wait() in (130, 143)
    recorded = {record["url"] for record in read_records(tmp_path / "out")}
    assert set(hits(server)) <= recorded


def test_pipe_that_somebody_made_non_blocking_gets_every_record(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = _mostly_no_urls(server)
    write_list(tmp_path / "urls.txt", urls)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    args = ["get", "urls.txt", *AS_LINES, "--no-body", "--records", "-", "-q"]
    with start(args, cwd=tmp_path, stdout=writing) as process:
        os.close(writing)
        eventually(lambda: server.counts.hits, "a request")
        with os.fdopen(reading, "rb") as pipe:
            assert len(pipe.readlines()) == len(urls)
        assert process.wait() == 1


# -- streams that are closed from the start


def _with_closed(streams: str) -> list[str]:
    return ["sh", "-c", f'exec "$@" {streams}', "sh", *PROGRAM]


@pytest.mark.parametrize("streams", ["<&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(server: CountingServer, tmp_path: Path, streams: str) -> None:
    urls = [server.url(f"/{i}") for i in range(20)]
    write_list(tmp_path / "urls.txt", urls)
    result = run_fetchpool(
        ["get", "urls.txt", "-o", "out"], cwd=tmp_path, program=_with_closed(streams)
    )
    assert result.returncode == 0
    check_bodies(check_records(tmp_path / "out", urls), tmp_path / "out")


def test_records_need_a_standard_output_that_is_open(
    server: CountingServer, tmp_path: Path
) -> None:
    args = ["get", server.url("/a"), "-o", "out", "--records", "-"]
    result = run_fetchpool(args, cwd=tmp_path, program=_with_closed(">&-"))
    assert result.returncode == 73
    assert "closed" in one_line(result.stderr)
    assert not server.counts.hits
    assert not (tmp_path / "out").exists()


def test_full_device_as_standard_output_is_told_by_name(
    server: CountingServer, tmp_path: Path
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with Path("/dev/full").open("wb") as full:
        args = ["get", server.url("/a"), "-o", "out", "--records", "-", "-q"]
        with start(args, cwd=tmp_path, stdout=full) as process:
            status, error = process.ended()
    assert status == 74
    assert "standard output" in one_line(error)
    check_records(tmp_path / "out", [server.url("/a")])

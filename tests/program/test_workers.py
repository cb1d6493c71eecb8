"""`--workers`: several processes are one run, whoever of them dies."""

from __future__ import annotations

import json
import os
import signal
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import pytest

import fetchpool
from tests.harness import (
    check_bodies,
    raise_descriptor_limit,
    read_records,
    run_fetchpool,
    stored_files,
)
from tests.program.crowd import HOSTS, all_dead, listed, needs_proc, workers_of
from tests.program.helpers import (
    PIPE,
    answer,
    check_records,
    eventually,
    hits,
    start,
    write_list,
)
from tests.servers.counting import CountingServer

ALIKE = ("--retries", "0", "--limit", "20", "--per-host", "2")


def seen(server: CountingServer, number: int) -> None:
    """Wait until *server* has seen more than *number* requests."""
    eventually(lambda: len(server.counts.hits) > number, f"{number} requests")


def command(*options: str) -> list[str]:
    return ["get", "urls.txt", "-o", "out", *ALIKE, *options]


def test_several_processes_give_what_one_gives(tmp_path: Path, crowd: CountingServer) -> None:
    urls = [*listed(crowd, 5), "no url", crowd.url("/missing?status=404", HOSTS[3])]
    urls += urls[:3]
    write_list(tmp_path / "urls.txt", urls)
    result = run_fetchpool(command("--workers", "3", "--hash"), cwd=tmp_path)
    assert result.returncode == 1
    records = check_records(tmp_path / "out", urls)
    check_bodies(records, tmp_path / "out")
    assert [r["error"] for r in records if not r["ok"]] == ["input", "status"]
    assert hits(crowd).total() == len(urls) - 1
    alone = run_fetchpool(["get", "urls.txt", "-o", "alone", *ALIKE, "--hash"], cwd=tmp_path)
    said = {r["seq"]: (r["path"], r["sha256"], r["error"], r["detail"]) for r in result.records}
    assert said == {
        r["seq"]: (r["path"], r["sha256"], r["error"], r["detail"]) for r in alone.records
    }


def test_limits_hold_over_all_processes(tmp_path: Path, crowd: CountingServer) -> None:
    urls = []
    for index, host in enumerate(HOSTS):
        onward = quote(crowd.url(f"/landed/{index}?delay=0.02", HOSTS[(index * 7) % 5]), safe="")
        urls += [crowd.url(f"/plain/{n}?delay=0.02", host) for n in range(4)]
        urls += [crowd.url(f"/hop/{n}?delay=0.01&to={onward}", host) for n in range(3)]
        urls += [crowd.url("/again?status=503&first=1&delay=0.01", host)]
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "-o", "out", "--limit", "11", "--per-host", "2", "--workers", "3"]
    result = run_fetchpool(args, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    check_bodies(check_records(tmp_path / "out", urls), tmp_path / "out")
    assert crowd.counts.peak <= 11
    assert max(crowd.counts.peaks.values()) <= 2
    assert {r["redirects"] for r in result.records if "/hop/" in r["url"]} == {1}
    assert {r["attempts"] for r in result.records if "/again" in r["url"]} == {2}


def test_every_slot_is_used_by_somebody(tmp_path: Path) -> None:
    raise_descriptor_limit()
    with CountingServer(["127.0.2.1"], gate=12) as server:
        urls = [server.url(f"/warm/{n}") for n in range(40)]
        write_list(tmp_path / "urls.txt", [*urls, *(server.url(f"/{n}") for n in range(60))])
        args = ["get", "urls.txt", "--no-body", "--limit", "12", "--per-host", "0"]
        assert run_fetchpool([*args, "--workers", "2"], cwd=tmp_path).returncode == 0
        assert server.counts.peak <= 12


def test_redirect_that_fails_elsewhere_is_tried_again_from_its_own_url(
    tmp_path: Path, crowd: CountingServer
) -> None:
    urls = []
    for host, other in pairwise(HOSTS):
        onward = quote(crowd.url(f"/for/{host}?status=503&first=1", other), safe="")
        urls.append(crowd.url(f"/from?to={onward}", host))
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "-o", "out", "--workers", "4", "--retries", "1"]
    result = run_fetchpool(args, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert {(r["attempts"], r["redirects"]) for r in result.records} == {(2, 1)}
    check_records(tmp_path / "out", urls)


def test_pause_a_split_host_asks_for_holds_for_all(tmp_path: Path) -> None:
    with CountingServer() as server:
        urls = [server.url(f"/{n}?delay=0.02") for n in range(300)]
        urls[40] = server.url("/throttled?status=429&first=1&after=1")
        write_list(tmp_path / "urls.txt", urls)
        args = ["get", "urls.txt", "--no-body", "--limit", "8", "--per-host", "0"]
        result = run_fetchpool([*args, "--workers", "2"], cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        refused = next(hit.at for hit in server.counts.hits if "throttled" in hit.target)
        # What was on its way, here or in the other process, may still arrive: that is at most
        # one request a slot.
        during = [hit for hit in server.counts.hits if refused + 0.2 < hit.at < refused + 0.9]
        assert not during


def test_standard_input_is_shared_out_before_it_ends(tmp_path: Path, crowd: CountingServer) -> None:
    args = ["get", "-", "--no-body", "--records", "-", "--workers", "2"]
    with start(args, cwd=tmp_path, stdin=PIPE, stdout=PIPE) as process:
        assert process.stdout is not None
        for host in HOSTS[:5]:
            url = crowd.url("/one", host)
            process.say(url)
            assert json.loads(process.stdout.readline())["url"] == url
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        assert process.wait(30) == 0


# -- deaths ----------------------------------------------------------------------------------------


@needs_proc
def test_killed_worker_costs_no_url_its_answer(tmp_path: Path, crowd: CountingServer) -> None:
    urls = listed(crowd, 30, "?delay=0.02")
    write_list(tmp_path / "urls.txt", urls)
    with start(command("--workers", "3", "--log-file", "log"), cwd=tmp_path) as process:
        for number in (100, 250, 400):
            seen(crowd, number)
            os.kill(workers_of(process)[number % 3], signal.SIGKILL)
        status, error = process.ended()
    assert status == 0, error
    check_bodies(check_records(tmp_path / "out", urls), tmp_path / "out")
    assert error.count("a worker process ended by signal 9") == 3
    assert set(hits(crowd)) == set(urls)
    assert (tmp_path / "log").read_text().count("worker-died") == 3
    assert not list((tmp_path / "out" / ".fetchpool" / "parts").iterdir())


@needs_proc
def test_all_workers_may_die_at_once_while_jobs_are_between_them(
    tmp_path: Path, crowd: CountingServer
) -> None:
    urls = []
    for index, host in enumerate(HOSTS):
        for n in range(20):
            other = HOSTS[(index + n + 1) % len(HOSTS)]
            onward = quote(crowd.url(f"/landed/{index}/{n}?delay=0.05", other), safe="")
            urls.append(crowd.url(f"/hop/{n}?delay=0.01&to={onward}", host))
    write_list(tmp_path / "urls.txt", urls)
    with start(command("--workers", "2"), cwd=tmp_path) as process:
        for number in (150, 350):
            seen(crowd, number)
            for pid in workers_of(process):
                os.kill(pid, signal.SIGKILL)
        status, error = process.ended()
    assert status == 0, error
    check_bodies(check_records(tmp_path / "out", urls), tmp_path / "out")


@needs_proc
def test_parent_killed_the_next_run_goes_on_with_any_number(
    tmp_path: Path, crowd: CountingServer
) -> None:
    urls = listed(crowd, 30, "?delay=0.02")
    write_list(tmp_path / "urls.txt", urls)
    for workers in ("3", "2", "1"):
        recorded = {record["url"] for record in read_records(tmp_path / "out")}
        since = len(crowd.counts.hits)
        with start(command("--workers", workers), cwd=tmp_path) as process:
            seen(crowd, since + 100)
            orphans = workers_of(process)
            process.kill()
            process.wait()
            all_dead(orphans)
        assert not recorded & set(hits(crowd, since)), "what had its record was fetched again"
    assert run_fetchpool(command("--workers", "4"), cwd=tmp_path).returncode == 0
    check_bodies(check_records(tmp_path / "out", urls), tmp_path / "out")


@needs_proc
def test_next_run_waits_for_workers_that_outlived_their_parent(
    tmp_path: Path, crowd: CountingServer
) -> None:
    urls = listed(crowd, 5)
    held = [*urls, *(crowd.url("/held?until=1000", host) for host in HOSTS[:10])]
    write_list(tmp_path / "urls.txt", held)
    with start(command("--workers", "2"), cwd=tmp_path) as process:
        eventually(lambda: len(read_records(tmp_path / "out")) == len(urls), "records")
        stuck = workers_of(process)[0]
        os.kill(stuck, signal.SIGSTOP)
        process.kill()
        process.wait()
        write_list(tmp_path / "urls.txt", urls)
        with start(command("--workers", "2"), cwd=tmp_path) as after:
            assert after.poll() is None
            os.kill(stuck, signal.SIGCONT)
            status, error = after.ended()
    assert status == 0, error
    check_records(tmp_path / "out", urls)


@needs_proc
def test_workers_that_die_as_fast_as_they_start_end_the_run(
    tmp_path: Path, crowd: CountingServer
) -> None:
    write_list(tmp_path / "urls.txt", [crowd.url("/held?until=1000", HOSTS[0])])
    with start(command("--workers", "2"), cwd=tmp_path) as process:
        while process.poll() is None:
            for pid in workers_of(process):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        status, error = process.ended()
    assert status == 75
    assert "worker processes keep dying, the last one by signal 9" in error
    assert "Run the same command again to go on" in error


# -- signals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_lets_what_runs_end(
    tmp_path: Path, crowd: CountingServer, number: int
) -> None:
    quick = listed(crowd, 2)
    held = [crowd.url("/held?until=100", host) for host in HOSTS]
    later = [crowd.url("/later", host) for host in HOSTS]
    write_list(tmp_path / "urls.txt", [*quick, *held, *later])
    args = ["get", "urls.txt", "-o", "out", "--limit", "20", "--per-host", "1", "--workers"]
    with start([*args, "2", "--log-file", "log"], cwd=tmp_path) as process:
        eventually(lambda: _held(crowd) > 8, "requests of both workers")
        os.killpg(process.pid, number)  # as a terminal does: to all of them
        eventually(lambda: "stopping" in (tmp_path / "log").read_text(), "it has been heard")
        answer(crowd, 100)
        status, error = process.ended()
    assert status == (130 if number == signal.SIGINT else 143), error
    recorded = {record["url"] for record in read_records(tmp_path / "out")}
    assert {hit for hit in hits(crowd) if "/held" in hit} <= recorded
    assert run_fetchpool([*args, "3"], cwd=tmp_path).returncode == 0
    check_records(tmp_path / "out", [*quick, *held, *later])
    assert len(stored_files(tmp_path / "out")) == 4 * len(HOSTS)


def _held(server: CountingServer) -> int:
    return sum("/held" in hit.target for hit in server.counts.hits)


def test_second_signal_cuts_off_what_runs(tmp_path: Path, crowd: CountingServer) -> None:
    write_list(tmp_path / "urls.txt", [crowd.url("/held?until=1000", host) for host in HOSTS])
    with start(command("--workers", "2", "--log-file", "log"), cwd=tmp_path) as process:
        eventually(lambda: _held(crowd) > 10, "requests")
        process.send_signal(signal.SIGINT)
        eventually(lambda: "stopping" in (tmp_path / "log").read_text(), "it has been heard")
        process.send_signal(signal.SIGINT)
        status, error = process.ended()
    assert status == 130, error
    assert read_records(tmp_path / "out") == []


# -- the library -----------------------------------------------------------------------------------


def test_pool_is_one_process_and_says_so() -> None:
    with pytest.raises(fetchpool.ConfigError, match=r"--workers is for fetchpool\.run"):
        fetchpool.FetchPool(fetchpool.Config(workers=2))

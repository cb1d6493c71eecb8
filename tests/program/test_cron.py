"""Runs nobody looks at: from cron, systemd, Airflow; bare environments, locks, logs, metrics."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from pathlib import Path

from tests.harness import check_bodies, read_records, run_fetchpool
from tests.program.helpers import (
    DEVNULL,
    PIPE,
    answer,
    check_records,
    eventually,
    noted,
    one_line,
    start,
    write_list,
)
from tests.servers.counting import CountingServer


def test_quiet_run_says_nothing_unless_its_status_is_not_0(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = [server.url("/a"), server.url("/b?status=404")]
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "-q", "--retries", "0", "--progress", "always", "--cleanup-closed"]
    failed = run_fetchpool(args, cwd=tmp_path)
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "1 ok, 1 failed" in one_line(failed.stderr)
    passed = run_fetchpool([*args, "--fail-if", "errors>50%"], cwd=tmp_path)
    assert (passed.returncode, passed.stdout, passed.stderr) == (0, "", "")


def test_second_run_on_one_directory_gives_way_at_once(
    server: CountingServer, tmp_path: Path
) -> None:
    write_list(tmp_path / "urls.txt", [server.url("/a?until=5"), server.url("/b")])
    args = ["get", "urls.txt", "-q", "--records", "records.jsonl"]
    made = tmp_path / "records.jsonl"
    made.write_text("last night's\n")
    with start(args, cwd=tmp_path) as first:
        eventually(lambda: read_records(tmp_path / "urls.fetched"), "the first record")
        count = len(server.counts.hits)
        second = run_fetchpool(args, cwd=tmp_path)
        assert (second.returncode, second.stdout) == (75, "")
        assert "another run" in one_line(second.stderr)
        assert len(server.counts.hits) == count
        assert made.read_text() == "last night's\n"
        answer(server, 5)
        assert first.ended() == (0, "")
    assert len(made.read_bytes().splitlines()) == 2


def test_bare_environment_is_enough(server: CountingServer, tmp_path: Path) -> None:
    """As under `env -i`: no HOME, no PATH, no LANG, umask 077, standard input closed."""
    urls = [server.url("/dir/a.txt"), server.url("/dir/é.txt"), server.url("/b?status=500")]
    (tmp_path / "urls.txt").write_text("\n".join(urls), encoding="utf-8")
    script = f'umask 077; exec {sys.executable} -m fetchpool "$@" <&-'
    for environment in ({}, {"LANG": "C", "LC_ALL": "C"}):
        dest = f"out{len(environment)}"
        ran = subprocess.run(
            ["/bin/sh", "-c", script, "sh", "get", "urls.txt", "-o", dest, "--retries", "0"],
            cwd=tmp_path,
            env=environment,
            stdin=DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert ran.returncode == 1, ran.stderr
        assert ran.stdout == b""
        assert ran.stderr.isascii() == bool(environment)
        assert len(ran.stderr.splitlines()) == 4  # start, end, the failure below its reason
        records = check_records(tmp_path / dest, urls)
        check_bodies(records, tmp_path / dest)
        for path in (tmp_path / dest).rglob("*"):
            if path.name != "lock":
                assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path


def test_log_file_survives_rotation(server: CountingServer, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with start(
        ["get", "-o", "out", "-q", "--log-file", "log", "--retries", "0"],
        cwd=tmp_path,
        stdin=PIPE,
    ) as process:
        process.say(server.url("/first?status=404"))
        eventually(lambda: noted(log, "failed"), "the first failure is noted")
        log.rename(tmp_path / "log.1")
        process.say(server.url("/second?status=404"))
        status, _ = process.ended()
    assert status == 1
    assert "/first" in (tmp_path / "log.1").read_text()
    assert "/second" not in (tmp_path / "log.1").read_text()
    lines = log.read_text().splitlines()
    assert "/second" in lines[0]
    assert re.fullmatch(r"\S+Z run-ended status=1 ok=0 total=2", lines[-1])


def test_metrics_are_replaced_in_one_step(server: CountingServer, tmp_path: Path) -> None:
    urls = [server.url("/a"), server.url("/b?status=404&first=1")]
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "-q", "--retries", "0", "--metrics-file", "fetchpool.prom"]
    path = tmp_path / "fetchpool.prom"
    assert run_fetchpool(args, cwd=tmp_path).returncode == 1
    first = path.read_text()
    assert 'fetchpool_urls_total{result="failed"} 1.0' in first
    assert "fetchpool_run_exit_status 1.0" in first
    assert "last_success" not in first
    assert "fetchpool_received_bytes_total 0.0" not in first  # though nobody looked meanwhile
    with path.open() as reader:  # who reads the old file goes on reading it, whole
        assert run_fetchpool(args, cwd=tmp_path).returncode == 0
        assert reader.read() == first
    assert "fetchpool_run_exit_status 0.0" in path.read_text()
    assert "last_success" in path.read_text()
    assert {each.name for each in tmp_path.iterdir()} == {
        *("urls.txt", "urls.fetched", "fetchpool.prom", "home"),
    }


def test_metrics_that_cannot_be_written_at_the_end_change_nothing_else(
    server: CountingServer, tmp_path: Path
) -> None:
    (tmp_path / "metrics").mkdir()
    with start(
        ["get", "-o", "out", "--metrics-file", "metrics/fetchpool.prom"],
        cwd=tmp_path,
        stdin=PIPE,
    ) as process:
        process.say(server.url("/a"))
        eventually(lambda: read_records(tmp_path / "out"), "a record")
        (tmp_path / "metrics").rmdir()
        status, error = process.ended()
    assert status == 0
    assert "cannot write --metrics-file metrics/fetchpool.prom" in error


def test_nightly_run_starts_anew_and_keeps_the_last_night(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = [server.url(f"/{i}") for i in range(5)]
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "-q", "--durability", "strict"]
    for night in range(1, 4):
        assert run_fetchpool(args, cwd=tmp_path).returncode == 0
        assert len(server.counts.hits) == night * len(urls)
    dest = tmp_path / "urls.fetched"
    check_bodies(check_records(dest, urls), dest)
    assert (dest / ".fetchpool" / "previous.jsonl").read_text().count("\n") == len(urls)
    assert not list((dest / ".fetchpool" / "parts").iterdir())

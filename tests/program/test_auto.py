"""`--per-host auto` and `--limit auto`, through the real program and over sockets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fetchpool.model.limits import AUTO_PER_HOST
from tests.harness import run_fetchpool
from tests.program.helpers import check_records, write_list
from tests.servers.counting import CountingServer

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_limits_are_found_and_told_and_each_line_has_its_record(
    tmp_path: Path, workers: str
) -> None:
    with CountingServer(HOSTS) as server:
        urls = [
            server.url(f"/{number}?delay=0.002", host) for number in range(600) for host in HOSTS
        ]
        write_list(tmp_path / "urls.txt", urls)
        args = ["get", "urls.txt", "-o", "out", "--per-host", "auto", "--limit", "auto"]
        result = run_fetchpool([*args, "--workers", workers], cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert all(record["ok"] for record in check_records(tmp_path / "out", urls))
        assert "auto at once, auto per host" in result.stderr
        found = re.search(r"found (?:([0-9]+)-)?([0-9]+) per host", result.stderr)
        assert found, result.stderr
        fewest, most = int(found[1] or found[2]), int(found[2])
        assert 2 <= fewest <= most <= AUTO_PER_HOST
        assert max(server.counts.peaks.values()) <= AUTO_PER_HOST


def test_a_host_that_throttles_loses_no_url(tmp_path: Path) -> None:
    with CountingServer() as server:
        urls = [server.url(f"/{number}?status=429&first=1" if number % 9 == 8 else f"/{number}")
                for number in range(90)]  # fmt: skip
        write_list(tmp_path / "urls.txt", urls)
        args = ["get", "urls.txt", "-o", "out", "--per-host", "auto", "--retries", "9"]
        result = run_fetchpool(args, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert all(record["ok"] for record in check_records(tmp_path / "out", urls))

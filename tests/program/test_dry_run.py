"""`--dry-run`: what would be asked, without a packet sent and without a byte of DEST touched."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fetchpool.run.dry_run import MOST_HOSTS, _Hosts
from tests.harness import Result, clean_environment, fetchpool_in_pty, run_fetchpool
from tests.program.helpers import write_list
from tests.servers.counting import CountingServer

SECRET = "canary-77"


def planned(result: Result) -> list[dict[str, object]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def snapshot(dest: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in dest.rglob("*") if path.is_file()]
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def test_requests_are_json_lines_and_nothing_is_sent(
    server: CountingServer, tmp_path: Path
) -> None:
    server_url = server.url("/a.html")
    lines = [
        "# c",
        server_url,
        f"http://me:{SECRET}@no-such.invalid/x?token={SECRET}",
        "www.h.test",
    ]
    write_list(tmp_path / "urls.txt", lines)
    options = ["-H", f"X-Key: {SECRET}", "-d", SECRET, "--secret-param", "token"]
    result = run_fetchpool(["get", "urls.txt", "--dry-run", *options], cwd=tmp_path)
    assert result.returncode == 0
    first, second = planned(result)
    assert first["seq"] == 2
    assert (first["url"], first["method"], first["body_bytes"]) == (server_url, "POST", len(SECRET))
    assert first["headers"] == ["X-Key", "Content-Type"]
    assert second["url"] == "http://***@no-such.invalid/x?token=***"
    assert second["host"] == "no-such.invalid"
    assert second["headers"] == ["X-Key", "Content-Type", "Authorization"]
    assert SECRET not in result.stdout + result.stderr
    assert result.stderr.startswith("2 requests to 2 hosts, none sent\n")
    assert "1 blank, comment or header line skipped\n1 line is no URL\n" in result.stderr
    assert "    line 4  www.h.test\n" in result.stderr
    assert server.counts.targets() == []
    assert not (tmp_path / "urls.fetched").exists()


def test_name_is_the_one_that_the_file_gets(server: CountingServer, tmp_path: Path) -> None:
    write_list(tmp_path / "urls.txt", [server.url("/d/page.bin")])
    (plan,) = planned(run_fetchpool(["get", "urls.txt", "--dry-run"], cwd=tmp_path))
    (record,) = run_fetchpool(["get", "urls.txt", "-o", "out"], cwd=tmp_path).records
    assert plan["path"] == record["path"]
    for nothing in ("--no-body", "--head"):
        args = ["get", "urls.txt", "--dry-run", nothing]
        assert planned(run_fetchpool(args, cwd=tmp_path))[0]["path"] is None


def test_names_that_rows_wish_are_those_their_files_get(
    server: CountingServer, tmp_path: Path
) -> None:
    rows = [f"a.bin,{server.url(path)}" for path in ("/1", "/2")]
    write_list(tmp_path / "list.csv", ["name,url", *rows])
    args = ["get", "list.csv", "--column", "name=name"]
    plans = planned(run_fetchpool([*args, "--dry-run"], cwd=tmp_path))
    shown = {plan["url"]: plan["path"] for plan in plans}
    fetched = run_fetchpool([*args, "-o", "out"], cwd=tmp_path).records
    assert shown == {record["url"]: record["path"] for record in fetched}
    assert shown[server.url("/1")] == "a.bin" != shown[server.url("/2")]


@pytest.mark.parametrize("pipe", [False, True])
def test_lines_that_have_a_kept_record_are_left_out(
    server: CountingServer, tmp_path: Path, pipe: bool
) -> None:
    urls = [server.url("/1"), server.url("/2?status=404"), server.url("/3")]
    write_list(tmp_path / "urls.txt", urls)
    text = "".join(f"{url}\n" for url in urls)
    source, more = ("-", {"stdin": text}) if pipe else ("urls.txt", {})
    args = ["get", source, "-o", "out"]
    assert run_fetchpool(args, cwd=tmp_path, **more).returncode == 1  # type: ignore[arg-type]
    before, asked = snapshot(tmp_path / "out"), len(server.counts.targets())
    write_list(tmp_path / "urls.txt", [server.url("/new"), *urls])
    if pipe:
        more = {"stdin": f"{server.url('/new')}\n{text}"}
    for flag, expected, kept in (
        ([], [server.url("/new"), *urls], 0),
        (["--retry-failed"], [server.url("/new"), urls[1]], 2),
        (["--once"], [server.url("/new")], 3),
        (["--fresh"], [server.url("/new"), *urls], 0),
    ):
        result = run_fetchpool([*args, "--dry-run", *flag], cwd=tmp_path, **more)  # type: ignore[arg-type]
        assert result.returncode == 0
        assert [row["url"] for row in planned(result)] == expected
        assert (f"{kept} lines answered before, kept" in result.stderr) == (kept > 0)
    assert snapshot(tmp_path / "out") == before
    assert len(server.counts.targets()) == asked


def test_what_get_would_refuse_is_refused_alike(server: CountingServer, tmp_path: Path) -> None:
    write_list(tmp_path / "a.txt", [server.url("/1")])
    write_list(tmp_path / "b.txt", [server.url("/2")])
    assert run_fetchpool(["get", "a.txt", "-o", "out"], cwd=tmp_path).returncode == 0
    before = snapshot(tmp_path / "out")
    for args, status in (
        (["nowhere.txt"], 2),
        (["b.txt", "-o", "out"], 2),
        (["b.txt", "-o", "a.txt"], 73),
        (["b.txt", "--no-body", "--once"], 2),
    ):
        dry = run_fetchpool(["get", *args, "--dry-run", "--metrics-file", "m.prom"], cwd=tmp_path)
        real = run_fetchpool(["get", *args], cwd=tmp_path)
        assert (dry.returncode, dry.stderr) == (status, real.stderr)
        assert dry.stdout == ""
    added = run_fetchpool(["get", "b.txt", "-o", "out", "--add", "--dry-run"], cwd=tmp_path)
    assert [row["url"] for row in planned(added)] == [server.url("/2")]
    assert snapshot(tmp_path / "out") == before
    assert not (tmp_path / "m.prom").exists()


@pytest.mark.parametrize("columns", [40, 80])
def test_terminal_gets_a_table_with_counts_below(tmp_path: Path, columns: int) -> None:
    evil = "http://h.test/\x1b[31m"
    write_list(tmp_path / "urls.txt", ["https://h.test/a.html", evil])
    args = ["get", "urls.txt", "--dry-run"]
    screen = fetchpool_in_pty(args, cwd=tmp_path, columns=columns)
    assert screen.returncode == 0
    lines = screen.output.decode().replace("\r", "").splitlines()
    assert lines[0].split() == ["line", "method", "URL"]
    assert lines[2].split() == ["1", "GET", "https://h.test/a.html"]
    assert lines[3].split() == ["h.test", "→", "h.test/a.html"]
    assert lines[4] == "1 request to 1 host, none sent"
    assert "\x1b" not in screen.output.decode()


def test_endless_list_ends_quietly_with_its_reader(tmp_path: Path) -> None:
    program = f"{sys.executable} -m fetchpool get --dry-run -"
    script = f"yes http://h.test/ | {program} | head -n 3; echo ${{PIPESTATUS[1]}}"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()[:3]] == [1, 2, 3]
    assert done.stdout.splitlines()[3] == "141"
    assert done.stderr == ""


def test_hosts_without_end_are_counted_in_flat_memory() -> None:
    hosts = _Hosts()
    for number in range(3 * MOST_HOSTS):
        hosts.add(f"h{number}")
        hosts.add("big")
    assert hosts.biggest(1) == [("big", 3 * MOST_HOSTS)]
    assert hosts.partial
    assert len(hosts) >= 2 * MOST_HOSTS
    assert len(hosts._counts) <= 2 * MOST_HOSTS

"""Trouble on our side is never recorded as a URL's failure: 73 or 74, and the next run is exact."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetchpool.model.bodies import StoreError
from fetchpool.output.records import RecordsError
from fetchpool.pipeline.fetching import NoDescriptorsError, OurSideDownError
from fetchpool.run.trouble import trouble_of
from fetchpool.sources import SourceReadError
from tests.harness import PROGRAM, check_bodies, read_records, run_fetchpool, stored_files
from tests.program.helpers import (
    check_records,
    eventually,
    hits,
    lines_of,
    one_line,
    start,
    write_list,
)
from tests.servers.counting import CountingServer

IN_PROGRESS = 10
"""Requests at once in these tests, and so what may be fetched twice."""

ARGS = ["get", "urls.txt", "--limit", str(IN_PROGRESS), "--retries", "0"]


def check_stopped(
    server: CountingServer, dest: Path, urls: list[str], result: tuple[int, str], reason: str
) -> None:
    """Assert that a run stopped with 74 for *reason*, and blamed no URL for it."""
    status, error = result
    assert status == 74, error
    assert reason in error
    records = read_records(dest)
    assert all(record["ok"] for record in records)
    assert len({record["seq"] for record in records}) == len(records)
    assert len(records) < len(urls)
    assert set(hits(server).values()) == {1}


def check_going_on(
    server: CountingServer, folder: Path, dest: Path, urls: list[str], output: str
) -> None:
    """Assert that the same command goes on, exactly, now that the trouble is over."""
    recorded = {record["url"] for record in read_records(dest)}
    before = len(server.counts.hits)
    result = run_fetchpool([*ARGS, "-q", "-o", output], cwd=folder)
    assert (result.returncode, result.stderr) == (0, "")
    assert hits(server, before).keys() == set(urls) - recorded
    check_bodies(check_records(dest, urls), dest)


# -- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 KB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    tried = subprocess.run(mount, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"a small tmpfs can't be mounted here: {tried.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("size", [1, 9000], ids=["records", "bodies"])
def test_full_disk_stops_the_run_and_room_lets_it_go_on(
    server: CountingServer, tmp_path: Path, small_disk: Path, size: int
) -> None:
    """With --no-body only the ledger grows; else the bodies fill the disk first."""
    options = ["--no-body"] if size == 1 else []
    urls = [server.url(f"/{i}?size={size}") for i in range(800 if size == 1 else 60)]
    write_list(tmp_path / "urls.txt", urls)
    result = run_fetchpool([*ARGS, *options, "-o", "disk/out"], cwd=tmp_path)
    dest = small_disk / "out"
    check_stopped(server, dest, urls, (result.returncode, result.stderr), "No space left")
    assert "disk/out/" in result.stderr
    assert "full disk" in lines_of(result.stderr)[-1]

    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    recorded = {record["url"] for record in read_records(dest)}
    assert f" {len(recorded)} ok, 0 failed" in result.stderr
    before = len(server.counts.hits)
    again = run_fetchpool([*ARGS, *options, "-o", "disk/out", "-q"], cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")
    assert hits(server, before).keys() == set(urls) - recorded
    records = check_records(dest, urls)
    if not options:
        check_bodies(records, dest)


def test_full_disk_costs_no_answer_its_record(
    server: CountingServer, tmp_path: Path, small_disk: Path
) -> None:
    """What has ended when the disk is full is recorded: there is a reserve for that."""
    subprocess.run(["mount", "-o", "remount,size=12m", str(small_disk)], check=True)
    urls = [server.url(f"/{i}?size=9000") for i in range(1500)]
    write_list(tmp_path / "urls.txt", urls)
    result = run_fetchpool([*ARGS, "-o", "disk/out"], cwd=tmp_path)
    assert result.returncode == 74
    assert len(result.records) > 500
    assert f"{len(result.records)} ok, 0 failed" in result.stderr
    stored = {record["path"] for record in result.records}
    assert stored == stored_files(small_disk / "out")


def test_records_that_cannot_be_written_cost_the_ledger_nothing(
    server: CountingServer, tmp_path: Path
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    urls = [server.url(f"/{i}") for i in range(600)]
    write_list(tmp_path / "urls.txt", urls)
    result = run_fetchpool([*ARGS, "-o", "out", "--records", "/dev/full"], cwd=tmp_path)
    assert result.returncode == 74
    assert "cannot write /dev/full: No space left" in result.stderr
    assert f"{len(result.records)} ok, 0 failed" in result.stderr
    assert len({record["path"] for record in result.records}) == len(result.records)
    check_going_on(server, tmp_path, tmp_path / "out", urls, "out")


def test_log_file_that_cannot_be_written_stops_nothing_and_is_told(
    server: CountingServer, tmp_path: Path
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    args = ["get", server.url("/a"), "-o", "out", "--log-file", "/dev/full"]
    result = run_fetchpool(args, cwd=tmp_path)
    assert result.returncode == 0
    told = [line for line in lines_of(result.stderr) if "--log-file" in line]
    assert told == ["fetchpool: --log-file /dev/full is not complete: No space left on device"]


def test_file_size_limit_is_like_a_full_disk(server: CountingServer, tmp_path: Path) -> None:
    urls = [server.url(f"/{i}") for i in range(400)]
    write_list(tmp_path / "urls.txt", urls)
    limited = ["sh", "-c", 'ulimit -f 40; exec "$@"', "sh", *PROGRAM]  # 20 KB
    result = run_fetchpool([*ARGS, "-o", "out"], cwd=tmp_path, program=limited)
    dest = tmp_path / "out"
    check_stopped(server, dest, urls, (result.returncode, result.stderr), "File too large")
    assert "results.jsonl" in result.stderr
    check_going_on(server, tmp_path, dest, urls, "out")


# -- a broken one


def strace_injects(call: str, what: str, when: str, log: Path) -> list[str]:
    """Return the program wrapped so that the kernel answers *call* with *what*."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    inject = ["-e", f"inject={call}:{what}:when={when}"]
    return [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-o",
        str(log),
        "-e",
        f"trace={call}",
        *inject,
        *PROGRAM,
    ]


@pytest.mark.parametrize(
    ("call", "when"),
    [("fdatasync", "2+"), ("syncfs", "1+"), ("linkat", "5+"), ("rename", "2+"), ("fsync", "9+")],
)
def test_disk_that_fails_stops_the_run(
    server: CountingServer, tmp_path: Path, call: str, when: str
) -> None:
    urls = [server.url(f"/{i}?delay=0.05") for i in range(30)]
    write_list(tmp_path / "urls.txt", urls)
    program = strace_injects(call, "error=EIO", when, tmp_path / "strace")
    args = [*ARGS, "-o", "out", "-q"]
    if call in ("fsync", "fdatasync"):
        args += ["--durability", "strict"]
    result = run_fetchpool(args, cwd=tmp_path, program=program)
    assert result.returncode in (73, 74), result.stderr
    assert "Input/output error" in one_line(result.stderr)
    records = read_records(tmp_path / "out")
    assert all(record["ok"] for record in records)
    recorded = {record["url"] for record in records}
    before = len(server.counts.hits)
    assert run_fetchpool([*ARGS, "-o", "out", "-q"], cwd=tmp_path).returncode == 0
    if len(recorded) < len(urls):  # else it had finished, and this was a new run
        assert hits(server, before).keys() == set(urls) - recorded
    check_bodies(check_records(tmp_path / "out", urls), tmp_path / "out")


# -- DEST


def _removed(folder: Path) -> bool:
    """Remove *folder*, in which somebody may still be writing; tell whether it is gone."""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


@pytest.mark.parametrize("way", ["moved", "removed"])
def test_directory_that_goes_on_the_way_stops_the_run(
    server: CountingServer, tmp_path: Path, way: str
) -> None:
    urls = [server.url(f"/{i % 9}/{i}?delay=0.05") for i in range(300)]
    write_list(tmp_path / "urls.txt", urls)
    dest, gone = tmp_path / "out", tmp_path / "gone"
    with start([*ARGS, "-o", "out"], cwd=tmp_path) as process:
        eventually(lambda: read_records(dest), "a record")
        dest.rename(gone)
        if way == "removed":
            eventually(lambda: _removed(gone), way)
        status, error = process.ended()
    assert status == 74
    assert "No such file or directory" in error
    assert "out" in error
    assert len(server.counts.hits) < len(urls)
    assert not dest.exists()
    if way == "moved":
        assert all(record["ok"] for record in read_records(gone))
        gone.rename(dest)  # somebody puts it back
    check_going_on(server, tmp_path, dest, urls, "out")


def test_read_only_directory_is_refused_before_any_request(
    server: CountingServer, tmp_path: Path
) -> None:
    write_list(tmp_path / "urls.txt", [server.url("/a")])
    (tmp_path / "disk").mkdir()
    script = 'mount -t tmpfs tmpfs disk && mount -o remount,ro disk && exec "$@"'
    program = ["unshare", "-m", "sh", "-c", script, "sh", *PROGRAM]
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("a read-only file system of our own needs root and unshare")
    result = run_fetchpool([*ARGS, "-o", "disk/out"], cwd=tmp_path, program=program)
    assert result.returncode == 73
    assert "Read-only file system" in one_line(result.stderr)
    assert not server.counts.hits


# -- descriptors


@pytest.mark.parametrize("descriptors", [64, 40])
def test_few_descriptors_mean_fewer_requests_at_once_and_one_warning(
    server: CountingServer, tmp_path: Path, descriptors: int
) -> None:
    urls = [server.url(f"/{i}/{i}?delay=0.01") for i in range(150)]
    write_list(tmp_path / "urls.txt", urls)
    limited = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *PROGRAM]
    args = ["get", "urls.txt", "-o", "out", "--per-host", "0", "--retries", "0"]
    result = run_fetchpool(args, cwd=tmp_path, program=limited)
    assert result.returncode == 0, result.stderr
    assert sum("ulimit -n" in line for line in lines_of(result.stderr)) == 1
    assert len(lines_of(result.stderr)) == 3  # start, warning, end
    assert set(hits(server).values()) == {1}
    check_bodies(check_records(tmp_path / "out", urls), tmp_path / "out")


def test_descriptors_that_run_out_on_the_way_are_no_failure_of_a_url(
    server: CountingServer, tmp_path: Path
) -> None:
    """Every second connection finds no descriptor."""
    urls = [server.url(f"/{i}") for i in range(20)]
    write_list(tmp_path / "urls.txt", urls)
    program = strace_injects("socket", "error=EMFILE", "1+2", tmp_path / "strace")
    args = [*ARGS, "-o", "out", "--force-close"]
    result = run_fetchpool(args, cwd=tmp_path, program=program)
    assert result.returncode == 0, result.stderr
    assert sum("no more files can be opened" in line for line in lines_of(result.stderr)) == 1
    assert set(hits(server).values()) == {1}
    check_bodies(check_records(tmp_path / "out", urls), tmp_path / "out")


# -- in words


@pytest.mark.parametrize(
    ("error", "what", "stopped_by", "status"),
    [
        (OSError(errno.ENOSPC, "", "out/x"), "cannot write out/x: No space left", "full disk", 74),
        (OSError(errno.EDQUOT, ""), "cannot write spill: Disk quota exceeded", "full disk", 74),
        (OSError(errno.EIO, ""), "cannot write spill: Input/output error", "the output", 74),
        (StoreError("cannot store", "out/x", errno.ENOSPC), "cannot store out/x", "full disk", 74),
        (SourceReadError("list.txt can't be read"), "list.txt can't be read", "the list", 74),
        (OurSideDownError("nothing can be reached"), "nothing can be", "our own network", 75),
        (NoDescriptorsError("no more files"), "no more files", "file descriptors", 75),
        (RecordsError("cannot write r"), "cannot write r", "trouble with --records", 74),
    ],
)
def test_trouble_says_what_and_where(
    error: Exception, what: str, stopped_by: str, status: int
) -> None:
    trouble = trouble_of(error, "spill")
    assert trouble.what is not None
    assert trouble.stopped_by is not None
    assert trouble.what.startswith(what)
    assert stopped_by in trouble.stopped_by
    assert trouble.status == status

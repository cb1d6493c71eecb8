"""`--workers` in trouble: whatever dies, hangs or is missing, a run is exact and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import pytest

from fetchpool.scaling.sharing import owner
from tests.harness import (
    PROGRAM,
    clean_environment,
    read_records,
    run_fetchpool,
)
from tests.program.crowd import (
    CLOCKS_APART,
    HOSTS,
    all_dead,
    listed,
    needs_proc,
    with_workers_that,
    workers_of,
)
from tests.program.helpers import (
    PIPE,
    answer,
    check_records,
    eventually,
    hits,
    lines_of,
    noted,
    start,
    write_list,
)
from tests.servers.counting import CountingServer

ASYNCIO = ["--event-loop", "asyncio"]
"""A loop whose clock is the one that `CLOCKS_APART` changes."""

TWO = ["get", "urls.txt", "-o", "out", "--retries", "0", "--workers", "2"]


def of_worker(server: CountingServer, index: int) -> list[str]:
    """Return the hosts that worker *index* of two owns."""
    return [host for host in HOSTS if owner(f"{host}:{server.port}", 2) == index]


# -- workers that hang -----------------------------------------------------------------------------


@needs_proc
@pytest.mark.parametrize("how", ["nothing to do", "interrupted"])
def test_worker_that_hangs_does_not_keep_the_run_from_ending(
    tmp_path: Path, crowd: CountingServer, how: str
) -> None:
    until = 3 if how == "nothing to do" else 1000
    urls = [crowd.url("/quick", of_worker(crowd, index)[0]) for index in (0, 1)]
    urls.append(crowd.url(f"/held?until={until}", of_worker(crowd, 1)[0]))
    write_list(tmp_path / "urls.txt", urls)
    with start([*TWO, "--log-file", "log"], cwd=tmp_path) as process:
        eventually(lambda: len(read_records(tmp_path / "out")) == 2, "all but one are answered")
        workers = workers_of(process)
        busy = _busy(workers, crowd)
        idle = [pid for pid in workers if pid != busy]
        os.kill(idle[0], signal.SIGSTOP)
        if how == "nothing to do":
            answer(crowd)
        else:
            process.send_signal(signal.SIGINT)
            eventually(lambda: noted(tmp_path / "log", "stopping"), "it has been heard")
            process.send_signal(signal.SIGINT)
        status, error = process.ended()
        all_dead(workers)
    if how == "nothing to do":
        assert status == 0, error
        check_records(tmp_path / "out", urls)
    else:
        assert status == 130, error


def _busy(workers: list[int], server: CountingServer) -> int:
    """Return which of *workers* has a connection to *server*'s that waits for an answer."""
    held = {hit.address for hit in server.counts.hits if "/held" in hit.target}
    assert len(held) == 1
    hexed = "".join(f"{int(part):02X}" for part in reversed(held.pop().split(".")))
    remote = f"{hexed}:{server.port:04X}"
    for pid in workers:
        inodes = set()
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                inodes.add(str(fd.readlink()).removeprefix("socket:[").removesuffix("]"))
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            words = line.split()
            if words[2] == remote and words[9] in inodes:
                return pid
    raise AssertionError("nobody is connected")


# -- at the start ----------------------------------------------------------------------------------


@needs_proc
def test_workers_killed_before_they_say_a_word_are_replaced(
    tmp_path: Path, crowd: CountingServer
) -> None:
    urls = listed(crowd, 3)
    write_list(tmp_path / "urls.txt", urls)
    killed: set[int] = set()
    with start(TWO, cwd=tmp_path) as process:
        while len(killed) < 4:
            for pid in set(workers_of(process)) - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        status, error = process.ended()
    assert status == 0, error
    assert error.count("ended by signal 9") == len(killed)
    check_records(tmp_path / "out", urls)
    assert set(hits(crowd).values()) == {1}


@needs_proc
def test_nothing_is_said_by_workers_whose_parent_died_as_they_started(
    tmp_path: Path, crowd: CountingServer
) -> None:
    write_list(tmp_path / "urls.txt", listed(crowd, 3))
    error = tmp_path / "error"
    with error.open("wb") as file, start(TWO, cwd=tmp_path, stderr=file) as process:
        workers = eventually(lambda: workers_of(process), "a worker")
        process.kill()
        process.wait()
        all_dead(workers)
    assert len(lines_of(error.read_text())) <= 1


@needs_proc
def test_signal_at_the_start_needs_no_worker_to_have_started(
    tmp_path: Path, crowd: CountingServer
) -> None:
    write_list(tmp_path / "urls.txt", [crowd.url("/never", HOSTS[0])])
    # Without a standard input none is forked ahead, and a fresh interpreter takes its time.
    program = ["sh", "-c", 'exec "$@" <&-', "sh", *PROGRAM]
    with start(TWO, cwd=tmp_path, program=program) as process:
        (worker,) = eventually(lambda: workers_of(process), "a worker")
        # Until then the parent waits for the system to start it.
        command = Path(f"/proc/{worker}/cmdline")
        eventually(lambda: b"worker_process" in command.read_bytes(), "it runs")
        os.kill(worker, signal.SIGSTOP)  # it never comes to say that it is there
        os.killpg(process.pid, signal.SIGTERM)
        status, error = process.ended()
        all_dead([worker])
    assert status == 143, error
    assert not crowd.counts.hits


# -- what a worker knew ----------------------------------------------------------------------------


@needs_proc
@pytest.mark.parametrize("program", [PROGRAM, CLOCKS_APART], ids=["one clock", "clocks apart"])
def test_pause_a_host_asked_for_outlives_the_worker_that_was_asked(
    tmp_path: Path, crowd: CountingServer, program: Sequence[str]
) -> None:
    refused = crowd.url("/refused?status=429&first=1&after=1", HOSTS[0])
    write_list(tmp_path / "urls.txt", [refused])
    args = ["get", "urls.txt", "-o", "out", "--retries", "1", "--workers", "2", *ASYNCIO]
    with start([*args, "--log-file", "log"], cwd=tmp_path, program=program) as process:
        eventually(lambda: noted(tmp_path / "log", "host-parked"), "it is noted")
        os.kill(workers_of(process)[0], signal.SIGKILL)
        status, error = process.ended()
    assert status == 0, error
    first, second = (hit.at for hit in crowd.counts.hits)
    assert second - first >= 1


@pytest.mark.parametrize("program", [PROGRAM, CLOCKS_APART], ids=["one clock", "clocks apart"])
def test_pause_of_a_split_host_holds_for_a_worker_that_is_new_to_it(
    tmp_path: Path, program: Sequence[str]
) -> None:
    with CountingServer() as server:
        paths = [f"/{n}" for n in range(40)]
        refused = server.url("/refused?status=429&first=1&after=1")
        other = [
            server.url(path) for path in paths if owner(server.url(path), 2) != owner(refused, 2)
        ]
        args = ["get", "-", "-o", "out", "--per-host", "0", "--limit", "8", "--workers", "2"]
        args += [*ASYNCIO, "--log-file", "log"]
        with start(args, cwd=tmp_path, stdin=PIPE, program=program) as process:
            process.say(refused)
            eventually(lambda: noted(tmp_path / "log", "host-parked"), "it is noted")
            process.say(*other)
            status, error = process.ended()
        assert status == 0, error
        first, *later = (hit.at for hit in server.counts.hits)
        assert len(later) == 1 + len(other)
        assert min(later) - first >= 1


def test_job_that_goes_between_workers_waits_and_counts_its_time_by_each_ones_clock(
    tmp_path: Path, crowd: CountingServer
) -> None:
    """Each URL leads to a host of the other worker, which refuses the first request for a second.

    The next attempt begins at the URL's own worker again.
    """
    urls = []
    for index in (0, 1):
        host, other = of_worker(crowd, index)[0], of_worker(crowd, 1 - index)[1]
        onward = quote(crowd.url(f"/onward/{index}?status=503&first=1&after=1", other), safe="")
        urls.append(crowd.url(f"/from/{index}?to={onward}", host))
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "-o", "out", "--retries", "1", "--workers", "2", *ASYNCIO]
    result = run_fetchpool(args, cwd=tmp_path, program=CLOCKS_APART)
    assert result.returncode == 0, result.stderr
    for record in check_records(tmp_path / "out", urls):
        assert (record["attempts"], record["redirects"]) == (2, 1)
        assert 1 <= record["elapsed_s"] < 36_000, "hours between the clocks don't count"
    for index in (0, 1):
        first, second = (h.at for h in crowd.counts.hits if f"/onward/{index}" in h.target)
        assert second - first >= 1


@needs_proc
def test_rate_of_a_host_holds_over_the_death_of_its_worker(
    tmp_path: Path, crowd: CountingServer
) -> None:
    urls = [crowd.url(f"/{n}?until={n and 1000}", HOSTS[0]) for n in range(2)]
    write_list(tmp_path / "urls.txt", urls)
    with start([*TWO, "--host-rate", "1"], cwd=tmp_path) as process:
        eventually(lambda: len(crowd.counts.hits) == 2, "both are asked for")
        os.kill(workers_of(process)[0], signal.SIGKILL)
        eventually(lambda: len(crowd.counts.hits) == 3, "the second is asked for again")
        answer(crowd, 1000)
        status, error = process.ended()
    assert status == 0, error
    ours = [hit.at for hit in crowd.counts.hits if hit.host == f"{HOSTS[0]}:{crowd.port}"]
    assert min(later - sooner for sooner, later in pairwise(ours)) >= 0.95


# -- a bug of ours ---------------------------------------------------------------------------------


def test_bug_in_a_worker_is_told_like_any_other(tmp_path: Path, crowd: CountingServer) -> None:
    write_list(tmp_path / "urls.txt", [crowd.url("/a", HOSTS[0])])
    program = with_workers_that(
        "from fetchpool.scaling.tally import Tally; Tally.request_sent = None; "
    )
    result = run_fetchpool([*TWO, "--log-file", "log"], cwd=tmp_path, program=program)
    assert result.returncode == 75
    said = lines_of(result.stderr)
    assert "a bug in fetchpool: TypeError" in result.stderr
    assert any("worker processes keep dying, the last one by status 1" in line for line in said)
    assert "request_sent(" in (tmp_path / "log").read_text()


# -- surroundings ----------------------------------------------------------------------------------


def test_closed_streams_are_no_trouble(tmp_path: Path, crowd: CountingServer) -> None:
    urls = listed(crowd, 1)
    write_list(tmp_path / "urls.txt", urls)
    program = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *PROGRAM]
    assert run_fetchpool(TWO, cwd=tmp_path, program=program).returncode == 0
    check_records(tmp_path / "out", urls)


def test_modules_of_strangers_in_the_current_directory_are_not_imported(
    tmp_path: Path, crowd: CountingServer
) -> None:
    urls = listed(crowd, 1)
    write_list(tmp_path / "urls.txt", urls)
    (tmp_path / "fetchpool").mkdir()
    for name in ("fetchpool/__init__", "asyncio", "msgspec", "uvloop", "socket", "encodings"):
        (tmp_path / f"{name}.py").write_text("import os; os.mkdir('imported')")
    console = Path(sys.executable).with_name("fetchpool")
    if not console.exists():
        pytest.skip("fetchpool is not installed as a command here")
    program = ["env", "-i", str(console)]
    assert run_fetchpool(TWO, cwd=tmp_path, program=program).returncode == 0
    check_records(tmp_path / "out", urls)
    assert not (tmp_path / "imported").exists()


def test_too_few_descriptors_for_workers_end_the_run_in_words(
    tmp_path: Path, crowd: CountingServer
) -> None:
    write_list(tmp_path / "urls.txt", listed(crowd, 1))
    held = " ".join(f"{number}</dev/null" for number in range(3, 10))
    limited = ["sh", "-c", f'ulimit -n 32; exec {held}; exec "$@"', "sh", *PROGRAM]
    args = ["get", "urls.txt", "-o", "out", "--workers", "16"]
    result = run_fetchpool(args, cwd=tmp_path, program=limited)
    assert result.returncode == 75
    assert "cannot start a worker process: Too many open files" in result.stderr


def test_nothing_is_left_behind_in_a_program_that_goes_on(
    tmp_path: Path, crowd: CountingServer
) -> None:
    write_list(tmp_path / "urls.txt", listed(crowd, 1))
    script = (
        "import fetchpool, os, threading\n"
        "def go():\n"
        "    summary = fetchpool.run(fetchpool.Config(workers=2), ['urls.txt'], output='out')\n"
        "    print(summary.exit_status, summary.ok)\n"
        "for run in (threading.Thread(target=go), threading.Thread(target=go)):\n"
        "    run.start()\n"
        "    run.join()\n"
        "try:\n"
        "    os.wait()\n"
        "except ChildProcessError:\n"
        "    print('no child')\n"
    )
    (tmp_path / "script.py").write_text(script)
    ran = subprocess.run(
        [sys.executable, "-X", "dev", "script.py"],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stdout, ran.stderr) == ("0 20\n0 20\nno child\n", "")

"""Signals and `--max-time`: no new starts, what runs may end, the right status, and exact."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from fetchpool.model.exits import ExitStatus
from fetchpool.run import stopping
from fetchpool.run.stopping import Stopper
from tests.harness import PROGRAM, check_bodies, read_records, run_fetchpool
from tests.program.helpers import (
    PIPE,
    answer,
    check_records,
    eventually,
    hits,
    noted,
    one_line,
    start,
    write_list,
)
from tests.servers.counting import CountingServer

QUICK, HELD, NOT_STARTED = 4, 1, 10
LIMIT = ["--limit", str(HELD), "-q", "--log-file", "log", "--retries", "0"]


def _urls(server: CountingServer) -> list[str]:
    """Return URLs that are answered, then some that wait for `answer`, then ordinary ones."""
    held = [server.url(f"/held{i}?until=100") for i in range(HELD)]
    quick = [server.url(f"/{i}") for i in range(QUICK)]
    return [*quick, *held, *(server.url(f"/later{i}") for i in range(NOT_STARTED))]


def _started(server: CountingServer) -> bool:
    return len(server.counts.hits) == QUICK + HELD


def _check_going_on(server: CountingServer, folder: Path, urls: list[str], args: list[str]) -> None:
    """Assert that the same command again ends exactly, and fetches nothing that has a record."""
    recorded = {record["url"] for record in read_records(folder / "out")}
    before = len(server.counts.hits)
    # With a place to spare: a held URL is answered when the next answer after it is given.
    at = args.index("--limit") + 1
    again = [*args[:at], str(HELD + 1), *args[at + 1 :]]
    assert run_fetchpool(again, cwd=folder).returncode == 0
    assert not recorded & set(hits(server, before))
    check_bodies(check_records(folder / "out", urls), folder / "out")


def test_ctrl_c_before_the_run_has_begun_is_quiet(tmp_path: Path) -> None:
    """It comes while the program is still importing what it needs."""
    script = (
        "import os, signal, sys\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'fetchpool.cli.app':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "from fetchpool.__main__ import main\n"
        "main()\n"
    )
    result = run_fetchpool(["--version"], cwd=tmp_path, program=[sys.executable, "-c", script])
    assert (result.returncode, result.stdout, result.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (None, 75)],
    ids=["SIGINT", "SIGTERM", "SIGHUP", "max-time"],
)
def test_first_signal_lets_what_runs_end_and_starts_nothing(
    server: CountingServer, tmp_path: Path, number: int | None, status: int
) -> None:
    urls = _urls(server)
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "-o", "out", *LIMIT]
    more = ["--max-time", "1.5"] if number is None else []
    with start([*args, *more], cwd=tmp_path) as process:
        eventually(lambda: _started(server), "the held ones run")
        if number is not None:
            process.send_signal(number)
        eventually(lambda: noted(tmp_path / "log", "stopping"), "stopping is noted")
        answer(server, 100)
        code, error = process.ended()
    assert code == status
    assert "again" in one_line(error)
    fetched = {url for url in hits(server) if "/nothing" not in url}
    assert fetched == set(urls[: QUICK + HELD])
    assert {record["url"] for record in read_records(tmp_path / "out")} == fetched
    _check_going_on(server, tmp_path, urls, args)


@pytest.mark.parametrize("loop", ["auto", "asyncio"])
def test_second_signal_cuts_off_what_runs(
    server: CountingServer, tmp_path: Path, loop: str
) -> None:
    urls = _urls(server)
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "-o", "out", *LIMIT, "--event-loop", loop]
    with start(args, cwd=tmp_path) as process:
        eventually(lambda: _started(server), "the held ones run")
        process.send_signal(signal.SIGINT)
        eventually(lambda: noted(tmp_path / "log", "stopping"), "stopping is noted")
        process.send_signal(signal.SIGTERM)
        code, _ = process.ended()
    assert code == 130  # the first one's
    assert {record["url"] for record in read_records(tmp_path / "out")} == set(urls[:QUICK])
    answer(server, 100)
    _check_going_on(server, tmp_path, urls, args)


@pytest.mark.parametrize("way", ["signal", "max-time"])
def test_list_that_never_begins_can_be_stopped(tmp_path: Path, way: str) -> None:
    args = ["get", "-", "-o", "out", "--log-file", "log"]
    args += ["--max-time", "0.1"] if way == "max-time" else []
    with start(args, cwd=tmp_path, stdin=PIPE) as process:
        if way == "signal":
            eventually(lambda: (tmp_path / "log").exists(), "the run has begun")
            process.send_signal(signal.SIGTERM)
        assert process.wait() == (143 if way == "signal" else 75)
        assert process.stderr is not None
        assert "stopped by" in one_line(process.stderr.read().decode())
    assert not (tmp_path / "out").exists()


def test_ignored_signal_stays_ignored(server: CountingServer, tmp_path: Path) -> None:
    nohup = ["sh", "-c", "trap '' HUP INT; exec \"$@\"", "sh", *PROGRAM]
    args = ["get", server.url("/a?until=100"), "-o", "out", "--log-file", "log"]
    with start(args, cwd=tmp_path, program=nohup) as process:
        eventually(lambda: server.counts.hits, "a request")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        eventually(lambda: noted(tmp_path / "log", "stopping"), "stopping is noted")
        answer(server, 100)
        assert process.wait() == 0  # all there was to do is done
    assert "why=SIGTERM" in (tmp_path / "log").read_text()


def test_killed_run_over_a_pipe_goes_on_without_fetching_anything_again(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = [server.url(f"/{i}") for i in range(30)]
    args = ["get", "-", "-o", "out", "-q"]
    for count in (10, 20):
        before = len(read_records(tmp_path / "out"))
        with start(args, cwd=tmp_path, stdin=PIPE) as process:
            process.say(*urls[:count])
            dest = tmp_path / "out"
            eventually(lambda: len(read_records(dest)) == count, f"{count} records")  # noqa: B023
            process.kill()
        assert before == count - 10
    assert run_fetchpool(args, stdin="\n".join(urls), cwd=tmp_path).returncode == 0
    assert set(hits(server).values()) == {1}
    check_bodies(check_records(tmp_path / "out", urls), tmp_path / "out")


# -- the stopper alone


async def test_grace_that_is_over_counts_as_asking_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "GRACE_S", 0.0)
    hurried = asyncio.Event()
    reasons: list[str] = []
    with Stopper(reasons.append) as stopper:
        stopper.steps(lambda: None, hurried.set)
        stopper.ask("--max-time", ExitStatus.STOPPED_EARLY)
        await hurried.wait()
        assert (stopper.reason, stopper.status) == ("--max-time", ExitStatus.STOPPED_EARLY)
    assert reasons == ["--max-time"]


@pytest.mark.parametrize("share", [0.1, 1e9], ids=["a part of it", "a few seconds"])
async def test_grace_after_max_time_is_a_part_of_it_and_a_few_seconds_at_most(
    monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    monkeypatch.setattr(stopping, "GRACE_SHARE", share)
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    with Stopper(lambda _: asked.set()) as stopper:
        begin = loop.time()
        stopper.after(0.01, "--max-time", ExitStatus.STOPPED_EARLY)
        await asked.wait()
        assert stopper.grace_ends_at is not None
        grace_s = 0.001 if share < 1 else stopping.GRACE_S
        assert stopper.grace_ends_at - loop.time() <= grace_s
        assert stopper.grace_ends_at - begin >= grace_s


async def test_what_was_asked_before_there_was_a_step_is_done_then() -> None:
    done: list[str] = []
    with Stopper(done.append) as stopper:
        stopper.ask("SIGTERM", ExitStatus.TERMINATED)
        stopper.steps(lambda: done.append("stop"), lambda: done.append("abort"))
        stopper.ask("Ctrl-C", ExitStatus.INTERRUPTED)
        assert stopper.status is ExitStatus.TERMINATED
    assert done == ["SIGTERM", "stop", "abort"]


async def test_signal_that_finds_no_step_left_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    loop = asyncio.get_running_loop()
    try:
        with Stopper(lambda _: None) as stopper:
            stopper.watch_signals()
            stopper.steps(lambda: None)
            for count in range(2):
                signal.raise_signal(signal.SIGTERM)
                await asyncio.sleep(0)
                await loop.run_in_executor(None, lambda: None)
                assert len(killed) == count
    finally:
        signal.signal(signal.SIGTERM, before)
    assert killed == [(os.getpid(), signal.SIGTERM)]

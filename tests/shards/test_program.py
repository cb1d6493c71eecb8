"""`get --shard`, `status` and `merge` with the real program: killed, twice at once, from pipes."""

from __future__ import annotations

import json
import os
import random
import signal
from contextlib import suppress
from pathlib import Path

from fetchpool import Shard
from fetchpool.model.split import shard_of
from tests.harness import read_records, run_fetchpool
from tests.program.crowd import HOSTS
from tests.program.helpers import PIPE, Running, answer, eventually, one_line, start
from tests.servers.counting import CountingServer
from tests.shards.lists import check_same, fullest, mixed, records_of_all, write_lines

QUIET = ("--retries", "0", "-q", "--failures", "0")


def test_shards_from_pipes_side_by_side_in_several_processes(
    crowd: CountingServer, tmp_path: Path
) -> None:
    lines = mixed(crowd)
    source = write_lines(tmp_path / "urls.txt", lines)
    whole = run_fetchpool(["get", source, "-o", "whole", *QUIET], cwd=tmp_path)
    assert whole.returncode == 1
    text = source.read_bytes()
    shards = {"0/4": "1", "1,3/4": "2", "2/4": "2"}
    running = []
    for shard, workers in shards.items():
        args = ["get", "-", "-o", "out", "--shard", shard, "--workers", workers, *QUIET]
        process = start(args, cwd=tmp_path, stdin=PIPE)
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
        running.append(process)
    assert [process.ended() for process in running] == [(0, "")] * 3
    check_same(tmp_path / "out", tmp_path / "whole")
    merged = run_fetchpool(["merge", "out", "--records", "-"], cwd=tmp_path)
    assert merged.returncode == 0, merged.stderr
    numbers = [json.loads(line)["seq"] for line in merged.stdout.splitlines()]
    assert sorted(numbers) == [record["seq"] for record in records_of_all(tmp_path / "out")]


def test_killed_shards_go_on_and_come_to_the_same(crowd: CountingServer, tmp_path: Path) -> None:
    lines = [crowd.url(f"/{n}?delay=0.02", host) for n in range(15) for host in HOSTS]
    write_lines(tmp_path / "urls.txt", lines)
    chance = random.Random(17)
    limits = ["--limit", "8", "--per-host", "2", "--durability", "none"]
    for shard in ("0/3", "1,2/3"):
        args = ["get", "urls.txt", "-o", "out", "--shard", shard, *limits, *QUIET]
        for _ in range(3):
            with start(args, cwd=tmp_path) as process:
                wait_until_it_asked(crowd, chance.randrange(10, 40), process)
                with suppress(ProcessLookupError):  # a shard may have few hosts, and be done
                    os.killpg(process.pid, signal.SIGKILL)
        with start(args, cwd=tmp_path) as process:
            assert process.ended() == (0, "")
    merged = run_fetchpool(["merge", "out"], cwd=tmp_path)
    assert merged.returncode == 0, merged.stderr
    records = records_of_all(tmp_path / "out")
    assert [(record["seq"], record["url"]) for record in records] == list(enumerate(lines, 1))
    assert all(record["ok"] for record in records)
    assert max(crowd.counts.peaks.values()) <= 2


def test_a_shard_that_is_on_is_left_alone_by_the_next_runner(
    crowd: CountingServer, tmp_path: Path
) -> None:
    lines = [crowd.url("/held?until=5", host) for host in HOSTS]
    write_lines(tmp_path / "urls.txt", lines)
    args = ["get", "urls.txt", "-o", "out", "--retries", "0"]
    own = [host for host in HOSTS if shard_of(crowd.host(host), 2) == 0]
    with start([*args, "--shard", "0/2"], cwd=tmp_path) as first:
        eventually(lambda: len(crowd.counts.hits) == len(own), "all of it is asked for")
        for shard in ("0/2", "1,0/2"):
            second = run_fetchpool([*args, "--shard", shard], cwd=tmp_path)
            assert second.returncode == 75
            assert "another run holds out/shard-00000-of-00002" in one_line(second.stderr)
        assert len(crowd.counts.hits) == len(own), "before its first request"
        status = json.loads(run_fetchpool(["status", "out", "--json"], cwd=tmp_path).stdout)
        assert (status["phase"], status["running"]) == ("running", [0])
        answer(crowd, 5)
        assert first.ended()[0] == 0
    told = json.loads(run_fetchpool(["status", "out", "--json"], cwd=tmp_path).stdout)
    assert (told["phase"], told["finished"]) == ("stopped", [0])
    assert told["not_begun"] + told["stopped"] == [1]
    assert (told["urls"], told["left"]) == (len(lines), len(lines) - len(own))
    shown = run_fetchpool(["status", "out"], cwd=tmp_path).stdout
    assert "2 shards: 1 finished, 1 " in shown
    asks = run_fetchpool(["merge", "out"], cwd=tmp_path)
    assert asks.returncode == 1
    assert asks.stderr.splitlines()[-1] == "fetchpool: not complete: nothing was written"


def test_exit_status_is_what_schedulers_need(crowd: CountingServer, tmp_path: Path) -> None:
    write_lines(tmp_path / "urls.txt", [crowd.url("/gone?status=404"), "no url"])
    args = ["get", "urls.txt", "-q", "-o"]
    assert run_fetchpool([*args, "a", "--shard", "0/1"], cwd=tmp_path).returncode == 0
    failing = [*args, "b", "--shard", "0/1", "--fail-if", "errors>0"]
    assert run_fetchpool(failing, cwd=tmp_path).returncode == 1
    asked = len(crowd.counts.hits)
    assert run_fetchpool([*args, "a", "--shard", "0/1"], cwd=tmp_path).returncode == 0
    assert len(crowd.counts.hits) == asked, "the same command again asks for nothing"
    env = {"JOB_COMPLETION_INDEX": "0"}
    assert run_fetchpool([*args, "a", "--shard", "auto"], cwd=tmp_path, env=env).returncode == 2
    again = run_fetchpool([*args, "a", "--shard", "auto/1"], cwd=tmp_path, env=env)
    assert again.returncode == 0, again.stderr
    assert run_fetchpool([*args, "a", "--shard", "0/2"], cwd=tmp_path).returncode == 2
    no_body = ["get", "urls.txt", "--no-body", "--shard", "0/1"]
    assert run_fetchpool(no_body, cwd=tmp_path).returncode == 2


def test_dry_run_shows_what_the_shard_would_ask(crowd: CountingServer, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "urls.txt", mixed(crowd))
    args = ["get", str(source), "-o", "out", "--shard", "1,2/3"]
    shown = run_fetchpool([*args, "--dry-run"], cwd=tmp_path)
    planned = [json.loads(line)["seq"] for line in shown.stdout.splitlines()]
    assert not (tmp_path / "out").exists()
    assert run_fetchpool(args, cwd=tmp_path).returncode == 0
    asked = [record["seq"] for record in records_of_all(tmp_path / "out") if record["attempts"]]
    assert planned == asked
    again = run_fetchpool([*args, "--dry-run"], cwd=tmp_path)
    assert again.stdout == ""
    full = tmp_path / "out" / Shard(fullest(tmp_path / "out"), 3).directory
    cat = run_fetchpool(["cat", "out", "3"], cwd=tmp_path)
    assert (cat.returncode, "out holds shards: name one" in cat.stderr) == (2, True)
    number = next(record["seq"] for record in read_records(full) if record["ok"])
    assert run_fetchpool(["cat", full, str(number)], cwd=tmp_path).returncode == 0


def wait_until_it_asked(crowd: CountingServer, count: int, process: Running) -> None:
    """Wait for *count* further requests, or for the end of *process*."""
    wanted = len(crowd.counts.hits) + count
    asked = lambda: len(crowd.counts.hits) >= wanted or process.poll() is not None  # noqa: E731
    eventually(asked, "it asks")

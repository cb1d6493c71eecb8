"""`run_shards`: all shards of a list through processes, threads, and whatever loses workers."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

import fetchpool
from fetchpool import Config, ConfigError, Shard, Summary, run_shards
from fetchpool.output.ledger import CannotGoOnError, DirectoryBusyError, OutputError
from fetchpool.run import run, shards
from fetchpool.run.shard_task import Busy, Refused, ShardTask, fetch_shard
from fetchpool.sources import InputError
from tests.program.crowd import needs_proc
from tests.program.helpers import eventually
from tests.servers.counting import CountingServer
from tests.shards.lists import (
    QUICK,
    check_complete,
    check_little_was_asked_twice,
    check_same,
    mixed,
    records_of_all,
    write_lines,
)


def test_processes_have_what_one_run_has(crowd: CountingServer, tmp_path: Path) -> None:
    lines = mixed(crowd)
    source = write_lines(tmp_path / "urls.txt", lines)
    whole = run(Config(**QUICK), [str(source)], tmp_path / "whole")
    dest = tmp_path / "out"
    summary = run_shards(Config(**QUICK), [str(source)], dest, shards=4)
    check_same(dest, tmp_path / "whole")
    check_complete(dest, len(lines))
    assert (summary.exit_status, summary.restarts, summary.unfinished) == (0, 0, ())
    assert (summary.total, summary.ok, summary.failed) == (whole.total, whole.ok, whole.failed)
    assert [each.shard for each in summary.shards] == [Shard(n, 4) for n in range(4)]
    assert pickle.loads(pickle.dumps(summary)) == summary
    asked = len(crowd.counts.hits)
    with ThreadPoolExecutor(2) as threads:
        again = run_shards(
            Config(**QUICK, fail_if="errors>0"), [str(source)], dest, shards=4, executor=threads
        )
    assert (again.exit_status, again.kept, again.requests) == (1, whole.total, 0)
    assert len(crowd.counts.hits) == asked, "the same call again asks for nothing, in threads too"


_PROGRAM = """
import fetchpool

if __name__ == "__main__":
    config = fetchpool.Config(per_host=2, limit=20, retries=0, durability="none")
    summary = fetchpool.run_shards(config, ["urls.txt"], "out", shards=4)
    print(summary.exit_status, summary.total, summary.ok, summary.restarts)
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Start a program that fetches `urls.txt` as four shards."""
    script = tmp_path / "program.py"
    script.write_text(_PROGRAM)
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        env = {**os.environ, "PYTHONPATH": str(Path(fetchpool.__file__).parent.parent)}
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [sys.executable, str(script)], cwd=tmp_path, env=env, stdout=pipe, stderr=pipe,
            text=True, start_new_session=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def fetching(parent: int) -> list[int]:
    """Return the processes of *parent* that fetch: those that hold a shard's directory."""
    found = []
    children = Path(f"/proc/{parent}/task").glob("*/children")
    for pid in {int(each) for path in children for each in path.read_text().split()}:
        with suppress(OSError):
            opened = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
            if any("/shard-0" in name for name in opened):
                found.append(pid)
    return found


@needs_proc
def test_killed_process_costs_no_line_its_record_and_asks_little_twice(
    crowd: CountingServer, tmp_path: Path, slow: list[str], program: Any
) -> None:
    process = program()
    eventually(lambda: len(crowd.counts.hits) > 40, "it asks")
    os.kill(fetching(process.pid)[0], signal.SIGKILL)
    out, error = process.communicate(timeout=60)
    assert (out.split(), error) == (["0", "240", "240", "1"], "")
    check_complete(tmp_path / "out", len(slow))
    check_little_was_asked_twice(crowd, slow)
    assert max(crowd.counts.peaks.values()) <= 4, "two, and two that the dead one had asked for"


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ended_program_leaves_nothing_running_and_the_next_goes_on(
    crowd: CountingServer, tmp_path: Path, slow: list[str], program: Any, number: int
) -> None:
    process = program()
    eventually(lambda: len(crowd.counts.hits) > 40, "it asks")
    children = fetching(process.pid)
    assert children
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == -number
    assert error.count("Traceback") == (number == signal.SIGINT), error
    eventually(lambda: not any(map(is_alive, children)), "all have ended")
    asked, recorded = len(crowd.counts.hits), len(records_of_all(tmp_path / "out"))
    assert 0 < recorded < len(slow)
    assert asked - recorded <= 40, "what came is recorded"
    process = program()
    assert process.communicate(timeout=60)[0].split() == ["0", "240", "240", "0"]
    assert len(crowd.counts.hits) == asked + len(slow) - recorded
    check_complete(tmp_path / "out", len(slow))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class Scripted(Executor):
    """Ends each shard's calls as it is told, the last way for ever; without an answer it runs."""

    def __init__(self, *answers: Any) -> None:
        self.answers = answers
        self.calls = 0

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        answer = self.answers[min(self.calls, len(self.answers) - 1)]
        self.calls += 1
        if isinstance(answer, Exception):
            future.set_exception(answer)
        elif answer is None:
            future.set_result(fn(*args))
        else:
            future.set_result(answer)
        return future


def ended(tmp_path: Path, status: int, stopped_by: str | None = None) -> Summary:
    """Return the summary of a shard that ended with *status*."""
    summary = run(Config(), [str(write_lines(tmp_path / "none", []))], tmp_path / "none.fetched")
    return msgspec.structs.replace(summary, exit_status=status, stopped_by=stopped_by)


LOST = BrokenProcessPool("a worker is gone")


@pytest.mark.parametrize(
    ("script", "status", "calls"),
    [
        ([LOST, LOST, OSError("node down"), 0], 0, 4),
        ([LOST], 75, 4),
        ([75, Busy("another run holds it"), 143, 0], 0, 4),
        ([75], 75, 4),
        ([Busy("another run holds it")], 75, 4),
        ([LOST, 75, 0], 0, 3),
        (["--max-time"], 75, 1),
        ([74], 74, 1),
        ([70], 70, 1),
    ],
)
def test_shard_is_begun_again_where_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: list[Any], status: int, calls: int
) -> None:
    monkeypatch.setattr(shards, "AGAIN_AFTER_S", (0.0, 0.0, 0.0))
    answers = [ended(tmp_path, each) if isinstance(each, int) else each for each in script]
    if script == ["--max-time"]:
        answers = [ended(tmp_path, 75, "--max-time")]
    executor = Scripted(*answers)
    summary = run_shards(Config(), ["u"], tmp_path / "out", shards=1, executor=executor)
    assert (summary.exit_status, executor.calls) == (status, calls)
    (result,) = summary.shards
    assert summary.restarts == result.restarts == calls - 1
    assert summary.unfinished == (() if status == 0 else (Shard(0, 1),))
    last = answers[-1]
    reason = getattr(last, "reason", str(last))
    assert isinstance(last, Summary) or str(result.trouble).endswith(reason)


def test_what_run_raises_comes_out_of_processes_too(tmp_path: Path) -> None:
    missing = tmp_path / "missing.txt"
    with pytest.raises(InputError, match=r"missing\.txt"):
        run_shards(Config(), [str(missing)], tmp_path / "out", shards=3)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("--limit is wrong"),
        InputError("no list", ["a line"]),
        OutputError("no place"),
        CannotGoOnError("another N"),
        DirectoryBusyError("held"),
        OSError(28, "No space left on device", "x"),
    ],
)
def test_errors_survive_the_way_between_processes(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_it(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("fetchpool.run.shard_task.run", raise_it)
    task = ShardTask(Config(), ("u",), str(tmp_path), Shard(0, 1))
    came = pickle.loads(pickle.dumps(fetch_shard(pickle.loads(pickle.dumps(task)))))
    if isinstance(error, DirectoryBusyError):
        assert came == Busy("held")
    else:
        assert isinstance(came, Refused)
        assert (type(came.error), str(came.error)) == (type(error), str(error))


def test_error_that_cannot_be_pickled_is_told_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Odd(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__(f"{a} and {b}")

    def raise_it(*_: Any, **__: Any) -> None:
        raise Odd(1, 2)

    monkeypatch.setattr("fetchpool.run.shard_task.run", raise_it)
    came = fetch_shard(ShardTask(Config(), ("u",), str(tmp_path), Shard(0, 1)))
    assert isinstance(came, Refused)
    assert str(came.error) == "Odd: 1 and 2"


@pytest.mark.parametrize(
    ("settings", "sources", "output", "count", "what"),
    [
        ({"shard": "1/2"}, ["u"], "out", 2, "--shard is given by run_shards itself"),
        ({"log_file": "log"}, ["u"], "out", 2, "--log-file would be written by every shard"),
        ({"metrics_file": "m"}, ["u"], "out", 2, "--metrics-file would be written by every"),
        ({}, ["-"], "out", 2, "- can't be read by each shard"),
        ({}, ["/dev/null"], "out", 2, "/dev/null can't be read by each shard"),
        ({}, ["u"], "out", 0, "shards takes a whole number from 1 to 100,000"),
    ],
)
def test_what_cannot_be_is_said_at_once(
    settings: Any, sources: list[str], output: str, count: int, what: str
) -> None:
    never = Scripted(AssertionError("submitted"))
    with pytest.raises(ConfigError, match=what):
        run_shards(Config(**settings), sources, output, shards=count, executor=never)
    assert never.calls == 0


def test_first_refusal_cancels_the_rest(tmp_path: Path) -> None:
    class One(Scripted):
        def __init__(self) -> None:
            super().__init__()
            self.waiting: list[Future[Any]] = []

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            if args[0].shard.index == 1:
                future.set_result(Refused(CannotGoOnError("N is 4")))
            else:
                self.waiting.append(future)
            return future

    executor = One()
    with pytest.raises(CannotGoOnError, match="N is 4"):
        run_shards(Config(), ["u"], tmp_path / "out", shards=3, executor=executor)
    assert [future.cancelled() for future in executor.waiting] == [True, True]

"""`run_shards`: all shards of one list through any executor, until each has come to its end.

shard ─▶ submit(fetch_shard) ─▶ Summary ─────────────────────▶ done
  ▲                            │ exit status "again", or busy ─▶ once more, after a while
  └── at most three times ─────┤ the executor raised: its worker is lost ─▶ once more
                               └ what `run` raised ──────────▶ raised here, the rest cancelled
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

from msgspec import Struct

from fetchpool.config import Config, ConfigError, check_output
from fetchpool.model.exits import ExitStatus
from fetchpool.model.remote import remote_of
from fetchpool.model.shards import MOST_SHARDS, Shard
from fetchpool.reporting.stats import Summary
from fetchpool.run.shard_processes import ShardProcesses
from fetchpool.run.shard_task import Busy, Refused, ShardTask, fetch_shard

RESTARTS = 3
"""How often a shard is begun again for each of two reasons: a lost worker, and "again"."""

AGAIN_AFTER_S = (2.0, 20.0, 60.0)
"""Before a shard that said "again": longer in all than the lease of a lost runner."""

_AGAIN = frozenset(
    {ExitStatus.STOPPED_EARLY, ExitStatus.HANGUP, ExitStatus.TERMINATED, ExitStatus.INTERRUPTED}
)
_GRAVEST = (
    ExitStatus.BUG, ExitStatus.USAGE, ExitStatus.CANNOT_CREATE, ExitStatus.IO_ERROR,
    ExitStatus.STOPPED_EARLY,
)  # fmt: skip
_ONE_FILE = ("records", "log_file", "metrics_file", "save_cookies")
"""Settings that name a file which every shard would write."""


class ShardResult(Struct, frozen=True):
    """What one shard has come to."""

    shard: Shard
    summary: Summary | None
    """Of its last run; None where that never came to an end."""
    restarts: int = 0
    """How often it was begun again."""
    trouble: str | None = None
    """Why there is no summary."""


class ShardsSummary(Struct, frozen=True):
    """All shards of a list in numbers; those of a shard are in its `ShardResult`."""

    shards: tuple[ShardResult, ...]
    """By their numbers, each once."""
    exit_status: int
    """What a command for the whole would end with: 0; 1 by `Config.fail_if`; 75: some are not done
    and go on when they are run again; else the gravest of any."""
    total: int
    """URLs with an outcome, those kept from earlier runs included."""
    ok: int
    failed: dict[str, int]
    """By label, the most frequent first."""
    kept: int
    bytes: int
    """Of decoded bodies, of this run's URLs."""
    requests: int
    restarts: int
    """How often shards were begun again."""

    @property
    def failures(self) -> int:
        """Number of URLs that failed."""
        return self.total - self.ok

    @property
    def unfinished(self) -> tuple[Shard, ...]:
        """The shards whose lines don't all have a record."""
        return tuple(each.shard for each in self.shards if not _is_done(each))


def run_shards(
    config: Config,
    sources: Sequence[str],
    output: str | Path,
    *,
    shards: int,
    executor: Executor | None = None,
) -> ShardsSummary:
    """Fetch all URLs of *sources* into *output* as *shards* runs, and return them in numbers.

    *executor* runs each shard as one call, as many at once as it has workers: a
    `ProcessPoolExecutor`, Dask's `client.get_executor()`, loky, MPI. None: spawned processes, as
    many as there are cores; the program then needs `if __name__ == "__main__":`. All workers must
    see lists and *output*; relative paths are made absolute here. Limits of hosts and `Config.rate`
    hold over all shards, `Config.limit`, `workers` and `max_time` for each.

    A shard whose worker is lost is begun again and goes on where it was, at most three times. So is
    one that says "again" (status 75, after 2, 20 and 60 s), unless by `Config.max_time`. One that
    still isn't done is in `unfinished`; the same call again goes on.

    Raises what `run` raises for the first shard that can't be begun (`ConfigError`, `InputError`,
    `OutputError`, `CannotGoOnError`), and cancels the others. So does KeyboardInterrupt: own
    processes record what they have first; in another executor, calls that are on go on.
    """
    tasks = _tasks(config, sources, output, shards)
    with ExitStack() as stack:
        if executor is None:
            own = ShardProcesses(min(os.cpu_count() or 1, shards))
            stack.callback(own.shutdown)
            work = _Work(own, tasks)
            stack.callback(work.cancel)
            stack.push(lambda kind, *_: own.stop() if kind is not None else None)
        else:
            work = _Work(executor, tasks)
            stack.callback(work.cancel)
        results = work.finish()
    return _summed(tasks[0].config, results)


def _tasks(
    config: Config, sources: Sequence[str], output: str | Path, count: int
) -> list[ShardTask]:
    if isinstance(sources, str):
        raise TypeError("sources are given as a sequence: put a single one into a list")
    if type(count) is not int or not 0 < count <= MOST_SHARDS:
        raise ConfigError(f"shards takes a whole number from 1 to {MOST_SHARDS:,}, such as 64")
    if config.shard:
        raise ConfigError("--shard is given by run_shards itself: drop it from the settings")
    for name in _ONE_FILE:
        if getattr(config, name) not in (None, False):
            flag = f"--{name}".replace("_", "-")
            raise ConfigError(f"{flag} would be written by every shard: drop it")
    dest = check_output(output)
    if dest is None:
        raise ConfigError("run_shards needs --output, a directory that all shards share")
    if remote_of(dest) is None:
        dest = str(Path(dest).absolute())
    names = tuple(map(_source, sources))
    first = replace(config, shard=Shard(0, count))
    if config.state is not None and not isinstance(config.state, bool):
        first = replace(first, state=str(Path(config.state).absolute()))
    return [ShardTask(first, names, dest, Shard(index, count)) for index in range(count)]


def _source(name: str) -> str:
    """Return the list *name* as it is called from any directory. Raises `ConfigError`."""
    if "://" in name:
        return name
    path = Path(name).absolute()
    is_stream = name == "-"
    if not is_stream:
        try:
            mode = path.stat().st_mode
        except OSError:
            return str(path)  # it may be there for the workers; who finds none says so
        is_stream = not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
    if is_stream:
        raise ConfigError(f"{name} can't be read by each shard, as it is a stream: give a file")
    return str(path)


class _Work:
    """Shards on their way through an executor."""

    def __init__(self, executor: Executor, tasks: Sequence[ShardTask]) -> None:
        self._executor = executor
        self._tasks = tasks
        self._running: dict[Future[Summary | Busy | Refused], int] = {}
        self._later: dict[int, float] = {}
        """Shards that said "again", and when they may."""
        self._lost = [0] * len(tasks)
        self._again = [0] * len(tasks)
        self._results: dict[int, ShardResult] = {}

    def finish(self) -> list[ShardResult]:
        """Run all shards until each has a result, and return those in their order.

        Raises what was wrong with the first that could not be begun.
        """
        for index in range(len(self._tasks)):
            self._submit(index)
        while self._running or self._later:
            self._wait()
        return [self._results[index] for index in range(len(self._tasks))]

    def cancel(self) -> None:
        """Have nothing begun that has not begun."""
        for future in self._running:
            future.cancel()

    def _submit(self, index: int) -> None:
        try:
            future = self._executor.submit(fetch_shard, self._tasks[index])
        except Exception as full:  # noqa: BLE001 - of any executor: it takes no more
            self._end(index, None, _said(full))
            return
        self._running[future] = index

    def _wait(self) -> None:
        now = monotonic()
        for index in [index for index, due in self._later.items() if due <= now]:
            del self._later[index]
            self._submit(index)
        left_s = max(0.0, min(self._later.values()) - now) if self._later else None
        done, _ = wait(self._running, left_s, FIRST_COMPLETED)
        if not self._running and left_s:
            sleep(left_s)
        for future in done:
            self._settle(self._running.pop(future), future)

    def _settle(self, index: int, future: Future[Summary | Busy | Refused]) -> None:
        try:
            result = future.result()
        except Exception as lost:  # noqa: BLE001 - of any executor: what `run` raises is returned
            self._lost[index] += 1
            if self._lost[index] > RESTARTS:
                self._end(index, None, _said(lost))
            else:
                self._submit(index)
            return
        match result:
            case Refused(error):
                raise error
            case Busy(reason):
                self._once_more(index, None, reason)
            case Summary(exit_status=status, stopped_by=reason) if (
                status in _AGAIN and reason != "--max-time"
            ):
                self._once_more(index, result, None)
            case _:
                self._end(index, result, None)

    def _once_more(self, index: int, summary: Summary | None, trouble: str | None) -> None:
        times = self._again[index]
        if times == RESTARTS:
            self._end(index, summary, trouble)
            return
        self._again[index] += 1
        self._later[index] = monotonic() + AGAIN_AFTER_S[times]

    def _end(self, index: int, summary: Summary | None, trouble: str | None) -> None:
        restarts = min(self._lost[index], RESTARTS) + self._again[index]
        shard = self._tasks[index].shard
        self._results[index] = ShardResult(shard, summary, restarts, trouble)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _is_done(result: ShardResult) -> bool:
    summary = result.summary
    return summary is not None and summary.exit_status in (ExitStatus.OK, ExitStatus.URLS_FAILED)


def _summed(config: Config, results: Sequence[ShardResult]) -> ShardsSummary:
    """Return what all shards have come to; *config* is that of any of them."""
    summaries = [each.summary for each in results if each.summary is not None]
    failed: Counter[str] = Counter()
    changes: Counter[str] = Counter()
    for summary in summaries:
        failed.update(summary.failed)
        changes.update({**summary.changes, "left": summary.left})
    total, ok = sum(each.total for each in summaries), sum(each.ok for each in summaries)
    open_ones = {
        ExitStatus.STOPPED_EARLY if each.summary is None else each.summary.exit_status
        for each in results
        if not _is_done(each)
    }
    if open_ones:
        status = next((grave for grave in _GRAVEST if grave in open_ones), max(open_ones))
    elif config.fails(total - ok, total, **changes):
        status = ExitStatus.URLS_FAILED
    else:
        status = ExitStatus.OK
    return ShardsSummary(
        shards=tuple(results),
        exit_status=int(status),
        total=total,
        ok=ok,
        failed=dict(failed.most_common()),
        kept=sum(each.kept for each in summaries),
        bytes=sum(each.bytes for each in summaries),
        requests=sum(each.requests for each in summaries),
        restarts=sum(each.restarts for each in results),
    )

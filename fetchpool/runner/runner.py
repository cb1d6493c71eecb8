"""One run from its first line to its summary: the order of things, each in a room of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from fetchpool.config import Config, ConfigError, check_output
from fetchpool.connector import cleanup_closed_is_needless
from fetchpool.eventlog import EventSink, open_event_log
from fetchpool.exits import ExitStatus
from fetchpool.fetching import OurSideDownError
from fetchpool.ledger import (
    BodyOptions,
    Flag,
    Ledger,
    OutputError,
    Record,
    RunDirectory,
    RunOptions,
    encode,
)
from fetchpool.ledger.entries import read_entry
from fetchpool.pool import FetchPool
from fetchpool.report import Heading, Reporter
from fetchpool.runner.intake import Remaining
from fetchpool.runner.journal import Journal, OutputClosedError, RecordsFile
from fetchpool.runner.screen import keep_showing
from fetchpool.runner.stopping import Stopper
from fetchpool.sources import Reader, RequestCounter, SourceReadError, Sources, open_sources
from fetchpool.stats import Ending, Stats, Summary, failure_label
from fetchpool.stores import StoreError
from fetchpool.stores.directory import DirectoryStore
from fetchpool.stores.disposition import suggested_filename
from fetchpool.stores.null import NullStore

if TYPE_CHECKING:
    from fetchpool.fetching import Fetching
    from fetchpool.models import Outcome, Request
    from fetchpool.stores import Store


def run(
    config: Config,
    sources: Sequence[str],
    output: str | Path | None = None,
    *,
    reporter: Reporter | None = None,
    signals: bool = False,
    stdin: BinaryIO | None = None,
    title: str | None = None,
) -> Summary:
    """Fetch every URL of *sources* into the directory *output* and return the run in numbers.

    The command line's own door: *sources* are names of files, `-` (what *stdin* reads) or URLs.
    With *signals*, SIGINT, SIGTERM and SIGHUP stop the run gently, for the main thread only. Blocks
    until the end; the exit status a command would have is `summary.exit_status`.

    Raises before anything is fetched: `ConfigError`, `InputError` (a list can't be read),
    `OutputError` (the directory can't be used), `DirectoryBusyError`, `CannotGoOnError`. What goes
    wrong later ends the run and is told in the summary.
    """
    given = check_output(output)
    with open_sources(sources, stdin) as lists:
        work = Runner(config, lists, sources, given, reporter or Reporter(None), title)
        with asyncio.Runner(loop_factory=_loop_factory(config)) as loop:
            return loop.run(work.go(signals=signals))


class Runner:
    """One run; made anew for each."""

    def __init__(
        self,
        config: Config,
        lists: Sources,
        names: Sequence[str],
        output: str | None,
        reporter: Reporter,
        title: str | None = None,
    ) -> None:
        self._config = config
        self._lists = lists
        self._names = names
        self._reporter = reporter
        self._title = title or lists.title
        self._named = output is not None
        self._dest = _destination(config, names, output)
        self._stats = Stats(monotonic())
        self._events: EventSink = open_event_log(None)
        self._journal: Journal | None = None

    # -- the order of things ---------------------------------------------------------------------

    async def go(self, *, signals: bool) -> Summary:
        """Fetch the list; see `run`."""
        remaining = Remaining(Reader(self._lists.batches()))
        async with AsyncExitStack() as stack:
            stack.push_async_callback(remaining.aclose)
            self._events = _opened(self._config.log_file, open_event_log)
            stack.callback(self._events.close)
            stack.enter_context(self._catching_internal_errors())
            if not await remaining.find_first():
                return self._nothing_to_do()
            ledger, store = await self._open_output(stack, remaining)
            records = _opened(self._config.records, _open_records)
            if records is not None:
                stack.callback(records.close)
            self._journal = Journal(ledger, records, store, sync=self._config.durability == "batch")
            stack.push_async_callback(self._journal.close)
            self._journal.start()
            pool = await stack.enter_async_context(FetchPool(self._config, store=store))
            return await self._fetch(pool, remaining, ledger, signals=signals)

    async def _open_output(
        self, stack: AsyncExitStack, remaining: Remaining
    ) -> tuple[Ledger | None, Store]:
        """Take the run's directory, settle what an earlier run left, and make the store."""
        if self._dest is None:
            return None, NullStore()
        options = run_options(self._config)
        directory = await asyncio.to_thread(
            RunDirectory.open, self._dest, options, named=self._named, sources=self._names
        )
        stack.callback(directory.close)
        settled = await asyncio.to_thread(directory.settle, self._read_list)
        remaining.set_aside(settled.done, settled.waiting, self._keep)
        for label, count in settled.kept.failed.items():
            self._stats.kept(ok=False, label=label, count=count)
        self._stats.kept(ok=True, count=settled.kept.ok)
        if self._config.no_body:
            return settled.ledger, NullStore()
        try:
            store = DirectoryStore(
                self._dest,
                is_foreign=directory.is_foreign,
                durability=self._config.durability,
                filename_of=suggested_filename if self._config.content_disposition else None,
            )
        except StoreError as error:
            raise OutputError(str(error)) from error
        stack.callback(store.close)
        return settled.ledger, store

    async def _fetch(
        self, pool: FetchPool, remaining: Remaining, ledger: Ledger | None, *, signals: bool
    ) -> Summary:
        config, reporter = self._config, self._reporter
        self._warn_early(pool)
        reporter.start(
            Heading(
                source=self._title,
                destination=None if self._dest is None else str(self._dest),
                limit=pool.budget.limit,
                per_host=config.per_host,
            )
        )
        self._events.event("run-started", source=self._title, destination=self._dest_text)
        fetching = pool.fetch_from(
            remaining,
            stats=self._stats,
            observer=Observer(self._stats, self._events),
            pack=self._lists.pack,
            unpack=self._lists.unpack,
        )
        stopper = Stopper(fetching.stop, fetching.abort)
        if signals:
            stopper.watch_signals()
        if config.max_time:
            stopper.after(config.max_time, "--max-time", ExitStatus.STOPPED_EARLY)
        async with self._display(pool, fetching, remaining) as counter:
            try:
                trouble = await self._drain(fetching, remaining, ledger)
            finally:
                stopper.close()
        for _ in range(pool.connections_opened):
            self._stats.connection_opened()
        return await self._end(remaining, ledger, stopper, trouble, counter)

    async def _drain(
        self, fetching: Fetching, remaining: Remaining, ledger: Ledger | None
    ) -> tuple[str, ExitStatus] | None:
        """Take outcomes until there are no more; return what ended the run early, if it was us."""
        journal = self._journal
        assert journal is not None
        several = self._lists.several
        expected = False
        trouble: tuple[str, ExitStatus] | None = None
        try:
            while outcomes := await fetching.batch():
                if remaining.ended and not expected and ledger is not None:
                    expected = True
                    await journal.in_ledger_lane(partial(ledger.expect, remaining.requests))
                for outcome in outcomes:
                    if not outcome.ok:
                        self._log_failure(outcome)
                    await journal.put(encode(Record.of(outcome, several=several)))
        except OSError as error:
            trouble = (_os_trouble(error), ExitStatus.IO_ERROR)
        except (StoreError, SourceReadError) as error:
            trouble = (str(error), ExitStatus.IO_ERROR)
        except OutputClosedError:
            trouble = ("", ExitStatus.PIPE_CLOSED)
        except OurSideDownError as error:
            trouble = (str(error), ExitStatus.STOPPED_EARLY)
        if trouble is not None:
            await fetching.aclose()
        try:
            await journal.flush()
        except (OSError, StoreError) as error:
            trouble = trouble or (str(error), ExitStatus.IO_ERROR)
        except OutputClosedError:
            trouble = trouble or ("", ExitStatus.PIPE_CLOSED)
        return trouble

    async def _end(
        self,
        remaining: Remaining,
        ledger: Ledger | None,
        stopper: Stopper,
        trouble: tuple[str, ExitStatus] | None,
        counter: RequestCounter | None,
    ) -> Summary:
        """Settle ledger, exit status and summary."""
        numbers = self._stats.summary(monotonic(), Ending(exit_status=0))
        complete = remaining.ended and numbers.total == remaining.requests
        status = ExitStatus.OK
        stopped_by: str | None = None
        if trouble is not None:
            stopped_by, status = trouble
        elif not complete:
            stopped_by, status = stopper.reason, stopper.status or ExitStatus.STOPPED_EARLY
        elif self._config.fails(numbers.total - numbers.ok, numbers.total):
            status = ExitStatus.URLS_FAILED
        if ledger is not None:
            try:
                await self._close_ledger(ledger, remaining, complete=complete)
            except OSError as error:
                stopped_by, status = _os_trouble(error), ExitStatus.IO_ERROR
        summary = self._stats.summary(
            monotonic(),
            Ending(
                exit_status=int(status),
                source=self._title,
                destination=self._dest_text,
                records=f"{self._dest_text}/results.jsonl" if self._dest else self._config.records,
                again=self._again(status),
                stopped_by=stopped_by or None,
                expected=_expected(remaining, counter),
            ),
        )
        self._events.event("run-ended", status=int(status), ok=summary.ok, total=summary.total)
        if trouble is not None and trouble[0]:
            self._reporter.error(self._explain(trouble[0]))
        await self._write_metrics(summary)
        if status is not ExitStatus.PIPE_CLOSED:
            self._reporter.finish(summary)
        return summary

    async def _close_ledger(self, ledger: Ledger, remaining: Remaining, *, complete: bool) -> None:
        journal = self._journal
        assert journal is not None
        await journal.in_ledger_lane(journal.sync_bodies)
        if complete:
            await journal.in_ledger_lane(partial(ledger.finish, remaining.requests))
        await journal.in_ledger_lane(ledger.close)

    # -- small things ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _catching_internal_errors(self) -> Iterator[None]:
        log = logging.getLogger("fetchpool")
        handler = _InternalErrors(self._reporter, self._events)
        log.addHandler(handler)
        before, log.propagate = log.propagate, False
        try:
            yield
        finally:
            log.removeHandler(handler)
            log.propagate = before

    @contextlib.asynccontextmanager
    async def _display(
        self, pool: FetchPool, fetching: Fetching, remaining: Remaining
    ) -> AsyncIterator[RequestCounter | None]:
        """Keep a display up to date meanwhile, if somebody looks at it."""
        if not self._reporter.wants_updates:
            yield None
            return
        counter = RequestCounter(self._lists) if self._lists.seekable else None
        if counter is not None:
            counter.start()
        task = asyncio.create_task(
            keep_showing(self._reporter, self._stats, pool, fetching, remaining, counter)
        )
        try:
            yield counter
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if counter is not None:
                counter.stop()

    def _read_list(self) -> Iterator[Request]:
        return (request for batch in self._lists.batches() for request in batch.requests)

    async def _keep(self, request: Request, record: bytes) -> None:
        """Put the record of an earlier run into today's ledger."""
        entry = read_entry(record)
        assert self._journal is not None
        assert entry is not None
        self._stats.kept(ok=entry.ok, label=failure_label(entry.error, entry.status))
        await self._journal.put(record)

    def _log_failure(self, outcome: Outcome) -> None:
        self._events.event(
            "failed",
            seq=outcome.request.seq,
            url=outcome.request.url,
            error=outcome.error,
            status=outcome.status,
            detail=outcome.detail,
        )

    def _warn_early(self, pool: FetchPool) -> None:
        if pool.budget.warning:
            self._reporter.warn(pool.budget.warning)
        if self._config.cleanup_closed and cleanup_closed_is_needless():
            self._reporter.warn(
                "--cleanup-closed does nothing on this Python, which closes TLS connections itself."
            )

    def _nothing_to_do(self) -> Summary:
        self._reporter.warn(f"no URL in {self._title}: nothing to do.")
        return self._stats.summary(monotonic(), Ending(exit_status=0, source=self._title))

    @property
    def _dest_text(self) -> str | None:
        return None if self._dest is None else str(self._dest)

    def _again(self, status: ExitStatus) -> str | None:
        if status is not ExitStatus.URLS_FAILED or self._dest is None:
            return None
        return " ".join(["fetchpool get", *self._words(), "--retry-failed"])

    def _words(self) -> list[str]:
        words = [shlex.quote(name) for name in self._names]
        return [*words, "-o", shlex.quote(str(self._dest))] if self._named else words

    def _explain(self, what: str) -> str:
        if self._dest is None:
            return f"{what}."
        return f"{what}. What was fetched is recorded; run the same command again to go on."

    async def _write_metrics(self, summary: Summary) -> None:
        path = self._config.metrics_file
        if path is None:
            return
        from fetchpool.metrics import write_metrics

        try:
            await asyncio.to_thread(write_metrics, path, summary, time())
        except OSError as error:
            self._reporter.error(f"cannot write --metrics-file {path}: {error.strerror}")


class Observer:
    """Counts what happens beside outcomes, and notes it in the log file."""

    def __init__(self, stats: Stats, events: EventSink) -> None:
        self._stats = stats
        self._events = events

    def retried(self) -> None:
        """Count a further attempt."""
        self._stats.retried()

    def parked(self, host: str, seconds: float, why: str) -> None:
        """Count and note that *host* is left alone for a while."""
        self._stats.parked(host, seconds, why)
        self._events.event("host-parked", host=host, seconds=round(seconds, 3), why=why)

    def outage(self, began: bool) -> None:
        """Note that our side's network is down, or back."""
        self._events.event("our-network-down" if began else "our-network-back")


class _InternalErrors(logging.Handler):
    """Our own bugs: one line for a person, the traceback for the log file."""

    def __init__(self, reporter: Reporter, events: EventSink) -> None:
        super().__init__()
        self._reporter = reporter
        self._events = events

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            return
        self._events.crash("internal-error", error)
        self._reporter.warn(
            f"a bug in fetchpool: {error!r}. With --log-file its traceback is kept."
        )


def run_options(config: Config) -> RunOptions:
    """Return what of *config* decides how the run's directory is used."""
    flag = Flag.PLAIN
    if config.retry_failed:
        flag = Flag.RETRY_FAILED
    elif config.once:
        flag = Flag.ONCE
    elif config.fresh:
        flag = Flag.FRESH
    return RunOptions(
        flag,
        config.retry_kinds,
        BodyOptions(config.no_body, config.hash, config.keep_errors),
        config.durability,
    )


def _destination(config: Config, names: Sequence[str], output: str | None) -> Path | None:
    """Return the directory of the run; None where nothing stays on disk."""
    if output is not None:
        return Path(output)
    if config.no_body:
        return None
    only = names[0] if len(names) == 1 else ""
    if only.lower().endswith(".txt") and "://" not in only:
        return Path(Path(only).name[: -len(".txt")] + ".fetched")
    return Path("fetched")


def _expected(remaining: Remaining, counter: RequestCounter | None) -> int | None:
    """Return how many URLs the whole list has, if that is known."""
    if remaining.ended:
        return remaining.requests
    return counter.total if counter is not None else None


R = TypeVar("R")


def _opened(path: str | None, opener: Callable[[str | None], R]) -> R:
    """Return what *opener* makes of *path*; raises `OutputError` where it can't be created."""
    try:
        return opener(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error


def _open_records(path: str | None) -> RecordsFile | None:
    return None if path is None else RecordsFile(path)


def _os_trouble(error: OSError) -> str:
    where = f" {error.filename}" if error.filename else ""
    return f"cannot write{where}: {os.strerror(error.errno) if error.errno else error}"


def _loop_factory(config: Config) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return what makes the event loop: uvloop where it runs (+20 % on small bodies)."""
    if config.event_loop == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop
    except ImportError:
        if config.event_loop == "uvloop":
            raise ConfigError("--event-loop uvloop is not installed here: use auto") from None
        return asyncio.new_event_loop
    return uvloop.new_event_loop

"""One run from its first line to its summary: the order of things, each in a room of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from time import monotonic, time
from typing import TYPE_CHECKING, BinaryIO

from fetchpool.config import Config, check_output
from fetchpool.config.rules import check_has_directory
from fetchpool.model.bodies import StoreError
from fetchpool.model.exits import ExitStatus
from fetchpool.model.urls import hiding
from fetchpool.network.connector import cleanup_closed_is_needless
from fetchpool.output.ledger import Ledger, OutputError
from fetchpool.output.ledger.layout import LEDGER
from fetchpool.output.records import (
    STDOUT,
    RecordsError,
    RecordsFile,
    WholeRecords,
    open_records,
)
from fetchpool.output.sinks.null import NullStore
from fetchpool.pipeline.event_loop import loop_factory
from fetchpool.pipeline.pool import FetchPool, check_surroundings
from fetchpool.reporting.event_log import EventSink, open_event_log
from fetchpool.reporting.stats import Ending, Stats, Summary, another_try_may_help
from fetchpool.reporting.terminal import Heading, Reporter
from fetchpool.run.account import Account
from fetchpool.run.choices import (
    check_call,
    check_targets,
    command_again,
    destination,
    failed_records,
    opened,
)
from fetchpool.run.intake import Remaining
from fetchpool.run.journal import Journal
from fetchpool.run.output import Output, open_output
from fetchpool.run.screen import WAITING_S, keep_showing, stopping
from fetchpool.run.stopping import Stopper
from fetchpool.run.streams import occupy_closed_streams
from fetchpool.run.trouble import OurTrouble, Trouble, trouble_of
from fetchpool.run.watching import Observer, catching_internal_errors
from fetchpool.scaling.hiring import Hire, spawn
from fetchpool.scaling.sharing import worker_count
from fetchpool.sources import Reader, RequestCounter, Sources, open_sources

if TYPE_CHECKING:
    from fetchpool.model.values import Outcome, Request
    from fetchpool.output.ledger.entries import Line
    from fetchpool.output.sinks.directory import DirectoryStore
    from fetchpool.pipeline.fetching import Fetching
    from fetchpool.scaling.dispatch import Dispatch
    from fetchpool.scaling.fleet import Fleet


def run(
    config: Config,
    sources: Sequence[str],
    output: str | Path | None = None,
    *,
    reporter: Reporter | None = None,
    signals: bool = False,
    stdin: BinaryIO | None = None,
    title: str | None = None,
    hire: Hire = spawn,
) -> Summary:
    """Fetch every URL of *sources* into the directory *output* and return the run in numbers.

    The command line's own door: *sources* are names of files, `-` (what *stdin* reads) or URLs.
    With *signals*, SIGINT, SIGTERM and SIGHUP stop the run gently, for the main thread only. Blocks
    until the end; the exit status a command would have is `summary.exit_status`. *hire* starts a
    worker process, where there are to be several.

    Raises before anything is fetched: `ConfigError`, `InputError` (a list can't be read),
    `OutputError` (the directory can't be used), `DirectoryBusyError`, `CannotGoOnError`. What goes
    wrong later ends the run and is told in the summary. KeyboardInterrupt comes out after what was
    fetched is recorded. RuntimeError where an event loop is running already.
    """
    check_call(sources)
    given = check_output(output)
    check_has_directory(config, given)
    if STDOUT in occupy_closed_streams() and config.records == "-":
        raise OutputError("--records - needs a standard output; it is closed")
    with hiding(config.secret_param), open_sources(sources, stdin, named=config.add) as lists:
        work = Runner(config, lists, sources, given, reporter, title, hire)
        with asyncio.Runner(loop_factory=loop_factory(config)) as loop:
            return loop.run(work.go(signals=signals))


class Runner:
    """One run; made anew for each."""

    def __init__(
        self,
        config: Config,
        lists: Sources,
        names: Sequence[str],
        output: str | None,
        reporter: Reporter | None,
        title: str | None = None,
        hire: Hire = spawn,
    ) -> None:
        self._config = config
        self._lists = lists
        self._names = names
        self._reporter = reporter or Reporter(None)
        self._told = reporter is not None
        self._title = title or lists.title
        self._hire = hire
        self._named = output is not None
        self._dest = destination(config, names, output)
        self._spill_directory: str | None = None
        self._files: DirectoryStore | None = None
        self._stats = Stats(monotonic())
        self._events: EventSink = open_event_log(None)
        self._journal: Journal | None = None
        self._copy: WholeRecords | None = None
        self._account = Account(self._stats, config.failures, names)
        self._total_is_told = False
        self._warned_of_descriptors = False

    # -- the order of things ---------------------------------------------------------------------

    async def go(self, *, signals: bool) -> Summary:
        """Fetch the list; see `run`."""
        remaining = Remaining(Reader(self._lists.batches()))
        check_surroundings(self._config)
        check_targets(self._config, self._dest, self._names)
        async with AsyncExitStack() as stack:
            stopper = stack.enter_context(
                Stopper(lambda reason: self._events.event("stopping", why=reason))
            )
            self._listen(stopper, signals=signals)
            stack.push_async_callback(remaining.aclose)
            self._events = opened(
                "--log-file", self._config.log_file, partial(open_event_log, self._config.log_file)
            )
            stack.callback(self._events.close)
            if self._told:
                stack.enter_context(catching_internal_errors(self._reporter, self._events))
            if not await self._find_first(remaining, stopper):
                self._stats.line_skipped(remaining.skipped)
                return await self._nothing_done(stopper)
            # Opening and settling can't be left halfway: who asks twice gets the default action.
            stopper.steps(lambda: None)
            output = await self._open_output(stack)
            records = self._opened_records(has_ledger=output is not None)
            self._copy = records if isinstance(records, WholeRecords) else None
            self._journal = journal = Journal(
                records if isinstance(records, RecordsFile) else None,
                self._account.recorded,
                several=self._lists.named,
            )
            stack.push_async_callback(journal.close)
            ledger = None if output is None else await self._settle(output, remaining)
            pool = self._pool(output)
            stack.push_async_exit(pool)
            await pool.__aenter__()
            return await self._fetch(pool, remaining, ledger, stopper)

    def _listen(self, stopper: Stopper, *, signals: bool) -> None:
        if signals:
            stopper.watch_signals()
        if self._config.max_time:
            stopper.after(self._config.max_time, "--max-time", ExitStatus.STOPPED_EARLY)

    async def _find_first(self, remaining: Remaining, stopper: Stopper) -> bool:
        """Wait for the list's first URL; return False if there is none, or somebody said stop."""
        finding = asyncio.ensure_future(remaining.find_first())
        stopper.steps(finding.cancel)
        try:
            return await finding
        except asyncio.CancelledError:
            if stopper.reason is None:
                raise
            return False

    async def _open_output(self, stack: AsyncExitStack) -> Output | None:
        """Take the run's directory, where there is to be one."""
        if self._dest is None:
            return None
        output = await open_output(stack, self._config, self._dest, self._names, named=self._named)
        self._spill_directory = output.spill_directory
        self._files = output.files
        return output

    async def _settle(self, output: Output, remaining: Remaining) -> Ledger:
        """Make the ledger of an earlier run today's, and pass over what it answered."""
        assert self._dest is not None
        assert self._journal is not None
        settled = await output.settle(self._read_list)
        in_place = settled.waiting is not None and settled.waiting.in_place
        keep = self._count_kept if in_place else self._journal.keep
        remaining.set_aside(settled.done, settled.waiting, keep, offset=settled.offset)
        for label, count in settled.kept.failed.items():
            self._account.kept(ok=False, label=label, count=count)
        self._account.kept(ok=True, count=settled.kept.ok)
        self._journal.write_to(settled.ledger, self._dest / LEDGER)
        return settled.ledger

    def _pool(self, output: Output | None) -> FetchPool | Fleet:
        """Return what fetches: this process, or several."""
        if worker_count(self._config) > 1:
            from fetchpool.scaling.fleet import Fleet

            shows = self._reporter.wants_updates
            layout = None if output is None else output.layout
            return Fleet(self._config, layout, shows=shows, hire=self._hire)
        return FetchPool(replace(self._config, workers=1), store=self._files or NullStore())

    async def _fetch(
        self, pool: FetchPool | Fleet, remaining: Remaining, ledger: Ledger | None, stopper: Stopper
    ) -> Summary:
        config, reporter = self._config, self._reporter
        self._warn_early(pool)
        reporter.start(
            Heading(
                source=self._title,
                destination=None if self._dest is None else str(self._dest),
                limit=pool.budget.limit,
                per_host=config.per_host,
                rate=config.rate,
                host_rate=config.host_rate,
                max_time_s=config.max_time,
            )
        )
        self._events.event("run-started", source=self._title, destination=self._dest_text)
        fetching = pool.fetch_from(
            remaining,
            stats=self._stats,
            observer=Observer(self._stats, self._events, self._reporter),
            spill_directory=self._spill_directory,
        )
        journal = self._journal
        assert journal is not None
        journal.start(on_trouble=fetching.abort)
        stopper.steps(partial(self._stop, fetching, stopper), partial(_abort, fetching, journal))
        async with self._display(pool, fetching, remaining, stopper) as counter:
            trouble = await self._drain(fetching, remaining, ledger)
        self._stats.received_so_far(pool.bytes_received)
        for _ in range(pool.connections_opened):
            self._stats.connection_opened()
        return await self._end(remaining, ledger, stopper, trouble, counter)

    async def _drain(
        self, fetching: Fetching | Dispatch, remaining: Remaining, ledger: Ledger | None
    ) -> Trouble | None:
        """Record outcomes until there are no more; return what ended the run early, if it was us.

        Whatever does end it, what was fetched is recorded, unless just that is the trouble.
        """
        journal = self._journal
        assert journal is not None
        trouble: Trouble | None = None
        recording = asyncio.ensure_future(self._record_outcomes(fetching, remaining, ledger))
        try:
            await asyncio.shield(recording)
        except OurTrouble as error:
            trouble = self._trouble_of(error)
            await fetching.aclose()
        except asyncio.CancelledError:  # Ctrl-C in a program that doesn't have us watch signals
            fetching.abort()
            with contextlib.suppress(*OurTrouble):
                await recording
                await journal.flush()
                if ledger is not None:
                    await self._close_ledger(ledger, remaining, complete=False)
            with contextlib.suppress(RecordsError):
                await self._write_copy()
            raise
        try:
            await journal.flush()
        except OurTrouble as error:
            trouble = trouble or self._trouble_of(error)
        if journal.trouble is not None:
            trouble = trouble or self._trouble_of(journal.trouble)
        return trouble

    async def _record_outcomes(
        self, fetching: Fetching | Dispatch, remaining: Remaining, ledger: Ledger | None
    ) -> None:
        journal = self._journal
        assert journal is not None
        while outcomes := await fetching.batch():
            if remaining.ended and ledger is not None and not self._total_is_told:
                self._total_is_told = True
                await journal.in_ledger_lane(partial(ledger.expect, *_expected_of(remaining)))
            for outcome in outcomes:
                if not outcome.ok:
                    self._log_failure(outcome)
            await journal.put(outcomes)
            self._warn_of_descriptors(fetching)

    async def _end(
        self,
        remaining: Remaining,
        ledger: Ledger | None,
        stopper: Stopper,
        trouble: Trouble | None,
        counter: RequestCounter | None,
    ) -> Summary:
        """Settle ledger, exit status and summary."""
        numbers = self._stats.summary(monotonic(), Ending(exit_status=0))
        complete = remaining.ended and numbers.total == remaining.requests
        if ledger is not None:
            try:
                await self._close_ledger(ledger, remaining, complete=complete)
            except OurTrouble as error:
                trouble = trouble or self._trouble_of(error)
        try:
            await self._write_copy()
        except RecordsError as error:
            trouble = trouble or self._trouble_of(error)
        if complete and numbers.ok == numbers.total and self._files is not None:
            with contextlib.suppress(StoreError):  # of lines that left the list; nobody waits
                await asyncio.to_thread(self._files.remove_leftovers)
        status = ExitStatus.OK
        stopped_by: str | None = None
        if trouble is not None:
            stopped_by, status = trouble.stopped_by, trouble.status
        elif not complete:
            stopped_by, status = stopper.reason, stopper.status or ExitStatus.STOPPED_EARLY
        elif self._config.fails(numbers.total - numbers.ok, numbers.total):
            status = ExitStatus.URLS_FAILED
        summary = self._stats.summary(
            monotonic(),
            Ending(
                exit_status=int(status),
                source=self._title,
                destination=self._dest_text,
                records=self._records_text,
                failed_records=failed_records(self._config, self._records_text),
                again=self._again(status, numbers.failed),
                stopped_by=stopped_by,
                expected=_expected(remaining, counter),
            ),
        )
        self._events.event("run-ended", status=int(status), ok=summary.ok, total=summary.total)
        if trouble is not None and trouble.what is not None:
            self._reporter.error(self._explain(trouble.what))
        if self._events.trouble is not None:
            reason = self._events.trouble.strerror
            self._reporter.warn(f"--log-file {self._config.log_file} is not complete: {reason}")
        await self._write_metrics(summary)
        if status is not ExitStatus.PIPE_CLOSED:
            await self._finish(summary)
        return summary

    async def _finish(self, summary: Summary) -> None:
        """Say what came of the run, and what failed."""
        says_nothing = self._config.quiet and not summary.exit_status
        if says_nothing or not self._told or not summary.failures:
            self._reporter.finish(summary)
            return
        ledger = None if self._dest is None else self._dest / LEDGER
        failures = await self._account.failures(ledger)
        # In a thread: a list of all may be long, and its reader slow.
        await asyncio.to_thread(self._reporter.finish, summary, failures)

    async def _close_ledger(self, ledger: Ledger, remaining: Remaining, *, complete: bool) -> None:
        journal = self._journal
        assert journal is not None
        try:
            if complete:
                await journal.in_ledger_lane(partial(ledger.finish, *_expected_of(remaining)))
        finally:
            await journal.in_ledger_lane(ledger.close)

    async def _write_copy(self) -> None:
        """Write all records of the run to the file of `--records`; raises `RecordsError`."""
        if self._copy is not None and self._dest is not None:
            await asyncio.to_thread(self._copy.write, self._dest / LEDGER)

    def _stop(self, fetching: Fetching | Dispatch, stopper: Stopper) -> None:
        """Start nothing more; say after a moment what is waited for, unless a display does."""
        fetching.stop()
        if not self._reporter.wants_updates:
            asyncio.get_running_loop().call_later(
                WAITING_S, self._tell_of_waiting, fetching, stopper
            )

    def _tell_of_waiting(self, fetching: Fetching | Dispatch, stopper: Stopper) -> None:
        if fetching.running and not fetching.ended:
            self._reporter.warn(stopping(fetching, stopper))

    # -- small things ----------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _display(
        self,
        pool: FetchPool | Fleet,
        fetching: Fetching | Dispatch,
        remaining: Remaining,
        stopper: Stopper,
    ) -> AsyncIterator[RequestCounter | None]:
        """Keep a display up to date meanwhile, if somebody looks at it."""
        if not self._reporter.wants_updates:
            yield None
            return
        counter = RequestCounter(self._lists) if self._lists.seekable else None
        if counter is not None:
            counter.start()
        task = asyncio.create_task(
            keep_showing(self._reporter, self._stats, pool, fetching, remaining, counter, stopper)
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

    async def _count_kept(self, line: Line) -> None:
        """Count an answer of an earlier run that is in the ledger already."""
        self._account.recorded((line.entry,))

    def _opened_records(self, *, has_ledger: bool) -> RecordsFile | WholeRecords | None:
        config = self._config
        several = self._lists.named
        opener = partial(open_records, config, several=several, has_ledger=has_ledger)
        return opened("--records", config.records, opener)

    def _trouble_of(self, error: BaseException) -> Trouble:
        return trouble_of(error, self._spill_directory or gettempdir())

    def _log_failure(self, outcome: Outcome) -> None:
        self._events.event(
            "failed",
            seq=outcome.request.seq,
            url=outcome.request.url,
            error=outcome.error,
            status=outcome.status,
            detail=outcome.detail,
        )

    def _warn_early(self, pool: FetchPool | Fleet) -> None:
        if pool.budget.warning:
            self._warned_of_descriptors = True
            self._reporter.warn(pool.budget.warning)
        if self._config.cleanup_closed and cleanup_closed_is_needless():
            self._reporter.warn(
                "--cleanup-closed does nothing on this Python, which closes TLS connections itself."
            )

    def _warn_of_descriptors(self, fetching: Fetching | Dispatch) -> None:
        """Say once that the descriptors don't suffice for what was asked."""
        if fetching.lowered_to is not None and not self._warned_of_descriptors:
            self._warned_of_descriptors = True
            self._reporter.warn(
                f"no more files can be opened: {fetching.lowered_to} requests at a time from now "
                "on. Raise the limit with 'ulimit -n'."
            )

    async def _nothing_done(self, stopper: Stopper) -> Summary:
        """Return the summary of a run that had no URL, or was stopped before it had one."""
        status = ExitStatus.OK
        if stopper.status is not None:
            status = stopper.status
        elif records := self._opened_records(has_ledger=self._dest is not None):
            # What an earlier run left there is not today's.
            if isinstance(records, WholeRecords):
                records.write(None)
            else:
                records.make_anew()
                records.close()
        ending = Ending(exit_status=int(status), source=self._title, stopped_by=stopper.reason)
        summary = self._stats.summary(monotonic(), ending)
        self._reporter.finish(summary)
        await self._write_metrics(summary)
        return summary

    @property
    def _dest_text(self) -> str | None:
        return None if self._dest is None else str(self._dest)

    @property
    def _records_text(self) -> str | None:
        """Where the records can be found afterwards."""
        if self._dest is not None:
            return f"{self._dest_text}/{LEDGER}"
        return None if self._config.records == "-" else self._config.records

    def _again(self, status: ExitStatus, failed: Iterable[str]) -> str | None:
        if status is not ExitStatus.URLS_FAILED or self._dest is None:
            return None
        if not another_try_may_help(failed):
            return None
        command = command_again(self._config, self._names, self._dest if self._named else None)
        return command or "the same command with --retry-failed"

    def _explain(self, what: str) -> str:
        if self._dest is None:
            return f"{what}."
        return f"{what}. Run the same command again to go on."

    async def _write_metrics(self, summary: Summary) -> None:
        path = self._config.metrics_file
        if path is None:
            return
        from fetchpool.reporting.metrics import write_metrics

        try:
            labels = self._config.metrics_label
            await asyncio.to_thread(write_metrics, path, summary, time(), labels)
        except OSError as error:
            self._reporter.warn(f"cannot write --metrics-file {path}: {error.strerror}")


def _abort(fetching: Fetching | Dispatch, journal: Journal) -> None:
    """Cut off what runs, and wait for no reader of records."""
    fetching.abort()
    journal.give_up_reader()


def _expected_of(remaining: Remaining) -> tuple[int, int]:
    """Return how many records the list brings, and how many lines it has."""
    return remaining.requests - remaining.answered_before, remaining.lines


def _expected(remaining: Remaining, counter: RequestCounter | None) -> int | None:
    """Return how many URLs the whole list has, if that is known."""
    if remaining.ended:
        return remaining.requests
    return counter.total if counter is not None else None

"""One run from its first line to its summary: the steps in their order, each in its own module.

call ─▶ first URL ─▶ output ─▶ recording ─▶ fetcher ─▶ ending
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from fetchpool.config import Config, check_output
from fetchpool.config.rules import check_has_directory, check_place, check_shards
from fetchpool.config.shard_values import Shards
from fetchpool.config.splitting import split_of
from fetchpool.model.exits import ExitStatus
from fetchpool.model.shards import Shard
from fetchpool.model.urls import hiding
from fetchpool.network.descriptors import make_budget
from fetchpool.output.cookies import save_cookies
from fetchpool.output.export import descriptor_written
from fetchpool.output.ledger import OutputError
from fetchpool.output.ledger.record import expected_keys
from fetchpool.output.sinks import open_sink
from fetchpool.output.sinks.routed import routed
from fetchpool.pipeline.event_loop import loop_factory
from fetchpool.pipeline.pool import FetchPool, check_surroundings
from fetchpool.run.agreement import check_agreement
from fetchpool.run.call import Call
from fetchpool.run.choices import check_call, check_targets, layout_of
from fetchpool.run.counting import Counting
from fetchpool.run.ending import Closing
from fetchpool.run.intake import Divided, Remaining
from fetchpool.run.output import Output, open_output
from fetchpool.run.recorder import Recorder
from fetchpool.run.recording import Recording
from fetchpool.run.screen import Shown, displaying, tell_of_waiting
from fetchpool.run.stopping import Stopper
from fetchpool.run.streams import occupy_closed_streams
from fetchpool.run.telling import Telling
from fetchpool.run.timekeeping import Timekeeping
from fetchpool.run.trouble import Trouble
from fetchpool.run.watching import Observer, catching_internal_errors
from fetchpool.scaling.sharing import worker_count
from fetchpool.sources import FetchedSitemaps, Reader, RequestReader, open_sources

if TYPE_CHECKING:
    from fetchpool.model.cookies import Cookie
    from fetchpool.model.split import Split
    from fetchpool.model.values import Request
    from fetchpool.pipeline.fetcher import Fetcher
    from fetchpool.reporting.stats import Summary
    from fetchpool.reporting.terminal import Reporter


def run(
    config: Config,
    sources: Sequence[str],
    output: str | Path | None = None,
    *,
    reporter: Reporter | None = None,
    signals: bool = False,
    stdin: BinaryIO | None = None,
    title: str | None = None,
    shard: Shard | Sequence[Shard] | str | None = None,
) -> Summary:
    """Fetch every URL of *sources* into the directory *output* and return the run in numbers.

    The command line's own door: *sources* are names of files, `-` (what *stdin* reads) or URLs.
    With *shard* (`fetchpool.Shard(3, 64)`, several, or as in `--shard`) it is that part of the
    list, whatever *config* says. With *signals*, SIGINT, SIGTERM and SIGHUP stop the run gently,
    for the main thread only. Blocks until the end; the exit status a command would have is
    `summary.exit_status`.

    Raises before anything is fetched: `ConfigError`, `InputError` (a list can't be read),
    `OutputError` (the directory can't be used), `DirectoryBusyError`, `CannotGoOnError`. What goes
    wrong later ends the run and is told in the summary. KeyboardInterrupt comes out after what was
    fetched is recorded. RuntimeError where an event loop is running already.
    """
    check_call(sources)
    if shard is not None:
        config = replace(config, shard=shard)
    check_shards(config)
    given = check_output(output)
    check_has_directory(config, given)
    check_place(config, given)
    closed = occupy_closed_streams()
    if config.records is not None and descriptor_written(config.records) in closed:
        raise OutputError(f"cannot write --records {config.records}: it is closed")
    with (
        hiding(config.secret_param),
        open_sources(
            sources,
            stdin,
            named=config.add,
            ask=config.ask,
            reading=config.reading,
            fetched=FetchedSitemaps(),
            split=split_of(config),
        ) as lists,
    ):
        layout = layout_of(config, sources, given)
        root = layout if config.shard else None
        title = title or lists.title
        if len(config.shard) > 1:
            title = f"{title}, shards {Shards().show(config.shard)}"
        call = Call(config, lists, sources, title, layout, given is not None, root)
        work = Runner(call, reporter)
        with asyncio.Runner(loop_factory=loop_factory(config)) as loop:
            return loop.run(work.go(signals=signals))


class Runner:
    """One run; made anew for each."""

    def __init__(self, call: Call, reporter: Reporter | None) -> None:
        self._parts = call.parts
        # With one shard it is a run like others, only in the shard's directory.
        self._call = call = self._parts[0] if len(self._parts) == 1 else call
        self._config = call.config
        self._split = call.lists.split if len(self._parts) > 1 else None
        self._telling = Telling(call, reporter)
        self._remaining = Remaining(Reader(call.lists.batches()))
        self._reader: RequestReader = self._remaining
        self._stopper = Stopper(self._telling.stopping)
        self._closing = Closing(call, self._telling, self._stopper)
        self._cookies: Callable[[], list[Cookie]] = list
        """What returns the cookies of the run at its end."""

    async def go(self, *, signals: bool) -> Summary:
        """Fetch the list; see `run`."""
        check_surroundings(self._config)
        check_targets(self._config, self._call.layout, self._call.names)
        async with AsyncExitStack() as stack:
            self._listen(stack, signals=signals)
            stack.push_async_callback(self._remaining.aclose)
            self._open_log(stack)
            if not await self._find_first():
                self._telling.stats.line_skipped(self._remaining.skipped)
                # That a shard has no URL is to be known, too.
                if self._stopper.reason is not None or not self._config.shard:
                    return await self._closing.end_without_urls()
            # Opening and settling can't be left halfway: who asks twice gets the default action.
            self._stopper.steps(lambda: None)
            outputs = await self._open_outputs(stack)
            recorder = self._recorder(stack, outputs)
            await recorder.settle()
            if outputs and outputs[0].directory.refreshes:
                self._config = replace(self._config, refresh=True)
            fetcher = await self._fetcher(stack, outputs)
            return await self._fetch(fetcher, recorder)

    def _listen(self, stack: AsyncExitStack, *, signals: bool) -> None:
        stack.enter_context(self._stopper)
        if signals:
            self._stopper.watch_signals()
        if self._config.max_time:
            self._stopper.after(self._config.max_time, "--max-time", ExitStatus.STOPPED_EARLY)

    def _open_log(self, stack: AsyncExitStack) -> None:
        telling = self._telling
        telling.open_log()
        stack.callback(telling.events.close)
        if telling.is_heard:
            stack.enter_context(catching_internal_errors(telling.reporter, telling.events))

    async def _find_first(self) -> bool:
        """Wait for the list's first URL; return False if there is none, or somebody said stop."""
        finding = asyncio.ensure_future(self._remaining.find_first())
        self._stopper.steps(finding.cancel)
        try:
            return await finding
        except asyncio.CancelledError:
            if self._stopper.reason is None:
                raise
            return False

    async def _open_outputs(self, stack: AsyncExitStack) -> list[Output]:
        """Take the run's directory, where there is to be one, or those of its shards."""
        outputs: list[Output] = []
        call = self._call
        if call.layout is None:
            return outputs
        await asyncio.to_thread(check_agreement, call)
        for part in self._parts:
            assert part.layout is not None
            output = await open_output(
                stack, part.config, part.layout, part.names, named=part.named, lists=part.lists
            )
            self._telling.warn_of_lost_bodies(output.directory.lost)
            outputs.append(output)
        return outputs

    def _recorder(self, stack: AsyncExitStack, outputs: list[Output]) -> Recorder:
        """Return what records outcomes, in one ledger or in those of several shards."""
        telling, split = self._telling, self._split
        counting = Counting(telling.stats, self._config.failures, self._call.names)
        recordings: dict[int, Recording] = {}
        remaining: dict[int, Remaining] = {}
        for number, part in enumerate(self._parts):
            output = outputs[number] if outputs else None
            if split is None:
                recordings[0] = Recording(part, output, self._remaining, telling, counting)
            else:
                index = part.config.shard[0].index
                remaining[index] = Remaining(self._reader)
                recordings[index] = Recording(
                    part,
                    output,
                    remaining[index],
                    telling,
                    counting,
                    partial(_belongs_to, split, index),
                )
        if split is not None:
            self._reader = Divided(self._remaining, remaining, split.shard_of)
        for recording in recordings.values():
            stack.push_async_callback(recording.journal.close)
            stack.push_async_callback(recording.stop_publishing)
        shard_of = None if split is None else split.shard_of
        return Recorder(recordings, telling, counting, shard_of)

    async def _fetcher(self, stack: AsyncExitStack, outputs: list[Output]) -> Fetcher:
        """Return what fetches the list until *stack* is unwound: this process, or several."""
        config, telling = self._config, self._telling
        observer = Observer(telling.stats, telling.events, telling.reporter)
        spill_directory = outputs[0].spill_directory if outputs else None
        if worker_count(config) == 1:
            sink = routed([each.sink for each in outputs], config) if outputs else open_sink(config)
            pool = FetchPool(replace(config, workers=1), store=sink)
            await stack.enter_async_context(pool)
            self._cookies = pool.cookies
            return pool.fetch_from(
                self._reader,
                stats=telling.stats,
                observer=observer,
                spill_directory=spill_directory,
            )
        from fetchpool.scaling.dispatch import Dispatch
        from fetchpool.scaling.setup import setups_of

        layouts = tuple(output.layout for output in outputs)
        keys = expected_keys(config, several=self._call.lists.named)
        shows = telling.reporter.wants_updates
        setups = setups_of(config, layouts, spill_directory, shows, keys)
        dispatch = Dispatch(setups, self._reader, stats=telling.stats, observer=observer)
        stack.push_async_callback(dispatch.aclose)
        self._cookies = dispatch.cookies
        return dispatch

    async def _fetch(self, fetcher: Fetcher, recording: Recorder) -> Summary:
        telling, stopper, budget = self._telling, self._stopper, make_budget(self._config.limit)
        telling.begin(budget)
        times = self._timekeeping(recording, budget.limit)
        shown = Shown(fetcher, self._remaining, stopper)
        recording.start(on_trouble=fetcher.abort)
        stopper.steps(partial(self._stop, shown), partial(recording.abort, fetcher))
        async with displaying(telling, shown, self._call.lists) as counter:
            times.start(fetcher)
            await recording.record_all(fetcher)
        telling.connections(fetcher)
        account = await times.end(fetcher, recording.flushed_s)
        await self._save_cookies(recording)
        total = None if counter is None else counter.total
        return await self._closing.end(recording, self._remaining, total, account)

    def _timekeeping(self, recording: Recorder, limit: int) -> Timekeeping:
        return Timekeeping(
            self._config,
            self._telling.stats,
            [part.layout for part in self._parts if part.layout is not None],
            limit,
            anew=recording.begins_anew,
        )

    async def _save_cookies(self, recording: Recorder) -> None:
        """Write what `--save-cookies` asks for, however the run ended."""
        if self._config.save_cookies is None:
            return
        try:
            await asyncio.to_thread(save_cookies, self._config, self._cookies())
        except OutputError as error:
            cause = "trouble with --save-cookies"
            recording.end_with(Trouble(str(error), cause, ExitStatus.IO_ERROR))

    def _stop(self, shown: Shown) -> None:
        """Start nothing more; say after a moment what is waited for, unless a display does."""
        shown.fetcher.stop()
        if not self._telling.reporter.wants_updates:
            tell_of_waiting(self._telling.reporter, shown)


def _belongs_to(split: Split, index: int, request: Request) -> bool:
    return split.shard_of(request) == index

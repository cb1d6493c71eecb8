"""The end of a run: what it came to, as an exit status, a summary and the words for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from time import monotonic, time
from typing import TYPE_CHECKING

from fetchpool.model.exits import ExitStatus
from fetchpool.reporting.stats import Ending, Summary, another_try_may_help
from fetchpool.run.choices import command_again, failed_records
from fetchpool.run.recording import record_nothing

if TYPE_CHECKING:
    from fetchpool.model.slot_time import RunAccount
    from fetchpool.run.call import Call
    from fetchpool.run.intake import Remaining
    from fetchpool.run.recorder import Recorder
    from fetchpool.run.stopping import Stopper
    from fetchpool.run.telling import Telling
    from fetchpool.run.trouble import Trouble


class Closing:
    """Ends a run, and tells of it."""

    def __init__(self, call: Call, telling: Telling, stopper: Stopper) -> None:
        self._call = call
        self._telling = telling
        self._stopper = stopper

    async def end(
        self,
        recording: Recorder,
        remaining: Remaining,
        total: int | None,
        account: RunAccount,
    ) -> Summary:
        """Settle ledger, exit status and summary; the list has *total* URLs, if that is known.

        *account* says where the time went.
        """
        telling = self._telling
        numbers = telling.stats.summary(monotonic(), Ending(exit_status=0))
        complete = remaining.ended and numbers.total == remaining.requests
        await recording.close(complete=complete)
        if complete:
            await recording.remove_leftovers(goes_on=numbers.ok != numbers.total)
        await recording.list_handed_over()
        await recording.finish_remote(complete=complete)
        pruned = await recording.prune() if complete else 0
        status, stopped_by = self._status(recording, numbers, complete=complete)
        summary = telling.stats.summary(
            monotonic(),
            Ending(
                exit_status=int(status),
                source=self._call.title,
                destination=self._call.dest_text,
                records=self._call.records_text,
                failed_records=failed_records(self._call.config, self._call.records_text),
                again=self._again(status, numbers.failed),
                stopped_by=stopped_by,
                expected=remaining.requests if remaining.ended else total,
                left=recording.left,
                pruned=pruned,
                account=account,
            ),
        )
        telling.events.event("run-ended", status=int(status), ok=summary.ok, total=summary.total)
        if recording.trouble is not None and recording.trouble.what is not None:
            telling.reporter.error(self._explained(recording.trouble))
        self._warn_of_log()
        await self._write_metrics(summary)
        if status is not ExitStatus.PIPE_CLOSED:
            await self._finish(summary, recording)
        return summary

    async def end_without_urls(self) -> Summary:
        """Return the summary of a run that had no URL, or was stopped before it had one."""
        status = self._stopper.status
        if status is None:
            record_nothing(self._call)
            status = ExitStatus.OK
        stopped_by = self._stopper.reason
        ending = Ending(exit_status=int(status), source=self._call.title, stopped_by=stopped_by)
        summary = self._telling.stats.summary(monotonic(), ending)
        self._telling.reporter.finish(summary)
        await self._write_metrics(summary)
        return summary

    def _status(
        self, recording: Recorder, numbers: Summary, *, complete: bool
    ) -> tuple[ExitStatus, str | None]:
        """Return the exit status, and what stopped the run, if something did."""
        if recording.trouble is not None:
            return recording.trouble.status, recording.trouble.stopped_by
        if not complete:
            return self._stopper.status or ExitStatus.STOPPED_EARLY, self._stopper.reason
        changes = {**numbers.changes, "left": recording.left}
        if self._call.config.fails(numbers.failures, numbers.total, **changes):
            return ExitStatus.URLS_FAILED, None
        return ExitStatus.OK, None

    async def _finish(self, summary: Summary, recording: Recorder) -> None:
        """Say what came of the run, and what failed."""
        reporter = self._telling.reporter
        says_nothing = self._call.config.quiet and not summary.exit_status
        if says_nothing or not self._telling.is_heard or not summary.failures:
            reporter.finish(summary)
            return
        failures = await recording.failures()
        # In a thread: a list of all may be long, and its reader slow.
        await asyncio.to_thread(reporter.finish, summary, failures)

    def _again(self, status: ExitStatus, failed: Iterable[str]) -> str | None:
        call = self._call
        if status is not ExitStatus.URLS_FAILED or call.dest is None:
            return None
        if not another_try_may_help(failed):
            return None
        command = command_again(call.config, call.names, call.root_text if call.named else None)
        return command or "the same command with --retry-failed"

    def _explained(self, trouble: Trouble) -> str:
        remedy = "" if self._call.dest is None else f" {trouble.remedy}"
        return f"{trouble.what}.{remedy}"

    def _warn_of_log(self) -> None:
        trouble = self._telling.events.trouble
        if trouble is not None:
            path = self._call.config.log_file
            self._telling.reporter.warn(f"--log-file {path} is not complete: {trouble.strerror}")

    async def _write_metrics(self, summary: Summary) -> None:
        path = self._call.config.metrics_file
        if path is None:
            return
        from fetchpool.reporting.metrics import write_metrics

        try:
            labels = self._call.config.metrics_label
            await asyncio.to_thread(write_metrics, path, summary, time(), labels)
        except OSError as error:
            self._telling.reporter.warn(f"cannot write --metrics-file {path}: {error.strerror}")

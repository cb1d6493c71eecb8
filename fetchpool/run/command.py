"""The command line's side of a run: words for a person, an exit status for a program."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING

from fetchpool.config import ConfigError
from fetchpool.model.exits import ExitStatus
from fetchpool.model.urls import hiding, redact_in
from fetchpool.output.ledger import CannotGoOnError, DirectoryBusyError, OutputError
from fetchpool.output.ledger.errors import LeaseLostError
from fetchpool.pipeline.event_loop import settle_in
from fetchpool.reporting.terminal import Reporter
from fetchpool.run.choices import check_targets, layout_of
from fetchpool.run.runner import run
from fetchpool.run.streams import others_write_to_the_terminal
from fetchpool.scaling.processes import forked_ahead
from fetchpool.scaling.sharing import worker_count
from fetchpool.sources import InputError, SourceReadError

if TYPE_CHECKING:
    from fetchpool.config import Config
    from fetchpool.reporting.terminal import Mode

_STATUS: dict[type[Exception], ExitStatus] = {
    ConfigError: ExitStatus.USAGE,
    InputError: ExitStatus.USAGE,
    CannotGoOnError: ExitStatus.USAGE,
    OutputError: ExitStatus.CANNOT_CREATE,
    DirectoryBusyError: ExitStatus.STOPPED_EARLY,
    LeaseLostError: ExitStatus.STOPPED_EARLY,
    SourceReadError: ExitStatus.IO_ERROR,
}


def run_command(config: Config, sources: Sequence[str], output: str | None) -> int:
    """Run `fetchpool get` and return its exit status; everything said goes to standard error."""
    with hiding(config.secret_param):
        try:
            return _run_and_report(config, sources, output)
        except Exception as error:  # noqa: BLE001 - a bug, told here: Python itself hides no secret
            if sys.stderr is not None:
                sys.stderr.write(redact_in("".join(traceback.format_exception(error))))
            from fetchpool.reporting.refusal import write_for

            with suppress(OSError):
                write_for(config, ExitStatus.BUG, time())
            return ExitStatus.BUG


def _run_and_report(config: Config, sources: Sequence[str], output: str | None) -> int:
    settle_in()
    began_at = time()
    stdin = sys.stdin.buffer if sys.stdin is not None else None
    count = worker_count(config)
    with (
        forked_ahead(count if count > 1 else 0),
        Reporter(sys.stderr, _display_mode(config, sources), config.quiet) as reporter,
    ):
        try:
            summary = run(
                config,
                sources,
                output,
                reporter=reporter,
                signals=True,
                stdin=stdin,
            )
        except tuple(_STATUS) as error:
            reporter.error(str(error), error.samples if isinstance(error, InputError) else ())
            status = status_of(error) or ExitStatus.BUG
            if config.metrics_file is not None and _may_be_written(config, sources, output):
                _write_refusal(config, status, began_at, reporter)
            return status
    return summary.exit_status


def status_of(error: BaseException) -> ExitStatus | None:
    """Return the exit status of a run that *error* refused; None where it is a bug."""
    return next((each for kind, each in _STATUS.items() if isinstance(error, kind)), None)


def _may_be_written(config: Config, sources: Sequence[str], output: str | None) -> bool:
    """Tell whether `--metrics-file` is none of the run's other files: that may be the mistake."""
    try:
        check_targets(config, layout_of(config, sources, output), sources)
    except (ConfigError, OutputError):
        return False
    return True


def _write_refusal(config: Config, status: int, began_at: float, reporter: Reporter) -> None:
    from fetchpool.reporting.refusal import write_for

    try:
        write_for(config, status, began_at)
    except OSError as trouble:
        path = config.metrics_file
        reporter.warn(f"cannot write --metrics-file {path}: {trouble.strerror}")


def _display_mode(config: Config, sources: Sequence[str]) -> Mode:
    """Return when a display is wanted: by itself, not where others write to the terminal.

    Plain lines stand between whatever else is written.
    """
    if config.progress == "auto" and others_write_to_the_terminal(config, sources):
        return "never"
    return config.progress

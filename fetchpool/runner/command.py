"""The command line's side of a run: words for a person, an exit status for a program."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fetchpool.config import ConfigError
from fetchpool.exits import ExitStatus
from fetchpool.ledger import CannotGoOnError, DirectoryBusyError, OutputError
from fetchpool.report import Reporter
from fetchpool.runner.runner import run
from fetchpool.sources import InputError, SourceReadError

if TYPE_CHECKING:
    from fetchpool.config import Config

_STATUS: dict[type[Exception], ExitStatus] = {
    ConfigError: ExitStatus.USAGE,
    InputError: ExitStatus.USAGE,
    CannotGoOnError: ExitStatus.USAGE,
    OutputError: ExitStatus.CANNOT_CREATE,
    DirectoryBusyError: ExitStatus.STOPPED_EARLY,
    SourceReadError: ExitStatus.IO_ERROR,
}


def run_command(config: Config, sources: Sequence[str], output: str | None) -> int:
    """Run `fetchpool get` and return its exit status; everything said goes to standard error."""
    stdin = sys.stdin.buffer if sys.stdin is not None else None
    with Reporter(sys.stderr, config.progress, config.quiet) as reporter:
        try:
            summary = run(config, sources, output, reporter=reporter, signals=True, stdin=stdin)
        except tuple(_STATUS) as error:
            reporter.error(str(error))
            return next(status for kind, status in _STATUS.items() if isinstance(error, kind))
    return summary.exit_status

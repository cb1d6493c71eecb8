"""`fetchpool report DEST`: a run as a page, as Markdown, or as a test report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

from fetchpool import __version__
from fetchpool.cli.screens import complain
from fetchpool.cli.writing import open_ledger, write_out
from fetchpool.model.exits import ExitStatus
from fetchpool.model.slot_time import RunAccount
from fetchpool.output.ledger import BodyOptions, NotARunError
from fetchpool.output.ledger.accounts import read_accounts
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.state import read_state
from fetchpool.output.ledger.status import read_left, read_status
from fetchpool.reporting.report import html, junit, markdown
from fetchpool.reporting.report.gather import CHANGED, Gatherer, clipped
from fetchpool.reporting.report.values import Report

_LISTED = {"html": 300, "markdown": 100, "junit": junit.CASES}
"""Failed URLs that a report lists at most."""

_RENDER: Mapping[str, Callable[[Report], str]] = {
    "html": html.render,
    "markdown": markdown.render,
    "junit": junit.render,
}


def write_report(dest: str, output: str, form: str, place: Path | None = None) -> int:
    """Write the report of the run in *dest* to *output*, a path or `-`; return the exit status.

    *form* is `html`, `markdown` or `junit`. *place* is where the records are, if not in *dest*.
    0, whatever became of the URLs; 2, with one line on standard error, where there is no run; 73
    where *output* can't be made, 74 where it can't be written on. A run that is on is not
    disturbed. Raises BrokenPipeError if the reader has gone, `ConfigError` if *output* is the
    ledger itself.
    """
    home = place or Path(dest)
    opened = open_ledger(dest, Layout(home))
    if isinstance(opened, ExitStatus):
        return opened
    with opened as ledger:
        try:
            found = read_report(dest, home, form)
        except (NotARunError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else None
            return complain(f"cannot read {dest}: {reason or error}", ExitStatus.USAGE)
        document = _RENDER[form](found).encode("utf-8", "replace")

        def copy(write: Callable[[bytes], object]) -> None:
            write(document)

        return write_out(copy, output, ledger)


def read_report(dest: str, home: Path, form: str) -> Report:
    """Return what there is to report of the run *dest*, whose records are in *home*.

    One pass over the records: about 2.5 µs each, in flat memory. Raises `NotARunError`, OSError.
    """
    layout = Layout(home)
    gatherer = Gatherer(_LISTED[form], ok_lines=junit.CASES if form == "junit" else 0)
    status = read_status(home, gatherer.add)
    totals = status.totals
    accounts = read_accounts(layout)
    state = read_state(layout.state)
    return Report(
        dest=dest,
        phase=status.phase,
        sources=status.sources,
        more_sources=status.more_sources,
        started_at=status.started_at,
        last_record_at=layout.ledger.stat().st_mtime if totals.records else None,
        urls=status.requests,
        records=totals.records,
        ok=totals.ok,
        failed=totals.failed,
        left=status.left,
        bytes=totals.bytes,
        wire_bytes=totals.wire_bytes,
        changes=totals.changes,
        gone_from_list=status.gone_from_list,
        left_urls=tuple(clipped(url) for url in islice(read_left(home), CHANGED)),
        damaged=status.damaged,
        accounts=tuple(accounts),
        settings=_settings(accounts, BodyOptions() if state is None else state.body),
        gathered=gatherer.finish(),
        version=__version__,
    )


def _settings(accounts: list[RunAccount], body: BodyOptions) -> dict[str, str]:
    """Return what was in force in the last command, and what holds for the whole run."""
    limits = accounts[-1].limits if accounts else {}
    options = {f"--{name.replace('_', '-')}": value for name, value in limits.items()}
    return options if body == BodyOptions() else {**options, "bodies": str(body)}

"""`fetchpool status DEST`: what a run directory holds, as a table for a person or as JSON."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from fetchpool.cli.screens import Screen, complain, screen_of_stdout, write_text
from fetchpool.model.exits import ExitStatus
from fetchpool.model.values import Change
from fetchpool.output.ledger import HostFailures, NotARunError, RunStatus, read_status
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.record import escaped, rfc3339
from fetchpool.output.ledger.status import read_changed
from fetchpool.reporting.stats import another_try_may_help
from fetchpool.reporting.terminal import formats
from fetchpool.reporting.terminal.plain import first_failures, shown, top_failures
from fetchpool.reporting.terminal.terminal import Glyphs, glyphs_for

_RED, _PLAIN = "\x1b[31m", "\x1b[0m"
_LABELS = 12
_SOURCES = 5
_LINES_AT_ONCE = 1000
_NARROWEST = 40
_LABELS_FROM = 60
"""Columns from which the table of hosts has room for what failed there."""

_PHASES = {
    "running": "a run is on right now",
    "stopped": "stopped before its end",
    "finished": "finished",
    "unknown": "unknown: only the records are left",
}


def show_status(dest: str, as_json: bool, place: Path | None = None) -> int:
    """Write what the run directory *dest* holds to standard output; return the exit status.

    0, whatever became of the URLs; 2, with one line on standard error, where there is no run or it
    can't be read; 74 where standard output can't be written. *place* is where its records are, if
    not in *dest*. A run that is on is not disturbed.
    Raises BrokenPipeError if the reader of standard output has gone.
    """
    place = place or Path(dest)
    try:
        status = read_status(place)
        last_at = Layout(place).ledger.stat().st_mtime if status.totals.records else None
    except NotARunError as error:
        return complain(f"{error}. Name the directory that fetchpool get wrote to.")
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else None
        return complain(f"cannot read {dest}: {reason or error}")
    if as_json:
        return write_text(json.dumps(status_object(dest, status, last_at)) + "\n")
    lines = status_lines(dest, status, last_at, screen_of_stdout())
    return write_text("".join(f"{line}\n" for line in lines))


def status_object(dest: str, status: RunStatus, last_at: float | None) -> dict[str, Any]:
    """Return *status* as the object that `--json` writes; keys may be added at the end.

    *last_at* is when the last record was written, in seconds since the epoch.
    """
    totals = status.totals
    return {
        "dest": dest.encode("utf-8", "replace").decode(),
        "phase": status.phase,
        "sources": list(status.sources),
        "started_at": None if status.started_at is None else rfc3339(status.started_at),
        "last_record_at": None if last_at is None else rfc3339(last_at),
        "urls": status.requests,
        "records": totals.records,
        "ok": totals.ok,
        "failed": totals.records - totals.ok,
        "failed_by": totals.failed,
        "left": status.left,
        "bytes": totals.bytes,
        "wire_bytes": totals.wire_bytes,
        "worst_hosts": [
            {"host": row.host, "failed": row.failures, "failed_by": row.failed}
            for row in status.hosts
        ],
        "worst_hosts_partial": status.partial,
        "damaged_lines": status.damaged,
        "more_sources": status.more_sources,
        **({"changes": _changes(status)} if status.totals.changes else {}),
    }


def _changes(status: RunStatus) -> dict[str, int]:
    """Return what became of the URLs since the run before, and how many left the list."""
    found = {each.value: status.totals.changes.get(each, 0) for each in Change}
    return {**found, "left": status.gone_from_list}


def show_changed(dest: str, as_json: bool, place: Path | None = None) -> int:
    """Write a line for each URL of the run in *dest* that is new, changed, gone, or left the list.

    With *as_json* they are JSON Lines. Returns and raises what `show_status` does.
    """
    glyphs = glyphs_for(sys.stdout, os.environ)
    try:
        changed = read_changed(place or Path(dest))
        while some := list(islice(changed, _LINES_AT_ONCE)):
            if as_json:
                text = "".join(escaped(msgspec.json.encode(each) + b"\n").decode() for each in some)
            else:
                text = "".join(f"{each.change:<7}  {shown(each.url, glyphs)}\n" for each in some)
            if (status := write_text(text)) is not ExitStatus.OK:
                return status
    except NotARunError as error:
        return complain(f"{error}. Name the directory that fetchpool get wrote to.")
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        return complain(f"cannot read {dest}: {reason or error}")
    return ExitStatus.OK


def status_lines(dest: str, status: RunStatus, last_at: float | None, screen: Screen) -> list[str]:
    """Return *status* as the lines of a table that fits *screen*, but for long names."""
    blocks = [
        _heading(dest, status, last_at, screen),
        _counts(status, screen),
        _worst_hosts(status.hosts, status.partial, screen),
        _remarks(status, screen),
    ]
    lines: list[str] = []
    for block in blocks:
        if block and lines:
            lines.append("")
        lines += block
    return lines


def _heading(dest: str, status: RunStatus, last_at: float | None, screen: Screen) -> list[str]:
    named = Counter(status.sources)
    shown_first = list(named.items())[:_SOURCES]
    rows = [("list", _source(name, screen, times)) for name, times in shown_first]
    more = named.total() + status.more_sources - sum(times for _, times in shown_first)
    if more:
        rows.append(("", f"and {formats.count(more)} more"))
    for label, moment in (("started", status.started_at), ("last record", last_at)):
        # A damaged state may name a moment that no calendar has.
        if moment is not None and rfc3339(moment) is not None:
            rows.append((label, _local_time(moment)))
    name = shown(dest, screen.glyphs, screen.longest_name)
    return [f"{name}   {_PHASES[status.phase]}", *(f"{label:<11}  {text}" for label, text in rows)]


def _source(source: str, screen: Screen, times: int = 1) -> str:
    repeats = f" ({formats.count(times)} times)" if times > 1 else ""
    if source == "-":
        return f"standard input{repeats}"
    return shown(source, screen.glyphs, screen.longest_name) + repeats


def _local_time(epoch: float) -> str:
    """Return a moment as the user's clock shows it, with what that differs from UTC."""
    moment = datetime.fromtimestamp(epoch).astimezone()
    offset = moment.strftime("%z")
    zone = f"{offset[:3]}:{offset[3:5]}" if moment.utcoffset() else "UTC"
    return f"{moment:%Y-%m-%d %H:%M:%S} {zone}"


def _counts(status: RunStatus, screen: Screen) -> list[str]:
    totals = status.totals
    failed = totals.records - totals.ok
    failures = [
        (f"  {shown(label, screen.glyphs, 20)}", number)
        for label, number in top_failures(totals.failed, _LABELS)
    ]
    wide = max([11, *(len(label) for label, _ in failures)])
    stored = formats.size(totals.bytes)
    most = max(totals.records, status.requests or 0)
    digits = max(len(formats.count(most)), len(stored)) + 1

    def row(label: str, number: int, more: str = "") -> str:
        return f"{label:<{wide}} {formats.count(number):>{digits}}{more}"

    def share(number: int) -> str:
        return f"{formats.percent(number, totals.records):>9}" if totals.records else ""

    lines = [
        row("ok", totals.ok, share(totals.ok)),
        _red(row("failed", failed, share(failed)), screen, wanted=failed > 0),
        *(row(label, number) for label, number in failures),
    ]
    if totals.changes:
        changes = {each: number for each, number in _changes(status).items() if number}
        lines += [row("left list" if each == "left" else each, changes[each]) for each in changes]
    if status.left is None:
        lines.append(f"{'left':<{wide}} {'?':>{digits}}   the list was not read to its end")
    else:
        lines.append(row("left", status.left))
    return [*lines, f"{'bodies':<{wide}} {stored:>{digits}}"]


def _red(text: str, screen: Screen, *, wanted: bool) -> str:
    return f"{_RED}{text}{_PLAIN}" if wanted and screen.colour else text


def _worst_hosts(hosts: Sequence[HostFailures], partial: bool, screen: Screen) -> list[str]:
    if not hosts:
        return []
    more = "+" if partial else ""
    numbers = ["failed", *(formats.count(row.failures) + more for row in hosts)]
    digits = max(map(len, numbers))
    labels = ["", *(_top(row.failed, screen.glyphs) for row in hosts)]
    if screen.columns < _LABELS_FROM:
        labels = [""] * len(labels)
    room = screen.columns - digits - 3 - max(map(len, labels)) - 3
    limit = max(12, min(screen.longest_name, room))
    names = ["worst hosts", *(shown(row.host, screen.glyphs, limit) for row in hosts)]
    wide = max(map(len, names))
    return [
        f"{name:<{wide}}   {number:>{digits}}   {label}".rstrip()
        for name, number, label in zip(names, numbers, labels, strict=True)
    ]


def _top(failed: Mapping[str, int], glyphs: Glyphs) -> str:
    """Return the most frequent failures of a host: `404 12, timeout 3, …`."""
    return first_failures(list(failed.items()), 2, glyphs)


def _remarks(status: RunStatus, screen: Screen) -> list[str]:
    """Return what is odd about the directory, and what to do next."""
    remarks = []
    if status.damaged:
        they = "it was" if status.damaged == 1 else "they were"
        remarks.append(
            f"{formats.counted(status.damaged, 'line')} of results.jsonl can't be read; the next "
            f"run fetches what {they} about again."
        )
    if not status.can_go_on:
        remarks.append("No run can go on here without .fetchpool/; fetchpool export still can.")
    elif status.unfinished and status.phase == "stopped":
        first = _source(status.unfinished[0], screen)
        remarks.append(f"Run the command over {first} again: it was stopped.")
    elif status.phase in ("stopped", "unknown"):
        remarks.append("Run the same command again to go on.")
    elif status.phase == "finished" and another_try_may_help(status.totals.failed):
        remarks.append("The same command with --retry-failed fetches what failed once more.")
    if status.totals.records and status.totals.failed == {"input": status.totals.records}:
        remarks.append("No line of the list is an http(s) URL.")
    width = max(_NARROWEST, screen.columns)
    return [line for remark in remarks for line in textwrap.wrap(remark, width)]

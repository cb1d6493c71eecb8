"""`fetchpool status DEST` where DEST has shards: how far all are, and which need a hand."""

from __future__ import annotations

import json
import time
from typing import Any

from fetchpool.cli.screens import complain, screen_of_stdout, write_text
from fetchpool.model.exits import ExitStatus
from fetchpool.output.ledger import NotARunError, OutputError
from fetchpool.output.ledger.record import rfc3339
from fetchpool.output.shards.finding import Shards
from fetchpool.output.shards.standing import (
    FINISHED,
    NOT_BEGUN,
    RUNNING,
    STOPPED,
    ShardStanding,
    standings,
    sum_of,
)
from fetchpool.reporting.terminal import formats
from fetchpool.reporting.terminal.plain import shown, top_failures

_NAMED = 12
"""Shards that are named of each kind."""


def show_shards(shards: Shards, *, as_json: bool) -> int:
    """Write how *shards* stand to standard output; return the exit status.

    0, however they stand; 2, with one line on standard error, where some can't be read; 74 where
    standard output can't be written. Raises BrokenPipeError.
    """
    try:
        found = standings(shards)
    except (OSError, NotARunError, OutputError) as error:
        return complain(f"cannot read {shards.dest}: {error}", ExitStatus.USAGE)
    now = time.time()
    if as_json:
        return write_text(json.dumps(shards_object(shards, found, now)) + "\n")
    return write_text("".join(f"{line}\n" for line in shards_lines(shards, found, now)))


def shards_object(shards: Shards, found: list[ShardStanding], now: float) -> dict[str, Any]:
    """Return the object that `--json` writes; keys may be added at the end."""
    total = sum_of(found)
    totals = total.totals
    return {
        "dest": shards.dest.encode("utf-8", "replace").decode(),
        "phase": phase_of(found),
        "shards": shards.agreed.shards,
        "lists": [each.name for each in shards.agreed.first_lists],
        "urls": total.urls,
        "records": totals.records,
        "ok": totals.ok,
        "failed": totals.records - totals.ok,
        "failed_by": totals.failed,
        "left": total.left,
        "bytes": totals.bytes,
        "wire_bytes": totals.wire_bytes,
        "finished": _indexes(found, FINISHED),
        "running": _indexes(found, RUNNING),
        "stopped": _indexes(found, STOPPED),
        "not_begun": _indexes(found, NOT_BEGUN),
        "silent": [each.shard.index for each in found if each.is_silent(now)],
        "of_another_n": shards.of_another_n,
        "parts": [
            {
                "shard": str(each.shard),
                "directory": each.shard.directory,
                "phase": each.phase,
                "urls": each.requests,
                "records": each.totals.records,
                "ok": each.totals.ok,
                "failed": each.totals.records - each.totals.ok,
                "left": each.left,
                "last_record_at": None if each.last_at is None else rfc3339(each.last_at),
                "damaged_lines": each.damaged,
            }
            for each in found
        ],
    }


def phase_of(found: list[ShardStanding]) -> str:
    """Return the phase of all shards together."""
    phases = {each.phase for each in found}
    if phases == {FINISHED}:
        return FINISHED
    return RUNNING if RUNNING in phases else STOPPED


def shards_lines(shards: Shards, found: list[ShardStanding], now: float) -> list[str]:
    """Return how *shards* stand as lines for a person."""
    screen = screen_of_stdout()
    total = sum_of(found)
    totals = total.totals
    failed = totals.records - totals.ok
    name = shown(shards.dest, screen.glyphs, screen.longest_name)
    count = formats.counted(shards.agreed.shards, "shard")
    lines = [f"{name}   {count}: {_phases(found)}", ""]
    rows = [("ok", totals.ok), ("failed", failed)]
    rows += [
        (f"  {shown(label, screen.glyphs, 20)}", number)
        for label, number in top_failures(totals.failed, _NAMED)
    ]
    wide = max(6, *(len(label) for label, _ in rows))
    left = "?" if total.left is None else formats.count(total.left)
    numbers = [*(formats.count(number) for _, number in rows), left, formats.size(totals.bytes)]
    digits = max(map(len, numbers))
    labels = [*(label for label, _ in rows), "left", "bodies"]
    for label, number in zip(labels, numbers, strict=True):
        lines.append(f"{label:<{wide}}  {number:>{digits}}")
    if total.left is None:
        lines.append("The list has not been read to its end by any shard.")
    for what, some in (
        ("stopped", [each for each in found if each.phase == STOPPED]),
        ("not begun", [each for each in found if each.phase == NOT_BEGUN]),
        ("silent for long", [each for each in found if each.is_silent(now)]),
        ("damaged, fetches again", [each for each in found if each.damaged]),
    ):
        if some:
            lines += ["", f"{what}: {_ranges([each.shard.index for each in some])}"]
            if what == "stopped":
                lines += [f"  {_row(each, now)}" for each in some[:_NAMED]]
                if len(some) > _NAMED:
                    lines.append(f"  and {formats.count(len(some) - _NAMED)} more")
    if others := shards.of_another_n:
        lines += ["", f"of another division, and not counted: {', '.join(others[:_NAMED])}"]
    if any(each.phase in (STOPPED, NOT_BEGUN) for each in found):
        lines += ["", "Run the same command for these again: each goes on where it was."]
    elif all(each.phase == FINISHED for each in found):
        lines += ["", "fetchpool merge proves that each line has its record, and writes them all."]
    return lines


def _phases(found: list[ShardStanding]) -> str:
    parts = []
    for phase in (FINISHED, RUNNING, STOPPED, NOT_BEGUN):
        number = sum(each.phase == phase for each in found)
        if number:
            parts.append(f"{formats.count(number)} {phase}")
    return ", ".join(parts)


def _row(each: ShardStanding, now: float) -> str:
    left = "an unknown number of URLs" if each.left is None else formats.counted(each.left, "URL")
    last = "" if each.last_at is None else f", last record {formats.span(now - each.last_at)} ago"
    return f"{each.shard}  {left} left{last}"


def _indexes(found: list[ShardStanding], phase: str) -> list[int]:
    return [each.shard.index for each in found if each.phase == phase]


def _ranges(numbers: list[int]) -> str:
    """Return *numbers*, in order, as `0-3, 7, 9`."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    texts = [f"{low}" if low == high else f"{low}-{high}" for low, high in spans]
    more = [f"and {len(texts) - 20} more ranges"] if len(texts) > 20 else []
    return ", ".join([*texts[:20], *more])

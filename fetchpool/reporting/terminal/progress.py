"""A run in progress: at most four lines that are repainted in place.

urls.txt → urls.fetched                              50 at once, 10 per host
━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸───────────────   61 %  12,204/20,000    9 s left
 1,310/s    4.2 MB/s   50 running   12,101 ok   103 failed: 404 81, …
archive.example.org 812 waiting (10 running) · api.example.com parked 14 s (429)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from fetchpool.model.hosts import HostState
from fetchpool.reporting.stats import Snapshot
from fetchpool.reporting.terminal import formats
from fetchpool.reporting.terminal.layout import cut, fit, join
from fetchpool.reporting.terminal.plain import Heading, bounds, first_failures, name, route
from fetchpool.reporting.terminal.terminal import Glyphs

_FULL_WIDTH: Final = 60
"""Columns from which title and hosts have lines; below, the numbers need the room."""
_NARROW: Final = 30
"""Columns below which numbers get no room to grow."""
_SHORTEST_BAR: Final = 6
_BAR_BESIDE_COUNT: Final = 20
_FAILED_DIGITS: Final = 5
_GAP: Final = "   "
_TIME_LEFT_WIDTH: Final = 11
_RATE_WIDTH: Final = 8
_BYTE_RATE_WIDTH: Final = 9
_REASONS: Final = 3


def render(snapshot: Snapshot, heading: Heading, width: int, glyphs: Glyphs) -> list[Text]:
    """Return the one to four lines, of at most *width* cells, that show *snapshot*."""
    wide = width >= _FULL_WIDTH
    lines = [_title(heading, width, glyphs)] if wide else []
    total = snapshot.known_total
    if total is None:
        lines.append(_count_line(snapshot, width))
    else:
        lines.append(_bar_line(snapshot, total, width, glyphs))
    lines.append(_rate_line(snapshot, heading, width, glyphs))
    if snapshot.message:
        message = cut(name(snapshot.message, glyphs), width, glyphs)
        lines.append(Text(message, style="yellow"))
    elif wide:
        lines.append(_hosts_line(snapshot.hosts, width, glyphs))
    return [line for line in lines if line.plain]


def _title(heading: Heading, width: int, glyphs: Glyphs) -> Text:
    what = cut(route(heading.source, heading.destination, glyphs), width, glyphs)
    room = width - cell_len(what)
    found = bounds(heading)
    limits = ", ".join(found)
    while found and len(limits) + len(_GAP) > room:
        found.pop()
        limits = ", ".join([*found, glyphs.ellipsis]) if found else ""
    return Text.assemble((what, "bold"), (limits.rjust(room) if limits else "", "dim"))


def _bar_line(snapshot: Snapshot, total: int, width: int, glyphs: Glyphs) -> Text:
    digits = len(formats.count(total))
    left = "" if snapshot.left_s is None else formats.time_left(snapshot.left_s)
    pieces = [
        (0, Text(formats.percent_done(snapshot.done, total))),
        (1, Text(left.rjust(_TIME_LEFT_WIDTH))),
    ]
    done = Text(f"{formats.count(snapshot.done):>{digits}}/{formats.count(total)}")
    if width - _BAR_BESIDE_COUNT >= done.cell_len + _TIME_LEFT_WIDTH + 10:
        pieces.insert(1, (2, done))
    numbers = join(fit(pieces, width - _SHORTEST_BAR - 1, "  "), "  ")
    cells = max(0, width - 1 - numbers.cell_len)
    return Text.assemble(_bar(snapshot.done, total, cells, glyphs), " ", numbers)


def _bar(done: int, total: int, cells: int, glyphs: Glyphs) -> Text:
    halves = 2 * cells * done // total if total else 2 * cells
    full, half = divmod(min(halves, 2 * cells), 2)
    bar = glyphs.full * full + glyphs.half * half
    return Text.assemble(bar, (glyphs.rest * (cells - len(bar)), "dim"))


def _count_line(snapshot: Snapshot, width: int) -> Text:
    digits = len(formats.count(snapshot.read))
    pieces = [
        (0, Text(f"{formats.count(snapshot.done):>{digits}} done")),
        (2, Text(f"{formats.count(snapshot.read)} read so far")),
        (1, Text(f"for {formats.whole_seconds(snapshot.elapsed_s)}")),
    ]
    return join(fit(pieces, width, _GAP), _GAP)


def _rate_line(snapshot: Snapshot, heading: Heading, width: int, glyphs: Glyphs) -> Text:
    # Each number has the room it may need later, so that its neighbours don't move.
    if width < _NARROW:
        narrow = [(0, Text(formats.rate(snapshot.rate))), (1, _failed(snapshot, 1))]
        return join(fit(narrow, width, "  "), "  ")
    digits = len(formats.count(snapshot.known_total or max(snapshot.read, 9_999)))
    running_digits = len(formats.count(heading.limit))
    byte_rate = f"{formats.size(snapshot.byte_rate)}/s"
    pieces = [
        (0, Text(formats.rate(snapshot.rate).rjust(_RATE_WIDTH))),
        (2, Text(byte_rate.rjust(_BYTE_RATE_WIDTH))),
        (3, Text(f"{formats.count(snapshot.running):>{running_digits}} running")),
        (4, Text(f"{formats.count(snapshot.ok):>{digits}} ok")),
        (1, _failed(snapshot, _FAILED_DIGITS)),
    ]
    line = join(fit(pieces, width, _GAP), _GAP)
    reasons = _reasons(snapshot.failed, width - line.cell_len, glyphs)
    return Text.assemble(line, (reasons, "red"))


def _failed(snapshot: Snapshot, digits: int) -> Text:
    style = "red" if snapshot.failures else ""
    return Text(f"{formats.count(snapshot.failures):>{digits}} failed", style=style)


def _reasons(failed: dict[str, int], room: int, glyphs: Glyphs) -> str:
    """Return as many of the most frequent failures as fit in *room*, after a colon."""
    rows = list(failed.items())
    for number in range(min(_REASONS, len(rows)), 0, -1):
        text = f": {first_failures(rows, number, glyphs)}"
        if len(text) <= room:
            return text
    return ""


def _hosts_line(hosts: Sequence[HostState], width: int, glyphs: Glyphs) -> Text:
    """Return the busiest hosts, as many as fit; the first is cut if it must be."""
    gap = f" {glyphs.separator} "
    ranked = sorted(hosts, key=lambda host: (-host.waiting, -host.parked_s, host.host))
    line = Text()
    for state in ranked:
        if not (state.waiting or state.parked_s):
            continue
        room = width - line.cell_len - (len(gap) if line.plain else 0)
        note = _host_note(state, glyphs)
        wanted = name(state.host, glyphs)
        shown = cut(wanted, room - note.cell_len - 1, glyphs)
        if line.plain and shown != wanted:
            break
        line = (
            join([line, Text(f"{shown} ") + note], gap) if line.plain else Text(f"{shown} ") + note
        )
        if line.cell_len > width:
            return Text(cut(line.plain, width, glyphs))
    return line


def _host_note(state: HostState, glyphs: Glyphs) -> Text:
    if state.parked_s > 0:
        why = f" ({name(state.why, glyphs)})" if state.why else ""
        return Text(f"parked {formats.whole_seconds(state.parked_s)}{why}", style="yellow")
    running = f"{formats.count(state.running)} running"
    if state.slowed:
        running += f", slowed to {formats.count(state.window)}"
    elif state.finds:
        running += f" of {formats.count(state.window)}"
    return Text(f"{formats.count(state.waiting)} waiting ({running})")

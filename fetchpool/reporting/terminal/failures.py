"""The URLs that failed, as lines for a person: by reason, each with its place in the list.

404 (12)
  line 17  https://www.example.org/gone
  and 11 more
timeout: no byte for 30 s (1)
  line  9  https://slow.example.org/
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from fetchpool.reporting.stats import FailedLine, FailureGroup, Summary
from fetchpool.reporting.terminal import formats
from fetchpool.reporting.terminal.plain import crawl_delay, name, shown
from fetchpool.reporting.terminal.terminal import Glyphs

_URL: Final = 500
"""Characters of a URL beyond which its middle is left out: one that is to be copied is whole."""
_REASON: Final = 200
_WIDEST: Final = 40
"""Cells of the column of places; a longer name of a list goes beyond."""
_COLUMN: Final = 9
"""Cells of the places, where those to come are not known."""


def failure_lines(groups: Sequence[FailureGroup], glyphs: Glyphs) -> Iterator[tuple[str, bool]]:
    """Yield the lines that list *groups*, each with whether it is the head of a group."""
    for group in groups:
        if not group.listed:
            continue
        reason = f": {shown(group.reason, glyphs, _REASON)}" if group.reason else ""
        yield f"{name(group.label, glyphs)}{reason} ({formats.count(group.count)})", True
        wide = _width(group, glyphs)
        for line in group.lines:
            yield f"  {_listed(line, wide, glyphs, with_reason=group.reason is None)}", False
        if group.count > group.listed:
            yield f"  and {formats.count(group.count - group.listed)} more", False


def end_details(summary: Summary, groups: Sequence[FailureGroup], glyphs: Glyphs) -> Iterator[str]:
    """Yield what stands below the end line where no terminal is."""
    for host in summary.given_up:
        why = f": {shown(host.why, glyphs, _REASON)}" if host.why else ""
        urls = formats.counted(host.urls, "URL")
        yield f"gave up {name(host.host, glyphs)}, {urls} not asked for{why}"
    if summary.given_up_hosts > len(summary.given_up):
        more = summary.given_up_hosts - len(summary.given_up)
        yield f"gave up {formats.counted(more, 'more host')}"
    if summary.delayed_hosts:
        yield f"crawl delay {crawl_delay(summary)}"
    for sitemap in summary.sitemaps:
        yield f"sitemap {shown(sitemap, glyphs, _URL)}"
    if summary.sitemaps_in_all > len(summary.sitemaps):
        more = summary.sitemaps_in_all - len(summary.sitemaps)
        yield f"and {formats.counted(more, 'more sitemap')}"
    for line, _ in failure_lines(groups, glyphs):
        yield line
    if (command := where_all_are(groups, summary)) is not None:
        yield f"all {formats.count(summary.failures)}: {shown(command, glyphs)}"


def where_all_are(groups: Sequence[FailureGroup], summary: Summary) -> str | None:
    """Return how to see all failures where *groups* list some; None where there is no need."""
    listed = sum(group.listed for group in groups)
    return summary.failed_records if 0 < listed < summary.failures else None


def _width(group: FailureGroup, glyphs: Glyphs) -> int:
    if not isinstance(group.lines, tuple):
        return _COLUMN if group.widest is None else min(_WIDEST, group.widest)
    places = [shown(line.place, glyphs, _REASON) for line in group.lines if line.place is not None]
    return min(_WIDEST, max(map(len, places), default=0))


def _listed(line: FailedLine, wide: int, glyphs: Glyphs, *, with_reason: bool) -> str:
    text = shown(line.url, glyphs, _URL)
    if line.place is not None:
        place = shown(line.place, glyphs, _REASON)
        word, _, number = place.rpartition(" ")
        if word == "line":
            place = f"line {number:>{wide - 5}}"
        text = f"{place:<{wide}}  {text}"
    if with_reason and line.reason:
        text += f" ({shown(line.reason, glyphs, _REASON)})"
    return text

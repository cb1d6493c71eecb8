"""Elements of the page, of HTML that is safe already."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from fetchpool.reporting.terminal import formats


def table_of(rows: str, head: str = "", kind: str = "") -> str:
    """Return a table of *rows* under *head*, which scrolls by itself where it is too wide."""
    thead = f"<thead>{head}</thead>" if head else ""
    named = f" class={kind}" if kind else ""
    return f"<div class=wide tabindex=0><table{named}>{thead}<tbody>{rows}</tbody></table></div>"


def details(summary: str, text: str, *, is_open: bool = False) -> str:
    """Return *text* under a line that opens and closes it."""
    return f"<details{' open' if is_open else ''}><summary>{summary}</summary>{text}</details>"


def bar_of(parts: Iterable[tuple[str, float]], whole: float | None = None) -> str:
    """Return a bar of *parts*, each a class and a number; all of it is *whole*, or their sum."""
    parts = list(parts)
    total = sum(number for _, number in parts) if whole is None else whole
    if total <= 0:
        return ""
    x = 0.0
    rects = ""
    for kind, number in parts:
        width = 1000 * number / total
        if width > 0:
            rects += f'<rect class={kind} x="{x:.1f}" width="{width:.1f}" height="10"/>'
        x += width
    return (
        '<svg class=bar viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">'
        f"{rects}</svg>"
    )


def count_cell(value: int) -> str:
    """Return a cell with a count."""
    return f"<td class=n>{formats.count(value)}</td>"


def value_cell(value: float, text: str) -> str:
    """Return a cell that is sorted by *value*."""
    return f'<td class=n data-v="{value:.6g}">{text}</td>'


def duration(seconds: float) -> str:
    """Return a measured time as text: `<1 ms` has a character that HTML would take for its own."""
    return escape(formats.duration(seconds))


def share_of(part: int, whole: int) -> str:
    """Return a share as text; empty where there is no whole."""
    return escape(formats.percent(part, whole)) if whole else ""

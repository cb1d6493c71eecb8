"""What is written where no terminal is: a line at the start, a line at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from fetchpool.model.hosts import Found
from fetchpool.model.urls import display, redact_urls_in
from fetchpool.reporting.stats import Summary
from fetchpool.reporting.terminal.formats import count, duration, size, span
from fetchpool.reporting.terminal.terminal import Glyphs

_LABELS: Final = 12
_NAME: Final = 200
_LABEL: Final = 20


class Heading(Struct, frozen=True):
    """What a run is about to do."""

    source: str
    """Name of the list or lists, for a person."""
    destination: str | None = None
    limit: int = 0
    """Requests at once."""
    per_host: int = 0
    """The same for one host; 0 = no limit of its own."""
    finds_limit: bool = False
    """Whether the best up to `limit` is found while running."""
    finds_per_host: bool = False
    """The same for each host."""
    rate: float = 0.0
    """Requests a second; 0 = as they come."""
    host_rate: float = 0.0
    """The same for one host."""
    max_time_s: float = 0.0
    """How long the run may take; 0 = as long as it does."""


def shown(text: str, glyphs: Glyphs, limit: int | None = None) -> str:
    """Return *text* from a list, a server or a command line as it may be shown to a person.

    What is secret in URLs is hidden; an `@` elsewhere stays: `me@home` may be a directory.
    """
    return display(redact_urls_in(text), limit).replace("…", glyphs.ellipsis)


def name(text: str, glyphs: Glyphs) -> str:
    """Return *text* as `shown` does, its middle left out where it is too long for a name."""
    return shown(text, glyphs, _NAME)


def start_line(heading: Heading, glyphs: Glyphs) -> str:
    """Return the line that opens a run."""
    where = route(heading.source, heading.destination, glyphs)
    return f"fetchpool: {', '.join([where, *bounds(heading)])}"


def bounds(heading: Heading) -> list[str]:
    """Return what bounds a run, in words: `50 at once`, `10 per host`, `5/s`, `1 h at most`.

    What is found while running is `auto`: `auto per host`.
    """
    found = [f"{'auto' if heading.finds_limit else count(heading.limit)} at once"]
    if heading.per_host:
        per_host = "auto" if heading.finds_per_host else count(heading.per_host)
        found.append(f"{per_host} per host")
    if heading.rate:
        found.append(f"{_plain_number(heading.rate)}/s")
    if heading.host_rate:
        found.append(f"{_plain_number(heading.host_rate)}/s per host")
    if heading.max_time_s:
        found.append(f"{span(heading.max_time_s)} at most")
    return found


def _plain_number(value: float) -> str:
    return f"{value:,.5f}".rstrip("0").rstrip(".")


def route(source: str, destination: str | None, glyphs: Glyphs) -> str:
    """Return where URLs come from and where bodies go."""
    if destination is None:
        return name(source, glyphs)
    return f"{name(source, glyphs)} {glyphs.arrow} {name(destination, glyphs)}"


def end_line(summary: Summary, glyphs: Glyphs) -> str:
    """Return the line that closes a run."""
    if is_empty(summary):
        return f"fetchpool: {empty_line(summary, glyphs)}"
    failed = f"{summary.failures} failed"
    if summary.failed:
        most = [f"{label} {number}" for label, number in top_failures(summary.failed, _LABELS)]
        failed += f" ({', '.join(most)})"
    parts = [f"{summary.ok} ok", failed]
    if (nothing := no_line_is_a_url(summary)) is not None:
        parts[0] = f"{nothing}; {parts[0]}"
    parts += change_words(summary)
    if summary.kept:
        parts.append(f"{summary.kept} kept")
    parts += [f"found {words}" for words in limits_found(summary.found)]
    parts += [duration(summary.elapsed_s), size(summary.bytes), f"exit {summary.exit_status}"]
    line = f"fetchpool: {', '.join(parts)}"
    return f"{line}; {stop_line(summary, glyphs)}" if summary.stopped_by else line


def limits_found(found: Found) -> list[str]:
    """Return what limits have come to that are found while running: `2–34 per host`."""
    words = []
    if found.fewest is not None and found.most is not None:
        fewest, most = count(found.fewest), count(found.most)
        words.append(f"{fewest if fewest == most else f'{fewest}-{most}'} per host")
    if found.limit is not None:
        words.append(f"{count(found.limit)} at once")
    return words


def change_words(summary: Summary) -> list[str]:
    """Return what became of the list since the run before, where that was asked."""
    words = [f"{count(number)} {change}" for change, number in summary.changes.items() if number]
    if summary.left:
        pruned = f" ({count(summary.pruned)} pruned)" if summary.pruned else ""
        words.append(f"{count(summary.left)} left the list{pruned}")
    elif summary.pruned:
        words.append(f"{count(summary.pruned)} pruned")
    return words


def no_line_is_a_url(summary: Summary) -> str | None:
    """Return what there is to say first of a list that holds no URL at all; None of others."""
    if not summary.total or summary.failed != {"input": summary.total}:
        return None
    if summary.total == 1:
        return "the only line is no http(s) URL"
    return f"none of the {count(summary.total)} lines is an http(s) URL"


def stop_line(summary: Summary, glyphs: Glyphs, number: str = "d") -> str:
    """Return why a run stopped and what to do; *number* is the format of its counts."""
    of_all = "" if summary.expected is None else f" of {summary.expected:{number}}"
    why = name(summary.stopped_by or "", glyphs)
    line = f"stopped by {why} after {summary.total:{number}}{of_all}."
    if summary.destination is None:
        return line
    return f"{line} Nothing is lost: run the same command again to go on."


def crawl_delay(summary: Summary) -> str:
    """Return how long robots.txt have made hosts wait between two requests."""
    longest = span(summary.longest_delay_s)
    if summary.delayed_hosts == 1:
        return f"{longest} at 1 host"
    return f"up to {longest} at {count(summary.delayed_hosts)} hosts"


def is_empty(summary: Summary) -> bool:
    """Return whether the list had no URL at all."""
    return summary.total == 0 and summary.stopped_by is None and summary.exit_status == 0


def empty_line(summary: Summary, glyphs: Glyphs) -> str:
    """Return what there is to say about a list without any URL."""
    where = f" in {name(summary.source, glyphs)}" if summary.source else ""
    lines = "line" if summary.skipped == 1 else "lines"
    skipped = f" ({summary.skipped} blank, comment or header {lines})" if summary.skipped else ""
    return f"no URL{where}{skipped}: nothing to fetch"


def top_failures(failed: dict[str, int], limit: int) -> list[tuple[str, int]]:
    """Return the *limit* most frequent failures, what is left of them summed up as `other`."""
    rows = list(failed.items())
    if len(rows) <= limit:
        return rows
    return [*rows[: limit - 1], ("other", sum(number for _, number in rows[limit - 1 :]))]


def first_failures(rows: Sequence[tuple[str, int]], limit: int, glyphs: Glyphs) -> str:
    """Return the first *limit* of *rows* in a line, an ellipsis at its end if there are more."""
    some = [f"{shown(label, glyphs, _LABEL)} {count(number)}" for label, number in rows[:limit]]
    return ", ".join([*some, glyphs.ellipsis] if len(rows) > limit else some)

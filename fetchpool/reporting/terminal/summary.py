"""The last screen of a run: what came of it, what took its time, what to do next."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text

from fetchpool.reporting.diagnosis import advice, bounds, in_words
from fetchpool.reporting.stats import FailureGroup, GivenUpHost, SlowHost, Summary, Times
from fetchpool.reporting.terminal import formats
from fetchpool.reporting.terminal.failures import failure_lines, where_all_are
from fetchpool.reporting.terminal.layout import cut, join, pad, wrap
from fetchpool.reporting.terminal.plain import (
    change_words,
    crawl_delay,
    empty_line,
    first_failures,
    is_empty,
    limits_found,
    name,
    no_line_is_a_url,
    shown,
    stop_line,
    top_failures,
)
from fetchpool.reporting.terminal.terminal import Glyphs

_TWO_COLUMNS: Final = 78
_LABELS: Final = 8
_FACT_WIDTH: Final = 13
_LONGEST_HOST: Final = 36
_SHORTEST_HOST: Final = 12
_WHY: Final = 200
_GAP: Final = "   "
_STEP_WIDTH: Final = 9
_BOUNDS: Final = 2
_WORTH_EXPLAINING_S: Final = 1.0


def render_summary(
    summary: Summary, width: int, glyphs: Glyphs, failures: Sequence[FailureGroup] = ()
) -> Iterator[Text]:
    """Yield the lines of the last screen for a terminal of *width* columns, *failures* listed.

    All but URLs and commands, which must stay whole to be copied, fit the width.
    """
    if is_empty(summary):
        yield from (Text(line) for line in textwrap.wrap(empty_line(summary, glyphs), width))
        return
    blocks: list[Iterator[Text]] = [
        *map(iter, _figures(summary, width, glyphs)),
        _failures(failures, width, glyphs),
        iter(_sitemaps(summary, width, glyphs)),
        iter(_bound_by(summary, width, glyphs)),
        iter(_next_steps(summary, width, glyphs, failures)),
    ]
    begun = False
    for block in blocks:
        for number, line in enumerate(block):
            if number == 0 and begun:
                yield Text()
            yield line
            begun = True


def _figures(summary: Summary, width: int, glyphs: Glyphs) -> list[list[Text]]:
    if (nothing := no_line_is_a_url(summary)) is not None:
        lines = textwrap.wrap(f"{nothing[0].upper()}{nothing[1:]}.", max(20, width))
        return [[Text(line, style="bold red") for line in lines]]
    results = _results(summary)
    facts = [(label, pieces) for label, pieces in _facts(summary, width, glyphs) if pieces]
    return [
        wrap(_headline(summary, glyphs), width, _GAP),
        _side_by_side(results, facts, width) if width >= _TWO_COLUMNS else results,
        [] if width >= _TWO_COLUMNS else _fact_lines(facts, width),
        _slowest(summary.slowest, width, glyphs),
        _given_up(summary.given_up, summary.given_up_hosts, width, glyphs),
        _proxies(summary, width, glyphs),
    ]


def _failures(groups: Sequence[FailureGroup], width: int, glyphs: Glyphs) -> Iterator[Text]:
    for line, is_head in failure_lines(groups, glyphs):
        if not is_head:
            yield Text(line)
            continue
        for part in textwrap.wrap(line, max(20, width), subsequent_indent="  "):
            yield Text(part, style="red")


def _headline(summary: Summary, glyphs: Glyphs) -> list[Text]:
    what = f"{formats.counted(summary.total, 'URL')} in {formats.duration(summary.elapsed_s)}"
    pieces = [Text(what, style="bold"), Text(formats.rate(summary.rate))]
    pieces.append(Text(formats.size(summary.bytes)))
    if summary.kept:
        pieces.append(Text(f"{formats.count(summary.kept)} kept from before"))
    if summary.destination is not None:
        pieces.append(Text(f"{glyphs.arrow} {name(summary.destination, glyphs)}"))
    return pieces


def _results(summary: Summary) -> list[Text]:
    failures = top_failures(summary.failed, _LABELS)
    label_width = max(6, *(len(label) + 2 for label, _ in failures)) if failures else 6
    digits = len(formats.count(summary.total)) + 1

    def row(label: str, number: int, share: str = "") -> str:
        return f"{label:<{label_width}} {formats.count(number):>{digits}}{share:>9}".rstrip()

    total = summary.total
    lines = [
        Text(row("ok", summary.ok, formats.percent(summary.ok, total))),
        Text(
            row("failed", summary.failures, formats.percent(summary.failures, total)),
            style="red" if summary.failures else "",
        ),
    ]
    lines += [Text(row(f"  {label}", number)) for label, number in failures]
    return lines


def _facts(summary: Summary, width: int, glyphs: Glyphs) -> list[tuple[str, list[Text]]]:
    """Return what is worth knowing beside the results, as labels with pieces of text."""
    connections = parked = retries = skipped = ""
    if summary.connections_opened:
        connections = f"{formats.count(summary.connections_opened)} opened"
        if summary.requests_reused:
            reused = formats.percent(summary.requests_reused, summary.requests)
            connections += f" {glyphs.separator} {reused} of requests reused one"
    if summary.retries:
        retries = formats.count(summary.retries)
    if summary.parked:
        worst = summary.parked[0]
        held = formats.whole_seconds(worst.seconds)
        host = cut(name(worst.host, glyphs), min(_LONGEST_HOST, width - _FACT_WIDTH), glyphs)
        parked = f"{host} {held} in all ({name(worst.why, glyphs)})"
        if summary.parked_hosts > 1:
            parked += f" and {formats.count(summary.parked_hosts - 1)} more"
    if summary.skipped:
        skipped = formats.counted(summary.skipped, "blank, comment or header line")
    first_byte, whole = _percentiles(summary.first_byte, summary.whole)
    changes = f" {glyphs.separator} ".join(change_words(summary))
    return [
        ("changes", _words(changes)),
        ("first byte", first_byte),
        ("whole URL", whole),
        ("connections", _words(connections)),
        ("retries", _words(retries)),
        ("parked", _words(parked, style="yellow")),
        ("crawl delay", _words(crawl_delay(summary) if summary.delayed_hosts else "")),
        ("limits found", _words(f" {glyphs.separator} ".join(limits_found(summary.found)))),
        ("skipped", _words(skipped)),
    ]


def _words(text: str, style: str = "") -> list[Text]:
    return [Text(word, style=style) for word in text.split()]


def _percentiles(*rows: Times | None) -> list[list[Text]]:
    """Return the percentiles of each of *rows* as pieces that stand below each other."""
    table = [
        [
            f"{label} {formats.duration(seconds)}"
            for label, seconds in (("p50", row.p50), ("p90", row.p90), ("p99", row.p99))
        ]
        if row is not None
        else []
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(*filter(None, table), strict=True)]
    return [
        [Text(text.ljust(width + 1)) for text, width in zip(row, widths, strict=False)]
        for row in table
    ]


def _fact_lines(facts: Sequence[tuple[str, list[Text]]], width: int) -> list[Text]:
    lines: list[Text] = []
    for label, pieces in facts:
        head, *rest = wrap(pieces, width - _FACT_WIDTH, " ")
        lines.append(Text.assemble((label.ljust(_FACT_WIDTH), "dim"), head))
        lines += [Text.assemble(" " * _FACT_WIDTH, line) for line in rest]
    for line in lines:
        line.rstrip()
    return lines


def _side_by_side(
    results: Sequence[Text], facts: Sequence[tuple[str, list[Text]]], width: int
) -> list[Text]:
    left_width = max(line.cell_len for line in results) + 6
    right = _fact_lines(facts, width - left_width)
    height = max(len(results), len(right))
    left = [*results, *[Text()] * (height - len(results))]
    right += [Text()] * (height - len(right))
    return [
        Text.assemble(pad(one, left_width), other) if other.plain else one
        for one, other in zip(left, right, strict=True)
    ]


def _slowest(rows: Sequence[SlowHost], width: int, glyphs: Glyphs) -> list[Text]:
    if not rows:
        return []
    head = ("slowest hosts", "URLs", "ok", "p90", "failed")
    cells = [
        (
            name(row.host, glyphs),
            formats.count(row.urls) + ("+" if row.partial else ""),
            formats.count(row.ok) + ("+" if row.partial else ""),
            formats.duration(row.p90_s),
            first_failures(row.failed, 1, glyphs),
        )
        for row in rows
    ]
    table = [head, *cells]
    widths = [max(len(row[column]) for row in table) for column in range(5)]
    columns = [0, 1, 2, 3, 4] if any(row[4] for row in cells) else [0, 1, 2, 3]
    # On a narrow terminal the columns give way from the right, but for the one the table is about.
    for column in (4, 2, 1):
        others = sum(widths[index] + len(_GAP) for index in columns[1:])
        if width - others >= min(max(widths[0], _SHORTEST_HOST), _LONGEST_HOST // 2):
            break
        if column in columns:
            columns.remove(column)
    others = sum(widths[index] + len(_GAP) for index in columns[1:])
    host_width = max(1, min(widths[0], _LONGEST_HOST, width - others))
    return [
        Text(
            _GAP.join(
                cut(row[0], host_width, glyphs).ljust(host_width)
                if index == 0
                else (row[index].ljust if index == 4 else row[index].rjust)(widths[index])
                for index in columns
            ).rstrip(),
            style="" if number else "dim",
        )
        for number, row in enumerate(table)
    ]


def _given_up(rows: Sequence[GivenUpHost], hosts: int, width: int, glyphs: Glyphs) -> list[Text]:
    """Return a table of the hosts that were given up, and why."""
    if not rows:
        return []
    head = ("hosts given up", "not asked")
    limit = max(_SHORTEST_HOST, min(_LONGEST_HOST, width - len(head[1]) - len(_GAP)))
    table = [
        head,
        *((cut(name(row.host, glyphs), limit, glyphs), formats.count(row.urls)) for row in rows),
    ]
    wide, digits = (max(len(row[column]) for row in table) for column in (0, 1))
    room = width - wide - digits - 2 * len(_GAP)
    lines: list[Text] = []
    for (host, urls), why in zip(table, ["why", *(row.why for row in rows)], strict=True):
        style = "" if lines else "dim"
        line = f"{host:<{wide}}{_GAP}{urls:>{digits}}"
        if room >= _SHORTEST_HOST:  # the middle gives way: at its end stands what was met last
            why = shown(why, glyphs, room + 1 - len(glyphs.ellipsis))
            lines.append(Text(f"{line}{_GAP}{why}".rstrip(), style=style))
            continue
        lines.append(Text(line, style=style))
        if why and len(lines) > 1:
            parts = textwrap.wrap(shown(why, glyphs, _WHY), max(20, width - 2))
            lines += [Text(f"  {part}") for part in parts]
    if hosts > len(rows):
        lines.append(Text(f"and {formats.count(hosts - len(rows))} more"))
    return lines


def _sitemaps(summary: Summary, width: int, glyphs: Glyphs) -> list[Text]:
    """Return the sitemaps that robots.txt name, under a head."""
    if not summary.sitemaps:
        return []
    urls = (cut(shown(each, glyphs), max(1, width - 2), glyphs) for each in summary.sitemaps)
    lines = [Text("sitemaps named by robots.txt", style="dim"), *(Text(f"  {url}") for url in urls)]
    if (more := summary.sitemaps_in_all - len(summary.sitemaps)) > 0:
        lines.append(Text(f"  and {formats.count(more)} more"))
    return lines


def _proxies(summary: Summary, width: int, glyphs: Glyphs) -> list[Text]:
    """Return a table of the proxies, where there are several."""
    rows = [
        (
            name(use.proxy, glyphs),
            *map(formats.count, (use.ok + use.failed, use.ok, use.failed, use.rested)),
        )
        for use in summary.proxies
    ]
    if not rows:
        return []
    table = [("proxies", "URLs", "ok", "failed", "rested"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(5)]
    room = max(_SHORTEST_HOST, width - sum(widths[1:]) - 4 * len(_GAP))
    first = min(widths[0], room)
    lines = [
        Text(
            _GAP.join(
                [
                    cut(proxy, first, glyphs).ljust(first),
                    *(cell.rjust(wide) for cell, wide in zip(cells, widths[1:], strict=True)),
                ]
            ),
            style="" if number else "dim",
        )
        for number, (proxy, *cells) in enumerate(table)
    ]
    if summary.proxies_used > len(rows):
        lines.append(Text(f"and {formats.count(summary.proxies_used - len(rows))} more"))
    return lines


def _bound_by(summary: Summary, width: int, glyphs: Glyphs) -> list[Text]:
    """Return what the run was bound by and what to change, where it took long enough to tell."""
    account = summary.account
    if account is None or account.seconds < _WORTH_EXPLAINING_S or not (found := bounds(account)):
        return []
    named = (f"{shown(each.text, glyphs)} {formats.share(each.share)}" for each in found[:_BOUNDS])
    text = ", ".join(named)
    if found[0].key != "cpu":
        text += f"; CPU {formats.share(account.time.busiest)}"
    lines = [("bound by", text)]
    lines += [("advice", shown(in_words(each), glyphs)) for each in advice(account)[:1]]
    return [
        Text.assemble((label.ljust(_STEP_WIDTH), "dim"), line)
        if number == 0
        else Text(f"{'':<{_STEP_WIDTH}}{line}")
        for label, text in lines
        for number, line in enumerate(textwrap.wrap(text, max(20, width - _STEP_WIDTH)))
    ]


def _next_steps(
    summary: Summary, width: int, glyphs: Glyphs, failures: Sequence[FailureGroup]
) -> list[Text]:
    steps = [
        ("records", summary.records),
        ("failures", where_all_are(failures, summary)),
        ("again", summary.again),
    ]
    lines = [
        join([Text(label.ljust(8), style="dim"), Text(shown(text, glyphs))], " ")
        for label, text in steps
        if text
    ]
    stopped = stop_line(summary, glyphs, number=",") if summary.stopped_by else None
    lines += [Text(line) for line in textwrap.wrap(stopped or "", max(20, width))]
    return lines

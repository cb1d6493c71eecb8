"""The parts of the page, as HTML. All of it can be read without JavaScript but the charts.

Texts from outside go through `markup`; whatever else stands here is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from fetchpool.model.slot_time import RunAccount
from fetchpool.reporting import diagnosis
from fetchpool.reporting.report import slots
from fetchpool.reporting.report.elements import (
    bar_of,
    count_cell,
    details,
    duration,
    share_of,
    table_of,
    value_cell,
)
from fetchpool.reporting.report.texts import LONGEST_URL, markup, moment, within
from fetchpool.reporting.report.values import HostRow, Report
from fetchpool.reporting.stats import FailureGroup, Times
from fetchpool.reporting.terminal import formats

PHASES: Final = {
    "running": "a run is on",
    "stopped": "stopped before its end",
    "finished": "finished",
    "unknown": "unknown: only the records are left",
}
STEPS: Final = {
    "queued": "waiting for its turn",
    "dns": "looking up the name",
    "connect": "connecting",
    "tls": "TLS handshake",
    "first_byte": "waiting for the first byte",
    "body": "receiving the body",
}

_HOSTS_BYTES: Final = 300_000
_FAILURES_BYTES: Final = 240_000
_CHANGES_BYTES: Final = 120_000
"""Most that a section takes, whatever stands in it: the page stays under a megabyte."""

_SOURCES: Final = 10
_LABELS: Final = 15
_BOUNDS: Final = 3
_STRETCHES: Final = 20
_ROWS: Final = 24
_OPEN_GROUPS: Final = 5


def heading(report: Report) -> str:
    """Return what is told of the run as a whole."""
    facts = [("Run", PHASES.get(report.phase, "unknown"))]
    names = [markup("standard input" if name == "-" else name) for name in report.sources]
    shown = names[:_SOURCES]
    if names:
        more = len(names) + report.more_sources - len(shown)
        rest = f" and {formats.count(more)} more" if more else ""
        facts.append(("List", ", ".join(f"<bdi>{name}</bdi>" for name in shown) + rest))
    for label, at in (("Started", report.started_at), ("Last record", report.last_record_at)):
        if (when := moment(at)) is not None:
            facts.append((label, when))
    if report.damaged:
        unreadable = formats.counted(report.damaged, "line")
        facts.append(("Damage", f"{unreadable} of results.jsonl can’t be read, and count nowhere"))
    rows = "".join(f"<tr><th>{label}</th><td>{text}</td></tr>" for label, text in facts)
    return f"<h1><bdi>{markup(report.dest)}</bdi></h1>{table_of(rows)}"


def outcome(report: Report) -> str:
    """Return what came of the URLs."""
    done, gathered = report.records, report.gathered
    left = "unknown" if report.left is None else formats.count(report.left)
    whole_s = gathered.timeline.seconds
    tiles = [
        ("URLs", "?" if report.urls is None else formats.count(report.urls), "of the list"),
        ("ok", formats.count(report.ok), share_of(report.ok, done)),
        ("failed", formats.count(report.failures), share_of(report.failures, done)),
        ("left", left, "the list was not read to its end" if report.left is None else ""),
        ("bodies", formats.size(report.bytes), f"{formats.size(report.wire_bytes)} received"),
        ("at work", duration(whole_s), _rate(done, whole_s)),
        ("retried", formats.count(gathered.retried), "took more than one attempt"),
        ("redirected", formats.count(gathered.redirected), ""),
    ]
    boxes = "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>"
        for name, value, more in tiles
    )
    whole_bar = bar_of([("ok", report.ok), ("bad", report.failures), ("rest", report.left or 0)])
    labels = list(report.failed.items())
    shown, rest = labels[:_LABELS], sum(number for _, number in labels[_LABELS:])
    rows = "".join(
        f"<tr><th><bdi>{markup(label)}</bdi></th>{count_cell(number)}"
        f"<td class=n>{share_of(number, done)}</td></tr>"
        for label, number in [*shown, *([("other", rest)] if rest else [])]
    )
    head = "<tr><th>failed with</th><th class=n>URLs</th><th class=n>share</th></tr>"
    table = table_of(rows, head) if rows else "<p>No URL failed.</p>" if done else ""
    return f'<h2 id="outcome">Outcome</h2>{whole_bar}<dl class=tiles>{boxes}</dl>{table}'


def over_time(report: Report) -> str:
    """Return the charts of the run over time, and the same as a table."""
    timeline = report.gathered.timeline
    if not timeline.moments:
        return ""
    charts = "".join(
        f"<div><h3>{title}</h3><div class=chart id=chart-{name}></div></div>"
        for name, title in (
            ("speed", "URLs a second"),
            ("running", "URLs in progress"),
            ("received", "Bodies received"),
            ("took", "Time for a URL"),
        )
    )
    stretches = ""
    if len(timeline.stretches) > 1:
        some = timeline.stretches[:_STRETCHES]
        rows = "".join(
            f"<tr><td>{moment(each.began_at) or '?'}</td>"
            f"<td class=n>{duration(each.seconds)}</td>{count_cell(each.urls)}</tr>"
            for each in some
        )
        head = "<tr><th>began</th><th class=n>lasted</th><th class=n>URLs</th></tr>"
        hidden = len(timeline.stretches) - len(some)
        more = f"<p>… and {formats.count(hidden)} more.</p>" if hidden else ""
        intro = "The run was at work in several stretches; the time between them is left out."
        stretches = f"<h3>Stretches</h3><p>{intro}</p>{table_of(rows, head)}{more}"
    table = details("As a table", table_of(*_speed_rows(report)))
    note = (
        "<p class=faint>In progress is from a URL’s first attempt to the end of its last, pauses "
        "before retries included. A body counts when its URL was done.</p>"
    )
    return f'<h2 id="time">Over time</h2>{stretches}<div class=charts>{charts}</div>{note}{table}'


def _speed_rows(report: Report) -> tuple[str, str]:
    """Return the run over time as some two dozen rows, and their head."""
    timeline = report.gathered.timeline
    each_s = timeline.seconds / _ROWS
    ends = [each.at for each in timeline.moments[1:]] + [timeline.seconds]
    sums = [[0.0, 0.0, 0.0, 0.0] for _ in range(_ROWS)]
    for each, end in zip(timeline.moments, ends, strict=True):
        row = sums[min(_ROWS - 1, int(each.at / each_s))]
        for place, value in enumerate((each.ok, each.failed, each.wire_bytes, each.running)):
            row[place] += value * (end - each.at)
    rows = "".join(
        f"<tr><td class=n>{duration(index * each_s)}</td>"
        f"{count_cell(round(ok))}{count_cell(round(failed))}"
        f"<td class=n>{formats.size(received)}</td><td class=n>{running / each_s:,.1f}</td></tr>"
        for index, (ok, failed, received, running) in enumerate(sums)
    )
    names = ("from", "ok", "failed", "received", "in progress")
    return rows, f"<tr>{''.join(f'<th class=n>{name}</th>' for name in names)}</tr>"


def latency(report: Report) -> str:
    """Return how long URLs took."""
    gathered = report.gathered
    if gathered.whole is None:
        return ""
    rows = _times_row("a URL, with all attempts", gathered.whole)
    for name, words in STEPS.items():
        if (times := gathered.steps.get(name)) is not None:
            rows += _times_row(words, times)
    names = ("median", "90 %", "99 %", "times")
    head = f"<tr><th></th>{''.join(f'<th class=n>{name}</th>' for name in names)}</tr>"
    untold = (
        ""
        if gathered.steps
        else (
            "<p class=faint>With --timings, records say what the last attempt spent its time on."
            "</p>"
        )
    )
    most = max(bar.ok + bar.failed for bar in gathered.bars)
    bars = "".join(
        f"<tr><td class=n>{duration(bar.up_to_s)}</td>{count_cell(bar.ok)}"
        f"{count_cell(bar.failed)}<td>"
        f"{bar_of([('ok', bar.ok), ('bad', bar.failed)], most)}</td></tr>"
        for bar in gathered.bars
    )
    bar_head = "<tr><th class=n>up to</th><th class=n>ok</th><th class=n>failed</th><th></th></tr>"
    return (
        f'<h2 id="latency">How long URLs took</h2>{table_of(rows, head)}{untold}'
        "<div class=chart id=chart-latency></div>"
        f"{details('As a table', table_of(bars, bar_head))}"
    )


def _times_row(words: str, times: Times) -> str:
    percentiles = (times.p50, times.p90, times.p99)
    cells = "".join(f"<td class=n>{duration(seconds)}</td>" for seconds in percentiles)
    return f"<tr><th>{words}</th>{cells}{count_cell(times.count)}</tr>"


def slot_time(report: Report) -> str:
    """Return what slots did, and why they did nothing."""
    title = '<h2 id="slots">Where the time went</h2>'
    parts = slots.parts_of(report.accounts)
    if not parts:
        return (
            f"{title}<p>There is no account of this run’s slots: its records are from a version "
            "that didn’t keep one, or from a run without a directory of its own.</p>"
        )
    account = diagnosis.summed(report.accounts)
    rows = "".join(
        f"<tr><th>{part.words}</th><td>{'request' if part.doing else 'free'}</td>"
        f"<td class=n>{duration(part.seconds)}</td>"
        f"<td class=n>{_part_share(part.share)}</td>"
        f"<td>{bar_of([('doing' if part.doing else 'free', part.share)], 1.0)}</td></tr>"
        for part in sorted(parts, key=lambda part: -part.seconds)
    )
    head = (
        "<tr><th>what</th><th>slot</th><th class=n>slots × time</th><th class=n>share</th>"
        "<th></th></tr>"
    )
    return (
        f"{title}{_bounds(account)}<p>Each request at once that was allowed is a slot. At any time "
        "a slot holds a request, or it is free for a reason.</p>"
        f"<div class=chart id=chart-slots></div>{table_of(rows, head)}{_connections(account)}"
    )


def _bounds(account: RunAccount) -> str:
    """Return what the run was bound by, and what to change."""
    found = ", ".join(
        f"<bdi>{markup(each.text)}</bdi> {formats.share(each.share)}"
        for each in diagnosis.bounds(account)[:_BOUNDS]
    )
    rows = f"<tr><th>bound by</th><td>{found or 'nothing that stands out'}</td></tr>"
    for each in diagnosis.advice(account):
        text = f"<bdi>{markup(diagnosis.in_words(each), LONGEST_URL)}</bdi>"
        why = f"<bdi class=faint>({markup(each.evidence, LONGEST_URL)})</bdi>"
        rows += f"<tr><th>advice</th><td>{text} {why}</td></tr>"
    return table_of(rows)


def _connections(account: RunAccount) -> str:
    time = account.time
    found, names, count = time.connections, time.lookups, formats.count
    facts = [
        ("event loop busy", f"{formats.share(time.busiest)} of the time"),
        ("connections opened", count(found.opened)),
        ("requests on a kept connection", count(found.reused)),
        (
            "connections closed",
            f"{count(found.closed_by_server)} by servers, {count(found.closed_idle)} by us as idle,"
            f" {count(found.closed_by_us)} by us after use, {count(found.broken)} by errors and "
            "time-outs",
        ),
    ]
    if found.tls_full or found.tls_resumed:
        tls = f"{count(found.tls_full)} full, {count(found.tls_resumed)} resumed"
        facts.append(("TLS handshakes", tls))
    if names.asked or names.cached:
        asked = f"{count(names.asked)} in {duration(names.seconds)}"
        more = f"{count(names.cached)} from memory, {count(names.failed)} failed"
        facts.append(("names looked up", f"{asked}, {more}"))
    rows = "".join(f"<tr><th>{label}</th><td>{text}</td></tr>" for label, text in facts)
    return f"<h3>Connections</h3>{table_of(rows)}"


def hosts(report: Report) -> str:
    """Return the table of hosts."""
    gathered = report.gathered
    if not gathered.hosts:
        return ""
    waited = slots.waited_for(report.accounts)
    has_waits = any(row.host in waited for row in gathered.hosts)
    rows, cut = within((_host(row, waited if has_waits else None) for row in gathered.hosts),
                       _HOSTS_BYTES)  # fmt: skip
    names = ["URLs", "ok", "failed", "received", "median", "90 %"]
    names += ["waited for"] if has_waits else []
    head = "".join(f"<th class=n>{name}</th>" for name in names)
    more = gathered.more_hosts + len(gathered.hosts) - len(rows)
    notes = []
    if more or cut:
        least = "at least " if gathered.hosts_partial else ""
        notes.append(f"{least}{formats.count(more)} more hosts with fewer URLs and failures")
    if any(row.partial for row in gathered.hosts):
        notes.append("a host with + may have more: there were too many to count each")
    note = f"<p class=faint>{'; '.join(notes).capitalize()}.</p>" if notes else ""
    table = table_of(
        "".join(rows), f"<tr><th class=host>host</th>{head}<th>failed with</th></tr>", "sortable"
    )
    return f'<h2 id="hosts">Hosts</h2>{table}{note}'


def _host(row: HostRow, waited: dict[str, float] | None) -> str:
    plus = "+" if row.partial else ""
    failed = ", ".join(f"{markup(label, 20)} {count}" for label, count in row.failed)
    wait = ""
    if waited is not None:
        seconds = waited.get(row.host, 0.0)
        wait = value_cell(seconds, duration(seconds) if seconds else "–")
    return (
        f"<tr><td class=host><bdi>{markup(row.host)}</bdi></td>"
        f"{value_cell(row.urls, formats.count(row.urls) + plus)}"
        f"{value_cell(row.urls - row.failures, formats.count(row.urls - row.failures))}"
        f"{value_cell(row.failures, formats.count(row.failures))}"
        f"{value_cell(row.wire_bytes, formats.size(row.wire_bytes))}"
        f"{value_cell(row.p50_s, duration(row.p50_s))}"
        f"{value_cell(row.p90_s, duration(row.p90_s))}"
        f"{wait}<td><bdi>{failed}</bdi></td></tr>\n"
    )


def failures(report: Report) -> str:
    """Return the failures by reason, each with some of its URLs."""
    groups = report.gathered.failures
    if not groups:
        return ""
    texts = (_failure_group(group, place < _OPEN_GROUPS) for place, group in enumerate(groups))
    parts, cut = within(texts, _FAILURES_BYTES)
    more = f"<p>… and {formats.count(len(groups) - len(parts))} more reasons.</p>" if cut else ""
    return f'<h2 id="failures">Failures</h2>{"".join(parts)}{more}'


def _failure_group(group: FailureGroup, is_open: bool) -> str:
    lines = list(group.lines)
    items = ""
    for line in lines:
        place = f"<bdi class=faint>{markup(line.place)}</bdi> " if line.place else ""
        said = ""
        if line.reason is not None and group.reason is None:
            said = f" <bdi class=faint>{markup(line.reason, LONGEST_URL)}</bdi>"
        url = f"<bdi class=url>{markup(line.url, LONGEST_URL)}</bdi>"
        items += f"<li>{place}{url}{said}</li>\n"
    more = group.count - len(lines)
    if more:
        items += f"<li class=faint>… and {formats.count(more)} more</li>\n"
    reason = "" if group.reason is None else f": <bdi>{markup(group.reason, LONGEST_URL)}</bdi>"
    count = f"<span class=count>{formats.count(group.count)}</span>"
    summary = f"{count} × <bdi>{markup(group.label)}</bdi>{reason}"
    return details(summary, f"<ul>{items}</ul>", is_open=is_open)


def changes(report: Report) -> str:
    """Return what has changed since the run before."""
    if not report.changes:
        return ""
    counts = {**report.changes, "left": report.gone_from_list}
    known = {**report.gathered.changed, "left": report.left_urls}
    words = {
        "new": "new in the list",
        "changed": "changed",
        "same": "the same",
        "gone": "gone (404 or 410)",
        "left": "no more in the list",
    }
    rows = "".join(
        f"<tr><th>{words[name]}</th>{count_cell(counts.get(name, 0))}</tr>" for name in words
    )
    most = _CHANGES_BYTES // len(words)
    lists = "".join(
        _urls(words[name], known.get(name, ()), counts.get(name, 0), most)
        for name in words
        if known.get(name)
    )
    return f'<h2 id="changes">Changes since the run before</h2>{table_of(rows)}{lists}'


def _urls(words: str, urls: Sequence[str], count: int, most: int) -> str:
    items, _ = within(
        (f"<li><bdi class=url>{markup(url, LONGEST_URL)}</bdi></li>\n" for url in urls), most
    )
    hidden = count - len(items)
    more = f"<li class=faint>… and {formats.count(hidden)} more</li>" if hidden > 0 else ""
    return details(f"{words.capitalize()}", f"<ul>{''.join(items)}{more}</ul>")


def settings(report: Report) -> str:
    """Return what was in force."""
    if not report.settings:
        return ""
    rows = "".join(
        f"<tr><th><code>{markup(name)}</code></th><td><bdi>{markup(value)}</bdi></td></tr>"
        for name, value in list(report.settings.items())[:50]
    )
    return f'<h2 id="settings">Settings in force</h2>{table_of(rows)}'


def _part_share(part: float) -> str:
    return formats.share(part) if part >= 0.005 else escape("<1 %")


def _rate(done: int, seconds: float) -> str:
    return f"{formats.rate(done / seconds)} on average" if seconds > 0 else ""

"""The report as Markdown, for the summary of a CI job (GitHub takes a mebibyte) or a merge request.

What comes from outside stands in code spans, where Markdown obeys nothing but the backtick; text
with a character that ends a span or a cell is written as references to characters instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from fetchpool.reporting import diagnosis
from fetchpool.reporting.report import slots
from fetchpool.reporting.report.sections import PHASES, STEPS
from fetchpool.reporting.report.texts import LONGEST_NAME, LONGEST_URL, moment, shown, within
from fetchpool.reporting.report.values import Report
from fetchpool.reporting.stats import FailureGroup
from fetchpool.reporting.terminal import formats

_HOSTS: Final = 10
_LABELS: Final = 15
_PARTS: Final = 10
_BOUNDS: Final = 3
_SECTION_BYTES: Final = 200_000
_NOT_IN_A_SPAN = re.compile(r"[`|\\]")
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")


def render(report: Report) -> str:
    """Return *report* as Markdown of less than a mebibyte."""
    blocks = [
        _heading(report),
        _outcome(report),
        _changes(report),
        _failures(report),
        _hosts(report),
        _latency(report),
        _slots(report),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def code(text: str, limit: int = LONGEST_NAME) -> str:
    """Return *text* as code that is shown as it is, in a cell of a table as well."""
    text = shown(text, limit)
    if text.strip() and not _NOT_IN_A_SPAN.search(text):
        return f"`{text}`"
    return f"<code>{_PUNCTUATION.sub(lambda found: f'&#{ord(found[0])};', text)}</code>"


def _heading(report: Report) -> str:
    names = ["standard input" if name == "-" else name for name in report.sources[:5]]
    more = len(report.sources) + report.more_sources - len(names)
    lists = ", ".join(code(name) for name in names)
    rest = f" and {formats.count(more)} more" if more else ""
    facts = [PHASES.get(report.phase, "unknown"), f"list {lists}{rest}" if names else ""]
    facts.append(f"started {when}" if (when := moment(report.started_at)) else "")
    mark = "✅" if report.records and not report.failures else "❌" if report.failures else "▫️"
    return f"## {mark} fetchpool: {code(report.dest)}\n\n{', '.join(f for f in facts if f)}"


def _outcome(report: Report) -> str:
    done = report.records
    left = "?" if report.left is None else formats.count(report.left)
    rows = [
        ("ok", formats.count(report.ok), _share(report.ok, done)),
        ("**failed**", f"**{formats.count(report.failures)}**", _share(report.failures, done)),
        ("left", left, ""),
        ("bodies", formats.size(report.bytes), ""),
    ]
    labels = list(report.failed.items())
    rows[2:2] = [
        (f"&emsp;{code(label)}", formats.count(number), _share(number, done))
        for label, number in labels[:_LABELS]
    ]
    if len(labels) > _LABELS:
        rest = sum(number for _, number in labels[_LABELS:])
        rows.insert(2 + _LABELS, ("&emsp;other", formats.count(rest), _share(rest, done)))
    if (seconds := report.gathered.timeline.seconds) > 0:
        rows.append(("time", _duration(seconds), formats.rate(done / seconds)))
    table = _table(("", "URLs", "share"), "lrr", rows)
    if report.damaged:
        table += f"\n\n{formats.counted(report.damaged, 'line')} of results.jsonl can't be read."
    return table


def _changes(report: Report) -> str:
    if not report.changes:
        return ""
    counts = {**report.changes, "left the list": report.gone_from_list}
    rows = [(name, formats.count(number)) for name, number in counts.items()]
    return f"### Since the run before\n\n{_table(('', 'URLs'), 'lr', rows)}"


def _failures(report: Report) -> str:
    groups = report.gathered.failures
    if not groups:
        return ""
    parts, cut = within((_group(group) for group in groups), _SECTION_BYTES)
    more = f"\n\n… and {formats.count(len(groups) - len(parts))} more reasons." if cut else ""
    return "### What failed\n\n" + "\n\n".join(parts) + more


def _group(group: FailureGroup) -> str:
    reason = "" if group.reason is None else f": {code(group.reason, LONGEST_URL)}"
    items = []
    lines = list(group.lines)
    for line in lines:
        place = f"{code(line.place)} " if line.place else ""
        said = ""
        if line.reason is not None and group.reason is None:
            said = f" {code(line.reason, LONGEST_URL)}"
        items.append(f"- {place}{code(line.url, LONGEST_URL)}{said}")
    if group.count > len(lines):
        items.append(f"- … and {formats.count(group.count - len(lines))} more")
    listed = "\n".join(items)
    return f"**{formats.count(group.count)} × {code(group.label)}**{reason}\n\n{listed}"


def _hosts(report: Report) -> str:
    rows = [
        (
            code(row.host),
            formats.count(row.urls),
            formats.count(row.failures),
            _duration(row.p50_s),
            _duration(row.p90_s),
        )
        for row in report.gathered.hosts[:_HOSTS]
    ]
    more = report.gathered.more_hosts + len(report.gathered.hosts) - len(rows)
    note = f"\n\n… and {formats.count(more)} more hosts." if more > 0 else ""
    head = ("host", "URLs", "failed", "median", "90 %")
    return f"### Hosts\n\n{_table(head, 'lrrrr', rows)}{note}" if rows else ""


def _latency(report: Report) -> str:
    if report.gathered.whole is None:
        return ""
    found = [("a URL in all", report.gathered.whole)]
    found += [(STEPS[name], times) for name, times in report.gathered.steps.items()]
    rows = [
        (name, *(_duration(seconds) for seconds in (times.p50, times.p90, times.p99)))
        for name, times in found
    ]
    return f"### How long URLs took\n\n{_table(('', 'median', '90 %', '99 %'), 'lrrr', rows)}"


def _slots(report: Report) -> str:
    parts = sorted(slots.parts_of(report.accounts), key=lambda part: -part.seconds)
    if not parts:
        return ""
    account = diagnosis.summed(report.accounts)
    bounds = [
        f"{code(each.text)} {formats.share(each.share)}"
        for each in diagnosis.bounds(account)[:_BOUNDS]
    ]
    lines = [f"Bound by {', '.join(bounds) or 'nothing that stands out'}."]
    for each in diagnosis.advice(account):
        text = code(diagnosis.in_words(each), LONGEST_URL)
        lines.append(f"- {text} ({code(each.evidence, LONGEST_URL)})")
    rows = [
        (part.words, _duration(part.seconds), formats.share(part.share)) for part in parts[:_PARTS]
    ]
    table = _table(("slots were", "slots × time", "share"), "lrr", rows)
    head, *advice = lines
    return "\n\n".join(filter(None, ("### Where the time went", head, "\n".join(advice), table)))


def _table(head: Sequence[str], sides: str, rows: Sequence[Sequence[str]]) -> str:
    """Return a table; *sides* says of each column whether it stands left or right (`l`, `r`)."""
    rules = ["---" if side == "l" else "---:" for side in sides]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rules, *rows))


def _duration(seconds: float) -> str:
    return formats.duration(seconds).replace("<", "&lt;")


def _share(part: int, whole: int) -> str:
    return formats.percent(part, whole).replace("<", "&lt;").replace(">", "&gt;") if whole else ""

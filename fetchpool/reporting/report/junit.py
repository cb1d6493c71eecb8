"""The report as JUnit's XML, which CI servers show as a test report: a suite a list, a case a URL.

There is a case for each URL that failed, up to `CASES`; where no more URLs than that are ok, there
is one for each of them, too, so that counts and trends are of all. How many there are in all stands
in the properties of the first suite, and failures beyond `CASES` are one more case that fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from fetchpool.reporting.report.sections import PHASES
from fetchpool.reporting.report.texts import moment, xml
from fetchpool.reporting.report.values import Line, Report
from fetchpool.reporting.terminal import formats

CASES: Final = 10_000

_LONGEST: Final = 1_000
_CLASS: Final = "fetchpool"


def render(report: Report) -> str:
    """Return *report* as XML that the schema of Jenkins and that of Ant accept."""
    failed = [
        line for group in report.gathered.failures for line in group.lines if isinstance(line, Line)
    ]
    lines = sorted([*failed, *(report.gathered.ok_lines or ())], key=lambda line: line.seq)
    suites: dict[str, list[Line]] = {}
    for line in lines:
        suites.setdefault(line.source or _name_of(report), []).append(line)
    hidden = report.failures - len(failed)
    if not suites:
        suites[_name_of(report)] = []
    if hidden > 0:
        text = f"{formats.count(hidden)} more URLs failed; see fetchpool status or the records"
        next(iter(suites.values())).append(Line(1 << 48, None, text, None, "not listed"))
    written = "".join(
        _suite(report, number, name, cases) for number, (name, cases) in enumerate(suites.items())
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n{written}</testsuites>\n'


def _name_of(report: Report) -> str:
    """Return the name of the suite where records don't name their list."""
    names = [name for name in report.sources if name != "-"]
    return names[0] if len(names) == 1 else report.dest


def _suite(report: Report, number: int, name: str, cases: Sequence[Line]) -> str:
    failures = sum(case.label is not None for case in cases)
    seconds = sum(case.elapsed_s for case in cases)
    started = _timestamp(report.started_at)
    properties = "".join(_properties(report)) if number == 0 else ""
    return (
        f'<testsuite name="{xml(name.strip() or "?", _LONGEST)}" package="{_CLASS}" id="{number}"'
        f' tests="{len(cases)}" failures="{failures}" errors="0" skipped="0"'
        f' time="{seconds:.3f}" timestamp="{started}" hostname="localhost">\n'
        f"<properties>\n{properties}</properties>\n"
        f"{''.join(_case(case) for case in cases)}"
        "<system-out></system-out>\n<system-err></system-err>\n</testsuite>\n"
    )


def _properties(report: Report) -> Iterator[str]:
    values = {
        "dest": report.dest,
        "phase": PHASES.get(report.phase, "unknown"),
        "urls": "?" if report.urls is None else str(report.urls),
        "ok": str(report.ok),
        "failed": str(report.failures),
        "left": "?" if report.left is None else str(report.left),
        "fetchpool": report.version,
    }
    for name, value in values.items():
        yield f'<property name="{name}" value="{xml(value, _LONGEST)}"/>\n'


def _case(case: Line) -> str:
    name = xml(case.url, _LONGEST)
    head = f'<testcase classname="{_CLASS}" name="{name}" time="{max(0.0, case.elapsed_s):.3f}"'
    if case.label is None:
        return f"{head}/>\n"
    label = xml(case.label)
    message = label if case.reason is None else f"{label}: {xml(case.reason, _LONGEST)}"
    place = "" if case.place is None else f"{xml(case.place, _LONGEST)}: "
    return (
        f'{head}>\n<failure message="{message}" type="{label}">{place}{name}\n{message}</failure>\n'
        "</testcase>\n"
    )


def _timestamp(epoch_s: float | None) -> str:
    """Return a moment as schemas of JUnit want it: UTC, without saying so."""
    text = moment(epoch_s) or moment(0.0) or ""
    return text.removesuffix(" UTC").replace(" ", "T")

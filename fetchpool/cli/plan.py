"""`fetchpool plan LIST`: how long a list takes, on how many machines, as tables or as JSON."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from math import ceil, sqrt
from time import monotonic
from typing import Any, NamedTuple

from fetchpool.cli.screens import Screen, screen_of_stdout, write_text
from fetchpool.config import Config
from fetchpool.config.plan_settings import PlanSettings
from fetchpool.model.urls import hiding
from fetchpool.reporting.terminal import Reporter
from fetchpool.reporting.terminal.formats import count, counted, duration, percent, rate
from fetchpool.reporting.terminal.plain import shown
from fetchpool.reporting.terminal.terminal import Writer, can_repaint, is_terminal
from fetchpool.run.command import status_of
from fetchpool.run.planning import Change, Host, Pace, Plan, Read, plan_of

_WIDE_FROM = 60
"""Columns from which there is room for all figures."""
_NARROWEST = 40
_TELL_EACH_S = 1.0
_PARTS = ("50 %", "90 %", "99 %", "all")
_KEYS = ("p50", "p90", "p99", "all")
_IN_NARROW = (1, 3)
_LATE_END = 0.5
"""99 % done before that part of the whole time: the end is worth a word."""


class Asked(NamedTuple):
    """What a plan was asked for with."""

    config: Config
    settings: PlanSettings


def show_plan(
    config: Config, sources: Sequence[str], settings: PlanSettings, *, as_json: bool
) -> int:
    """Write the plan for the lists *sources* to standard output; return the exit status.

    2, with one line on standard error, where a list can't be read; 74 where one fails on the way.
    Raises BrokenPipeError if the reader of standard output has gone.
    """
    with hiding(config.secret_param):
        counter = _Counter(config)
        try:
            plan, read = plan_of(config, sources, settings, counter.tell)
        except Exception as error:
            if (status := status_of(error)) is None:
                raise
            counter.clear()
            samples = getattr(error, "samples", ())
            Reporter(sys.stderr, "never", config.quiet).error(str(error), samples)
            return status
        finally:
            counter.clear()
        if as_json:
            return write_text(json.dumps(plan_object(plan, read)) + "\n")
        lines = plan_lines(plan, read, Asked(config, settings), screen_of_stdout())
        return write_text("".join(f"{line}\n" for line in lines))


class _Counter:
    """Shows on a terminal how many URLs were read; nothing stays of it."""

    def __init__(self, config: Config) -> None:
        stderr = sys.stderr
        self._writer = Writer(stderr)
        self._is_wanted = (
            not config.quiet
            and config.progress != "never"
            and stderr is not None
            and is_terminal(stderr)
            and can_repaint(os.environ)
        )
        self._next = monotonic() + _TELL_EACH_S
        self._is_shown = False

    def tell(self, urls: int) -> None:
        """Show *urls*, each second at most."""
        if self._is_wanted and monotonic() >= self._next:
            self._next = monotonic() + _TELL_EACH_S
            self._writer.write(f"\r{count(urls)} URLs read")
            self._is_shown = True

    def clear(self) -> None:
        """Remove what is shown."""
        if self._is_shown:
            self._writer.write("\r\x1b[K")
            self._is_shown = False


def plan_object(plan: Plan, read: Read) -> dict[str, Any]:
    """Return *plan* as the object that `--json` writes; keys may be added at the end.

    Times are seconds, null where nothing bounds them.
    """
    return {
        "urls": round(plan.urls),
        "hosts": round(plan.hosts),
        "exact": plan.weight == 1 and not plan.error,
        "lines_for_one": plan.weight,
        "counts_too_small_by": round(plan.error),
        "refused": read.refused,
        "skipped": read.skipped,
        "sitemaps": read.sitemaps,
        "request_time": plan.assumed.request_time,
        "rate_per_machine": plan.assumed.machine,
        "biggest": [
            {
                "host": host.name,
                "urls": round(host.urls),
                "per_host": host.pace.per_host,
                "host_rate": host.pace.host_rate,
                "seconds": host.seconds or None,
            }
            for host in plan.biggest
        ],
        "bound": plan.bound or None,
        "bound_by": plan.bound_by and plan.bound_by.name,
        "machines": plan.machines,
        "table": [
            {"machines": row.machines, **dict(zip(_KEYS, row.seconds, strict=True))}
            for row in plan.rows
        ],
        "changes": [
            {
                "hosts": list(change.hosts),
                "per_host": change.pace.per_host,
                "host_rate": change.pace.host_rate,
                "bound": change.bound,
                "machines": change.machines,
            }
            for change in plan.changes
        ],
    }


def plan_lines(plan: Plan, read: Read, asked: Asked, screen: Screen) -> list[str]:
    """Return *plan* as tables and sentences that fit *screen*, but for lines to be copied."""
    blocks = [_heading(plan, read, asked, screen)]
    if plan.urls:
        blocks += [
            _biggest(plan, screen),
            _wrapped(_bound(plan, screen), screen),
            _rows(plan, screen),
            list(_changes(plan, asked, screen)),
        ]
    blocks.append([line for each in _remarks(plan, read, asked) for line in _wrapped(each, screen)])
    lines: list[str] = []
    for block in blocks:
        if block and lines:
            lines.append("")
        lines += block
    return lines


def _heading(plan: Plan, read: Read, asked: Asked, screen: Screen) -> list[str]:
    name = shown(read.title, screen.glyphs, screen.longest_name)
    about = "about " if plan.weight > 1 else ""
    over = "over " if plan.weight > 1 or plan.error else ""
    urls, hosts = counted(round(plan.urls), "URL"), counted(round(plan.hosts), "host")
    what = f"{name}: {about}{urls}, {over}{hosts}" if plan.urls else f"{name}: no URL to plan for"
    seconds = f"{plan.assumed.request_time:g} s a request"
    of_limit = plan.assumed.machine < asked.settings.rate_per_machine
    why = f" (--limit {asked.config.limit})" if of_limit else ""
    assumed = f"assumed: {seconds}, {rate(plan.assumed.machine)} a machine{why}"
    return [*_wrapped(what, screen), *_wrapped(assumed, screen)]


def _biggest(plan: Plan, screen: Screen) -> list[str]:
    mark = "~" if plan.weight > 1 else ""
    urls = ["URLs", *(mark + count(round(host.urls)) for host in plan.biggest)]
    shares = ["share", *(percent(round(host.urls), round(plan.urls)) for host in plan.biggest)]
    alone = ["alone", *(_time(host.seconds) for host in plan.biggest)]
    is_wide = screen.columns >= _WIDE_FROM
    columns, gap = ([urls, shares, alone], "   ") if is_wide else ([urls, alone], "  ")
    wide = [max(map(len, column)) for column in columns]
    room = max(12, screen.columns - sum(wide) - len(gap) * len(wide))
    # An ellipsis may be three characters, and counts as one.
    limit = min(screen.longest_name, room - len(screen.glyphs.ellipsis) + 1)
    names = [
        "biggest hosts" if is_wide else "biggest",
        *(shown(host.name, screen.glyphs, limit) for host in plan.biggest),
    ]
    first = max(map(len, names))
    return [
        gap.join([f"{name:<{first}}", *map(str.rjust, cells, wide)])
        for name, *cells in zip(names, *columns, strict=True)
    ]


def _time(seconds: float) -> str:
    return duration(seconds) if seconds else "no limit"


def _bound(plan: Plan, screen: Screen) -> str:
    if not plan.bound:
        return "No host has a limit: the more machines, the sooner, and the harder for the hosts."
    if plan.bound_by is None:
        cause = f"--rate {plan.assumed.rate:g} holds for all machines together"
    else:
        host = plan.bound_by
        each = rate(host.urls / host.seconds)
        why = _limits(host.pace, plan.assumed.request_time)
        cause = f"{shown(host.name, screen.glyphs, 60)} gets {each} at most ({why})"
    sense = "1 machine does" if plan.machines == 1 else f"{count(plan.machines or 1)} machines do"
    more = f"{sense} it in that time; more of them only end the other hosts sooner."
    return f"No plan is faster than {duration(plan.bound)}: {cause}. {more}"


def _limits(pace: Pace, request_time: float) -> str:
    """Return which limit of a host is the one that counts."""
    at_once = pace.per_host / request_time if pace.per_host else 0.0
    if pace.host_rate and (not at_once or pace.host_rate < at_once):
        return f"host-rate {pace.host_rate:g}"
    return f"{count(pace.per_host)} at once"


def _rows(plan: Plan, screen: Screen) -> list[str]:
    parts = range(len(_PARTS)) if screen.columns >= _WIDE_FROM else _IN_NARROW
    table = [["machines", *(_PARTS[part] for part in parts)]]
    table += [
        [count(row.machines), *(duration(row.seconds[part]) for part in parts)] for row in plan.rows
    ]
    wide = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["   ".join(map(str.rjust, cells, wide)) for cells in table]


def _changes(plan: Plan, asked: Asked, screen: Screen) -> Iterator[str]:
    """Yield what would make it faster: keys for the file of settings, options."""
    arrow = screen.glyphs.arrow
    hint = _limit_hint(plan, asked)
    if plan.changes:
        yield from _wrapped("Faster, where those who run the hosts agree:", screen)
    for change in plan.changes:
        yield from _rules(change, screen)
        machines = counted(change.machines or 1, "machine")
        yield from _wrapped(
            f"{duration(plan.bound)} {arrow} {duration(change.bound)}, {machines}", screen, "    "
        )
    if hint:
        yield from _wrapped(hint, screen)


def _rules(change: Change, screen: Screen) -> Iterator[str]:
    """Yield the lines of the file that make the change, of several hosts what they would be."""
    keys = []
    if change.pace.per_host != change.before.per_host:
        keys.append(f"per-host = {change.pace.per_host}")
    if change.pace.host_rate != change.before.host_rate:
        keys.append(f"host-rate = {change.pace.host_rate:g}")
    for key in keys:
        if len(change.hosts) == 1:
            yield f'  host."{shown(change.hosts[0], screen.glyphs)}".{key}'
        else:
            yield f"  {key} for the {count(len(change.hosts))} slowest"


def _limit_hint(plan: Plan, asked: Asked) -> str:
    machine, most = plan.assumed.machine, asked.settings.rate_per_machine
    if machine >= most or plan.machines == 1:
        return ""
    limit = ceil(most * plan.assumed.request_time)
    fewer = ""
    if plan.machines is not None:
        machines = max(1, ceil(plan.urls / (most * plan.bound) - 1e-9))
        fewer = f", and {counted(machines, 'machine')} would be enough"
    return f"With --limit {limit} a machine may make {rate(most)}{fewer}."


def _remarks(plan: Plan, read: Read, asked: Asked) -> Iterator[str]:
    """Yield what a reader should know of how sure all this is."""
    if plan.weight > 1:
        yield _about_sample(plan, read)
    elif asked.settings.sample and plan.urls:
        yield "Read whole: --sample is for plain files of more than a megabyte."
    if plan.error:
        few = counted(round(plan.error), "URL")
        yield f"More hosts than are counted at a time: counts may be up to {few} too small."
    if read.refused:
        of = " of the sample" if plan.weight > 1 else ""
        are = "is" if read.refused == 1 else "are"
        yield f"{counted(read.refused, 'line')}{of} {are} no URL and not counted."
    if read.sitemaps:
        yield f"{counted(read.sitemaps, 'URL')} of a sitemap: what it names isn't known yet."
    limited = [host for host in plan.biggest if host.seconds]
    if limited and len(limited) < len(plan.biggest):
        yield "Hosts without a limit are divided among the machines by URL."
    if asked.config.asks_robots:
        yield "A robots.txt may ask for a slower pace."
    if _has_late_end(plan):
        yield (
            "The last 1 % may take longer than all the rest: --max-time stops a run before, and "
            "fetchpool status says what is left."
        )
    if plan.urls:
        yield "Retries, redirects and hosts that rest after 429 or 503 come on top."


def _about_sample(plan: Plan, read: Read) -> str:
    part = f"Estimated from {count(read.urls)} of the URLs ({percent(read.urls, round(plan.urls))})"
    biggest = max(plan.biggest, key=_urls, default=None)
    if biggest is None:
        return f"{part}."
    # Twice the deviation of a Poisson count: 19 of 20 samples of a shuffled list are as near.
    near = 200 / sqrt(max(1.0, biggest.urls / plan.weight))
    if near >= 100:
        return f"{part}, too little to tell big hosts from small ones: take a larger --sample."
    return (
        f"{part}: where it is shuffled, the count of the biggest host is right to ±{near:.2g} %; "
        "sorted by host, it may be far off."
    )


def _urls(host: Host) -> float:
    return host.urls


def _has_late_end(plan: Plan) -> bool:
    return any(row.seconds[-2] < _LATE_END * row.seconds[-1] for row in plan.rows)


def _wrapped(text: str, screen: Screen, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        max(_NARROWEST, screen.columns),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )

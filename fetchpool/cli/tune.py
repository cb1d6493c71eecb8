"""`fetchpool tune LIST`: what settings bring, measured on a sample, and the command to use."""

from __future__ import annotations

import json
import shlex
import sys
import textwrap
from collections.abc import Sequence
from functools import partial
from typing import Any

from fetchpool.cli.screens import Screen, complain, screen_of_stdout, write_text
from fetchpool.config import Config
from fetchpool.model.exits import ExitStatus
from fetchpool.model.slot_time import RunAccount
from fetchpool.model.urls import hiding
from fetchpool.reporting.diagnosis import bounds
from fetchpool.reporting.terminal import Reporter
from fetchpool.reporting.terminal.formats import count, counted, rate, share
from fetchpool.reporting.terminal.plain import shown
from fetchpool.reporting.terminal.terminal import Writer
from fetchpool.run.choices import options_again
from fetchpool.run.command import status_of
from fetchpool.run.tuning import Found, Step, Tuned, tuned

_AS_IT_IS = "as it is"
_HOSTS_NAMED = 3


def tune(config: Config, sources: Sequence[str], budget: int, *, as_json: bool) -> int:
    """Measure settings for the lists *sources* and write what was found to standard output.

    Returns the exit status: 0; 1 where nothing could be measured, 2 where a list can't be read.
    Raises BrokenPipeError if the reader of standard output has gone.
    """
    with hiding(config.secret_param):
        try:
            found = tuned(config, sources, budget, partial(_announce, config, budget))
        except Exception as error:
            if (status := status_of(error)) is None:
                raise
            Reporter(sys.stderr, "never", config.quiet).error(str(error))
            return status
        if not found.hosts:
            return complain("no line of the list is a URL that may be asked for on trial (GET)")
        if found.found is None:
            refused = f"{len(found.refused)} of {counted(found.hosts, 'host')}"
            complain(f"nothing could be measured: {refused} refused requests")
            return ExitStatus.URLS_FAILED
        if as_json:
            return write_text(json.dumps(tune_object(found.found, found, sources)) + "\n")
        lines = tune_lines(found.found, found, sources, screen_of_stdout())
        return write_text("".join(f"{line}\n" for line in lines))


def _announce(config: Config, budget: int, hosts: int) -> None:
    if not config.quiet:
        asked = f"{count(budget)} requests at most, to {counted(hosts, 'host')}"
        Writer(sys.stderr).write(f"fetchpool: {asked}; one that refuses is asked no more\n")


def command_of(found: Found, sources: Sequence[str]) -> str:
    """Return the command that uses what was found."""
    given = options_again(found.config)
    return shlex.join(["fetchpool", "get", *sources, *(found.options if given is None else given)])


def tune_object(found: Found, tuned: Tuned, sources: Sequence[str]) -> dict[str, Any]:
    """Return what was found as the object that `--json` writes; keys may be added at the end."""
    return {
        "requests": tuned.requests,
        "is_whole": found.is_whole,
        "refused_hosts": list(tuned.refused),
        "steps": [
            {
                "option": step.option or None,
                "urls_per_second": [round(each, 2) for each in step.rates],
                "without_it": [round(each, 2) for each in step.before],
                "ratio": round(step.ratio, 3),
                "kept": step.is_kept,
            }
            for step in found.steps
        ],
        "options": list(found.options),
        "command": command_of(found, sources),
        "bound_by": [
            {"key": each.key, "share": round(each.share, 4), "text": each.text}
            for each in bounds(_account(found))
        ],
    }


def tune_lines(found: Found, tuned: Tuned, sources: Sequence[str], screen: Screen) -> list[str]:
    """Return what was found as lines that fit *screen*, but for the command."""
    glyphs = screen.glyphs
    head = ("settings", "URLs/s", "spread", "ratio", "")
    rows = [head, *(_row(step) for step in found.steps)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        f"{name:<{widths[0]}} {fast:>{widths[1]}} {spread:>{widths[2]}} "
        f"{ratio:>{widths[3]}}  {word}".rstrip()
        for name, fast, spread, ratio, word in rows
    ]
    width = max(40, screen.columns)
    lines += ["", f"{'use':<10} {shown(command_of(found, sources), glyphs)}"]
    named = [f"{shown(each.text, glyphs)} {share(each.share)}" for each in bounds(_account(found))]
    text = ", ".join(named[:2]) or "nothing that stands out"
    lines += _wrapped("bound by", text, width)
    made = f"{counted(tuned.requests, 'request')} made"
    if not found.is_whole:
        made += "; there was no budget for more trials"
    lines += _wrapped("", made, width)
    if tuned.refused:
        some = tuned.refused[:_HOSTS_NAMED]
        names = ", ".join(shown(each, glyphs, 40) for each in some)
        more = f" and {len(tuned.refused) - len(some)} more" if len(tuned.refused) > 3 else ""
        lines += _wrapped("refused by", f"{names}{more}: asked no more", width)
    return lines


def _row(step: Step) -> tuple[str, str, str, str, str]:
    word = "" if not step.option else "better" if step.is_kept else "no clear gain"
    ratio = f"{step.ratio:.2f}" if step.option else ""
    fast = rate(step.rate).removesuffix("/s")
    return step.option or _AS_IT_IS, fast, share(step.spread), ratio, word


def _wrapped(label: str, text: str, width: int) -> list[str]:
    first, *rest = textwrap.wrap(text, width - 11) or [""]
    return [f"{label:<10} {first}".rstrip(), *(f"{'':<10} {line}" for line in rest)]


def _account(found: Found) -> RunAccount:
    limits = {"per_host": str(found.config.per_host), "limit": str(found.config.limit)}
    return RunAccount(0.0, time=found.time, limits=limits)

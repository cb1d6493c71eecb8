"""What the demo showed: lines of the summary worth a look, with facts from the records."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from fetchpool.cli.demo.hosts import BUSY_PER_S
from fetchpool.reporting.stats import Summary
from fetchpool.reporting.terminal import formats

_LABEL_WIDTH = 13  # as in the summary above it
_NARROWEST = 40
_TIE = "\N{NO-BREAK SPACE}"  # keeps a number and its unit together

_REMARK = "Nothing left this machine, and what was fetched is removed. Next, with a list of yours:"
_NEXT = ("  fetchpool get urls.txt --limit 50", "  fetchpool get --help")


class _Line(msgspec.Struct):
    url: str
    ok: bool
    redirects: int
    attempts: int
    bytes: int
    wire_bytes: int
    started_at: datetime | None
    elapsed_s: float


class HostFacts(msgspec.Struct):
    """Facts from the records of one host."""

    urls: int = 0
    ok: int = 0
    redirects: int = 0
    bytes: int = 0
    wire_bytes: int = 0
    recovered: int = 0
    """URLs that are ok, but not at the first attempt."""
    done_s: float = 0.0
    """When the last URL got its response, in seconds from the run's first request."""


def read_facts(ledger: Path, addresses: Mapping[str, str]) -> dict[str, HostFacts]:
    """Return the facts of each of the demo's hosts, by name, from the run's records."""
    names = {urlsplit(address).netloc: name for name, address in addresses.items()}
    facts = {name: HostFacts() for name in addresses}
    decode = msgspec.json.Decoder(_Line).decode
    lines = [decode(line) for line in ledger.read_bytes().splitlines()]
    sent = [(line, line.started_at) for line in lines if line.started_at is not None]
    begin = min(started for _, started in sent)
    for line, started in sent:
        fact = facts[names[urlsplit(line.url).netloc]]
        fact.urls += 1
        fact.ok += line.ok
        fact.redirects += line.redirects
        fact.bytes += line.bytes
        fact.wire_bytes += line.wire_bytes
        fact.recovered += line.ok and line.attempts > 1
        fact.done_s = max(fact.done_s, (started - begin).total_seconds() + line.elapsed_s)
    return facts


def closing_lines(facts: Mapping[str, HostFacts], summary: Summary, columns: int) -> list[str]:
    """Return what the run showed and what to try next, for a screen of that many *columns*."""
    width = max(columns, _NARROWEST)
    lines = ["", "what this run showed"]
    for label, sentence in _sentences(facts, summary):
        lines += textwrap.wrap(
            sentence,
            width,
            initial_indent=label.ljust(_LABEL_WIDTH),
            subsequent_indent=" " * _LABEL_WIDTH,
            break_on_hyphens=False,
        )
    lines = [line.replace(_TIE, " ") for line in lines]
    return [*lines, "", *textwrap.wrap(_REMARK, width), *_NEXT]


def _sentences(facts: Mapping[str, HostFacts], summary: Summary) -> list[tuple[str, str]]:
    """Return sentences, each with the label of the line in the summary that it explains."""
    fast, slow, packed, moved, busy = (
        facts[name] for name in ("fast", "slow", "packed", "moved", "busy")
    )
    recovered = sum(fact.recovered for fact in facts.values())
    return [
        (
            "ok",
            f"{moved.redirects} of these were reached through a redirect; {packed.ok} came "
            f"gzipped, {_size(packed.wire_bytes)} for {_size(packed.bytes)}.",
        ),
        (
            "failed",
            f"{summary.failures} on purpose, so the exit status is 0 all the same: pages that "
            "aren't there, bodies that always break off, a line that is no URL. No file is left "
            "of any.",
        ),
        (
            "retries",
            f"{recovered} URLs are ok that were not at the first attempt. busy, which answers 429 "
            f"to more than {BUSY_PER_S} requests a second, was left alone as a whole for the "
            f"second it asked for: {busy.ok} of its {busy.urls} URLs came.",
        ),
        ("connections", f"{summary.connections_opened} served {summary.requests} requests."),
        (
            "slowest",
            f"slow stood first in the list and took {_duration(slow.done_s)}; the {fast.urls} "
            f"URLs of fast, behind it, were answered after {_duration(fast.done_s)}.",
        ),
    ]


def _size(number: int) -> str:
    return formats.size(number).replace(" ", _TIE)


def _duration(seconds: float) -> str:
    return formats.duration(seconds).replace(" ", _TIE)

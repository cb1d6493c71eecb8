"""The report as a page: one file that asks for nothing, and obeys no text from a list or a server.

The policy in its head allows our style and our script, by their hashes, and nothing else.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import cache
from importlib.resources import files
from typing import Final

from fetchpool.reporting.report import sections
from fetchpool.reporting.report.charts import as_json, charts_of
from fetchpool.reporting.report.texts import markup
from fetchpool.reporting.report.values import Report

MOST_BYTES: Final = 1_000_000

UPLOT_VERSION: Final = "1.6.32"
UPLOT: Final = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
"""What draws the charts, with the SHA-256 of each file as its makers published it on npm."""

_SECTIONS: Final = (
    ("outcome", "Outcome", sections.outcome),
    ("changes", "Changes", sections.changes),
    ("time", "Over time", sections.over_time),
    ("latency", "How long URLs took", sections.latency),
    ("slots", "Where the time went", sections.slot_time),
    ("hosts", "Hosts", sections.hosts),
    ("failures", "Failures", sections.failures),
    ("settings", "Settings", sections.settings),
)


def render(report: Report) -> str:
    """Return *report* as a page of less than `MOST_BYTES`."""
    style, script = _style(), _script()
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    written = [(name, title, make(report)) for name, title, make in _SECTIONS]
    links = "".join(f'<a href="#{name}">{title}</a>' for name, title, text in written if text)
    body = "\n".join(text for _, _, text in written if text)
    title = f"{markup(report.dest)} – fetchpool report"
    return f"""<!doctype html>
<html lang="en" class="no-script">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="fetchpool {markup(report.version)}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{sections.heading(report)}
<noscript><p class="faint">Charts need JavaScript; their numbers stand in tables.</p></noscript>
<nav>{links}</nav>
{body}
</main>
<footer>Made by fetchpool {markup(report.version)}. Charts: uPlot {UPLOT_VERSION}.</footer>
<script type="application/json" id="charts">{as_json(charts_of(report))}</script>
<script>{script}</script>
</body>
</html>
"""


@cache
def _style() -> str:
    return f"{asset('uPlot.min.css')}\n{asset('page.css')}"


@cache
def _script() -> str:
    # Its licence goes wherever uPlot goes.
    licence = f"/*! uPlot {UPLOT_VERSION}\n\n{asset('LICENSE-uPlot')}\n*/"
    return f"{licence}\n{asset('uPlot.iife.min.js')}\n{asset('page.js')}"


def asset(name: str) -> str:
    """Return one of the files that are part of every page."""
    return files("fetchpool.reporting.report").joinpath("assets", name).read_text("utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"

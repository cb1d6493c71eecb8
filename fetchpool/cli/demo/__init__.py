"""`fetchpool demo`: a small server on loopback, and its list fetched by the code behind `get`.

    hosts (who answers how) ──▶ server ──▶ list ──▶ runner.run ──▶ closing (what it showed)

Bodies and records go to a temporary directory, which is removed at the end.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TextIO

import msgspec

from fetchpool.cli.demo.closing import closing_lines, read_facts
from fetchpool.cli.demo.hosts import HOSTS, DemoHost
from fetchpool.cli.demo.server import serving
from fetchpool.model.exits import ExitStatus
from fetchpool.output.ledger import OutputError
from fetchpool.reporting.terminal import Heading, Reporter
from fetchpool.reporting.terminal.terminal import Writer, terminal_size
from fetchpool.run import run

if TYPE_CHECKING:
    from fetchpool.config import Config
    from fetchpool.reporting.stats import FailureGroup, Summary

TITLE = "demo list"
LISTED = 6
"""Failed URLs that are listed; few, so that the summary stays in view."""
NO_URL = "not a URL, as lists have them"


def run_demo(config: Config) -> int:
    """Fetch the demo's list under *config* and return the exit status: 0 after a whole run.

    The failures in the list are there on purpose and don't count. Ctrl-C ends it with 130. What is
    said goes to standard error, as with `get`; only loopback addresses are contacted.
    """
    config = replace(config, ipv4=True, proxy="", fail_if="never", failures=LISTED)
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # there is a directory to remove
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with DemoReporter(sys.stderr, config.progress, config.quiet) as reporter:
        try:
            return _run(config, reporter)
        except (OSError, OutputError) as error:
            reporter.error(f"the demo needs loopback and a temporary directory: {error}")
            return ExitStatus.CANNOT_CREATE


def _run(config: Config, reporter: Reporter) -> int:
    with TemporaryDirectory(prefix="fetchpool-demo-") as place, serving(HOSTS) as addresses:
        urls, pages = Path(place, "urls.txt"), Path(place, "pages")
        urls.write_text("\n".join(demo_list(HOSTS, addresses)) + "\n", encoding="utf-8")
        summary = run(config, [str(urls)], pages, reporter=reporter, signals=True, title=TITLE)
        if summary.exit_status == ExitStatus.OK and not config.quiet:
            facts = read_facts(pages / "results.jsonl", addresses)
            columns = terminal_size(sys.stderr)[0]
            _say(closing_lines(facts, summary, columns), sys.stderr)
    return summary.exit_status


class DemoReporter(Reporter):
    """Doesn't name the directory of the run, which is removed at the end."""

    def start(self, heading: Heading) -> None:
        """Announce the run."""
        super().start(msgspec.structs.replace(heading, destination=None))

    def finish(self, summary: Summary, failures: Sequence[FailureGroup] = ()) -> None:
        """Print how the run ended."""
        gone = msgspec.structs.replace(summary, destination=None, records=None, failed_records=None)
        super().finish(gone, failures)


def demo_list(hosts: Sequence[DemoHost], addresses: Mapping[str, str]) -> list[str]:
    """Return the lines of the demo's list: the URLs of all *hosts*, in order, and some others."""
    lines = ["# made by fetchpool demo", NO_URL, ""]
    for host in hosts:
        lines += [f"{addresses[host.name]}{path}" for path in host.paths]
    return lines


def _say(lines: Sequence[str], stream: TextIO | None) -> None:
    Writer(stream).write("".join(f"{line}\n" for line in lines))

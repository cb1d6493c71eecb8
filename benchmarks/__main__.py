"""Measure fetchpool beside the tools people use today, on this machine, on loopback.

python -m benchmarks                       everything; writes benchmarks/RESULTS.md
python -m benchmarks --quick --only W1,W8  small sizes, one round: does it work here?
"""

from __future__ import annotations

import argparse
import resource
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import machine, peers, report
from benchmarks.bench import Bench
from benchmarks.peers import FETCHPOOL
from benchmarks.preparing import ENDINGS, prepared
from benchmarks.servers.calling import CHECKOUT
from benchmarks.servers.nginx import configuration, find_nginx
from benchmarks.work import ITEMS

RESULTS = CHECKOUT / "benchmarks" / "RESULTS.md"
_OUTPUT_HELP = (
    "write the report there (default: benchmarks/RESULTS.md if everything is measured in full, "
    "else nowhere)"
)


def main() -> int:
    """Run what was chosen and print, or write, the report."""
    options = _options()
    if options.list:
        for key, (what, _) in ITEMS.items():
            print(f"{key:<8} {what}")
        return 0
    whole = not options.quick and options.only == list(ITEMS)
    output = options.output or (RESULTS if whole else None)
    # A terminal that closes, or `kill`, must not leave servers behind.
    for number in ENDINGS:
        signal.signal(number, signal.default_int_handler)
    # Thousands of connections at a time, in the servers and in the tools.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    try:
        text = _measured(options)
    except KeyboardInterrupt:
        print("benchmarks: stopped; nothing is left behind", file=sys.stderr)
        return 130
    except RuntimeError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    print(text)
    if output is not None:
        output.write_text(text)
        print(f"benchmarks: written to {output}", file=sys.stderr)
    return 0


def _options() -> argparse.Namespace:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m benchmarks", None, __doc__, formatter_class=plain)
    # fmt: off
    parser.add_argument("--rounds", type=_positive, help="default 3; 1 with --quick")
    parser.add_argument("--only", type=_keys, default=list(ITEMS), metavar="W1,W5")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    parser.add_argument("--list", action="store_true", help="say what there is, and exit")
    parser.add_argument("--output", type=Path, metavar="FILE", help=_OUTPUT_HELP)
    parser.add_argument("--peers", type=Path, action="append", default=[], metavar="DIR",
                        help="a directory of programs, looked at before PATH; repeatable")
    parser.add_argument("--tmp", type=Path, metavar="DIR",
                        help="where lists, ledgers and bodies on disk go (some 6 GB)")
    # fmt: on
    return parser.parse_args()


def _positive(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def _keys(text: str) -> list[str]:
    keys = text.split(",")
    unknown = [key for key in keys if key not in ITEMS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(ITEMS)}")
    return keys


def _invocation(options: argparse.Namespace) -> str:
    """Return the command as anybody would give it: directories of this machine are `DIR`."""
    places = {str(place) for place in (*options.peers, options.tmp, options.output)}
    given = ["DIR" if word in places else word for word in sys.argv[1:]]
    return shlex.join(["python", "-m", "benchmarks", *given])


def _measured(options: argparse.Namespace) -> str:
    """Return the report of the chosen items."""
    found, missing = peers.installed(options.peers)
    rounds = options.rounds or (1 if options.quick else 3)
    versions, described = _versions(found), machine.described()
    began = time.monotonic()
    sections = []
    with prepared(found, rounds=rounds, quick=options.quick, tmp=options.tmp) as bench:
        for key in options.only:
            print(f"{key}: {ITEMS[key][0]}", file=sys.stderr)
            started = time.monotonic()
            try:
                sections.append(ITEMS[key][1](bench))
            except (OSError, RuntimeError, ValueError) as error:
                # What the others measured in twenty minutes is worth more than this one.
                traceback.print_exc()
                failed = f"Not measured: {type(error).__name__}: {error}"
                sections.append(report.Section(key, ITEMS[key][0], failed))
            print(f"  {key} took {time.monotonic() - started:.0f} s", file=sys.stderr)
        settings = configuration(Path("$NGINX"), bench.nginx.port, None, len(bench.cores.every))
        locations = (bench.nginx.place / "locations").read_text()
        method = _method(bench, time.monotonic() - began)
    return report.document(
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        invocation=_invocation(options),
        machine=described,
        method=method,
        versions=versions,
        missing={tool.name: tool.install for tool in missing},
        sections=sections,
        appendix={
            "nginx.conf, without the TLS hosts": settings,
            "locations": locations.replace(str(bench.nginx.place), "$NGINX").replace(
                "0123456789abcdef" * 64, "0123456789abcdef, 64 times"
            ),
        },
    )


def _method(bench: Bench, seconds: float) -> list[str]:
    """Return how it was measured, a line each."""
    server, client = (",".join(map(str, sorted(cores))) for cores in (
        bench.cores.server, bench.cores.client))  # fmt: skip
    shared = ": the same, there is only one" if server == client else ""
    rounds = "one round" if bench.rounds == 1 else f"{bench.rounds} rounds"
    small = "**--quick**: sizes so small that ratios are those of starting up" * bench.quick
    return [
        *([small] if small else []),
        f"{rounds}, tools in turns, medians (smallest–largest); slow tools one round on a slice; "
        f"{seconds / 60:.0f} minutes",
        f"*one core each*: servers on core {server}, the tool on core {client}{shared}",
        "CPU: user and system of all processes of a tool; memory: the kernel's peak RSS of its "
        "process, or the largest sum of PSS (ten samples a second) where there are several",
        f"lists, ledgers and bodies on disk: {bench.disk}; tmpfs: "
        f"{'yes' if bench.memory_place else 'none'}",
        "what was really done is counted by the server's log (complete 200s) and, for files, by "
        "their number and length: a tool that left something undone gets no ratio",
    ]


def _versions(found: Sequence[peers.Tool]) -> dict[str, str]:
    """Return what is measured, by name."""
    commit = peers.first_line(["git", "describe", "--always", "--dirty"], CHECKOUT)
    ours = {
        "fetchpool": f"{peers.version(FETCHPOOL)} ({commit})",
        "nginx": peers.first_line([find_nginx() or "nginx", "-v"]),
    }
    return ours | {tool.name: peers.version(tool) for tool in found}


if __name__ == "__main__":
    sys.exit(main())

"""W7: long lists, from a file and through a pipe: memory, and time until the first request."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import IO

from benchmarks.bench import Bench
from benchmarks.machine import why_no_space
from benchmarks.measuring import Usage
from benchmarks.peers import FETCHPOOL, Task, Tool
from benchmarks.racing import memory_of
from benchmarks.report import Judgement, Section, Table, spread
from benchmarks.servers.calling import HostsServer
from benchmarks.servers.hosts import BODY, address
from benchmarks.targets import W7_FIRST_REQUEST, W7_MEMORY

HOSTS = 1000
LINE = 40
"""Bytes of a line, about."""
WATCHED_S = 8.0
"""How long fetchpool goes on after its first request: reading ahead would show by then."""


@dataclass(frozen=True)
class Start:
    """How a tool began on a list."""

    usage: Usage
    first_request_s: float | None
    requests: int


def scattered(number: int) -> int:
    """Return a host for line *number*, as a shuffled list would have it (Knuth's hash)."""
    return (number * 2_654_435_761 >> 7) % HOSTS


def write_list(path: Path, hosts: HostsServer, rules: str, numbers: range) -> None:
    """Write a line for each of *numbers*, shuffled over `HOSTS` hosts."""
    prefixes = [hosts.url(address(number), rules, 0)[:-1] for number in range(HOSTS)]
    with path.open("w") as file:
        for start in range(numbers.start, numbers.stop, 100_000):
            block = range(start, min(start + 100_000, numbers.stop))
            file.write("".join(f"{prefixes[scattered(number)]}{number}\n" for number in block))


def after_first_request(hosts: HostsServer, seconds: float) -> Callable[[], bool]:
    """Return a question, cheap to ask often: has the first request come, *seconds* ago?"""
    state = {"asked": 0.0, "first": 0.0}

    def is_over() -> bool:
        now = time.monotonic()
        if not state["first"] and now - state["asked"] > 0.1:
            state["asked"] = now
            state["first"] = hosts.report().first or 0.0
        return bool(state["first"]) and now - state["first"] >= seconds

    return is_over


def lists(bench: Bench) -> Section:
    """Start on each list, see the first request, stop."""
    sizes = (10_000, 100_000) if bench.quick else (100_000, 1_000_000, 10_000_000)
    section = Section(
        "W7",
        "long lists",
        f"Lists of lines over {HOSTS:,} hosts in shuffled order that answer at once; "
        f"fetchpool with a ledger is watched for {WATCHED_S:.0f} s from its first request on and "
        "then stopped; memory is the most that all its processes together had. The first request "
        "is timed from the start of the program, by the server that got it.",
    )
    why_not = why_no_space(bench.work_place, 3 * sizes[-1] * LINE)
    if why_not:
        section.notes.append(f"Not measured: {why_not}.")
        return section
    table = Table("fetchpool", ("lines", "from", "first request, s", "peak memory", "URLs done"))
    peers = Table("Peers, from a file, one run, stopped with the first request",
                  ("tool", "lines", "first request, s", "peak memory", ""))  # fmt: skip
    starts: dict[tuple[int, str], list[Start]] = {}
    for size in sizes:
        with bench.directory() as place:
            write_list(place / "urls", bench.hosts, "now", range(size))
            for source in ("file", "pipe"):
                these = [
                    start_on(bench, section, place / "urls", source, WATCHED_S if last else 0.2)
                    for last in [False] * (bench.rounds - 1) + [True]
                ]
                starts[size, source] = these
                table.rows.append(_row(size, source, these))
                bench.say(f"  W7 {size:,} from a {source}: {' | '.join(table.rows[-1][2:])}")
            if size in sizes[:2]:
                for tool in bench.peers:
                    # A list on the command line has its bounds: 2 MiB on Linux.
                    if tool.sources != "{urls}" and not tool.endless:
                        peers.rows.append(_peer_row(bench, place, tool, size))
                        bench.say(f"  W7 {' | '.join(peers.rows[-1])}")
    section.tables += [table, peers]
    section.notes.append(
        "Nothing is read long before it is needed here; what lists take that must be read and "
        "wait (slow hosts, dead ones) is measured by `python -m benchmarks.memory`."
    )
    for source in ("file", "pipe"):
        these = starts[sizes[-1], source]
        what = f"W7 {sizes[-1]:,} lines from a {source}"
        memory = max(start.usage.memory for start in these) / 1e6
        times = [start.first_request_s for start in these if start.first_request_s is not None]
        first = median(times) if times else None
        section.judgements += [
            Judgement(what, "memory", W7_MEMORY, memory),
            Judgement(what, "first request", W7_FIRST_REQUEST, first, "no request came"),
        ]
    return section


def _row(size: int, source: str, starts: list[Start]) -> list[str]:
    times = [start.first_request_s for start in starts if start.first_request_s is not None]
    largest = max((start.usage for start in starts), key=lambda usage: usage.memory)
    first = spread(times) if times else "none came"
    return [f"{size:,}", source, first, memory_of([largest]), f"{starts[-1].requests:,}"]


def start_on(bench: Bench, section: Section, urls: Path, source: str, watched_s: float) -> Start:
    """Run fetchpool on *urls* until *watched_s* after its first request."""
    with bench.directory() as place, _opened(urls, source) as stdin:
        bench.hosts.forget()
        task = Task(("",), len(BODY), 100, 10, into=place / "out", ledger=True)
        words = FETCHPOOL.words(task, Path("-") if source == "pipe" else urls)
        command = bench.shown(FETCHPOOL, words, bench.cores.client)
        piped = f"cat urls | {command}" if source == "pipe" else command
        section.commands.setdefault(f"fetchpool, from a {source}", piped)
        usage = bench.run(
            words, place, stdin=stdin, until=after_first_request(bench.hosts, watched_s)
        )
        return _seen(bench, usage)


def _peer_row(bench: Bench, urls: Path, tool: Tool, size: int) -> list[str]:
    with bench.directory() as place:
        lines = (urls / "urls").read_text().split()
        into = None if "discard" in tool.options else place / "bodies"
        task = Task(lines, len(BODY), 100, 10, into=into)
        list_file = place / "list.txt"
        list_file.write_text(tool.list_text(task))
        bench.hosts.forget()
        usage = bench.run(
            tool.words(task, list_file), place, most_s=30.0,
            until=after_first_request(bench.hosts, 0.2),
        )  # fmt: skip
        start = _seen(bench, usage)
    first = "none came" if start.first_request_s is None else f"{start.first_request_s:.2f}"
    note = "" if start.first_request_s else f"{usage.stopped or usage.said[-80:]}"
    return [tool.name, f"{size:,}", first, memory_of([usage]), note]


def _seen(bench: Bench, usage: Usage) -> Start:
    seen = bench.hosts.report()
    first = None if seen.first is None else seen.first - usage.began
    return Start(usage, first, seen.requests)


@contextmanager
def _opened(urls: Path, source: str) -> Iterator[IO[bytes] | None]:
    """Yield a pipe that *urls* comes through, or None for a file that is named instead."""
    if source == "file":
        yield None
        return
    cat = subprocess.Popen(["cat", str(urls)], stdout=subprocess.PIPE)
    try:
        yield cat.stdout
    finally:
        assert cat.stdout is not None
        cat.stdout.close()
        cat.kill()
        cat.wait()

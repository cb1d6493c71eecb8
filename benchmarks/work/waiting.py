"""W4 and W9: time goes by in waiting, so that a computed lower bound can be compared with."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from benchmarks.bench import NAMES_AT, Bench
from benchmarks.bounds import Bound, Hosts, lower_bounds
from benchmarks.measuring import Usage
from benchmarks.peers import FETCHPOOL, Task, Tool
from benchmarks.processes import own_cpu_s
from benchmarks.racing import memory_of
from benchmarks.report import Judgement, Section, Table, Target, spread
from benchmarks.servers.calling import Report
from benchmarks.servers.hosts import BODY, address
from benchmarks.targets import AHEAD, AHEAD_OF, W4_BOUND, W9_BOUND
from tests.harness import with_resolver

COLUMNS = (
    "tool", "URLs", "answered", "seconds", "ratio", "bound / seconds", "without start and end",
    "CPU s", "CPU µs/URL", "peak memory", "connections", "429s", "most at one host",
    "server busy",
)  # fmt: skip

LONG_S = 30.0
"""A tool that takes longer is run once."""


@dataclass(frozen=True)
class Trial:
    """What a tool took, and what the server saw of it."""

    usage: Usage
    seen: Report
    server_cpu_s: float

    @property
    def served_s(self) -> float:
        """From the first request to the last answer, as the server saw it."""
        if self.seen.first is None or self.seen.last is None:
            return float("inf")
        return self.seen.last - self.seen.first


@dataclass
class Entry:
    """A tool, its part of the work, and how it did."""

    tool: Tool
    urls: Sequence[str]
    reachable: int
    """How many of them can be answered."""
    bound_s: float
    trials: list[Trial] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """URLs that were, in the worst trial."""
        return min(trial.seen.answered for trial in self.trials)

    @property
    def complete(self) -> bool:
        """Whether all that can be answered was."""
        return self.answered >= self.reachable

    @property
    def seconds(self) -> float:
        """Median of the program's time."""
        return median(trial.usage.seconds for trial in self.trials)

    @property
    def served_s(self) -> float:
        """Median of the time from first request to last answer."""
        return median(trial.served_s for trial in self.trials)

    def ratio(self, ours: Entry) -> float | None:
        """Return the seconds a URL divided by *ours*, or None if one of them is incomplete."""
        if not (self.complete and ours.complete):
            return None
        return (self.seconds / len(self.urls)) / (ours.seconds / len(ours.urls))


@dataclass(frozen=True)
class Waiting:
    """A run whose least time is known."""

    task: Task
    reachable: int
    """URLs that can be answered."""
    bounds: Sequence[Bound]
    slice: int | None
    """How many URLs the slow tools get; None: they don't take part."""
    needs_names: bool = False


def mixed(bench: Bench) -> Section:
    """W4: fast hosts, slow ones, some that throttle and some that are dead."""
    part = bench.size(1, 4)
    fast = Hosts("a fast host", 40, 100 // part, 0.02)
    slow = Hosts("a slow host", 5, 128 // part, 0.5)
    throttling = Hosts("a throttling host", 3, 120 // part, 0.02, window=(20, 2.0))
    # Two retries, each pause the shortest that fetchpool's own back-off draws.
    dead = Hosts("a dead host", 2, 20, backoffs_s=(0.25, 0.5))
    kinds = (fast, slow, throttling, dead)
    rules = ("after-0.02", "after-0.5", "after-0.02_window-20-2", None)
    urls: list[str] = []
    for hosts, rule in zip(kinds, rules, strict=True):
        for host in range(hosts.count):
            name = address(1000 * kinds.index(hosts) + host + 1)
            # Port 1: nothing listens there, so connections are refused.
            urls += [
                f"http://{name}:1/{number}"
                if rule is None
                else bench.hosts.url(name, rule, host * 1000 + number)
                for number in range(hosts.urls)
            ]
    random.Random(4).shuffle(urls)
    limit, per_host = 50, 4
    waiting = Waiting(
        Task(urls, len(BODY), limit, per_host, retries=2),
        sum(each.count * each.urls for each in (fast, slow, throttling)),
        lower_bounds(kinds, limit, per_host),
        slice=None,
    )
    section = Section(
        "W4",
        "fast, slow, throttling and dead hosts",
        "40 hosts that answer after 20 ms, 5 after 0.5 s, 3 that answer 20 requests in 2 s and "
        "give others a 429 with Retry-After, 2 that refuse connections, shuffled; "
        f"`--limit {limit} --per-host {per_host}`, two retries, one core each, nothing kept.",
    )
    _compare(bench, section, waiting, W4_BOUND)
    section.notes.append(
        "curl and wget2 have no limit for a host: they may be faster than the bound by having "
        "more requests at one host than were allowed (last column, in bold)."
    )
    return section


def names(bench: Bench) -> Section:
    """W9: what real lists look like."""
    hosts = bench.size(2_000, 200)
    limit = bench.size(1_000, 100)
    each = 10
    urls = [
        f"http://site-{host}.bench.home.arpa:{bench.hosts.port}/after-0.2"
        f"{'_close' if number % 2 else ''}/{host * each + number}"
        for host in range(hosts)
        for number in range(each)
    ]
    random.Random(9).shuffle(urls)
    kinds = [Hosts("a host", hosts, each, 0.2)]
    section = Section(
        "W9",
        "many names",
        f"{len(urls):,} URLs of {hosts:,} names that a local name server knows, shuffled; every "
        "answer after 200 ms, every other one closes its connection; "
        f"`--limit {limit}`, one core each, nothing kept.",
    )
    if bench.why_no_names:
        section.notes.append(f"Not measured: {bench.why_no_names}.")
        return section
    waiting = Waiting(
        Task(urls, len(BODY), limit, per_host=10),
        len(urls),
        lower_bounds(kinds, limit, 10),
        bench.size(2_000, 200),
        needs_names=True,
    )
    _compare(bench, section, waiting, W9_BOUND)
    section.notes.append(
        "curl takes 300 at a time at most. Slow tools get a slice of the list; their bound is "
        "computed from it."
    )
    return section


def _compare(bench: Bench, section: Section, waiting: Waiting, target: Target) -> None:
    """Run the tools in turns; add table, bounds and judgements to *section*."""
    tools = [FETCHPOOL] + [
        tool
        for tool in bench.peers
        if tool.can(waiting.task) and not tool.endless and (waiting.slice or not tool.slow)
    ]
    entries = [_entry(tool, waiting) for tool in tools]
    for number in range(bench.rounds):
        start = number % len(entries)
        for entry in entries[start:] + entries[:start]:
            if entry.trials and (entry.tool.slow or entry.seconds > LONG_S):
                continue
            entry.trials.append(_try(bench, section, waiting, entry))
            bench.say(f"  {section.key} {entry.tool.name} {entry.trials[-1].usage.seconds:.2f} s")
    ours = entries[0]
    name = f"{section.key} {section.title}"
    table = Table(name, COLUMNS)
    table.rows += [_row(entry, ours, waiting.task.per_host) for entry in entries]
    section.tables.append(table)
    value = ours.bound_s / ours.seconds if ours.complete else None
    section.judgements.append(Judgement(name, "lower bound / time", target, value, "incomplete"))
    section.judgements += [
        Judgement(name, entry.tool.name, AHEAD, entry.ratio(ours), "incomplete")
        for entry in entries
        if entry.tool.name in AHEAD_OF
    ]
    section.notes += [
        f"Lower bound, {waiting.bounds[0]}.",
        "Other bounds: " + "; ".join(map(str, waiting.bounds[1:])) + ".",
        "The time is the whole program's, its start included, which the bound knows nothing of; "
        "*without start and end* divides the bound by the time from the first request to the last "
        "answer, as the server saw it.",
    ]


def _entry(tool: Tool, waiting: Waiting) -> Entry:
    urls, bound_s = waiting.task.urls, waiting.bounds[0].seconds
    if tool.slow and waiting.slice is not None:
        part = urls[: waiting.slice]
        return Entry(tool, part, len(part), bound_s * len(part) / len(urls))
    return Entry(tool, urls, waiting.reachable, bound_s)


def _try(bench: Bench, section: Section, waiting: Waiting, entry: Entry) -> Trial:
    task, tool = replace(waiting.task, urls=entry.urls), entry.tool
    with bench.directory() as place:
        list_file = place / "list.txt"
        list_file.write_text(tool.list_text(task))
        words = tool.words(task, list_file)
        section.commands.setdefault(tool.name, bench.shown(tool, words, bench.cores.client))
        bench.hosts.forget()
        run = with_resolver(NAMES_AT, place, program=words) if waiting.needs_names else words
        server_cpu_s = own_cpu_s(bench.hosts.process)
        usage = bench.run(run, place, variables=tool.variables(task), most_s=bench.longest_s)
        server_cpu_s = own_cpu_s(bench.hosts.process) - server_cpu_s
        return Trial(usage, bench.hosts.report(), server_cpu_s)


def _row(entry: Entry, ours: Entry, per_host: int) -> list[str]:
    trials, urls = entry.trials, len(entry.urls)
    missed = "" if entry.complete else f" of {entry.reachable:,}: **incomplete**"
    stopped = trials[0].usage.stopped
    ratio = None if entry is ours else entry.ratio(ours)
    at_once = max(trial.seen.at_once for trial in trials)
    cpu_s = median(trial.usage.cpu_s for trial in trials)
    return [
        entry.tool.name,
        f"{urls:,}",
        f"{entry.answered:,}{missed}",
        spread([trial.usage.seconds for trial in trials]) + (f", {stopped}" if stopped else ""),
        "–" if ratio is None else f"{ratio:.2f}",
        f"{entry.bound_s / entry.seconds:.2f}" if entry.complete else "–",
        f"{entry.bound_s / entry.served_s:.2f}" if entry.complete else "–",
        f"{cpu_s:.2f}",
        f"{cpu_s / urls * 1e6:,.0f}",
        memory_of([trial.usage for trial in trials]),
        f"{trials[0].seen.connections:,}",
        f"{trials[0].seen.refused:,}",
        f"**{at_once}**" if at_once > per_host else f"{at_once}",
        f"{median(trial.server_cpu_s for trial in trials) / entry.served_s:.0%}",
    ]

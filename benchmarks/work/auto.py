"""W15: limits that are found while running, beside the best fixed ones of a few, over sockets."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.bench import Bench
from benchmarks.measuring import Usage
from benchmarks.peers import FETCHPOOL, Task
from benchmarks.report import Judgement, Section, Table, spread
from benchmarks.servers.calling import Report
from benchmarks.servers.hosts import BODY, address
from benchmarks.targets import W15_BEST

LIMIT = 1000
"""`--limit` where nothing is said of it."""

AUTO = "auto"

COLUMNS = ("hosts", "settings", "URLs", "seconds", "best / seconds", "CPU s", "429s",
           "most at one host")  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """What `--per-host` and `--limit` are."""

    per_host: int | str
    limit: int | str = LIMIT

    def __str__(self) -> str:
        return f"--limit {self.limit} --per-host {self.per_host}"


@dataclass(frozen=True)
class Hosts:
    """Hosts that behave alike or not, and the settings that may be the best for them."""

    what: str
    rules: Sequence[str]
    """What each of them does; see `benchmarks.servers.hosts`."""
    each: int
    """URLs a host."""
    fixed: Sequence[Setting]

    @property
    def auto(self) -> Setting:
        """Has it found; the limit over all where that is searched for, too."""
        limits = {one.limit for one in self.fixed}
        return Setting(AUTO, AUTO if len(limits) > 1 else LIMIT)


def _several(bench: Bench) -> list[Hosts]:
    draw = random.Random(15)
    part = bench.size(1, 20)
    mixed = [f"after-{math.exp(draw.uniform(math.log(0.02), 0.0)):.3f}" for _ in range(200)]
    return [
        Hosts("a fast host", ["now"], 20_000 // part, [Setting(n) for n in (8, 16, 64)]),
        Hosts("a slow host", ["after-0.2"], 15_000 // part, [Setting(n) for n in (32, 64)]),
        Hosts(
            "8 at once, then it queues",
            ["after-0.05_queue-8"],
            4_000 // part,
            [Setting(n) for n in (4, 8, 16)],
        ),
        Hosts(
            "429 beyond 20 a second",
            ["after-0.1_window-20-1"],
            600 // part,
            [Setting(n) for n in (1, 2, 4)],
        ),
        Hosts(
            "200 mixed hosts",
            mixed,
            60 // min(part, 10),
            [Setting(n, limit) for limit in (100, 400, LIMIT) for n in (4, 16)],
        ),
    ]


@dataclass(frozen=True)
class Trial:
    """What a run took, and what the server saw of it."""

    usage: Usage
    seen: Report


def auto(bench: Bench) -> Section:
    """Run each of several hosts with fixed settings and with those that are found."""
    section = Section(
        "W15",
        "limits that are found",
        "One host, or 200, with `--per-host auto` (of the 200 `--limit auto`, too) beside a few "
        "fixed settings, one core each, nothing kept. *best*: the least median of these. "
        "`python -m benchmarks.auto` has the same without sockets, searched in full.",
    )
    table = Table("W15", COLUMNS)
    section.tables.append(table)
    for hosts in _several(bench):
        _compare(bench, section, table, hosts)
    return section


def _compare(bench: Bench, section: Section, table: Table, hosts: Hosts) -> None:
    urls = [
        bench.hosts.url(address(number + 1), rule, number * hosts.each + line)
        for line in range(hosts.each)
        for number, rule in enumerate(hosts.rules)
    ]
    settings = [hosts.auto, *hosts.fixed]
    trials: dict[Setting, list[Trial]] = {each: [] for each in settings}
    for _ in range(bench.rounds):
        for setting in settings:
            trials[setting].append(_try(bench, section, urls, setting))
            bench.say(f"  W15 {hosts.what} {setting}")
    found = hosts.auto
    seconds = {which: median(one.usage.seconds for one in runs) for which, runs in trials.items()}
    complete = {
        which: all(one.seen.answered == len(urls) for one in runs) for which, runs in trials.items()
    }
    best = min(
        (took for which, took in seconds.items() if which != found and complete[which]),
        default=None,
    )
    for setting, runs in trials.items():
        table.rows.append(
            [
                hosts.what,
                str(setting),
                f"{len(urls):,}" if complete[setting] else f"{len(urls):,}: **incomplete**",
                spread([one.usage.seconds for one in runs]),
                f"{best / seconds[setting]:.2f}" if best is not None and complete[setting] else "–",
                f"{median(one.usage.cpu_s for one in runs):.2f}",
                f"{median(one.seen.refused for one in runs):,.0f}",
                f"{max(one.seen.at_once for one in runs)}",
            ]
        )
    value = best / seconds[found] if best is not None and complete[found] else None
    section.judgements.append(
        Judgement(f"W15 {hosts.what}", "best fixed / auto", W15_BEST, value, "incomplete")
    )


def _try(bench: Bench, section: Section, urls: Sequence[str], setting: Setting) -> Trial:
    task = Task(urls, len(BODY), LIMIT, per_host=1, retries=5)
    with bench.directory() as place:
        list_file = place / "list.txt"
        list_file.write_text(FETCHPOOL.list_text(task))
        words = FETCHPOOL.words(task, list_file)
        for option, value in (("--limit", setting.limit), ("--per-host", setting.per_host)):
            words[words.index(option) + 1] = str(value)
        section.commands.setdefault("fetchpool", bench.shown(FETCHPOOL, words, bench.cores.client))
        bench.hosts.forget()
        usage = bench.run(words, place, most_s=bench.longest_s)
        return Trial(usage, bench.hosts.report())

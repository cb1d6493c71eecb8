"""Races: the same task for several tools, one after the other, several times over."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from benchmarks import targets
from benchmarks.bench import Bench
from benchmarks.measuring import Usage
from benchmarks.peers import FETCHPOOL, Task, Tool
from benchmarks.report import Judgement, Section, Table, Target, ratio, spread

COLUMNS = (
    "tool", "URLs", "seconds", "URLs/s", "CPU s", "CPU µs/URL", "peak memory", "ratio",
    "to be reached", "",
)  # fmt: skip

TEMPORARY = "bodies"


@dataclass(frozen=True)
class Entrant:
    """A tool in a race, under a name, perhaps with other options than the task says."""

    tool: Tool
    label: str
    changes: Mapping[str, object] = field(default_factory=dict)
    beside: bool = False
    """Of fetchpool's ways: shown, but not what the peers are compared with."""


@dataclass(frozen=True)
class Race:
    """A task, and how it is run."""

    name: str
    """As in `targets.RATIOS`."""
    task: Task
    """`into` says where the directory for the bodies is made, if at all."""
    slice: int
    """How many URLs the slow tools get."""
    all_cores: bool = False
    against: Sequence[str] = ()
    """Peers by name; none: every one that can."""
    more: Sequence[Entrant] = ()
    """Peers in other ways than theirs."""
    with_limit: bool = False
    """Together with the tool that shows what the server can do at most."""
    ours: Sequence[Entrant] = (Entrant(FETCHPOOL, "fetchpool"),)
    """Peers are compared with the fastest that did all its work."""


@dataclass(frozen=True)
class Run:
    """What a tool took, and what it did for it."""

    usage: Usage
    wanted: int
    answered: int
    kept: int | None
    """Bodies found in its directory, of the right length; None where none were to be kept."""
    endless: bool = False

    @property
    def done(self) -> int:
        """How many of the URLs it did."""
        return self.answered if self.kept is None else min(self.answered, self.kept)

    @property
    def complete(self) -> bool:
        """Whether it did all its work."""
        return self.usage.stopped is None and (self.endless or self.done >= self.wanted)

    @property
    def urls(self) -> int:
        """What its time is divided by."""
        return self.answered if self.endless else self.wanted

    @property
    def s_per_url(self) -> float:
        """Seconds for each URL."""
        return self.usage.seconds / max(1, self.urls)

    def shortfall(self) -> str:
        """Return what it left undone, in a few words."""
        if self.complete:
            return ""
        kept = "" if self.kept is None else f", {self.kept:,} bodies right"
        why = f"; {self.usage.stopped}" if self.usage.stopped else ""
        status = f"; exit {self.usage.exit_status}" if self.usage.exit_status else ""
        return f"**incomplete**: {self.answered:,} of {self.wanted:,} answered{kept}{why}{status}"


def entrants(bench: Bench, race: Race) -> list[Entrant]:
    """Return who takes part: ours, and each installed peer that is asked for and able."""
    peers = [
        Entrant(tool, tool.name)
        for tool in bench.peers
        if tool.can(race.task)
        and (not race.against or tool.name in race.against)
        and (race.with_limit or not tool.endless)
    ]
    return [*race.ours, *peers, *race.more]


def run_race(bench: Bench, race: Race, section: Section) -> dict[str, list[Run]]:
    """Run *race*, add its table, targets and commands to *section*, and return the runs by label.

    The tools take turns, each round begins with another one, so that what disturbs the machine for
    a while disturbs all of them.
    """
    takes_part = entrants(bench, race)
    runs: dict[str, list[Run]] = {each.label: [] for each in takes_part}
    bench.nginx.run_on(bench.cores.every if race.all_cores else bench.cores.server)
    for number in range(bench.rounds):
        start = number % len(takes_part)
        for entrant in takes_part[start:] + takes_part[:start]:
            before = runs[entrant.label]
            if before and (entrant.tool.slow or before[-1].usage.stopped):
                continue
            run, command = run_once(bench, race, entrant)
            before.append(run)
            section.commands.setdefault(f"{race.name}: {entrant.label}", command)
            bench.say(f"  {race.name}: {entrant.label} {run.usage.seconds:.2f} s {run.shortfall()}")
    bench.nginx.run_on(bench.cores.server)
    add_to(section, race, takes_part, runs)
    return runs


def run_once(bench: Bench, race: Race, entrant: Entrant) -> tuple[Run, str]:
    """Let *entrant* do the task once; return the run, and the command as a reader types it."""
    task = replace(race.task, **entrant.changes)  # type: ignore[arg-type]
    tool = entrant.tool
    if tool.slow:
        task = replace(task, urls=task.urls[: race.slice])
    cores = bench.cores.every if race.all_cores else bench.cores.client
    on_disk = race.task.into == bench.work_place
    with bench.directory(race.task.into or bench.memory_place, keep=on_disk) as place:
        if task.into is not None:
            task = replace(task, into=place / TEMPORARY)
        list_file = place / "list.txt"
        list_file.write_text(tool.list_text(task))
        words = tool.words(task, list_file)
        if on_disk:
            os.sync()  # what the tool before wrote shall not be this one's burden
        bench.nginx.forget()
        usage = bench.run(
            words, place, cores=cores, variables=tool.variables(task), most_s=bench.longest_s
        )
        kept = None
        if task.into is not None and not task.ledger:
            kept = count_bodies(task.into, task.body_bytes)
        wanted = len(task.urls)
        answered = bench.nginx.answered(None if tool.endless else wanted)
        run = Run(usage, wanted, answered, kept, tool.endless)
        command = bench.shown(tool, words, cores)
        variables = "".join(f"{name}=$CA " for name in tool.variables(task))
        return run, variables + command


def count_bodies(directory: Path, length: int) -> int:
    """Return how many files below *directory* are *length* bytes long; not the tool's own."""
    found = 0
    for place, inner, names in os.walk(directory):
        inner[:] = [name for name in inner if not name.startswith(".")]
        found += sum(os.stat(os.path.join(place, name)).st_size == length for name in names)
    return found


def add_to(
    section: Section, race: Race, takes_part: Sequence[Entrant], runs: Mapping[str, list[Run]]
) -> None:
    """Add the table and the judgements of *race* to *section*."""
    section.targets_in_tables = True
    base = base_of(race, runs)
    table = Table(race.name, COLUMNS)
    for entrant in takes_part:
        these = runs[entrant.label]
        value = None if these is base else compared(these, base)
        target = targets.of(race.name, entrant.label)
        table.rows.append([*row(entrant, these, value), *_judged(target, value, these)])
        if target is not None:
            left_undone = next((run.shortfall() for run in these if not run.complete), None)
            why_none = left_undone or "fetchpool incomplete"
            section.judgements.append(
                Judgement(race.name, entrant.label, target, value, why_none.replace("**", ""))
            )
    section.tables.append(table)
    section.judgements += [
        Judgement(name, peer, target, None, "not installed")
        for (name, peer), target in targets.RATIOS.items()
        if name == race.name and peer not in runs
    ]


def _judged(target: Target | None, value: float | None, runs: Sequence[Run]) -> list[str]:
    """Return the row's last two cells: the target, and what came of it or went wrong."""
    left_undone = next((run.shortfall() for run in runs if not run.complete), "")
    if target is None:
        return ["", left_undone]
    wanted = ", aim ".join(bound for bound in target.shown() if bound != "–")
    return [wanted, left_undone or (target.verdict(value) if value is not None else "")]


def base_of(race: Race, runs: Mapping[str, list[Run]]) -> list[Run]:
    """Return the runs that the peers' are compared with."""
    ours = [runs[entrant.label] for entrant in race.ours if not entrant.beside]
    complete = [these for these in ours if all(run.complete for run in these)]
    return min(complete or ours, key=lambda these: median(run.s_per_url for run in these))


def compared(runs: Sequence[Run], base: Sequence[Run]) -> float | None:
    """Return the ratio of the medians, or None where one of the two didn't do its work."""
    if not all(run.complete for run in [*runs, *base]):
        return None
    return ratio([run.s_per_url for run in runs], [run.s_per_url for run in base])


def row(entrant: Entrant, runs: Sequence[Run], value: float | None) -> list[str]:
    """Return the table's row of *entrant*."""
    return [
        entrant.label,
        f"{runs[0].urls:,}",
        spread([run.usage.seconds for run in runs]),
        f"{1 / median(run.s_per_url for run in runs):,.0f}" if runs[0].complete else "–",
        f"{median(run.usage.cpu_s for run in runs):.2f}",
        f"{median(run.usage.cpu_s / max(1, run.urls) for run in runs) * 1e6:,.0f}",
        memory_of([run.usage for run in runs]),
        "–" if value is None else f"{value:.2f}" if value > 0.1 else f"{value:.2g}",
    ]


def memory_of(usages: Sequence[Usage]) -> str:
    """Return the median of the peaks, with how many processes they were the sum of."""
    if not any(usage.memory for usage in usages):
        return "–"
    several = max(usage.processes for usage in usages)
    note = "" if several == 1 else f" (PSS of {several} processes)"
    return f"{median(usage.memory for usage in usages) / 1e6:.0f} MB{note}"

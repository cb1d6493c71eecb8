"""W8: what it takes to start: `--help`, and one URL."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from statistics import median

from benchmarks.bench import Bench
from benchmarks.measuring import Usage
from benchmarks.peers import FETCHPOOL, Task, Tool
from benchmarks.racing import memory_of
from benchmarks.report import Judgement, Section, Table, ratio, spread
from benchmarks.servers.nginx import SMALL
from benchmarks.targets import AHEAD, AHEAD_OF, W8_HELP_CPU, W8_ONE_URL


def startup(bench: Bench) -> Section:
    """Each tool's help and one URL, several times."""
    times = bench.size(7, 2)
    section = Section(
        "W8", "start-up", f"The median of {times} runs, one core each, files warm in memory."
    )
    table = Table("Start-up", ("tool", "what", "seconds", "CPU s", "peak memory", ""))
    section.tables.append(table)
    one_url: dict[str, list[Usage]] = {}
    for tool in [FETCHPOOL, *(peer for peer in bench.peers if not peer.endless)]:
        helped = [_help(bench, section, tool) for _ in range(times)]
        bench.nginx.forget()
        fetched = [_one_url(bench, section, tool) for _ in range(times)]
        answered = bench.nginx.answered(times)
        failed = "" if answered >= times else f"**incomplete**: {answered} of {times} answered"
        if not failed:
            one_url[tool.name] = fetched
        table.rows.append([tool.name, "--help", *_cells(helped), ""])
        table.rows.append([tool.name, "one URL", *_cells(fetched), failed])
        bench.say(f"  W8 {' | '.join(table.rows[-1])}")
        if tool is FETCHPOOL:
            cpu_s = median(usage.cpu_s for usage in helped)
            section.judgements.append(Judgement("W8 --help", "CPU seconds", W8_HELP_CPU, cpu_s))
    _judge_one_url(section, one_url)
    return section


def _judge_one_url(section: Section, one_url: dict[str, list[Usage]]) -> None:
    """Compare those that did it; a program that fails is quick."""
    seconds = {name: [usage.seconds for usage in usages] for name, usages in one_url.items()}
    ours = seconds.get(FETCHPOOL.name)
    value = median(ours) if ours else None
    section.judgements.append(
        Judgement("W8 one URL", "seconds", W8_ONE_URL, value, "fetchpool incomplete")
    )
    section.judgements += [
        Judgement("W8 one URL", name, AHEAD, ratio(seconds[name], ours))
        for name in AHEAD_OF
        if name in seconds and ours
    ]


def _cells(usages: Sequence[Usage]) -> list[str]:
    seconds = spread([usage.seconds for usage in usages], 3)
    return [seconds, spread([usage.cpu_s for usage in usages], 3), memory_of(usages)]


def _help(bench: Bench, section: Section, tool: Tool) -> Usage:
    words = [*shlex.split(tool.program), "--help"]
    section.commands[f"{tool.name}, --help"] = bench.shown(tool, words, bench.cores.client)
    with bench.directory() as place:
        return bench.run(words, place)


def _one_url(bench: Bench, section: Section, tool: Tool) -> Usage:
    with bench.directory() as place:
        into = None if "discard" in tool.options else place / "bodies"
        task = Task([bench.nginx.url("/small/1")], SMALL, 50, into=into)
        (place / "list.txt").write_text(tool.list_text(task))
        words = tool.words(task, place / "list.txt")
        section.commands[f"{tool.name}, one URL"] = bench.shown(tool, words, bench.cores.client)
        return bench.run(words, place, variables=tool.variables(task))

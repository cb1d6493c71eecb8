"""W13: what a store costs for each body, and beside it who else writes archives."""

from __future__ import annotations

import random
import shlex
import shutil
from pathlib import Path
from statistics import median
from typing import get_args, get_type_hints

from benchmarks.bench import Bench
from benchmarks.machine import why_no_space
from benchmarks.measuring import Usage
from benchmarks.peers import FETCHPOOL
from benchmarks.racing import memory_of
from benchmarks.report import Judgement, Section, Table, spread
from benchmarks.servers.nginx import PAGE
from benchmarks.targets import W13_CPU, W13_PEERS
from fetchpool.config import Config

AT_ONCE = 50
NOTHING = "nothing, with a ledger"
WGET = "wget --warc"
IMG2DATASET = "img2dataset"


def stores(bench: Bench) -> Section:
    """Fetch the same list into every store, in turns."""
    count = bench.size(20_000, 500)
    section = Section(
        "W13",
        "stores",
        f"{count:,} different bodies of 10 KB of text from nginx, {AT_ONCE} at a time, on one "
        "core: to nothing but a ledger, then into each store, on tmpfs where there is one. *Over "
        "it*: CPU microseconds a URL more than that, which is what storing costs. Peers get the "
        "same list.",
    )
    why_not = why_no_space(bench.memory_place or bench.work_place, 4 * count * PAGE)
    if why_not:
        section.notes.append(f"Not measured: {why_not}.")
        return section
    urls = [bench.nginx.url(f"/pages/{number:06}.txt") for number in range(count)]
    pages = bench.nginx.place / "bodies" / "pages"
    _write_pages(pages, count)
    try:
        with bench.directory(bench.memory_place) as place:
            (place / "urls.txt").write_text("".join(f"{url}\n" for url in urls))
            (place / "urls.csv").write_text("url\n" + "".join(f"{url}\n" for url in urls))
            _measure(bench, section, place, count)
    finally:
        shutil.rmtree(pages)
    return section


def _measure(bench: Bench, section: Section, place: Path, count: int) -> None:
    commands = _commands(place)
    usages: dict[str, list[Usage]] = {way: [] for way in commands}
    for _ in range(bench.rounds):
        for way, words in commands.items():
            usage = bench.run(words, place, most_s=300.0)
            if usage.exit_status or usage.stopped:
                section.notes.append(f"{way}: {usage.stopped or usage.said[-200:]}")
            else:
                usages[way].append(usage)
            for made in place.glob("out*"):
                shutil.rmtree(made) if made.is_dir() else made.unlink()
    table = Table("", ("into", "seconds", "CPU µs a URL", "over it", "peak memory"))
    base = median(_cpu(usages[NOTHING], count))
    for way, these in usages.items():
        if not these:
            continue
        cpu = _cpu(these, count)
        largest = max(these, key=lambda usage: usage.memory)
        over = median(cpu) - base
        seconds = spread([usage.seconds for usage in these])
        shown = "" if way in (NOTHING, WGET, IMG2DATASET) else f"{over:.1f}"
        table.rows.append([way, seconds, spread(cpu), shown, memory_of([largest])])
        bench.say(f"  W13 {' | '.join(table.rows[-1])}")
        if (target := W13_CPU.get(way)) is not None:
            section.judgements.append(Judgement(f"W13 {way}", NOTHING, target, over))
    for peer, way in ((WGET, "warc"), (IMG2DATASET, "tar")):
        if usages.get(peer) and usages.get(way):
            ahead = _seconds(usages[peer]) / _seconds(usages[way])
            section.judgements.append(Judgement(f"W13 {way}", peer, W13_PEERS, ahead))
    section.tables.append(table)


def _commands(place: Path) -> dict[str, list[str]]:
    ours = [*shlex.split(FETCHPOOL.program), "get", "urls.txt", "-o", "out", "-q"]
    ours += ["--limit", str(AT_ONCE), "--per-host", str(AT_ONCE)]
    kinds = get_args(get_args(get_type_hints(Config, include_extras=True)["store"])[0])
    commands = {NOTHING: [*ours, "--no-body"]}
    commands |= {kind: [*ours, "--store", kind] for kind in kinds}
    if shutil.which("wget"):
        commands[WGET] = ["wget", "-q", "-i", "urls.txt", "-O", "out.tmp", "--warc-file=out"]
        commands[WGET] += ["--no-config"]
    if shutil.which(IMG2DATASET):
        options = ["--url_list=urls.csv", "--input_format=csv", "--output_folder=out"]
        options += ["--output_format=webdataset", "--resize_mode=no", "--processes_count=1"]
        options += [f"--thread_count={AT_ONCE}", "--disable_all_reencoding=True"]
        commands[IMG2DATASET] = [IMG2DATASET, *options]
    return commands


def _cpu(usages: list[Usage], count: int) -> list[float]:
    return [usage.cpu_s / count * 1e6 for usage in usages]


def _seconds(usages: list[Usage]) -> float:
    return median(usage.seconds for usage in usages)


def _write_pages(folder: Path, count: int) -> None:
    """Write bodies that differ, and that can be packed as text can."""
    folder.mkdir()
    chance = random.Random(13)
    words = [
        "".join(chance.choices("etaoinshrdlu", k=chance.randrange(2, 11))) for _ in range(2000)
    ]
    for number in range(count):
        text = " ".join([f"{number}", *chance.choices(words, k=PAGE // 5)])
        (folder / f"{number:06}.txt").write_text(text[:PAGE])

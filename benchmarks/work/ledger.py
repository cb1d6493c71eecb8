"""W10: going on over a ledger of ten million records."""

from __future__ import annotations

from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.machine import why_no_space
from benchmarks.measuring import GIB, Usage
from benchmarks.peers import FETCHPOOL, Task
from benchmarks.racing import memory_of
from benchmarks.report import Judgement, Section, Table
from benchmarks.servers.hosts import BODY, address
from benchmarks.targets import W10_MEMORY, W10_SECONDS
from benchmarks.work.lists import HOSTS, LINE, after_first_request, scattered, write_list

LEFT = 100_000
"""Lines without a record: what is to be gone on with."""

RULES = "after-0.3"

RECORD = 400
"""Bytes of a record, about."""


def ledger(bench: Bench) -> Section:
    """Go on with and without a checkpoint."""
    done = bench.size(10_000_000, 200_000)
    section = Section(
        "W10",
        "going on",
        f"A stopped run of {done + LEFT:,} lines over {HOSTS:,} hosts, of which {done:,} have "
        "their record: time from the start of the same command to its first request, as the "
        "server saw it, and the most memory until then. *Killed*: no checkpoint is there, every "
        "record is read. *Stopped*: the run before left a checkpoint when SIGTERM came.",
    )
    why_not = why_no_space(bench.work_place, done * (RECORD + LINE))
    if why_not:
        section.notes.append(f"Not measured: {why_not}.")
        return section
    table = Table("fetchpool", ("after the run was", "first request, s", "CPU s", "peak memory"))
    with bench.directory() as place:
        write_list(place / "urls", bench.hosts, RULES, range(done + LEFT))
        bench.say("  W10 list written")
        _begin(bench, place)
        length = _write_records(bench, place / "out", done)
        bench.say(f"  W10 ledger written, {length / GIB:.1f} GiB")
        (place / "out/.fetchpool/checkpoint").unlink(missing_ok=True)
        for how in ("killed", "stopped"):
            usage, first_s, command = _go_on(bench, place)
            section.commands.setdefault("fetchpool", command)
            wrong = _not_gone_on(place / "out", length)
            first = "none came" if first_s is None else f"{first_s:.2f}"
            table.rows.append([how, first, f"{usage.cpu_s:.2f}", memory_of([usage])])
            bench.say(f"  W10 {how}: {first} s, {memory_of([usage])} {usage.stopped} {wrong}")
            if wrong:
                first_s = None
                section.notes.append(f"{how}: {wrong}")
            what, why_none = f"W10 {done:,} records, {how}", wrong or "no request came"
            section.judgements += [
                Judgement(what, "first request", W10_SECONDS, first_s, why_none),
                Judgement(what, "memory", W10_MEMORY, usage.memory / 1e6),
            ]
    section.tables.append(table)
    section.notes.append(f"The ledger has {length / GIB:.2f} GiB, on {bench.disk}; one run each.")
    return section


def _go_on(bench: Bench, place: Path) -> tuple[Usage, float | None, str]:
    """Run the command until its first request; stop it as a user would."""
    task = Task(("",), len(BODY), 100, 10, into=place / "out", ledger=True)
    words = FETCHPOOL.words(task, place / "urls")
    bench.hosts.forget()
    until = after_first_request(bench.hosts, 0.0)
    usage = bench.run(words, place, most_s=180.0, until=until)
    first = bench.hosts.report().first
    command = bench.shown(FETCHPOOL, words, bench.cores.client)
    return usage, None if first is None else first - usage.began, command


def _begin(bench: Bench, place: Path) -> None:
    """Make the directory of a stopped run, by stopping one."""
    usage, first_s, _ = _go_on(bench, place)
    if first_s is None:
        raise RuntimeError(f"fetchpool did not begin: {usage.said}")


def _write_records(bench: Bench, directory: Path, count: int) -> int:
    """Make the ledger one of *count* records, in the form the program wrote; return its length."""
    ledger = directory / "results.jsonl"
    written = ledger.read_text().splitlines()[0]
    number = int(written.partition(f"/{RULES}/")[2].partition('"')[0])
    host = address(scattered(number))
    form = written.replace("%", "%%").replace(f"/{host}:", "/%(host)s:")
    form = form.replace(f"/{RULES}/{number}", f"/{RULES}/%(number)d")
    form = form.replace(f'"seq":{number + 1},', '"seq":%(seq)d,') + "\n"
    addresses = [address(host) for host in range(HOSTS)]
    # The same file, by its inode: it is the one the stopped run knows.
    with ledger.open("r+") as file:
        file.truncate(0)
        for start in range(0, count, 100_000):
            file.write(
                "".join(
                    form % {"host": addresses[scattered(n)], "number": n, "seq": n + 1}
                    for n in range(start, min(start + 100_000, count))
                )
            )
    return ledger.stat().st_size


def _not_gone_on(directory: Path, length: int) -> str:
    """Return why the run did not go on with the ledger, or nothing."""
    size = (directory / "results.jsonl").stat().st_size
    if size < length:
        return f"the ledger was begun anew: {size:,} bytes of {length:,} are left"
    return ""

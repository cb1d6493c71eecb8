"""Start and end all that a run of the benchmark needs, so that nothing is left of it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks import machine
from benchmarks.bench import NAMES_AT, Bench, Cores
from benchmarks.peers import FETCHPOOL, Task, Tool
from benchmarks.servers.calling import hosts_server
from benchmarks.servers.nginx import SMALL, find_nginx, nginx
from tests.harness import why_no_resolver

LARGE = 100_000_000
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def prepared(
    found: Sequence[Tool], *, rounds: int, quick: bool, tmp: Path | None = None
) -> Iterator[Bench]:
    """Start all that is needed; end and remove all of it afterwards.

    *tmp*: where lists, ledgers and bodies on disk go, in a directory of their own. Raises
    RuntimeError where nginx is missing or fetchpool doesn't run.
    """
    cores = Cores.of_this_process()
    program = find_nginx()
    if program is None:
        raise RuntimeError("nginx is needed: apt-get install nginx-light")
    with ExitStack() as stack:
        for number in ENDINGS:
            stack.callback(signal.signal, number, signal.getsignal(number))
        work = stack.enter_context(_place(tmp or machine.disk_place()))
        in_memory = machine.memory_place()
        memory = stack.enter_context(_place(in_memory)) if in_memory else None
        server_place = (memory or work) / "nginx"
        server_place.mkdir()
        # While tools are measured this process only looks on, from the servers' side.
        stack.callback(os.sched_setaffinity, 0, cores.every)
        os.sched_setaffinity(0, cores.server)
        why_no_names = why_no_resolver()
        bench = Bench(
            rounds=rounds,
            quick=quick,
            cores=cores,
            peers=list(found),
            nginx=stack.enter_context(
                nginx(server_place, program, cores.every, LARGE // 10 if quick else LARGE)
            ),
            hosts=stack.enter_context(
                hosts_server(cores.server, None if why_no_names else NAMES_AT)
            ),
            why_no_names=why_no_names,
            work_place=work,
            memory_place=memory,
            disk=machine.file_system(work),
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )
        # Ending servers and removing gigabytes takes a second or two: another ^C must not stop it.
        for number in ENDINGS:
            stack.callback(signal.signal, number, signal.SIG_IGN)
        bench.nginx.run_on(cores.server)
        bench.has_workers = _has_workers(bench)
        yield bench


@contextmanager
def _place(parent: Path | None) -> Iterator[Path]:
    """Make a directory, and remove it with all it holds."""
    place = Path(tempfile.mkdtemp(prefix="fetchpool-benchmarks-", dir=parent))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _has_workers(bench: Bench) -> bool:
    """Return whether two workers fetch two URLs; the first run also fills Python's caches."""
    with bench.directory() as place:
        urls = [bench.nginx.url(f"/small/{number}") for number in (1, 2)]
        (place / "urls").write_text("\n".join(urls) + "\n")
        trial = bench.run(FETCHPOOL.words(Task(urls, SMALL, 2), place / "urls"), place)
        if trial.exit_status:
            raise RuntimeError(f"fetchpool cannot fetch two URLs: {trial.said}")
        task = Task(urls, SMALL, 2, workers=2)
        return bench.run(FETCHPOOL.words(task, place / "urls"), place).exit_status == 0

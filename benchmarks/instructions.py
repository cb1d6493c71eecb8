"""What the client does for one URL: instructions, and calls of Python's.

    python -m benchmarks.instructions                    to nothing and to files
    python -m benchmarks.instructions --tree ../old      another checkout, the same work
    python -m benchmarks.instructions --only nothing --calls

W1's work (1 KB from one host, 50 at a time, connections kept open), done twice, for more and for
fewer URLs: the difference is that of URLs alone, without start and end. valgrind counts the
instructions of the process, not the kernel's; so the figures mean the same on a machine that is
busy with something else, from one run to the next within half a percent. A minute a figure.
"""

from __future__ import annotations

import argparse
import os
import pstats
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.bench import Cores
from benchmarks.measuring import on_cores
from benchmarks.peers import FETCHPOOL, Task
from benchmarks.servers.calling import CHECKOUT
from benchmarks.servers.nginx import SMALL, Nginx, find_nginx, nginx
from benchmarks.work.small import AT_ONCE

FEWER = 2_000

VALGRIND = ("valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null")

# What happens ten times a second would count as often as the machine is slower than it could be:
# here, under valgrind and perhaps beside other programs, a hundred times.
UNHURRIED = """\
import sys, importlib
for module, name in [("http.core", "TICK_S"), ("pipeline.looks", "EVERY_S")]:
    try:
        setattr(importlib.import_module(f"fetchpool.{module}"), name, 1e6)
    except ImportError:
        pass  # an earlier version
"""

PROGRAM = f"{UNHURRIED}from fetchpool.__main__ import main; main()"

PROFILED = f"""\
{UNHURRIED}
import cProfile
from fetchpool.cli.app import main
profile = sys.argv.pop(1)
counting = cProfile.Profile()
status = counting.runcall(main)
counting.dump_stats(profile)
sys.exit(status)
"""


class Measuring:
    """Runs the program of one *tree* against nginx."""

    def __init__(self, server: Nginx, tree: Path, cores: Cores, more: int) -> None:
        """Ask for 2,000 URLs, and for so many *more*."""
        self._server = server
        self._tree = tree
        self._cores = cores
        self._more = more

    def warm_up(self) -> None:
        """Have the modules compiled, which the first run would do otherwise."""
        for to_files in (False, True):
            self._run([sys.executable, "-m", "fetchpool"], 10, to_files=to_files)

    def for_each_url(self, count: Callable[[int], int]) -> float:
        """Return what *count*, told how many URLs to ask for, counts for one of them."""
        return (count(FEWER + self._more) - count(FEWER)) / self._more

    def instructions(self, urls: int, *, to_files: bool) -> int:
        """Return how many instructions a run for *urls* takes."""
        said = self._run([*VALGRIND, sys.executable, "-c", PROGRAM], urls, to_files=to_files)
        found = re.search(r"I\s+refs:\s+([\d,]+)", said)
        if found is None:
            raise SystemExit(f"valgrind did not say how many instructions it saw:\n{said}")
        return int(found[1].replace(",", ""))

    def calls(self, urls: int, *, to_files: bool) -> int:
        """Return how many functions the event loop's thread calls in a run for *urls*."""
        with tempfile.TemporaryDirectory() as place:
            profile = f"{place}/profile"
            self._run([sys.executable, "-c", PROFILED, profile], urls, to_files=to_files)
            total: int = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]  # no stub has it
        return total

    def _run(self, program: Sequence[str], urls: int, *, to_files: bool) -> str:
        """Run it for so many *urls*; return what it says on standard error."""
        memory = Path("/dev/shm")
        with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as place:
            names = [self._server.url(f"/small/{number:06}.txt") for number in range(urls)]
            into = Path(place, "into") if to_files else None
            task = Task(names, SMALL, AT_ONCE, into=into)
            listed = Path(place, "list")
            listed.write_text(FETCHPOOL.list_text(task))
            words = FETCHPOOL.words(task, listed)[3:]  # without `python -m fetchpool`
            with on_cores(self._cores.client):
                ended = subprocess.run(
                    [*program, *words],
                    cwd=place,
                    env={
                        "PATH": os.environ.get("PATH", os.defpath),
                        "HOME": place,
                        "PYTHONPATH": str(self._tree),
                        "PYTHONHASHSEED": "0",  # else the same work is not the same
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                    check=False,
                )
        if ended.returncode:
            raise SystemExit(f"fetchpool ended with {ended.returncode}:\n{ended.stderr}")
        return ended.stderr


def main() -> int:
    """Print what was counted."""
    parser = argparse.ArgumentParser(description="What the client does for one URL.")
    parser.add_argument("--tree", type=Path, default=CHECKOUT, help="a checkout of fetchpool")
    parser.add_argument("--only", choices=["nothing", "files"])
    parser.add_argument("--urls", type=int, default=4_000, help="beyond the first 2,000")
    parser.add_argument("--calls", action="store_true", help="calls of Python's, too")
    chosen = parser.parse_args()
    program = find_nginx()
    if program is None or shutil.which(VALGRIND[0]) is None:
        sys.exit("benchmarks: nginx and valgrind are needed")
    cores = Cores.of_this_process()
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as place,
        nginx(Path(place), program, cores.server, large=0) as server,
    ):
        measuring = Measuring(server, chosen.tree.resolve(), cores, chosen.urls)
        measuring.warm_up()
        for what in [chosen.only] if chosen.only else ["nothing", "files"]:
            count = partial(measuring.instructions, to_files=what == "files")
            line = f"to {what:8} {measuring.for_each_url(count):9,.0f} instructions a URL"
            if chosen.calls:
                count = partial(measuring.calls, to_files=what == "files")
                line += f", {measuring.for_each_url(count):.1f} calls of Python's"
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

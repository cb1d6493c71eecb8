"""All the kills that the suite only samples; run by hand, before a release or after a change.

    python -m tests.kill_everywhere points        at every call that changes anything on disk
    python -m tests.kill_everywhere chance        20,000 URLs from nginx, SIGKILL every 50-500 ms

`points` takes some ten minutes on two cores, `chance` one or two; both need Linux, the first
strace, the second nginx. Exit status 1 and the scene left in place where a run was not exact.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.harness import check_bodies, raise_descriptor_limit, read_records
from tests.program.helpers import check_records, eventually, start, write_list
from tests.program.killing import FROM_START, LATER, SCENARIOS, HoldingServer, Scenario, Stage

NEAR = 12
"""Of calls that are made for each body, the first so many are points; beyond, every fifth."""


# -- at every call


def kill_at_every_call(folder: Path, only: str) -> int:
    """Go through all scenarios, two at a time; return the number of failures."""
    chosen = [scenario for scenario in SCENARIOS if only in scenario.name]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda scenario: _all_points(folder, scenario), chosen))
    points = sum(here for here, _ in results)
    failures = sum(failed for _, failed in results)
    print(f"{points} points in {len(chosen)} scenarios, {failures} failures")
    return failures


def _all_points(folder: Path, scenario: Scenario) -> tuple[int, int]:
    """Kill the command of *scenario* everywhere; return how many points and failures."""
    points = failures = 0
    with HoldingServer() as server:
        stage = Stage(folder / scenario.name.replace(" ", "-").replace(",", ""), server, scenario)
        for series in (*FROM_START, *LATER):
            here = 0
            for nth in (*range(1, NEAR), *range(NEAR, 1000, 5)):
                stage.reset()
                try:
                    killed = stage.kill(series, nth)
                    stage.check_going_on()
                except Exception:  # noqa: BLE001 - told, and the next point tried
                    failures += 1
                    scene = folder / f"failure-{scenario.name}-{failures}"
                    shutil.copytree(stage.folder, scene)
                    print(f"FAILED {scenario}, {series} {nth}, see {scene}", flush=True)
                    traceback.print_exc()
                    break
                if not killed:
                    break
                here += 1
            points += here
            if here:
                print(f"{scenario}: {series}: {here} points", flush=True)
    return points, failures


# -- at any moment


@contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """Run nginx on loopback with a log of every request; yield the beginning of its URLs."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    port = 18_000 + random.randrange(2000)
    (folder / "nginx.conf").write_text(
        f"""daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
        events {{ worker_connections 1024; }}
        http {{
          log_format target '$request_uri'; access_log {folder}/access.log target;
          server {{ listen 127.0.0.1:{port}; keepalive_requests 100000;
                    location / {{ return 200 "the body of $request_uri\\n"; }} }}
        }}"""
    )
    with subprocess.Popen([program, "-c", f"{folder}/nginx.conf", "-p", str(folder)]) as server:
        try:
            eventually(lambda: (folder / "pid").exists(), "nginx is there")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def kill_by_chance(folder: Path, count: int, seed: int) -> int:
    """Kill a run over *count* URLs again and again until every line has its record; return 0.

    Raises AssertionError where it is not exact.
    """
    chance = random.Random(seed)
    raise_descriptor_limit()
    log = folder / "access.log"
    dest = folder / "out"
    args = ["get", "urls.txt", "-o", "out", "-q", "--limit", "50", "--per-host", "50"]
    with nginx(folder) as origin:
        urls = [f"{origin}/{i % 100}/{i}.txt" for i in range(count)]
        write_list(folder / "urls.txt", urls)
        kills = again = 0
        began = time.monotonic()
        while True:
            recorded = {record["url"] for record in read_records(dest)}
            offset = log.stat().st_size
            with start(args, cwd=folder) as process:
                eventually(
                    lambda offset=offset, process=process: (  # type: ignore[misc]
                        log.stat().st_size > offset or process.poll() is not None
                    ),
                    "a request",
                )
                with suppress(subprocess.TimeoutExpired):
                    process.wait(chance.uniform(0.05, 0.5))
                process.kill()
                ended = process.wait() == 0
            with log.open() as lines:
                lines.seek(offset)
                asked = [f"{origin}{line.strip()}" for line in lines]
            assert not recorded & set(asked), "what had its record was fetched again"
            assert len(set(asked)) == len(asked)
            kills += not ended
            if ended or len(read_records(dest)) == count:  # finished: next would be a new run
                break
        check_bodies(check_records(dest, urls), dest)
        times = Counter(log.read_text().split())
        again = times.total() - len(times)
    print(
        f"{count} URLs exact after {kills} kills in {time.monotonic() - began:.0f} s: "
        f"{again} fetched again ({again / max(1, kills):.0f} a kill), none that had its record"
    )
    return 0


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["points", "chance"])
    parser.add_argument("--only", default="", help="scenarios whose name holds this")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fetchpool-kills-"))
    if options.what == "points":
        failures = kill_at_every_call(folder, options.only)
    else:
        failures = kill_by_chance(folder, options.count, options.seed)
    if not failures:
        shutil.rmtree(folder)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())

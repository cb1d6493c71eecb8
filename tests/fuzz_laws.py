"""The laws that hypothesis holds, with new examples for as long as you like.

    python -m tests.fuzz_laws --minutes 60                     all of them, on every core
    python -m tests.fuzz_laws --minutes 5 tests/test_urls.py   those of some files

Round after round with another seed, which is told before each. What is found is printed by pytest;
`--seed N --rounds 1` with the seed of that round finds it again. The suite itself takes new
examples with every run, too, but few; continuous integration always takes the same ones.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

MORE = "thorough"
"""The profile of `tests.laws` with more examples for each law."""


def main() -> int:
    """Run rounds until the time is up; the exit status is pytest's of the last one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=1_000_000, help="this many at most")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000_000)
    options, more = parser.parse_known_args()
    end = time.monotonic() + options.minutes * 60
    for number in range(options.rounds):
        seed = options.seed + number
        print(f"round {number + 1}: --seed {seed}", flush=True)
        status = run_round(seed, more)
        if status:
            print(f"found with: python -m tests.fuzz_laws --rounds 1 --seed {seed}", flush=True)
            return status
        if time.monotonic() > end:
            break
    return 0


def run_round(seed: int, more: list[str]) -> int:
    """Run each law once, with the examples that follow from *seed*; return pytest's exit status."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "auto", "-m", "hypothesis"]
    command += [f"--hypothesis-seed={seed}", *more]
    return subprocess.run(command, env={**os.environ, "TEST_LAWS": MORE}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())

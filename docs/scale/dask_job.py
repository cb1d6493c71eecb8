"""One list as shards, each a task of a cluster; without an address on this machine's cores.

    python dask_job.py [tcp://scheduler:8786 [LIST DEST SHARDS]]

LIST and DEST are on a disk that all workers share, and fetchpool is installed beside each. A task
whose worker is lost runs again on another and goes on where it was.
"""

from __future__ import annotations

import subprocess
import sys

from distributed import Client

LIST, DEST, SHARDS = "/data/urls.txt", "/data/pages", 64
OPTIONS = ["--limit", "200", "-A", "examplebot/1.0 (+https://example.org/bot; bot@example.org)"]


class StoppedError(Exception):
    """The shard isn't done, and goes on when it is run again."""


def fetch(shard: int, source: str, dest: str, shards: int) -> int:
    """Fetch the lines of one shard; return the exit status."""
    part = f"{shard}/{shards}"
    command = ["fetchpool", "get", source, "-o", dest, "--shard", part, *OPTIONS]
    status = subprocess.run(command, check=False).returncode
    if status in (75, 143, -15):
        raise StoppedError(f"shard {part} ended with {status}")
    return status


def main(
    address: str = "", source: str = LIST, dest: str = DEST, shards: str | int = SHARDS
) -> int:
    """Run all shards; return 0 if all are done."""
    count = int(shards)
    with Client(address or None) as client:
        # A task a thread: a worker should have as many threads as shards are to run there at once.
        # pure=False: a shard that was run in an earlier call is run again.
        tasks = [
            client.submit(fetch, shard, source, dest, count, retries=10, pure=False)
            for shard in range(count)
        ]
        statuses: list[int] = client.gather(tasks)
    print(f"{statuses.count(0)} of {count} shards done")
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))

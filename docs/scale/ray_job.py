"""One list as shards, each a task on some node.

    ray job submit --working-dir . -- python ray_job.py [LIST DEST SHARDS]

LIST and DEST are on a disk that all nodes share, and fetchpool is installed on each. A task whose
node is lost runs again on another and goes on where it was.
"""

from __future__ import annotations

import subprocess
import sys

import ray

LIST, DEST, SHARDS = "/data/urls.txt", "/data/pages", 64
OPTIONS = ["--limit", "200", "-A", "examplebot/1.0 (+https://example.org/bot; bot@example.org)"]


class StoppedError(Exception):
    """The shard isn't done, and goes on when it is run again."""


@ray.remote(num_cpus=1, max_retries=10, retry_exceptions=[StoppedError])
def fetch(shard: int, source: str, dest: str, shards: int) -> int:
    """Fetch the lines of one shard; return the exit status."""
    part = f"{shard}/{shards}"
    command = ["fetchpool", "get", source, "-o", dest, "--shard", part, *OPTIONS]
    status = subprocess.run(command, check=False).returncode
    if status in (75, 143, -15):
        raise StoppedError(f"shard {part} ended with {status}")
    return status


def main(source: str = LIST, dest: str = DEST, shards: str | int = SHARDS) -> int:
    """Run all shards; return 0 if all are done."""
    count = int(shards)
    ray.init()
    # As many run at a time as the cluster has CPUs, which should be as many as there are shards.
    tasks = [fetch.remote(shard, source, dest, count) for shard in range(count)]
    statuses: list[int] = ray.get(tasks)
    print(f"{statuses.count(0)} of {count} shards done")
    return max(statuses)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))

"""One list as 64 shards, each a mapped task: a file for the folder of DAGs of Airflow 3.

In Airflow 2 the imports are from airflow.decorators and airflow.exceptions.

LIST and DEST are on a disk that all workers share. A task that was stopped (75, 143) is tried again
and goes on where it was; one with a mistake in its command (2) is not.
"""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta

from airflow.sdk import dag, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException

LIST, DEST, SHARDS = "/data/urls.txt", "/data/pages", 64
OPTIONS = ["--limit", "200", "-A", "examplebot/1.0 (+https://example.org/bot; bot@example.org)"]


@task(retries=10, retry_delay=timedelta(minutes=1))
def fetch(shard: int) -> None:
    """Fetch the lines of one shard."""
    part = f"{shard}/{SHARDS}"
    command = ["fetchpool", "get", LIST, "-o", DEST, "--shard", part, *OPTIONS]
    status = subprocess.run(command, check=False).returncode
    if status == 2:
        raise AirflowFailException(f"shard {part}: a mistake in the command, see its log")
    if status:
        raise AirflowException(f"shard {part} ended with {status}")


@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False)
def fetchpool() -> None:
    """All of them at once, as far as the pool has room."""
    fetch.expand(shard=list(range(SHARDS)))


fetchpool()

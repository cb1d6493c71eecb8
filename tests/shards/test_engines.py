"""Real engines under `run_shards`; skipped where they are not installed."""

from __future__ import annotations

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import fetchpool
from fetchpool import Config, ConfigError, ShardsSummary, run_shards
from tests.program.crowd import needs_proc
from tests.program.helpers import eventually
from tests.servers.counting import CountingServer
from tests.shards.lists import check_complete, check_little_was_asked_twice


@needs_proc
def test_dask_runs_shards_though_a_worker_is_killed(
    crowd: CountingServer, tmp_path: Path, slow: list[str]
) -> None:
    distributed: Any = pytest.importorskip(
        "distributed", reason="Dask is not installed: pip install distributed"
    )
    config = Config(per_host=2, limit=20, retries=0, durability="none")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
    with cluster, distributed.Client(cluster) as client, ThreadPoolExecutor(1) as aside:
        pids = client.run(os.getpid)
        running = aside.submit(
            run_shards,
            config,
            [str(tmp_path / "urls.txt")],
            tmp_path / "out",
            shards=4,
            executor=client.get_executor(),
        )
        eventually(lambda: len(crowd.counts.hits) > 40, "it asks")
        os.kill(next(iter(pids.values())), signal.SIGKILL)
        summary: ShardsSummary = running.result(60)
    assert (summary.exit_status, summary.total, summary.ok) == (0, len(slow), len(slow))
    check_complete(tmp_path / "out", len(slow))
    check_little_was_asked_twice(crowd, slow)


def test_missing_ray_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'fetchpool\[ray\]'"):
        fetchpool.RayExecutor()


@needs_proc
@pytest.mark.filterwarnings("ignore")  # of Ray's own
def test_ray_runs_shards_though_a_worker_is_killed(
    crowd: CountingServer, tmp_path: Path, slow: list[str]
) -> None:
    ray: Any = pytest.importorskip(
        "ray", reason="Ray is not installed: pip install 'fetchpool[ray]'"
    )
    config = Config(per_host=2, limit=20, retries=0, durability="none")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        with ThreadPoolExecutor(1) as aside, fetchpool.RayExecutor(num_cpus=1) as executor:
            running = aside.submit(
                run_shards,
                config,
                [str(tmp_path / "urls.txt")],
                tmp_path / "out",
                shards=4,
                executor=executor,
            )
            eventually(lambda: len(crowd.counts.hits) > 40, "it asks")
            os.kill(holders(tmp_path / "out")[0], signal.SIGKILL)
            summary: ShardsSummary = running.result(60)
    finally:
        ray.shutdown()
    assert (summary.exit_status, summary.ok, summary.restarts) == (0, len(slow), 1)
    check_complete(tmp_path / "out", len(slow))
    check_little_was_asked_twice(crowd, slow)


def holders(dest: Path) -> list[int]:
    """Return the processes, but this one, that have files open in a shard of *dest*."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            opened = [os.readlink(path) for path in (process / "fd").iterdir()]
            if any(name.startswith(f"{dest}/shard-") for name in opened):
                found.append(int(process.name))
    return [pid for pid in found if pid != os.getpid()]

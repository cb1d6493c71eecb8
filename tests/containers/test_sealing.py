"""A container that can't be completed at the end is no success: it is said, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers.checking import STORES, check_containers
from tests.harness import WORKERS, clean_environment, read_records, run_fetchpool
from tests.program.helpers import write_list
from tests.servers.counting import CountingServer

UNSEALED = """
import errno, os, sys
from fetchpool.output.sinks.containers import Containers

def seal(self, *names):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

Containers.seal = Containers.seal_as = seal
from fetchpool.cli.app import main
sys.exit(main())
"""


def run_unsealed(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Give a command whose containers can't get their final names."""
    command = [sys.executable, "-c", UNSEALED, *args]
    environment = clean_environment(folder)
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.skipif(WORKERS not in (None, "1"), reason="one process is enough")
@pytest.mark.parametrize("store", STORES)
def test_run_whose_last_container_is_not_complete_says_so(tmp_path: Path, store: str) -> None:
    with CountingServer() as server:
        write_list(tmp_path / "urls.txt", [server.url(f"/{n}?size=500") for n in range(4)])
        args = ["get", "urls.txt", "-o", "out", "--store", store]
        done = run_unsealed(tmp_path, *args)
        assert done.returncode == 74, done.stderr
        assert "No space left on device. Every body is kept: the same command with --once" in (
            done.stderr
        )
        assert "stopped by" not in done.stderr
        since = len(server.counts.hits)
        again = run_fetchpool([*args, "--once"], cwd=tmp_path)
        assert again.returncode == 0, again.stderr
        assert len(server.counts.hits) == since
    check_containers(store, read_records(tmp_path / "out"), tmp_path / "out")


def test_export_that_is_not_complete_leaves_nothing(tmp_path: Path) -> None:
    with CountingServer() as server:
        write_list(tmp_path / "urls.txt", [server.url("/1?size=500")])
        run_fetchpool(["get", "urls.txt", "-o", "out"], cwd=tmp_path)
    for store in ("tar", "parquet", "sqlite"):
        done = run_unsealed(tmp_path, "export", "out", "--store", store, "-o", "other")
        assert done.returncode == 74, (store, done.stderr)
        assert "cannot write other: " in done.stderr
        assert not [path for path in tmp_path.iterdir() if "other" in path.name]

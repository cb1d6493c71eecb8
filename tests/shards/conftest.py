"""Many hosts for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.program.conftest import crowd as crowd
from tests.program.conftest import server as server
from tests.program.crowd import HOSTS
from tests.servers.counting import CountingServer
from tests.shards.lists import write_lines


@pytest.fixture
def slow(crowd: CountingServer, tmp_path: Path) -> list[str]:
    """A list of which no shard is done before somebody has looked."""
    lines = [crowd.url(f"/{n}?delay=0.05", host) for n in range(12) for host in HOSTS]
    write_lines(tmp_path / "urls.txt", lines)
    return lines

"""Killed at any request to the store, a run goes on exactly: here, and on an empty machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.remote.killing import kill
from tests.servers.counting import CountingServer

SAMPLE = {"files": (4, 7, 12, 17, 22), "tar": (8, 11, 14, 17)}
"""Requests to the store, in the order in which they come, at which the program is killed."""
SAMPLE_OF_TWO = {"files": (13,), "tar": (10,)}
"""The same with two workers."""


@pytest.mark.parametrize("kind", ["files", "tar"])
def test_killed_at_any_request_to_the_store_nothing_is_lost_or_doubled(
    tmp_path: Path, s3: int, server: CountingServer, kind: str
) -> None:
    kill(tmp_path, s3, server, kind, SAMPLE[kind], "1")


@pytest.mark.parametrize("kind", ["files", "tar"])
def test_nor_with_all_workers_killed(
    tmp_path: Path, s3: int, server: CountingServer, kind: str
) -> None:
    kill(tmp_path, s3, server, kind, SAMPLE_OF_TWO[kind], "2")

"""The kills of `test_kills`, for the stores whose containers are more than bytes in a row."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.remote.killing import kill
from tests.servers.counting import CountingServer

SAMPLE = {"warc": (11, 13), "parquet": (12, 13), "sqlite": (12, 13)}
"""Requests to the store, in the order in which they come, at which the program is killed."""
SAMPLE_OF_TWO = {"warc": (16,), "parquet": (13,), "sqlite": (13,)}
"""The same with two workers."""


@pytest.mark.parametrize("kind", ["warc", "parquet", "sqlite"])
def test_killed_at_any_request_to_the_store_nothing_is_lost_or_doubled(
    tmp_path: Path, s3: int, server: CountingServer, kind: str
) -> None:
    kill(tmp_path, s3, server, kind, SAMPLE[kind], "1")


@pytest.mark.parametrize("kind", ["warc", "parquet", "sqlite"])
def test_nor_with_all_workers_killed(
    tmp_path: Path, s3: int, server: CountingServer, kind: str
) -> None:
    kill(tmp_path, s3, server, kind, SAMPLE_OF_TWO[kind], "2")

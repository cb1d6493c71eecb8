"""A server for each test: what it counted belongs to that test alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.counting import CountingServer


@pytest.fixture
def server() -> Iterator[CountingServer]:
    """Return a well-behaved server on loopback."""
    with CountingServer() as server:
        yield server

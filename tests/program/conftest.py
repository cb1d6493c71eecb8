"""A server for each test: what it counted belongs to that test alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import raise_descriptor_limit
from tests.program.crowd import HOSTS
from tests.servers.counting import CountingServer


@pytest.fixture
def server() -> Iterator[CountingServer]:
    """Return a well-behaved server on loopback."""
    with CountingServer() as server:
        yield server


@pytest.fixture
def crowd() -> Iterator[CountingServer]:
    """Twenty hosts, each an address of its own."""
    raise_descriptor_limit()
    try:
        with CountingServer(["127.0.0.1", *HOSTS]) as counting:
            yield counting
    except OSError:
        pytest.skip("this system has no loopback addresses beyond 127.0.0.1")

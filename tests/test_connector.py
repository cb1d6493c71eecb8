"""The connector by itself: looking whether anybody is there."""

from __future__ import annotations

import asyncio

import pytest

from fetchpool.config import Config
from fetchpool.connector import make_connector
from tests.servers.counting import CountingServer


async def look(server: CountingServer, *, public_only: bool) -> bool:
    """Return whether *server* is found to be there."""
    connector = make_connector(Config(public_only=public_only), limit=2, idle_limit=2)
    try:
        return await connector.reachable("127.0.0.1", server.port)
    finally:
        await connector.close()


@pytest.mark.parametrize("public_only", [False, True])
def test_looking_around_obeys_the_address_policy(public_only: bool) -> None:
    with CountingServer() as server:
        assert asyncio.run(look(server, public_only=public_only)) is not public_only
        asyncio.run(look(server, public_only=False))  # by then an earlier one would be seen
        assert server.counts.connections == (1 if public_only else 2)

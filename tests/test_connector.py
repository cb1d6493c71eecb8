"""The connector by itself: looking whether anybody is there."""

from __future__ import annotations

import asyncio
import select
import socket

import pytest

from fetchpool.config import Config
from fetchpool.connector import make_connector


async def look(port: int, *, public_only: bool) -> bool:
    """Return whether somebody is found on *port* of loopback."""
    connector = make_connector(Config(public_only=public_only), limit=2, idle_limit=2)
    try:
        return await connector.reachable("127.0.0.1", port)
    finally:
        await connector.close()


@pytest.mark.parametrize("public_only", [False, True])
def test_looking_around_obeys_the_address_policy(public_only: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sentinel:
        port = sentinel.getsockname()[1]
        assert asyncio.run(look(port, public_only=public_only)) is not public_only
        # A connection that was made stands in the queue, whatever became of it.
        seen, _, _ = select.select([sentinel], [], [], 0)
        assert bool(seen) is not public_only

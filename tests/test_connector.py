"""The connector by itself: looking whether anybody is there, and ways to connect."""

from __future__ import annotations

import asyncio
import select
import socket

import pytest
from aiohttp.abc import ResolveResult

from fetchpool import FetchPool
from fetchpool.config import Config
from fetchpool.connector import dialling, make_connector
from fetchpool.resolver import RememberingResolver
from tests.servers.counting import CountingServer


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


# -- ways to connect -------------------------------------------------------------------------------


async def outcome_of(url: str) -> tuple[bool, str | None]:
    """Return whether *url* was fetched, and what went wrong."""
    async with FetchPool(Config(retries=0)) as pool:
        async for outcome in pool.fetch([url]):
            return outcome.ok, outcome.detail
    raise AssertionError("no outcome")


@pytest.mark.parametrize("by_loop", [True, False], ids=["by-the-loop", "by-aiohttp"])
def test_either_way_to_connect_does(monkeypatch: pytest.MonkeyPatch, by_loop: bool) -> None:
    """By aiohttp: where it has not the method that lends itself to the other way."""
    monkeypatch.setattr(dialling, "_CONNECTS_ITSELF", by_loop)
    with CountingServer(["127.0.0.1", "::1"]) as server:
        for address in server.addresses:
            assert asyncio.run(outcome_of(server.url("/", address))) == (True, None)
        closed = server.port
    ok, detail = asyncio.run(outcome_of(f"http://127.0.0.1:{closed}/"))
    assert not ok
    assert "refused" in str(detail).lower()


def test_of_several_addresses_one_that_answers_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(
        self: object, host: str, port: int = 0, family: int = 0
    ) -> list[ResolveResult]:
        dead, alive = "127.0.0.9", "127.0.0.1"
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=numeric,
            )
            for address in (dead, alive)
        ]

    monkeypatch.setattr(RememberingResolver, "resolve", resolve)
    with CountingServer() as server:
        url = f"http://two.example:{server.port}/"
        assert asyncio.run(outcome_of(url)) == (True, None)

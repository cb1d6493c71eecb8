"""The connector by itself: looking whether anybody is there, and ways to connect."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
from typing import Any

import pytest
from aiohttp.abc import ResolveResult

from fetchpool import FetchPool
from fetchpool.config import Config
from fetchpool.model.attempts import FailedAttempt, Response
from fetchpool.model.values import FailureKind
from fetchpool.network.connector import dialling, make_connector
from fetchpool.network.resolver import RememberingResolver
from tests.engine.rig import Visit, rig
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


def result(host: str, port: int, address: str) -> ResolveResult:
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    family = socket.AF_INET
    return ResolveResult(
        hostname=host, host=address, port=port, family=family, proto=0, flags=flags
    )


# -- policy, which nobody inherits -----------------------------------------------------------------


async def ok(visit: Visit) -> None:
    while True:
        await visit.request()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


@pytest.mark.parametrize("way", ["direct", "session"])
async def test_a_look_inherits_no_policy_from_the_attempt_before_it(way: str) -> None:
    """As after a redirect from a public site: hosts of an intranet would look dead."""
    async with rig(ok, way=way) as it:
        refused = await it.get(public_only=True)
        assert isinstance(refused, FailedAttempt)
        assert refused.failure.kind is FailureKind.BLOCKED
        target = it.plan().target
        assert await asyncio.create_task(it.engine.reachable(target))
        assert isinstance(await asyncio.create_task(it.get()), Response)


@pytest.mark.parametrize("way", ["direct", "session"])
async def test_requests_that_share_a_lookup_share_no_policy(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    asked: list[str] = []

    async def resolve(
        self: object, host: str, port: int = 0, family: int = 0
    ) -> list[ResolveResult]:
        asked.append(host)
        await asyncio.sleep(0.01)
        return [result(host, port, "127.0.0.1")]

    monkeypatch.setattr(RememberingResolver, "resolve", resolve)
    async with rig(ok, way=way) as it:
        it.host = "shared.example"
        results = await asyncio.gather(*(it.get(public_only=n % 2 == 0) for n in range(6)))
    assert asked == ["shared.example"]
    assert [isinstance(each, Response) for each in results] == [False, True] * 3


async def test_a_look_tries_each_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(
        self: object, host: str, port: int = 0, family: int = 0
    ) -> list[ResolveResult]:
        return [result(host, port, address) for address in ("127.0.0.9", "127.0.0.1")]

    real = asyncio.get_running_loop().create_connection

    async def create_connection(factory: Any, host: str, port: int) -> Any:
        if host == "127.0.0.9":
            raise OSError(errno.ENETUNREACH, "no way there")
        return await real(factory, host, port)

    monkeypatch.setattr(RememberingResolver, "resolve", resolve)
    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", create_connection)
    connector = make_connector(Config(), limit=2, idle_limit=2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert await connector.reachable("two.example", server.getsockname()[1])
    await connector.close()

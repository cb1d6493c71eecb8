"""The resolver by itself: what is remembered of failures and for how long; what is closed."""

from __future__ import annotations

import socket

import pytest
from aiohttp.abc import ResolveResult

from fetchpool import FetchPool
from fetchpool.model.values import FailureKind
from fetchpool.network import resolver
from fetchpool.network.resolver import (
    REMEMBER_TROUBLE_S,
    REMEMBER_UNKNOWN_S,
    LookupFailedError,
    RememberingResolver,
)
from fetchpool.scheduling.retry import FIRST_PAUSE_S


class Clock:
    """The time that a resolver sees."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Asked:
    """A name server in whose place the test answers."""

    def __init__(self) -> None:
        self.questions = 0
        self.error: OSError | None = None

    async def look_up(self, host: str, family: socket.AddressFamily) -> list[ResolveResult]:
        self.questions += 1
        if self.error is not None:
            raise self.error
        return [ResolveResult(hostname=host, host="192.0.2.1", port=0, family=2, proto=0, flags=0)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(resolver, "monotonic", clock)
    return clock


def resolver_asking(server: Asked) -> RememberingResolver:
    remembering = RememberingResolver()
    remembering._look_up = server.look_up  # type: ignore[method-assign]
    return remembering


@pytest.mark.parametrize(
    ("error", "temporary", "keep_s"),
    [
        (socket.gaierror(socket.EAI_AGAIN, "try again"), True, REMEMBER_TROUBLE_S),
        (socket.gaierror(socket.EAI_NONAME, "no such name"), False, REMEMBER_UNKNOWN_S),
    ],
    ids=["trouble", "unknown"],
)
async def test_failure_is_remembered_for_so_long_and_no_longer(
    clock: Clock, error: OSError, temporary: bool, keep_s: float
) -> None:
    server = Asked()
    server.error = error
    names = resolver_asking(server)
    for passed_s in (0.0, keep_s / 2, keep_s - 1e-6):
        clock.now = 1000.0 + passed_s
        with pytest.raises(LookupFailedError) as caught:
            await names.resolve("a.test")
        assert caught.value.temporary is temporary
        assert server.questions == 1
    with pytest.raises(LookupFailedError):
        await names.resolve("b.test")
    assert server.questions == 2
    clock.now = 1000.0 + keep_s
    server.error = None
    assert [each["host"] for each in await names.resolve("a.test")] == ["192.0.2.1"]
    assert server.questions == 3


async def test_first_retry_after_a_name_servers_trouble_asks_it_again(clock: Clock) -> None:
    """However short the pause before it turns out: it lies in the upper half of its span."""
    shortest_s = FIRST_PAUSE_S[FailureKind.DNS] / 2
    server = Asked()
    server.error = socket.gaierror(socket.EAI_AGAIN, "try again")
    names = resolver_asking(server)
    with pytest.raises(LookupFailedError):
        await names.resolve("a.test")
    server.error = None
    clock.now += shortest_s
    assert len(await names.resolve("a.test")) == 1


async def test_pool_that_is_left_closes_its_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[RememberingResolver] = []

    async def close(self: RememberingResolver) -> None:
        closed.append(self)

    monkeypatch.setattr(RememberingResolver, "close", close)
    async with FetchPool():
        assert closed == []
    assert len(closed) == 1

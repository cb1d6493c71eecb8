"""What belongs to an attempt, and what does not: clocks, connections, requests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

import pytest

from fetchpool.http.core import TICK_S, Engine
from fetchpool.http.exchange import ExchangeError
from fetchpool.http.receiver import BodyPolicy, Receiver
from fetchpool.http.watch import Timeouts, Watch
from fetchpool.model.attempts import FailedAttempt, Plan, Proxy, Response
from fetchpool.model.bodies import Store
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Failure, FailureKind, Head, Target
from fetchpool.network.connector import FetchConnector
from fetchpool.output.sinks.memory import MemoryStore

PLAN = Plan(parse_url("http://a.test/1"), ())
HUNG_UP = ExchangeError(Failure(FailureKind.CONNECT, "closed"), transient=True)
STALE = ExchangeError(Failure(FailureKind.CONNECT, "closed"), transient=True, stale=True)
NO_HTTP = ExchangeError(Failure(FailureKind.PROTOCOL, "no HTTP"))
UNREACHABLE = ExchangeError(Failure(FailureKind.CONNECT, "refused"), transient=True)
OK = "an answer"


class Scripted:
    """An exchange that ends as it was told, over kept connections where it may."""

    def __init__(self, *ends: ExchangeError | str) -> None:
        self.ends = list(ends)
        self.fresh: list[bool] = []
        self.look: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)

    async def send(self, plan: Plan, watch: Watch, receiver: Receiver) -> None:
        self.fresh.append(watch.fresh)
        end = self.ends.pop(0)
        if end is not UNREACHABLE:
            watch.connected(watch.started_at, "127.0.0.1", reused=not watch.fresh)
        if isinstance(end, ExchangeError):
            raise end
        receiver.head(Head(200, (("content-length", "0"),)), 0)

    async def weigh(self, plan: Plan, error: ExchangeError) -> ExchangeError:
        await self.look()
        return error

    async def reachable(self, target: Target, route: Proxy | None) -> bool:
        return True

    async def close(self) -> None:
        pass


class Wires:
    """What the engine's ticker asks of a connector."""

    def sweep(self, now: float) -> None:
        pass


def attempt(
    script: Scripted, *, plan: Plan = PLAN, budget_s: float | None = None
) -> Response | FailedAttempt:
    async def once() -> Response | FailedAttempt:
        connector = cast("FetchConnector", Wires())
        engine = Engine(script, connector, Timeouts(), BodyPolicy(), cast("Store", MemoryStore()))
        try:
            return await engine.attempt(plan, budget_s)
        finally:
            await engine.close()

    return asyncio.run(once())


def test_a_look_at_the_proxy_is_not_timed_as_the_exchange_is() -> None:
    """Its time limits would end the task that waits for the look, and the URL with it."""

    async def several_ticks() -> None:
        await asyncio.sleep(3 * TICK_S)

    script = Scripted(HUNG_UP)
    script.look = several_ticks
    result = attempt(script, budget_s=TICK_S / 2)
    assert isinstance(result, FailedAttempt)
    assert result.failure is HUNG_UP.failure


@pytest.mark.parametrize("kept", [STALE, NO_HTTP])
def test_kept_connection_that_fails_is_excused_once_by_a_new_one(kept: ExchangeError) -> None:
    script = Scripted(kept, OK)
    result = attempt(script)
    assert isinstance(result, Response)
    assert (script.fresh, result.measures.requests) == ([False, True], 1)


@pytest.mark.parametrize(
    ("kept", "new", "requests"),
    [(STALE, HUNG_UP, 2), (NO_HTTP, NO_HTTP, 2), (STALE, NO_HTTP, 1), (STALE, UNREACHABLE, 1)],
)
def test_new_connection_that_fails_alike_shows_that_it_is_the_request(
    kept: ExchangeError, new: ExchangeError, requests: int
) -> None:
    script = Scripted(kept, new)
    result = attempt(script)
    assert isinstance(result, FailedAttempt)
    assert result.failure is new.failure
    assert (script.fresh, result.measures.requests) == ([False, True], requests)


def test_what_wants_a_new_connection_gets_one_at_once() -> None:
    script = Scripted(HUNG_UP)
    result = attempt(script, plan=Plan(PLAN.target, (), fresh=True))
    assert (script.fresh, result.measures.requests) == ([True], 1)

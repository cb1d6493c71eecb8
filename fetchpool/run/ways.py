"""In which ways a run with no settings would go, on this machine and with these libraries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from fetchpool.config import Config
from fetchpool.network.connector import make_connector
from fetchpool.pipeline.event_loop import loop_factory
from fetchpool.pipeline.pool import make_exchange


def loop_in_use() -> str:
    """Return the library whose event loop is used: `uvloop` or `asyncio`."""

    async def running() -> str:
        kind = type(asyncio.get_running_loop())
        # One of our own is a subclass: what it is made of says more.
        found = next(each for each in kind.__mro__ if not each.__module__.startswith("fetchpool"))
        return found.__module__.partition(".")[0]

    return _run(running)


def exchange_in_use() -> str:
    """Return how requests are made: `direct` or `session`."""

    async def chosen() -> str:
        exchange = make_exchange(Config(), make_connector(Config(), limit=1, idle_limit=1))
        await exchange.close()
        return type(exchange).__name__.removesuffix("Exchange").lower()

    return _run(chosen)


def _run(ask: Callable[[], Coroutine[None, None, str]]) -> str:
    with asyncio.Runner(loop_factory=loop_factory(Config())) as runner:
        return runner.run(ask())

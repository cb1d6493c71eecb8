"""The event loops that fetchpool runs on, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import uvloop

from tests.servers.thread import ServersLoop

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": ServersLoop,
}

Run: TypeAlias = Callable[[Coroutine[Any, Any, None]], None]
"""Runs a coroutine to its end."""

HANGS_S = 60
"""Whoever takes longer hangs."""


def run_on(loop: str, work: Coroutine[Any, Any, None]) -> None:
    """Run *work* to its end on the *loop* of that name."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(asyncio.wait_for(work, HANGS_S))

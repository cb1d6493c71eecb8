"""What all tests share."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress
from typing import Any
from unittest.mock import Mock

import aioresponses.core
import pytest
from aiohttp import ClientResponse
from aiohttp.abc import AbstractStreamWriter
from hypothesis import HealthCheck, settings

from tests import ways


class _ResponseWithWriter(ClientResponse):
    """A ClientResponse for aioresponses 0.7.9, which doesn't know of `stream_writer` yet.

    aiohttp 3.14 made it a required argument (pnuckowski/aioresponses#289). Remove this class and
    the line below it once a release of aioresponses passes the argument itself.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock(spec=AbstractStreamWriter))
        super().__init__(*args, **kwargs)


aioresponses.core.ClientResponse = _ResponseWithWriter  # type: ignore[attr-defined]


def _go_on(number: int, frame: object) -> None:
    """Do what ignoring a signal does."""


# Started by `nohup … &` the suite ignores them, and so would every program that a test starts: who
# ignores a signal ignores it after execve, too, but who handles it has the default back.
for _name in ("SIGINT", "SIGHUP", "SIGQUIT", "SIGTERM"):
    if signal.getsignal(getattr(signal, _name)) is signal.SIG_IGN:
        with suppress(ValueError):  # in another thread than the main one
            signal.signal(getattr(signal, _name), _go_on)

# No test fails for being slow: a busy machine may stand still for a second at any place.
# (hypothesis goes by whether `CI` is set; here TEST_LAWS alone says which examples are tried.)
settings.register_profile(
    "unhurried", deadline=None, derandomize=False, suppress_health_check=[HealthCheck.too_slow]
)
# In continuous integration, where a red run must be red again.
settings.register_profile("repeatable", settings.get_profile("unhurried"), derandomize=True)
# For `python -m tests.fuzz_laws`.
settings.register_profile("thorough", settings.get_profile("unhurried"), max_examples=1_000)
settings.load_profile(os.environ.get("TEST_LAWS", "unhurried"))


def pytest_report_header() -> str:
    """Say which ways (exchange and event loop) try every row of a table."""
    if ways.ONLY_FIRST:
        return "ways: the first alone"
    return "ways: " + ("all four" if ways.ALL else "two of four; the others a part (TEST_WAYS=all)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `TEST_WAYS=first`, leave out what is tried over another exchange or event loop."""
    if not ways.ONLY_FIRST:
        return
    others = [item for item in items if _is_another_way(item)]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in set(others)]


def _is_another_way(item: pytest.Item) -> bool:
    values = getattr(item, "callspec", None)
    words = () if values is None else re.split(r"[-\[\] ]", values.id)
    return "session" in words or "asyncio" in words

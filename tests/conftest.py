"""What all tests share."""

from __future__ import annotations

import re
import signal
from contextlib import suppress
from typing import Any
from unittest.mock import Mock

import aioresponses.core
import pytest
from aiohttp import ClientResponse
from aiohttp.abc import AbstractStreamWriter

from tests import laws, ways


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


def pytest_report_header() -> str:
    """Say which examples are tried, and which ways (exchange and event loop) try which rows."""
    tried = "two of four; the others a part (TEST_WAYS=all)"
    if ways.ALL or ways.ONLY_FIRST:
        tried = "all four" if ways.ALL else "the first alone"
    return f"laws: {laws.LOADED}; ways: {tried}"


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

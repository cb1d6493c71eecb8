"""What all tests share."""

from __future__ import annotations

import os
from typing import Any
from unittest.mock import Mock

import aioresponses.core
from aiohttp import ClientResponse
from aiohttp.abc import AbstractStreamWriter
from hypothesis import HealthCheck, settings


class _ResponseWithWriter(ClientResponse):
    """A ClientResponse for aioresponses 0.7.9, which doesn't know of `stream_writer` yet.

    aiohttp 3.14 made it a required argument (pnuckowski/aioresponses#289). Remove this class and
    the line below it once a release of aioresponses passes the argument itself.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", Mock(spec=AbstractStreamWriter))
        super().__init__(*args, **kwargs)


aioresponses.core.ClientResponse = _ResponseWithWriter  # type: ignore[attr-defined]

# No test fails for being slow: a busy machine may stand still for a second at any place.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# In continuous integration, where a red run must be red again.
settings.register_profile("repeatable", settings.get_profile("unhurried"), derandomize=True)
# For `python -m tests.fuzz_laws`.
settings.register_profile("thorough", settings.get_profile("unhurried"), max_examples=1_000)
settings.load_profile(os.environ.get("TEST_LAWS", "unhurried"))

"""A worker's source of requests: those that the parent has sent and that were not read yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fetchpool.model.values import Request
from fetchpool.sources import Batch

WINDOW = 1024
"""Requests that the parent may have sent ahead: enough for the time that asking for more takes."""


class Inbox:
    """A reader of requests (see `RequestReader`) that the parent fills as there is room."""

    def __init__(self, want: Callable[[int], None]) -> None:
        """Call *want* with the number of further requests that there is room for."""
        self._want = want
        self._requests: list[Request] = []
        self._changed = asyncio.Event()
        self._ended = False

    def put(self, requests: list[Request]) -> None:
        """Add *requests*."""
        self._requests += requests
        self._changed.set()

    def end(self) -> None:
        """Say that no more will come."""
        self._ended = True
        self._changed.set()

    async def next_batch(self) -> Batch | None:
        """Return what is there as soon as there is something, or None at the end."""
        while not self._requests:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        requests, self._requests = self._requests, []
        self._want(len(requests))
        return Batch(requests, 0, requests[-1].seq)

    async def aclose(self) -> None:
        """Drop what is there, and end."""
        self._requests = []
        self.end()

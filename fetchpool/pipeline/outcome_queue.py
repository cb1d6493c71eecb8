"""Outcomes on their way out: made by many, taken by one consumer, who may be slow.

put ──▶ waiting ──▶ take_all | take_one        full ──▶ whoever makes more awaits `until_room`
"""

from __future__ import annotations

import asyncio

from fetchpool.model.values import Outcome


class OutcomeQueue:
    """Holds what the consumer has not taken yet, and what goes wrong until he has taken it all."""

    def __init__(self, most: int) -> None:
        """Be full when *most* outcomes wait; more may be put in all the same."""
        self._most = most
        self._waiting: list[Outcome] = []
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._error: BaseException | None = None
        self.closed = False
        """True once nothing more will come."""

    def put(self, outcome: Outcome) -> None:
        """Let *outcome* be taken."""
        self._waiting.append(outcome)
        if len(self._waiting) == 1:
            self._arrived.set()

    def is_full(self) -> bool:
        """True if whoever makes outcomes is to wait."""
        return len(self._waiting) >= self._most and not self.closed

    async def until_room(self) -> None:
        """Wait until it isn't full."""
        while self.is_full():
            self._room.clear()
            await self._room.wait()

    async def until_any(self) -> None:
        """Wait for an outcome or the end.

        Raises what went wrong on our side, once all outcomes have been taken.
        """
        while not self._waiting:
            if self.closed:
                if self._error is not None:
                    raise self._error
                return
            self._arrived.clear()
            await self._arrived.wait()

    def take_all(self) -> list[Outcome]:
        """Return what waits; nothing at the end."""
        waiting, self._waiting = self._waiting, []
        self._room.set()
        return waiting

    def take_one(self) -> Outcome | None:
        """Return what has waited longest; None at the end."""
        outcome = self._waiting.pop(0) if self._waiting else None
        self._room.set()
        return outcome

    def fail(self, error: BaseException) -> None:
        """Have *error* raised at the end, if it is the first."""
        self._error = self._error or error

    def close(self) -> None:
        """Say that nothing more will come."""
        self.closed = True
        self._room.set()
        self._arrived.set()

"""The probe: how long it believes that a late answer means a network that was gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, cast

import pytest

from fetchpool.model.attempts import Proxy
from fetchpool.model.urls import parse_url
from fetchpool.pipeline import outage_probe as room
from fetchpool.pipeline.outage_probe import OutageProbe
from fetchpool.scheduling.outage import Outage

if TYPE_CHECKING:
    from fetchpool.http import Engine
    from fetchpool.model.values import Target
    from fetchpool.scheduling.judge import Held


class FarWorld:
    """An engine whose every look succeeds, a few turns of the event loop later."""

    async def reachable(self, target: Target, route: Proxy | None = None) -> bool:
        for _ in range(5):
            await asyncio.sleep(0)
        return True


class Told:
    """Counts the outages that begin and end."""

    def __init__(self) -> None:
        self.counts: Counter[bool] = Counter()

    def outage(self, began: bool) -> None:
        self.counts[began] += 1


async def suspicions(number: int) -> Counter[bool]:
    """Return the outages told by *number* looks that are all late, and reach somebody."""
    told = Told()
    outage: Outage[Held] = Outage(on_change=told.outage)

    async def on_life() -> None:
        outage.sign_of_life()

    probe = OutageProbe(cast("Engine", FarWorld()), outage, on_life)
    outage.answered(parse_url("http://far.test/"))
    for _ in range(number):
        outage.suspect()
        assert await probe.until_calm()
    assert not outage.paused
    return told.counts


async def test_world_that_is_always_late_is_far_away_and_not_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "LATE_S", 0.0)
    assert await suspicions(19) == {True: 19, False: 19}
    assert await suspicions(60) == {True: 20, False: 20}


async def test_world_that_answers_in_time_was_never_gone() -> None:
    assert await suspicions(3) == {}

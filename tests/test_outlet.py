"""The outlet: everything comes out once, in order; a slow consumer makes others wait."""

from __future__ import annotations

import asyncio

import pytest

from fetchpool.model.values import Outcome, Request
from fetchpool.pipeline.outcome_queue import Outlet
from fetchpool.scheduling.job import target_of


def outcome(seq: int) -> Outcome:
    refused = target_of(Request("no url", seq))
    assert isinstance(refused, Outcome)
    return refused


async def test_what_was_put_in_comes_out_in_order() -> None:
    outlet = Outlet(10)
    for seq in range(4):
        outlet.put(outcome(seq))
    first = outlet.take_one()
    assert first is not None
    assert [each.request.seq for each in (first, *outlet.take_all())] == [0, 1, 2, 3]
    assert outlet.take_one() is None


async def test_who_makes_more_waits_for_room_and_goes_on_when_something_is_taken() -> None:
    outlet = Outlet(2)
    outlet.put(outcome(1))
    await outlet.until_room()
    outlet.put(outcome(2))
    waiting = asyncio.create_task(outlet.until_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    outlet.take_one()
    await waiting


async def test_nobody_waits_for_room_once_it_is_closed() -> None:
    outlet = Outlet(1)
    outlet.put(outcome(1))
    waiting = asyncio.create_task(outlet.until_room())
    await asyncio.sleep(0)
    outlet.close()
    await waiting
    assert len(outlet.take_all()) == 1


async def test_trouble_is_told_after_the_outcomes_before_it_and_again() -> None:
    outlet = Outlet(9)
    outlet.put(outcome(1))
    outlet.fail(OSError("first"))
    outlet.fail(OSError("second"))
    outlet.close()
    await outlet.until_any()
    assert len(outlet.take_all()) == 1
    for _ in range(2):
        with pytest.raises(OSError, match="first"):
            await outlet.until_any()


async def test_consumer_waits_for_the_first_outcome_or_the_end() -> None:
    outlet = Outlet(9)
    waiting = asyncio.create_task(outlet.until_any())
    await asyncio.sleep(0)
    assert not waiting.done()
    outlet.put(outcome(1))
    await waiting
    outlet.take_all()
    waiting = asyncio.create_task(outlet.until_any())
    await asyncio.sleep(0)
    outlet.close()
    await waiting
    assert outlet.take_all() == []

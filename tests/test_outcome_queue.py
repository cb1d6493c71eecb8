"""The queue: everything comes out once, in order; a slow consumer makes others wait."""

from __future__ import annotations

import asyncio

import pytest

from fetchpool.model.values import Outcome, Request
from fetchpool.pipeline.outcome_queue import OutcomeQueue
from fetchpool.scheduling.job import target_of


def outcome(seq: int) -> Outcome:
    refused = target_of(Request("no url", seq))
    assert isinstance(refused, Outcome)
    return refused


async def test_what_was_put_in_comes_out_in_order() -> None:
    queue = OutcomeQueue(10)
    for seq in range(4):
        queue.put(outcome(seq))
    first = queue.take_one()
    assert first is not None
    assert [each.request.seq for each in (first, *queue.take_all())] == [0, 1, 2, 3]
    assert queue.take_one() is None


async def test_who_makes_more_waits_for_room_and_goes_on_when_something_is_taken() -> None:
    queue = OutcomeQueue(2)
    queue.put(outcome(1))
    await queue.until_room()
    queue.put(outcome(2))
    waiting = asyncio.create_task(queue.until_room())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.take_one()
    await waiting


async def test_nobody_waits_for_room_once_it_is_closed() -> None:
    queue = OutcomeQueue(1)
    queue.put(outcome(1))
    waiting = asyncio.create_task(queue.until_room())
    await asyncio.sleep(0)
    queue.close()
    await waiting
    assert len(queue.take_all()) == 1


async def test_trouble_is_told_after_the_outcomes_before_it_and_again() -> None:
    queue = OutcomeQueue(9)
    queue.put(outcome(1))
    queue.fail(OSError("first"))
    queue.fail(OSError("second"))
    queue.close()
    await queue.until_any()
    assert len(queue.take_all()) == 1
    for _ in range(2):
        with pytest.raises(OSError, match="first"):
            await queue.until_any()


async def test_consumer_waits_for_the_first_outcome_or_the_end() -> None:
    queue = OutcomeQueue(9)
    waiting = asyncio.create_task(queue.until_any())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.put(outcome(1))
    await waiting
    queue.take_all()
    waiting = asyncio.create_task(queue.until_any())
    await asyncio.sleep(0)
    queue.close()
    await waiting
    assert queue.take_all() == []

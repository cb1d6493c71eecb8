"""The channel between parent and worker: nothing said is lost when one of them goes."""

from __future__ import annotations

import asyncio
import socket

import pytest

from fetchpool.scaling.channel import Channel, open_channel
from fetchpool.scaling.messages import (
    Abort,
    Bye,
    FromParent,
    FromWorker,
    Logged,
    from_parent,
    from_worker,
)
from tests.loops import LOOPS, run_on


async def ends() -> tuple[Channel[FromWorker], Channel[FromParent]]:
    parent, worker = socket.socketpair()
    return await open_channel(parent, from_worker), await open_channel(worker, from_parent)


@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_worker_said_last_is_heard_though_it_is_spoken_to_meanwhile(loop: str) -> None:
    async def go() -> None:
        ours, theirs = await ends()
        said = [Logged(20, f"{number}" * 1000, None, None) for number in range(200)]

        async def leave() -> None:
            for message in [*said, Bye()]:
                theirs.send(message)
            await theirs.until_hung_up()
            await theirs.close()

        leaving = asyncio.create_task(leave())
        heard: list[FromWorker] = []
        async for message in ours.messages():
            heard.append(message)
            await asyncio.sleep(0)
            assert not leaving.done()
            ours.send(Abort())
            if isinstance(message, Bye):
                break
        await ours.close()
        await leaving
        assert heard == [*said, Bye()]

    run_on(loop, go())


@pytest.mark.parametrize("loop", LOOPS)
def test_worker_whose_parent_is_gone_waits_for_nobody(loop: str) -> None:
    async def go() -> None:
        ours, theirs = await ends()
        await ours.close()
        theirs.send(Bye())
        await theirs.until_hung_up()
        await theirs.close()

    run_on(loop, go())

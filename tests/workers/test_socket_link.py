"""The link over sockets: nothing sent is lost when one of both ends goes."""

from __future__ import annotations

import asyncio
import socket

import pytest

from fetchpool.scaling.link import Link
from fetchpool.scaling.socket_link import open_socket_link, receive_blocking
from tests.loops import LOOPS, run_on


async def ends() -> tuple[Link, Link]:
    parent, worker = socket.socketpair()
    return await open_socket_link(parent), await open_socket_link(worker)


async def until_closed(link: Link) -> None:
    while await link.receive() is not None:
        pass


@pytest.mark.parametrize("loop", LOOPS)
def test_what_a_worker_sent_last_arrives_though_it_is_sent_something_meanwhile(loop: str) -> None:
    async def go() -> None:
        ours, theirs = await ends()
        sent = [f"{number}".encode() * 1000 for number in range(200)] + [b"", b"bye"]

        async def leave() -> None:
            for message in sent:
                theirs.send(message)
            await until_closed(theirs)
            await theirs.close()

        leaving = asyncio.create_task(leave())
        received = []
        while (message := await ours.receive()) != b"bye":
            received.append(message)
            await asyncio.sleep(0)
            assert not leaving.done()
            ours.send(b"abort")
        await ours.close()
        await leaving
        assert [*received, b"bye"] == sent

    run_on(loop, go())


@pytest.mark.parametrize("loop", LOOPS)
def test_worker_whose_parent_is_gone_waits_for_nobody(loop: str) -> None:
    async def go() -> None:
        ours, theirs = await ends()
        await ours.close()
        assert ours.closed
        theirs.send(b"bye")
        await until_closed(theirs)
        await theirs.close()

    run_on(loop, go())


async def test_half_a_message_is_none_and_a_closed_link_sends_none() -> None:
    parent, worker = socket.socketpair()
    worker.sendall(b"\0\0\0\2ab\0\0\0\3ab")
    worker.close()
    link = await open_socket_link(parent)
    assert await link.receive() == b"ab"
    assert await link.receive() is None
    await link.close()
    link.send(b"nobody is there")
    assert await link.receive() is None


def test_first_message_is_read_before_there_is_a_loop() -> None:
    parent, worker = socket.socketpair()
    with parent, worker:
        parent.sendall(b"\0\0\0\2ab\0")
        assert receive_blocking(worker) == b"ab"
        parent.close()
        with pytest.raises(EOFError):
            receive_blocking(worker)

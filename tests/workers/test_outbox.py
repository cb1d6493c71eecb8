"""The outbox: everything comes out in order, and again after a rewind, until it is settled."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fetchpool.model.values import Request
from fetchpool.scaling.messages import Requests, from_parent
from fetchpool.scaling.outbox import BATCH_REQUESTS, Outbox, Shelf


def sent(data: bytes) -> list[Request]:
    """Return the requests in *data*, by way of the message they travel in."""
    message = from_parent(msgspec.msgpack.encode(Requests(msgspec.Raw(data))))
    assert isinstance(message, Requests)
    return message.requests()


def request(seq: int, length: int = 10) -> Request:
    return Request(f"http://h/{'x' * length}{seq}", seq, "list.txt", seq + 1)


class OutboxMachine(RuleBasedStateMachine):
    """An outbox with little memory, beside lists that must agree with it."""

    def __init__(self) -> None:
        super().__init__()
        self.settled: set[int] = set()
        self.shelf = Shelf(None, in_memory=500)
        self.outbox = Outbox(self.shelf, self.settled.__contains__)
        self.seq = 0
        self.waiting: list[Request] = []
        self.sent: list[Request] = []

    @rule(count=st.integers(1, 700), length=st.sampled_from([0, 30, 300]), gap=st.integers(1, 3))
    def add(self, count: int, length: int, gap: int) -> None:
        for _ in range(count):
            self.seq += gap
            self.outbox.add(request(self.seq, length))
            self.waiting.append(request(self.seq, length))

    @rule()
    def send(self) -> None:
        batch = self.outbox.next_batch()
        if batch is None:
            assert not self.waiting
            return
        data, count = batch
        requests = sent(data)
        assert len(requests) == count
        assert requests == self.waiting[:count]
        del self.waiting[:count]
        self.sent += requests

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        for _ in range(data.draw(st.integers(1, len(self.sent)))):
            index = data.draw(st.integers(0, len(self.sent) - 1))
            seq = self.sent.pop(index).seq
            self.settled.add(seq)
            self.outbox.settle(seq)
            if not self.sent or index % 3 == 0:
                break

    @rule()
    def die(self) -> None:
        self.outbox.rewind()
        self.waiting = self.sent + self.waiting
        self.waiting.sort(key=lambda each: each.seq)
        self.sent = []

    @invariant()
    def counts_agree(self) -> None:
        assert self.outbox.unsent == len(self.waiting)
        assert self.outbox.unsettled == len(self.waiting) + len(self.sent)

    def teardown(self) -> None:
        self.shelf.close()


TestOutbox = OutboxMachine.TestCase


def test_full_batch_is_sealed_and_others_go_when_wanted() -> None:
    outbox = Outbox(Shelf(None), lambda _: False)
    for seq in range(1, BATCH_REQUESTS + 2):
        outbox.add(request(seq))
    counts = [batch[1] for _ in range(2) if (batch := outbox.next_batch()) is not None]
    assert counts == [BATCH_REQUESTS, 1]
    assert outbox.next_batch() is None


def test_urls_longer_than_a_block_come_back_from_disk() -> None:
    shelf = Shelf(None, in_memory=0)
    outbox = Outbox(shelf, lambda _: False)
    requests = [request(seq, 200_000) for seq in (1, 2)]
    for each in requests:
        outbox.add(each)
    batches = [batch for _ in range(2) if (batch := outbox.next_batch()) is not None]
    assert [sent(data) for data, _ in batches] == [[each] for each in requests]
    shelf.close()


def test_full_disk_is_told(tmp_path: Path) -> None:
    outbox = Outbox(Shelf(tmp_path / "gone", in_memory=0), lambda _: False)
    outbox.add(request(1))
    with pytest.raises(OSError, match="No such file"):
        outbox.next_batch()

"""The spill: every item comes back once, in order, from little memory and a bounded file."""

from __future__ import annotations

import os
import resource
import tracemalloc
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from fetchpool.scheduling.backlog import Spill
from fetchpool.scheduling.blocks import MAX_BLOCK


def as_is(data: bytes) -> bytes:
    return data


def text_spill(directory: Path | None = None, tails: int = 1000) -> Spill[str]:
    return Spill(str.encode, bytes.decode, directory, tails=tails)


HOSTS = st.sampled_from(["a", "b", "c.example:8080", ""])
LENGTHS = st.one_of(st.integers(0, 60), st.sampled_from([127, 128, 5000, MAX_BLOCK, 200_000]))


class SpillMachine(RuleBasedStateMachine):
    """Pushes and pulls in any order, beside a dictionary of deques that must agree."""

    def __init__(self) -> None:
        super().__init__()
        self.spill: Spill[bytes] = Spill(as_is, as_is, tails=300)
        self.model: dict[str, deque[bytes]] = {}
        self.count = 0

    @rule(host=HOSTS, length=LENGTHS, times=st.integers(1, 30))
    def push(self, host: str, length: int, times: int) -> None:
        for _ in range(times if length < 1000 else 1):
            self.count += 1
            item = b"%d " % self.count + b"." * length
            self.spill.push(host, item)
            self.model.setdefault(host, deque()).append(item)

    @rule(host=HOSTS, limit=st.integers(-1, 40))
    def pull(self, host: str, limit: int) -> None:
        queue = self.model.get(host, deque())
        expected = [queue.popleft() for _ in range(min(limit, len(queue)))]
        assert self.spill.pull(host, limit) == expected
        if not queue:
            self.model.pop(host, None)

    @precondition(lambda self: self.model)
    @rule()
    def pull_everything(self) -> None:
        for host in list(self.model):
            expected = list(self.model.pop(host))
            assert self.spill.pull(host, len(expected) + 7) == expected
        assert self.spill.file_bytes == 0

    @invariant()
    def counts_agree(self) -> None:
        for host in ("a", "b", "c.example:8080", ""):
            assert self.spill.waiting(host) == len(self.model.get(host, ()))

    def teardown(self) -> None:
        self.spill.close()


SpillMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestSpillAgainstDeques = SpillMachine.TestCase


def test_little_is_kept_in_memory_without_any_file(tmp_path: Path) -> None:
    spill = text_spill(tmp_path / "missing", tails=10_000)
    for number in range(100):
        spill.push("a", f"item {number}")
    assert spill.file_bytes == 0
    assert spill.pull("a", 1000) == [f"item {number}" for number in range(100)]


def test_file_has_no_name_in_its_directory(tmp_path: Path) -> None:
    spill = text_spill(tmp_path)
    for number in range(1000):
        spill.push("a", f"item {number}")
    assert spill.file_bytes > 0
    assert list(tmp_path.iterdir()) == []
    spill.close()


def test_file_goes_when_nothing_waits_and_comes_back_when_it_is_needed(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    spill = text_spill(tmp_path)
    items = [f"item {number}" for number in range(1000)]
    for _ in range(2):
        for item in items:
            spill.push("a", item)
        assert len(os.listdir("/dev/fd")) == before + 1
        assert spill.pull("a", 1000) == items
        assert len(os.listdir("/dev/fd")) == before
        assert spill.file_bytes == 0


def test_missing_directory_is_an_error_and_the_items_are_kept(tmp_path: Path) -> None:
    spill = text_spill(tmp_path / "missing", tails=30)
    for number in range(3):
        spill.push("a", f"item {number}")
    with pytest.raises(FileNotFoundError):
        spill.push("a", "item 3")
    assert spill.pull("a", 10) == ["item 0", "item 1", "item 2", "item 3"]


@contextmanager
def longest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond *size* bytes: a write there fails with EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_is_an_error_and_nothing_is_lost_or_doubled() -> None:
    spill = text_spill(tails=500)
    items = [f"item {number} {'.' * (number % 50)}" for number in range(3000)]
    pushed = 0
    refused = 0
    with longest_file(30_001):
        for item in items:
            try:
                spill.push(f"host{pushed % 3}", item)
            except OSError:
                refused += 1
            pushed += 1
    assert refused > 0
    spill.push("host0", "after")
    assert [spill.waiting(f"host{number}") for number in range(3)] == [1001, 1000, 1000]
    assert spill.pull("host1", 3000) == items[1::3]
    assert spill.pull("host0", 3000) == [*items[0::3], "after"]
    assert spill.pull("host2", 3000) == items[2::3]
    spill.close()


def test_failed_unpack_leaves_the_items_waiting() -> None:
    refused = {"item 2"}

    def unpack(data: bytes) -> str:
        text = data.decode()
        if text in refused:
            raise ValueError(text)
        return text

    spill: Spill[str] = Spill(str.encode, unpack, tails=10)
    for number in range(4):
        spill.push("a", f"item {number}")
    with pytest.raises(ValueError, match="item 2"):
        spill.pull("a", 4)
    refused.clear()
    assert spill.pull("a", 4) == ["item 0", "item 1", "item 2", "item 3"]
    spill.close()


def test_shortened_file_is_an_error_rather_than_other_items() -> None:
    spill = text_spill(tails=10)
    for number in range(100):
        spill.push("a", f"item {number}")
    store = spill._store
    assert store._file is not None
    os.truncate(store._file.fileno(), 20)
    with pytest.raises(OSError, match="shorter than what was written"):
        spill.pull("a", 100)
    spill.close()


def test_room_is_used_again_when_much_flows_through() -> None:
    spill: Spill[bytes] = Spill(as_is, as_is, tails=1000)
    record = b"." * 96
    waiting = [f"host{number}" for number in range(5)]
    for host in waiting:
        for _ in range(400):
            spill.push(host, record)
    lengths = []
    for number in range(20_000):
        spill.push(waiting[number % 5], record)
        assert len(spill.pull(waiting[number % 5], 1)) == 1
        lengths.append(spill.file_bytes)
    assert [spill.waiting(host) for host in waiting] == [400] * 5
    # 2,000 records of 100 bytes wait at any time, 22,000 flowed through.
    assert max(lengths) < 4 * 2000 * 100
    assert lengths[-1] == lengths[10_000]
    spill.close()


@pytest.mark.parametrize(("hosts", "bound"), [(1, 300_000), (3_000, 3_000_000)])
def test_memory_is_bounded_and_order_exact(hosts: int, bound: int) -> None:
    names = [f"host{number}.example" for number in range(hosts)]
    spill: Spill[int] = Spill(
        lambda number: number.to_bytes(21, "big"),
        lambda data: int.from_bytes(data, "big"),
        tails=100_000,
    )
    traced, total = 100_000, 300_000
    tracemalloc.start()
    for number in range(traced):
        spill.push(names[number % hosts], number)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # As Python objects, the items alone would take 60 bytes each: 6 MB.
    assert used < bound
    for number in range(traced, total):
        spill.push(names[number % hosts], number)
    for index, name in enumerate(names):
        got: list[int] = []
        while some := spill.pull(name, 64):
            got += some
        assert got == list(range(index, total, hosts))
    assert spill.file_bytes == 0
    spill.close()


def test_closed_spill_holds_nothing() -> None:
    spill = text_spill(tails=10)
    for number in range(100):
        spill.push("a", f"item {number}")
    spill.close()
    spill.close()
    assert spill.file_bytes == 0
    assert spill.waiting("a") == 0
    assert spill.pull("a", 1) == []

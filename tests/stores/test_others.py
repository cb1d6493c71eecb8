from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import pytest

from fetchpool.config import Config
from fetchpool.model.bodies import Store, Stored, StoreError
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.sinks import Place, open_sink
from fetchpool.output.sinks.memory import MemoryStore
from fetchpool.output.sinks.null import NullStore
from tests.stores.bodies import HEAD, target_of

TARGET = target_of()
MB = 1 << 20


def test_memory_hands_back_a_body_that_came_whole_without_a_copy() -> None:
    body = b"x" * 1000
    assert MemoryStore().put(TARGET, HEAD, body).body is body


def test_memory_copies_what_its_owner_may_change() -> None:
    body = bytearray(b"abc")
    stored = MemoryStore().put(TARGET, HEAD, memoryview(body))
    body[:] = b"xyz"
    assert stored == Stored(None, b"abc")


def test_memory_collects_a_body_chunk_by_chunk() -> None:
    store = MemoryStore()
    first, second = store.open(TARGET, HEAD), store.open(TARGET, HEAD)
    first.write(b"fi")
    second.write(b"second")
    first.write(bytearray(b"rst"))
    assert first.commit() == Stored(None, b"first")
    assert second.commit() == Stored(None, b"second")
    first.discard()


def test_memory_holds_no_body_twice() -> None:
    chunk = b"x" * MB
    writer = MemoryStore().open(TARGET, HEAD)
    tracemalloc.start()
    try:
        for _ in range(16):
            writer.write(chunk)
        stored = writer.commit()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert stored.body is not None
    assert len(stored.body) == 16 * MB
    assert peak < 24 * MB


def test_null_keeps_nothing() -> None:
    store = NullStore()
    assert store.put(TARGET, HEAD, b"body") == Stored(None, None)
    writer = store.open(TARGET, HEAD)
    writer.write(b"body")
    assert writer.commit() == Stored(None, None)
    writer.discard()


def test_settings_say_which_sink_there_is(tmp_path: Path) -> None:
    place = Place(Layout(tmp_path), lambda path: False)
    assert isinstance(open_sink(Config()), MemoryStore)
    assert isinstance(open_sink(Config(no_body=True)), NullStore)
    assert isinstance(open_sink(Config(no_body=True), place), NullStore)
    assert list(tmp_path.iterdir()) == []
    files = open_sink(Config(), place)
    assert files.put(TARGET, HEAD, b"body").path is not None
    files.close()


@pytest.mark.parametrize("store", [MemoryStore(), NullStore()])
def test_stores_without_a_disk_have_nothing_to_sync_or_close(store: Store) -> None:
    store.sync()
    store.close()
    store.close()
    assert store.put(TARGET, HEAD, b"").path is None


def test_store_errors_say_what_and_where_and_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(StoreError("cannot write", "/data/x", 28)))
    assert str(error) == "cannot write /data/x: No space left on device"
    assert (error.errno, error.out_of_descriptors) == (28, False)
    assert StoreError("cannot write", "/data/x", 24).out_of_descriptors

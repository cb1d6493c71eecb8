"""Which messages an outcome brings to a sink that keeps them: each hop's, then the last one's."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from fetchpool import Config, FetchPool, Outcome
from fetchpool.model.values import Receipt
from tests.engine.test_transcripts import Keeping, received
from tests.servers.counting import CountingServer


@pytest.fixture(scope="module")
def server() -> Iterator[CountingServer]:
    with CountingServer() as there:
        yield there


async def fetch(store: Keeping, url: str, **settings: object) -> Outcome:
    """Return the outcome of *url*."""
    config = Config(retry_delay=0.01, **settings)  # type: ignore[arg-type]
    async with FetchPool(config, store=store) as pool:
        (outcome,) = [each async for each in pool.fetch([url])]
    return outcome


def messages(outcome: Outcome) -> list[tuple[str, int]]:
    """Return the path and status of each message; each is as long as it says."""
    assert outcome.receipt is not None
    exchanges = outcome.receipt.exchanges
    assert all(received(each).startswith(b"HTTP/1.1 %d " % each.status) for each in exchanges)
    return [(each.url.split("/", 3)[3].partition("?")[0], each.status) for each in exchanges]


async def test_redirect_brings_each_hop_in_its_order(
    tmp_path: Path, server: CountingServer
) -> None:
    last = server.url("/c?size=1000")
    middle = server.url(f"/b?to={quote(last, safe='')}")
    outcome = await fetch(Keeping(tmp_path), server.url(f"/a?to={quote(middle, safe='')}"))
    assert outcome.ok
    assert messages(outcome) == [("a", 302), ("b", 302), ("c", 200)]


async def test_attempt_that_is_retried_leaves_no_message(
    tmp_path: Path, server: CountingServer
) -> None:
    store = Keeping(tmp_path)
    retried = server.url("/again?status=503&first=2")
    outcome = await fetch(store, server.url(f"/from?to={quote(retried, safe='')}"), retries=3)
    assert (outcome.ok, outcome.attempts) == (True, 3)
    assert messages(outcome) == [("from", 302), ("again", 200)]
    assert store.begun == 6
    del outcome
    gc.collect()
    store.recordings.take_memory(0)
    assert store.recordings._room == Keeping(tmp_path).recordings._room, "all others are forgotten"


@pytest.mark.parametrize("keep_errors", [False, True])
async def test_failure_brings_what_there_is(
    tmp_path: Path, server: CountingServer, keep_errors: bool
) -> None:
    outcome = await fetch(
        Keeping(tmp_path), server.url("/no?status=404"), keep_errors=keep_errors, retries=0
    )
    assert not outcome.ok
    assert (outcome.body is not None) is keep_errors
    assert messages(outcome) == [("no", 404)]


async def test_redirect_to_nowhere_brings_its_own(tmp_path: Path, server: CountingServer) -> None:
    outcome = await fetch(Keeping(tmp_path), server.url("/a?to=ftp%3A%2F%2Fhost%2F"), retries=0)
    assert not outcome.ok
    assert messages(outcome) == [("a", 302)]


async def test_without_any_message_there_is_no_receipt(
    tmp_path: Path, server: CountingServer
) -> None:
    outcome = await fetch(Keeping(tmp_path), server.url("/no?hangup=1"), retries=0)
    assert not outcome.ok
    assert outcome.receipt is None
    assert Receipt().exchanges == ()

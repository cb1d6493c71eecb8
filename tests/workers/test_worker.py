"""A worker in the parent's own process, at the other end of a link in memory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic
from urllib.parse import quote

import pytest

from fetchpool.config import Config
from fetchpool.model.values import Outcome
from fetchpool.output.ledger.layout import Layout
from fetchpool.reporting.stats import Stats
from fetchpool.scaling.dispatch import Dispatch
from fetchpool.scaling.link import Link
from fetchpool.scaling.setup import setups_of, unpack_setup
from fetchpool.scaling.sharing import owner
from fetchpool.scaling.worker import work
from fetchpool.sources import requests_from
from tests.program.crowd import HOSTS
from tests.servers.counting import CountingServer
from tests.workers.memory_link import link_pair
from tests.workers.test_dispatch import Observer


class InProcess:
    """A worker that is a task (see `StartedWorker`)."""

    number = 1

    def __init__(self) -> None:
        self._ours, self._theirs = link_pair()
        self._task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        setup = await self._theirs.receive()
        assert setup is not None
        await work(unpack_setup(setup), self._theirs, on_parent_gone=lambda: None)

    async def connect(self) -> Link:
        return self._ours

    def kill(self) -> None:
        self._task.cancel()
        self._theirs.end()

    async def wait(self, at_most_s: float | None = None) -> str:
        await asyncio.wait([self._task], timeout=at_most_s)
        return "cancelled" if self._task.cancelled() else "done"


async def fetched(
    urls: list[str], layout: Layout | None = None, *, retries: int = 0
) -> tuple[list[Outcome], Dispatch]:
    """Return what two workers make of *urls*."""
    observer = Observer()
    dispatch = Dispatch(
        setups_of(
            Config(workers=2, retries=retries),
            () if layout is None else (layout,),
            None,
            shows=False,
        ),
        requests_from(urls),
        stats=Stats(monotonic()),
        observer=observer,
        start_worker=InProcess,
    )
    outcomes: list[Outcome] = []
    try:
        async with asyncio.timeout(60):
            while batch := await dispatch.batch():
                outcomes += batch
    finally:
        await dispatch.aclose()
    assert observer.deaths == []
    return outcomes, dispatch


async def test_list_is_fetched_over_links_in_memory() -> None:
    with CountingServer(HOSTS[:6]) as server:
        urls = [server.url(f"/{n}", host) for host in HOSTS[:6] for n in range(3)]
        outcomes, dispatch = await fetched([*urls, "no url"])
        assert sorted(each.request.seq for each in outcomes) == list(range(1, len(urls) + 2))
        assert [each.request.url for each in outcomes if not each.ok] == ["no url"]
        assert dispatch.connections_opened == server.counts.connections
        assert dispatch.bytes_received > 0


@pytest.mark.parametrize("hours", [-20, 20])
async def test_clock_of_the_parent_may_be_any(hours: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("dispatch", "worker_handle"):
        monkeypatch.setattr(
            f"fetchpool.scaling.{module}.monotonic", lambda: monotonic() + hours * 3600
        )
    with CountingServer(HOSTS) as server:
        hosts = [[h for h in HOSTS if owner(f"{h}:{server.port}", 2) == n] for n in (0, 1)]
        onward = quote(server.url("/onward?status=503&first=1&after=1", hosts[1][0]), safe="")
        urls = [server.url(f"/from?to={onward}", hosts[0][0]), server.url("/good", hosts[0][1])]
        outcomes, _ = await fetched(urls, retries=1)
        by_seq = {each.request.seq: each for each in outcomes}
        assert all(each.ok for each in outcomes)
        assert (by_seq[1].attempts, by_seq[1].redirects) == (2, 1)
        assert 1 <= by_seq[1].elapsed_s < 3600
        assert 0 <= by_seq[2].elapsed_s < 3600
        first, second = (hit.at for hit in server.counts.hits if "/onward" in hit.target)
        assert second - first >= 1


async def test_trouble_of_a_worker_is_raised_by_the_parent(tmp_path: Path) -> None:
    with CountingServer(HOSTS[:1]) as server:
        with pytest.raises(OSError, match="No such file"):
            await fetched([server.url("/a", HOSTS[0])], Layout(tmp_path / "gone"))
        assert not server.counts.hits

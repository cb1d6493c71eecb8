"""A store that is slow slows the run down, and nothing piles up."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from fetchpool.config import Config
from fetchpool.model.remote import Remote
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Head, Outcome, Request
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.record import Record
from fetchpool.output.sinks import Place, open_sink, spool
from fetchpool.output.sinks.spool import MOST_IN_MEMORY, MOST_LEAVING
from tests.ledger.runs import outcome
from tests.program.helpers import PATIENCE_S, start, write_list
from tests.remote.store import Objects, environment
from tests.servers.counting import CountingServer
from tests.servers.store_proxy import Asked, Fault, StoreProxy

SIZE = 200_000
LIMIT = 3
MOST = -(-MOST_IN_MEMORY // SIZE)
"""Bodies that may wait before no request starts."""
BODIES = 2 * MOST


class Slow:
    """Puts no body before so many wait for it as ever may; counts how many that were."""

    def __init__(self, proxy: StoreProxy, server: CountingServer) -> None:
        self._server = server
        self._stored = 0
        self._full = threading.Event()
        self.most = 0
        proxy.fault, proxy.after = self._hold, self._count

    def _waiting(self) -> int:
        waiting = len(self._server.counts.hits) - self._stored
        self.most = max(self.most, waiting)
        return waiting

    def _hold(self, asked: Asked) -> Fault | None:
        if asked.method == "PUT" and "/_fetchpool/" not in asked.key:
            for _ in range(int(PATIENCE_S * 100)):
                if self._waiting() >= MOST:
                    self._full.set()
                if self._full.wait(0.01):
                    break
        return None

    def _count(self, asked: Asked) -> None:
        if asked.method == "PUT" and "/_fetchpool/" not in asked.key:
            self._waiting()
            self._stored += 1


def test_while_a_store_is_slow_no_more_is_fetched_than_may_wait(
    tmp_path: Path, objects: Objects, proxy: StoreProxy, server: CountingServer
) -> None:
    slow = Slow(proxy, server)
    write_list(tmp_path / "urls.txt", [server.url(f"/{n}?size={SIZE}") for n in range(BODIES)])
    args = ["get", "urls.txt", "-q", "-o", objects.url("p"), "--state", "state"]
    args += ["--limit", str(LIMIT), "--per-host", "0"]
    with start(args, cwd=tmp_path, env=environment(proxy.url)) as process:
        status, error = process.ended()
    assert status == 0, error
    assert len(objects.bodies("p")) == BODIES
    assert MOST <= slow.most <= MOST + LIMIT


@pytest.mark.parametrize("store", ["tar", "parquet", "sqlite"])
def test_containers_that_wait_to_go_up_hold_the_run_back(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "MOST_LEAVING_BYTES", 1)
    layout = Layout(tmp_path, remote=Remote("s3", "bucket", "p"))
    layout.private.mkdir()
    config = Config(store=store, segment_size=SIZE)  # type: ignore[arg-type]
    sink = open_sink(config, Place(layout, lambda path: False))

    def sealed() -> list[Path]:
        return [each for each in layout.dest.glob(f"{store}/*") if each.suffix == f".{store}"]

    def append(number: int) -> None:
        put = sink.put(parse_url("http://h.example/"), Head(200, ()), bytes(SIZE))
        request = Request("http://h.example/", number)
        made: Outcome = outcome(request, receipt=put.receipt, bytes=SIZE)
        sink.append([made], [Record.of(made, ())])

    for number in range(20):
        if sink.behind:
            break
        append(number)
    assert len(sealed()) == MOST_LEAVING
    min(sealed()).unlink()  # it is up, as the first one
    assert not sink.behind
    monkeypatch.setattr(spool, "MOST_LEAVING_BYTES", 1 << 30)
    for number in range(20, 30):
        append(number)
    assert not sink.behind, "small ones may be many"
    sink.close()

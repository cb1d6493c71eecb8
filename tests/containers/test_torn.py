"""A ledger that ends anywhere, as a loss of power may leave it: containers have what it names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetchpool.config import Config
from fetchpool.model.values import Request
from fetchpool.output.ledger import RunDirectory
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.receipts import read_receipts
from fetchpool.output.sinks import Place, open_sink
from fetchpool.output.sinks.reading import Reach
from fetchpool.run.choices import run_options
from fetchpool.sources import open_sources
from tests.containers.checking import STORES, check_containers
from tests.harness import run_fetchpool
from tests.program.helpers import write_list
from tests.servers.counting import CountingServer

LAST = 4096
STEP = 61
"""Of the last 4 KB each byte is a place to cut at; with 1 in place of this all are tried."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run for each store."""
    folder = tmp_path_factory.mktemp("torn")
    with CountingServer() as server:
        urls = [server.url(f"/{n}?size={n * 300}") for n in range(20)]
        write_list(folder / "urls.txt", [*urls, server.url("/gone?status=404"), "no url"])
        for store in STORES:
            args = ["get", "urls.txt", "-o", store, "--store", store, "-q", "--retries", "0"]
            args += [] if store == "sqlite" else ["--segment-size", "16K"]
            assert run_fetchpool(args, cwd=folder).returncode == 1
    return folder


@pytest.mark.parametrize("store", STORES)
def test_wherever_the_ledger_ends_containers_have_what_it_names(
    folder: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    whole = (folder / store / "results.jsonl").read_bytes()
    assert len(whole) > LAST
    dest = folder / f"{store}-copy"
    for end in range(len(whole) - LAST, len(whole), STEP):
        shutil.copytree(folder / store, dest)
        (dest / "results.jsonl").write_bytes(whole[:end])
        (dest / ".fetchpool/archived").unlink(missing_ok=True)  # the run had not come to its end
        begin_again(dest, store)
        lines = (dest / "results.jsonl").read_bytes().splitlines()
        assert len(lines) == whole[:end].count(b"\n")
        check_containers(store, map(json.loads, lines), dest)
        shutil.rmtree(dest)


def begin_again(dest: Path, store: str) -> None:
    """Do what a run does before its first request."""
    config = Config(store=store)  # type: ignore[arg-type]
    layout = Layout(dest)
    with (
        open_sources(["urls.txt"], None) as lists,
        RunDirectory.open(
            layout,
            run_options(config, lists),
            named=True,
            sources=["urls.txt"],
            has_place=Reach(dest).holds,
        ) as directory,
    ):

        def read_list() -> Iterator[Request]:
            return (each for batch in lists.batches() for each in batch.requests)

        sink = open_sink(config, Place(layout, directory.is_foreign))
        directory.settle(read_list)
        sink.recover(read_receipts(layout, earlier=True), goes_on=True)
        sink.close()

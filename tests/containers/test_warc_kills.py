"""WARCs after a kill before, within and behind each write and renaming: exact, and read by all."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest

from fetchpool.output.sinks.containers import path_of
from tests.containers.checking import check_containers, check_places
from tests.containers.dying import FULL_AT, KILL_AT, KILLED
from tests.harness import read_records
from tests.program.helpers import hits, side_by_side, start, write_list
from tests.servers.counting import CountingServer
from tests.warc.readers import index_by_others, seen_by_fastwarc

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

ROOT = Path(__file__).parents[2]
PAGES = 10
MOMENTS = {"1": (2, 5, 9, 14, 15, 16, 17, 18, 23), "2": (1, 2, 5, 8, 11)}
"""Of the first batch some; around the first container's end, all; then some. There are 40."""
KILLED_STATUS = -signal.SIGKILL


@pytest.fixture(scope="module")
def server() -> Iterator[CountingServer]:
    with CountingServer() as there:
        yield there


class Runs:
    """Commands over one list and one DEST."""

    def __init__(self, folder: Path, server: CountingServer) -> None:
        folder.mkdir()
        self.folder, self.server = folder, server
        self.dest = folder / "out"
        name = folder.name
        urls = [server.url(f"/{name}/{n}?size=900&delay=0.02") for n in range(PAGES)]
        urls += [server.url(f"/{name}/same{n}?text=same%20words&size=900") for n in range(3)]
        onward = quote(server.url(f"/{name}/to?size=900"), safe="")
        urls += [server.url(f"/{name}/from?to={onward}"), server.url(f"/{name}/no?status=404")]
        self.urls = [*urls, server.url(f"/{name}/big?size=300000"), "no url"]
        write_list(folder / "urls.txt", self.urls)

    def get(
        self, workers: str, moment: int | None = None, full_at: str | None = None
    ) -> tuple[int, str]:
        """Give the command, to die at *moment*; return its exit status and standard error.

        With *full_at* the disk is full after so many writes.
        """
        args = ["get", "urls.txt", "-o", "out", "-q", "--store", "warc", "--segment-size", "60K"]
        args += ["--retries", "0", "--limit", "3", "--per-host", "0", "--workers", workers]
        search_path = os.pathsep.join([str(ROOT / "tests/containers/dying_site"), str(ROOT)])
        env = {"PYTHONPATH": search_path, KILLED: str(self.folder / "killed")}
        env |= {} if full_at is None else {FULL_AT: full_at}
        env |= {} if moment is None else {KILL_AT: str(moment)}
        (self.folder / "killed").unlink(missing_ok=True)
        with start(args, cwd=self.folder, env=env) as process:
            return process.ended()

    def recorded(self) -> set[str]:
        """The URLs that must not be fetched again."""
        ledger = self.dest / "results.jsonl"
        lines = ledger.read_bytes().split(b"\n")[:-1] if ledger.exists() else []
        found = {line.split(b'"url":"')[1].split(b'"')[0].decode() for line in lines}
        return found if len(lines) < len(self.urls) else set()

    def check_going_on(self, workers: str) -> None:
        recorded, since = self.recorded(), len(self.server.counts.hits)
        check_places("warc", read_whole_records(self.dest), self.dest)
        status, error = self.get(workers)
        assert status == 1, error  # one is 404, one is no URL
        again = {url for url in hits(self.server, since) if f"/{self.folder.name}/" in url}
        assert not recorded & again
        self.check()

    def check(self) -> None:
        """Assert one record a line, its messages where it says, and nothing else anywhere."""
        records = sorted(read_records(self.dest), key=lambda record: record["seq"])
        assert [record["url"] for record in records] == self.urls
        check_containers("warc", records, self.dest)
        hops = []
        for path in self.dest.glob("warc/*.warc.gz"):
            index = path.with_name(path.name.replace(".warc.gz", ".cdxj"))
            assert index.read_text().splitlines() == index_by_others(path)
            seen = seen_by_fastwarc(path)
            hops += [each for each in seen if b"\nLocation: " in each.block]
        assert len(hops) == 1


def read_whole_records(dest: Path) -> list[dict[str, object]]:
    """Return the records of the ledger but for a torn line."""
    ledger = dest / "results.jsonl"
    if not ledger.exists():
        return []
    return [json.loads(line) for line in ledger.read_bytes().split(b"\n")[:-1]]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_at_any_write_the_next_run_is_exact(
    tmp_path: Path, server: CountingServer, workers: str
) -> None:
    kill = partial(_kill_at, tmp_path, server, workers)
    assert all(side_by_side(kill, MOMENTS[workers])[:4]), "there are no such moments any more"


def _kill_at(folder: Path, server: CountingServer, workers: str, moment: int) -> bool:
    """Kill at *moment*, every third time once more as the next run begins; return if it was."""
    runs = Runs(folder / f"w{workers}-{moment}", server)
    status, error = runs.get(workers, moment)
    killed = (runs.folder / "killed").exists()
    assert status in ((KILLED_STATUS, 1) if killed else (1,)), error
    if status == 1:  # a worker was killed, and another took its place: or nobody was
        runs.check()
        return killed
    if moment % 3 == 0:
        runs.get(workers, 1 + moment % 5)
    runs.check_going_on(workers)
    return killed


def test_process_of_an_open_container_is_needed_by_nobody(
    tmp_path: Path, server: CountingServer
) -> None:
    """What is there after a kill can be read where the records say, before any other run."""
    runs = Runs(tmp_path / "open", server)
    assert runs.get("1", 9)[0] == KILLED_STATUS
    records = [each for each in read_whole_records(runs.dest) if "container" in each]
    assert records
    assert all(
        path_of(runs.dest, str(each["container"])).name.endswith(".open") for each in records
    )
    check_places("warc", records, runs.dest)


@pytest.mark.parametrize("writes", ["0", "2"])
def test_full_disk_leaves_what_was_recorded_and_nothing_else(
    tmp_path: Path, server: CountingServer, writes: str
) -> None:
    runs = Runs(tmp_path / f"full{writes}", server)
    status, error = runs.get("1", full_at=writes)
    assert status == 74, error
    assert "cannot append to" in error
    assert "No space left on device" in error
    assert any("container" in each for each in read_whole_records(runs.dest)) is (writes != "0")
    runs.check_going_on("1")


def test_run_that_goes_on_refers_to_what_it_had_stored_before(
    tmp_path: Path, server: CountingServer
) -> None:
    runs = Runs(tmp_path / "known", server)
    paths = [f"/known/{n}?text=same%20words&size=900&delay=0.03" for n in range(16)]
    runs.urls = [server.url(path) for path in paths]
    write_list(runs.folder / "urls.txt", runs.urls)
    assert runs.get("1", 9)[0] == KILLED_STATUS
    assert runs.recorded()
    assert runs.get("1")[0] == 0
    records = read_records(runs.dest)
    check_containers("warc", records, runs.dest)
    assert len({record["container"] for record in records}) == 2
    kinds = [
        each.kind
        for path in sorted(runs.dest.glob("warc/*.warc.gz"))
        for each in seen_by_fastwarc(path)
        if each.kind in ("response", "revisit")
    ]
    assert kinds == ["response", *["revisit"] * (len(paths) - 1)]

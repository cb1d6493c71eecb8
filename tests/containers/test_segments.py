"""A sink of containers through the real journal and ledger: exact after a kill at any write."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.containers.installing import FULL_AT, KILL_AT, KILLED
from tests.harness import WORKERS, Record, read_records
from tests.program.helpers import hits, side_by_side, start, write_list
from tests.servers.counting import CountingServer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

ROOT = Path(__file__).parents[2]
BODIES = 14
MOMENTS = {"1": (2, 4, 6), "2": (1, 2, 3, 5, 6, 11)}
"""By how many workers there are: of the first write to a container and the first to the ledger. The
sinks of `--store` are killed at more of them (`tests/program/test_kills.py` and beside this)."""
KILLED_STATUS = -signal.SIGKILL


@pytest.fixture(scope="module")
def server() -> Iterator[CountingServer]:
    with CountingServer() as there:
        yield there


class Runs:
    """Commands over one list and one DEST, with the sink of containers."""

    def __init__(self, folder: Path, server: CountingServer) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.dest = folder / "out"
        self.server = server
        # Longer than a batch lasts, so that there are many of them; some of more than one piece.
        sizes = [0 if n == 3 else 300_000 if n == 5 else 1000 + n for n in range(BODIES)]
        name = folder.name
        urls = [server.url(f"/{name}/{n}?size={size}&delay=0.02") for n, size in enumerate(sizes)]
        self.urls = [*urls, server.url(f"/{name}/bad?status=404"), "no url", urls[1]]
        write_list(folder / "urls.txt", self.urls)

    def get(self, *options: str, workers: str = WORKERS or "1", **env: str) -> tuple[int, str]:
        """Give the command; return its exit status and standard error."""
        args = ["get", "urls.txt", "-o", "out", "-q", "--hash", "--retries", "0", "--limit", "3"]
        args += ["--per-host", "0", "--workers", workers, *options]
        search_path = os.pathsep.join([str(ROOT / "tests/containers/site"), str(ROOT)])
        env = {"PYTHONPATH": search_path, KILLED: str(self.folder / "killed"), **env}
        (self.folder / "killed").unlink(missing_ok=True)
        with start(args, cwd=self.folder, env=env) as process:
            return process.ended()

    @property
    def containers(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.dest.glob("segment-*.bodies")}

    def recorded(self) -> set[str]:
        """The URLs that must not be fetched again."""
        ledger = self.dest / "results.jsonl"
        lines = ledger.read_bytes().split(b"\n")[:-1] if ledger.exists() else []
        found = [line.split(b'"url":"')[1].split(b'"')[0].decode() for line in lines]
        listed = Counter(self.urls)
        return {url for url in found if listed[url] == 1} if len(lines) < len(self.urls) else set()

    def check_going_on(self, **options: str) -> None:
        """Give the same command again; nothing is lost, doubled, or asked for without need."""
        recorded, since = self.recorded(), len(self.server.counts.hits)
        status, error = self.get(**options)
        assert status == 1, error  # one is 404, one is no URL
        assert not recorded & {url for url in hits(self.server, since) if self.folder.name in url}
        self.check()

    def check(self) -> None:
        """Assert one record a line, its body where it says, and nothing else in the containers."""
        records = sorted(read_records(self.dest), key=lambda record: record["seq"])
        assert [record["url"] for record in records] == self.urls
        check_containers(records, self.containers)


def check_containers(records: list[Record], containers: dict[str, bytes]) -> None:
    ends = dict.fromkeys(containers, 0)
    with_body = [record for record in records if record["ok"]]
    assert len(with_body) == BODIES + 1
    for record in sorted(with_body, key=lambda each: (each["container"], each["offset"])):
        name, offset, length = record["container"], record["offset"], record["length"]
        assert offset == ends[name], "there is a hole, or two bodies overlap"
        body = containers[name][offset : offset + length]
        assert len(body) == length == record["bytes"]
        assert hashlib.sha256(body).hexdigest() == record["sha256"]
        assert not body or record["url"].endswith(body.split()[1].decode().rstrip("."))
        ends[name] = offset + length
    assert ends == {name: len(data) for name, data in containers.items()}
    assert not [record for record in records if not record["ok"] and "container" in record]


def test_records_hold_container_offset_and_length(tmp_path: Path, server: CountingServer) -> None:
    runs = Runs(tmp_path / "plain", server)
    assert runs.get()[0] == 1
    runs.check()
    assert len(runs.containers) <= int(WORKERS or 1)
    ledger = read_records(runs.dest)
    assert all(
        list(each)[-3:] == ["container", "offset", "length"] for each in ledger if each["ok"]
    )
    if WORKERS in (None, "1"):
        offsets = [each["offset"] for each in ledger if each["ok"]]
        assert offsets == sorted(offsets), "the container has the order of the ledger"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_killed_at_any_write_of_container_and_ledger_the_next_run_is_exact(
    tmp_path: Path, server: CountingServer, workers: str
) -> None:
    killed = side_by_side(partial(_kill_at, tmp_path, server, workers), MOMENTS[workers])
    assert all(killed), "there are no such moments any more"


def _kill_at(folder: Path, server: CountingServer, workers: str, moment: int) -> bool:
    """Kill at *moment*, every third time once more as the next run begins; return if it was."""
    runs = Runs(folder / f"w{workers}-{moment}", server)
    status, error = runs.get(workers=workers, **{KILL_AT: str(moment)})
    was_killed = (runs.folder / "killed").exists()
    if status != KILLED_STATUS:  # a worker died, or nobody did
        assert status == 1, error
        runs.check()
        return was_killed
    if moment % 3 == 0:
        status, error = runs.get(workers=workers, **{KILL_AT: "1"})
        if status != KILLED_STATUS:
            assert status == 1, error
            runs.check()
            return was_killed
    runs.check_going_on(workers=workers)
    return was_killed


def test_what_a_killed_run_did_not_record_is_cut_before_anything_is_appended(
    tmp_path: Path, server: CountingServer
) -> None:
    runs = Runs(tmp_path / "cut", server)
    half_a_write, unlinked_then_before_a_write = "2", "2"
    assert runs.get(workers="1", **{KILL_AT: half_a_write})[0] == KILLED_STATUS
    assert any(runs.containers.values())
    assert runs.recorded() == set()
    assert runs.get(workers="1", **{KILL_AT: unlinked_then_before_a_write})[0] == KILLED_STATUS
    assert not any(runs.containers.values())


def test_body_that_cannot_be_appended_has_no_record_and_ends_the_run(
    tmp_path: Path, server: CountingServer
) -> None:
    runs = Runs(tmp_path / "full", server)
    status, error = runs.get(workers="1", **{FULL_AT: "2"})
    assert status == 74
    assert "cannot append to" in error
    assert "No space left on device" in error
    records = [each for each in read_records(runs.dest) if each["ok"]]
    assert 0 < len(records) < BODIES
    assert sum(each["length"] for each in records) == sum(map(len, runs.containers.values()))
    runs.check_going_on(workers="1")


def test_container_that_lacks_what_records_name_is_refused(
    tmp_path: Path, server: CountingServer
) -> None:
    runs = Runs(tmp_path / "short", server)
    assert runs.get(workers="1")[0] == 1
    ledger = runs.dest / "results.jsonl"
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:-2]))
    (path,) = runs.dest.glob("segment-*.bodies")
    os.truncate(path, 10)
    status, error = runs.get(workers="1")
    assert status == 73
    assert "records name more than there is of" in error


def test_a_list_through_a_pipe_keeps_its_bodies(tmp_path: Path, server: CountingServer) -> None:
    """Records that wait for their lines name bodies, too."""
    runs = Runs(tmp_path / "pipe", server)
    args = ["get", "-", "-o", "out", "-q", "--hash", "--retries", "0"]
    env = {"PYTHONPATH": os.pathsep.join([str(ROOT / "tests/containers/site"), str(ROOT)])}
    for kept in (6, len(runs.urls)):
        since = len(server.counts.hits)
        with (
            (runs.folder / "urls.txt").open("rb") as stdin,
            start(args, cwd=runs.folder, env=env, stdin=stdin) as process,
        ):
            assert process.ended()[0] == 1
        ledger = runs.dest / "results.jsonl"
        lines = ledger.read_bytes().splitlines(keepends=True)
        if kept < len(lines):
            ledger.write_bytes(b"".join(lines[:kept]))
        elif since:
            assert len(hits(server, since)) < len(set(runs.urls)) - 2
    runs.check()

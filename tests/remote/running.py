"""Commands over one list and one prefix in an object store, from this machine and from others."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.containers.checking import bodies_in
from tests.harness import WORKERS, Record, read_records
from tests.program.helpers import Running, answer, hits, start, write_list
from tests.remote.store import Objects, environment
from tests.servers.counting import CountingServer
from tests.servers.store_proxy import StoreProxy

ROOT = Path(__file__).parents[2]
BODIES = 12
HELD = 200


class Runs:
    """The commands; what they leave is looked at behind the proxy."""

    def __init__(
        self,
        folder: Path,
        objects: Objects,
        proxy: StoreProxy,
        server: CountingServer,
        *,
        kind: str = "files",
        prefix: str = "pre/fix",
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.objects, self.proxy, self.server = folder, objects, proxy, server
        self.kind, self.prefix = kind, prefix
        self.segment_size = "5K"
        # Several batches; some bodies are of more than a piece in memory.
        sizes = [0 if n == 3 else 300_000 if n == 5 else 1000 + n for n in range(BODIES)]
        name = folder.name
        urls = [server.url(f"/{name}/{n}?size={size}&delay=0.02") for n, size in enumerate(sizes)]
        self.urls = [*urls, server.url(f"/{name}/bad?status=404"), "no url", urls[1]]
        write_list(folder / "urls.txt", self.urls)

    def start(self, *options: str, state: str = "state", workers: str = WORKERS or "1") -> Running:
        """Begin the command whose ledger is in *state*: each is a machine of its own."""
        args = ["get", "urls.txt", "-o", self.objects.url(self.prefix), "--state", state, "--hash"]
        args += ["-q", "--retries", "0", "--limit", "3", "--per-host", "0", "--workers", workers]
        if self.kind != "files":
            args += ["--store", self.kind, "--segment-size", self.segment_size]
        search_path = os.pathsep.join([str(ROOT / "tests/remote/site"), str(ROOT)])
        env = {**environment(self.proxy.url), "PYTHONPATH": search_path}
        return start([*args, *options], cwd=self.folder, env=env)

    @contextmanager
    def holding(self) -> Iterator[Callable[[], None]]:
        """Have a last line in the list, for a block, that is answered when what is yielded says."""
        held = self.server.url(f"/{self.folder.name}/held?until={HELD}&status=404")
        write_list(self.folder / "urls.txt", [*self.urls, held])
        yield lambda: answer(self.server, HELD)
        write_list(self.folder / "urls.txt", self.urls)

    def get(
        self, *options: str, state: str = "state", workers: str = WORKERS or "1"
    ) -> tuple[int, str]:
        """Give the command; return its exit status and standard error."""
        with self.start(*options, state=state, workers=workers) as process:
            return process.ended()

    def recorded(self, state: str) -> set[str]:
        """Return the URLs that must not be fetched again by who has *state*."""
        ledger = self.folder / state / "results.jsonl"
        lines = ledger.read_bytes().split(b"\n")[:-1] if ledger.exists() else []
        return self._unique(json.loads(line)["url"] for line in lines)

    def has_recorded(self, state: str, count: int) -> bool:
        """Tell whether there are *count* records in the ledger in *state*."""
        ledger = self.folder / state / "results.jsonl"
        return ledger.exists() and ledger.read_bytes().count(b"\n") == count

    def published(self) -> set[str]:
        """Return the URLs that must not be fetched again by anybody."""
        return self._unique(record["url"] for record in self.pieces())

    def pieces(self) -> list[Record]:
        """Return the records that the store has."""
        if "_fetchpool/run.json" not in self.objects.names(f"{self.prefix}/"):
            return []
        manifest = self.objects.json(f"{self.prefix}/_fetchpool/run.json")
        there = self.objects.names(f"{self.prefix}/")
        found: list[Record] = []
        for part in manifest["ledger"]:
            number = 0
            while number != part["pieces"]:
                key = f"_fetchpool/results-{part['session']}-{number:06}.jsonl"
                if key not in there:
                    assert part["pieces"] is None
                    break
                data = self.objects.read(f"{self.prefix}/{key}")
                assert data.endswith(b"\n")
                found += map(json.loads, data.splitlines())
                number += 1
        return found

    def check_going_on(self, *, state: str = "state", workers: str = "1") -> None:
        """Give the command once more: nothing is lost, doubled, or asked for without need."""
        kept = self.published() if state != "state" else self.recorded(state)
        finished = len(kept) == len(self._unique(self.urls)) and self._is_finished(state)
        since = len(self.server.counts.hits)
        options = ["--once"] if finished else []
        status, error = self.get(*options, state=state, workers=workers)
        assert status == 1, error  # one is 404, one is no URL
        asked = {url for url in hits(self.server, since) if f"/{self.folder.name}/" in url}
        assert not kept & asked
        self.check(state)

    def check(self, state: str = "state") -> None:
        """Assert one record a line, here and in the store, each body where its record says."""
        records = sorted(read_records(self.folder / state), key=lambda each: each["seq"])
        assert [each["url"] for each in records] == self.urls
        there = sorted(self.pieces(), key=lambda each: each["seq"])
        assert there == records
        check_places(records, self.objects, self.prefix, self.kind)
        for record in records:
            assert record["ok"] is (record["error"] is None)
        assert sum(each["ok"] for each in records) == BODIES + 1
        lock = self.objects.json(f"{self.prefix}/_fetchpool/lock")
        assert lock["holder"] is None

    def _is_finished(self, state: str) -> bool:
        count = len(read_records(self.folder / state)) if state == "state" else len(self.pieces())
        return count == len(self.urls)

    def _unique(self, found: object) -> set[str]:
        assert not isinstance(found, str)
        listed = Counter(self.urls)
        return {url for url in found if listed[url] == 1}  # type: ignore[attr-defined]


def check_places(records: Sequence[Record], objects: Objects, prefix: str, kind: str) -> None:
    """Assert that each body is where its record says, and no object is there for nothing."""
    bodies = _files_in(objects, prefix, records) if kind == "files" else None
    with tempfile.TemporaryDirectory() as folder:
        if bodies is None:
            bodies = _containers_in(Path(folder), objects, prefix, kind, records)
        for record in records:
            assert record["path"] is None or record["ok"]
            if not record["ok"]:
                continue
            data = bodies[record["path"] or (record["container"], record["offset"])]
            assert len(data) == record["bytes"]
            assert hashlib.sha256(data).hexdigest() == record["sha256"]


def _files_in(objects: Objects, prefix: str, records: Sequence[Record]) -> dict[object, bytes]:
    names = objects.bodies(prefix)
    assert names == {record["path"] for record in records if record["ok"]}
    return {name: objects.read(f"{prefix}/{name}") for name in names}


def _containers_in(
    folder: Path, objects: Objects, prefix: str, kind: str, records: Sequence[Record]
) -> dict[object, bytes]:
    """Return what another program finds in the containers, which it gets as files in *folder*."""
    named = {(each["container"], each["offset"]) for each in records if "container" in each}
    folder.joinpath(kind).mkdir()
    names = objects.bodies(prefix)
    for name in names:
        folder.joinpath(name).write_bytes(objects.read(f"{prefix}/{name}"))
    containers = {container for container, _ in named}
    indexes = {name.replace(".warc.gz", ".cdxj") for name in containers} - containers
    assert names == containers | indexes
    found = list(bodies_in(kind, folder))
    places = [(each.container, each.offset) for each in found]
    assert len(places) == len(set(places))
    if kind == "warc":  # what a machine that was lost had put there stays, as an earlier capture
        assert named <= set(places)
    else:
        assert named == set(places)
    return {(each.container, each.offset): each.data or b"" for each in found}

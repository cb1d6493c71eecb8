"""Commands at one prefix in an object store, each from a machine of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from tests.containers.checking import check_containers
from tests.harness import Record, run_fetchpool
from tests.program.helpers import write_list
from tests.program.test_refresh import by_name
from tests.remote.store import Objects, environment
from tests.servers.ranges import RangeServer
from tests.servers.store_proxy import StoreProxy


class Machines:
    """Commands at one prefix, each from a machine of its own unless *state* says otherwise."""

    def __init__(self, folder: Path, objects: Objects, proxy: StoreProxy) -> None:
        self.folder, self.objects, self.proxy = folder, objects, proxy
        self.url = objects.url("pre")
        self._count = 0

    def list(self, server: RangeServer, *names: str) -> None:
        write_list(self.folder / "list.txt", [server.url(f"/{name}") for name in names])

    def get(self, *options: str, state: str | None = None, status: int | None = None) -> str:
        """Give the command; return what it says."""
        self._count += 1
        state = state or f"state-{self._count}"
        args = ["get", "list.txt", "-o", self.url, "--state", state, "--retries", "0", *options]
        result = run_fetchpool(args, cwd=self.folder, env=environment(self.proxy.url))
        assert result.returncode in ((0, 1) if status is None else (status,)), result.stderr
        return result.stderr

    def records(self) -> Mapping[str, Record]:
        """Return what the store has, by the last part of the URL."""
        return by_name([json.loads(line) for line in self._ask("export").splitlines()])

    def changed(self) -> set[tuple[str, str]]:
        rows = [line.split() for line in self._ask("status", "--changed").splitlines()]
        return {(row[0], row[1].rpartition("/")[2]) for row in rows}

    def check_containers(self, kind: str, state: str) -> None:
        """Assert that containers have what today's records say, and what else they may have."""
        dest = self.folder / f"{state}-there"
        dest.joinpath(kind).mkdir(parents=True)
        private = self.folder / state / ".fetchpool"
        dest.joinpath(".fetchpool").mkdir()
        if private.joinpath("archived").exists():
            shutil.copy(private / "archived", dest / ".fetchpool")
        earlier = [private / "previous.jsonl", private / "carried.jsonl"]
        text = "".join(path.read_text() for path in earlier if path.exists())
        dest.joinpath(".fetchpool/previous.jsonl").write_text(text)
        for name in self.objects.bodies("pre"):
            dest.joinpath(name).write_bytes(self.objects.read(f"pre/{name}"))
        records = list(self.records().values())
        dest.joinpath("results.jsonl").write_text("".join(f"{json.dumps(r)}\n" for r in records))
        check_containers(kind, records, dest)

    def put(self) -> set[str]:
        """Return which bodies were put since the last call."""
        keys = {each.key for each in self.proxy.asked if each.method == "PUT"}
        self.proxy.asked.clear()
        return {key.removeprefix("pre/") for key in keys if "/_fetchpool/" not in key}

    def _ask(self, command: str, *options: str) -> str:
        args = [command, self.url, *options]
        result = run_fetchpool(args, cwd=self.folder, env=environment(self.proxy.url))
        assert result.returncode == 0, result.stderr
        return result.stdout

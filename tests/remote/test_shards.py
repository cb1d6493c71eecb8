"""Shards with DEST in an object store: a prefix each, one agreement, and a merge from anywhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.harness import run_fetchpool
from tests.program.helpers import Running, answer, eventually, one_line, start, write_list
from tests.remote.store import Objects, environment
from tests.servers.counting import CountingServer
from tests.servers.store_proxy import StoreProxy

LINES = 24


class Machines:
    """Commands over one list, each with a state of its own: machines that share no disk."""

    def __init__(
        self, folder: Path, objects: Objects, proxy: StoreProxy, server: CountingServer
    ) -> None:
        self.folder, self.objects, self.server = folder, objects, server
        self.url, self.env = objects.url("all/shards"), environment(proxy.url)
        # One host, divided by URL.
        lines = [server.url(f"/{n}?size={1000 + n}") for n in range(LINES)]
        self.lines = [*lines, "# a comment", "no url", lines[1]]
        write_list(folder / "urls.txt", self.lines)

    def args(self, shard: str, state: str, *options: str) -> list[str]:
        args = ["get", "urls.txt", "-o", self.url, "--state", state, "--shard", shard]
        return [*args, "--per-host", "0", "--retries", "0", "-q", *options]

    def start(self, shard: str, state: str, *options: str) -> Running:
        return start(self.args(shard, state, *options), cwd=self.folder, env=self.env)

    def get(self, shard: str, state: str, *options: str) -> tuple[int, str]:
        with self.start(shard, state, *options) as process:
            return process.ended()

    def run(self, *words: str) -> tuple[int, str, str]:
        ran = run_fetchpool(words, cwd=self.folder, env=self.env)
        return ran.returncode, ran.stdout, ran.stderr


@pytest.fixture
def machines(
    tmp_path: Path, objects: Objects, proxy: StoreProxy, server: CountingServer
) -> Machines:
    return Machines(tmp_path, objects, proxy, server)


def urls_of(records: str) -> Sequence[tuple[int, str]]:
    found = [json.loads(line) for line in records.splitlines()]
    return sorted((record["seq"], record["url"]) for record in found)


@pytest.mark.parametrize("store", ["files", "tar"])
def test_shards_lie_below_one_prefix_and_are_merged_there(machines: Machines, store: str) -> None:
    options = ["--store", store] if store != "files" else []
    assert machines.get("0/3", "a", *options) == (0, "")
    assert machines.get("1,2/3", "b", *options) == (0, "")
    names = machines.objects.names("all/shards/")
    assert "_shards.json" in names
    assert {name.partition("/")[0] for name in names} == {
        "_shards.json",
        *(f"shard-0000{index}-of-00003" for index in range(3)),
    }
    asked = len(machines.server.counts.hits)
    status, out, _ = machines.run("status", machines.url, "--json")
    told = json.loads(out)
    assert (status, told["phase"], told["finished"]) == (0, "finished", [0, 1, 2])
    status, out, error = machines.run("merge", machines.url, "--records", "-")
    assert status == 0, error
    wanted = [(n, url) for n, url in enumerate(machines.lines, 1) if not url.startswith("#")]
    assert urls_of(out) == wanted
    manifest = machines.objects.json("all/shards/_manifest.json")
    assert (manifest["records"], manifest["lines"]) == (LINES + 2, LINES + 3)
    for line in out.splitlines():
        record = json.loads(line)
        place = record["path"] or record.get("container")
        assert place is None or place in names
    for each in (file for part in manifest["parts"] for file in part["containers"]):
        assert len(machines.objects.read(f"all/shards/{each['file']}")) == each["bytes"]
    assert machines.get("1/3", "c", *options) == (0, ""), "from another machine, with nothing"
    assert len(machines.server.counts.hits) == asked


def test_another_runner_and_another_n_are_refused_before_their_first_request(
    machines: Machines,
) -> None:
    held = machines.server.url("/held?until=200")
    write_list(machines.folder / "urls.txt", [held])
    with machines.start("0/1", "a") as first:
        eventually(lambda: len(machines.server.counts.hits) == 1, "it asks")
        status, error = machines.get("0/1", "b")
        assert status == 75
        assert "shard-00000-of-00001: process" in one_line(error)
        status, error = machines.get("0/2", "b")
        assert status == 2
        assert "N is 1; this command has 2" in one_line(error)
        _, out, _ = machines.run("status", machines.url, "--json")
        assert json.loads(out)["running"] in ([0], []), "nothing of it may be there yet"
        assert len(machines.server.counts.hits) == 1
        answer(machines.server, 200)
        assert first.ended() == (0, "")
    status, _, error = machines.run("merge", machines.url)
    assert status == 0, error


def test_redirects_that_are_handed_over_are_listed_there(machines: Machines) -> None:
    server = machines.server
    hops = [server.url(f"/{n}?to=http://127.0.9.{n}:{server.port}/x") for n in range(1, 9)]
    write_list(machines.folder / "urls.txt", hops)
    args = ["--host-rate", "1000", "--hand-over"]
    for shard, state in (("0/2", "a"), ("1/2", "b")):
        assert machines.get(shard, state, *args)[0] == 0
    names = [name for name in machines.objects.names("all/shards/") if "handover" in name]
    assert len(names) == 1, "all lines are of one host, and so of one shard"
    data = machines.objects.read(f"all/shards/{names[0]}")
    listed = [json.loads(line) for line in data.splitlines()]
    assert listed
    assert {each["line_url"] for each in listed} <= set(hops)

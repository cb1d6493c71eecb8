"""Containers in an object store are read from there, by whoever has nothing else of the run."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tests.containers.checking import check_containers
from tests.harness import read_records, run_fetchpool
from tests.program.helpers import one_line
from tests.remote.running import BODIES, Runs
from tests.remote.store import Objects, environment
from tests.servers.counting import CountingServer
from tests.servers.store_proxy import StoreProxy

KINDS = ("tar", "warc", "parquet", "sqlite")


@pytest.fixture(params=KINDS)
def runs(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    objects: Objects,
    proxy: StoreProxy,
    server: CountingServer,
) -> Runs:
    return Runs(tmp_path / "run", objects, proxy, server, kind=request.param)


def test_what_is_there_is_read_from_anywhere_and_gone_on_with(runs: Runs, tmp_path: Path) -> None:
    assert runs.get()[0] == 1
    runs.check()
    assert len(runs.objects.bodies("pre/fix")) > 1
    assert not any(path.is_file() for path in (runs.folder / "state" / runs.kind).iterdir())
    url, env = runs.objects.url("pre/fix"), environment(runs.proxy.url)

    def run(*args: str, dest: str = url) -> str:
        result = run_fetchpool([args[0], dest, *args[1:]], cwd=tmp_path, env=env)
        assert result.returncode == 0, result.stderr
        return result.stdout

    assert json.loads(run("status", "--json"))["ok"] == BODIES + 1
    assert len(run("cat", "6")) == 300_000
    # The payload of the last line is that of the second: in a WARC a revisit, which refers to it.
    assert run("cat", str(len(runs.urls))) == run("cat", "2", dest=str(runs.folder / "state"))
    other = "tar" if runs.kind != "tar" else "files"
    run("export", "--store", other, "-o", "exported")
    exported = read_records(tmp_path / "exported")
    if other == "tar":
        check_containers("tar", exported, tmp_path / "exported")
    assert sum(each["ok"] for each in exported) == BODIES + 1
    if runs.kind == "warc":
        assert run("cat", "--head", "2").startswith("HTTP/1.1 200 ")
        run("export", "--wacz", "-o", "pages.wacz")
        with zipfile.ZipFile(tmp_path / "pages.wacz") as package:
            found = {name.partition("/")[2] for name in package.namelist()}
        there = {name.rpartition("/")[2] for name in runs.objects.bodies("pre/fix")}
        assert {name for name in there if name.endswith(".gz")} <= found
        nothing = ["export", runs.objects.url("nothing"), "--wacz", "-o", "x.wacz"]
        none = run_fetchpool(nothing, cwd=tmp_path, env=env)
        assert (none.returncode, "holds no run" in one_line(none.stderr)) == (2, True)


def test_a_database_in_a_directory_has_no_size(tmp_path: Path) -> None:
    args = ["get", "urls.txt", "-o", "here", "--store", "sqlite", "--segment-size", "5K"]
    refused = run_fetchpool(args, cwd=tmp_path)
    assert refused.returncode == 2
    assert "a database in a directory is one" in one_line(refused.stderr)

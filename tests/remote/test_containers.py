"""Containers in an object store: read from there, exact again after what a lost machine left."""

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


def test_what_a_lost_machine_had_sent_up_too_much_goes_out_again(runs: Runs) -> None:
    """As if it had not come to the last pieces of its ledger, but had sent up all containers."""
    runs.segment_size = "40K" if runs.kind == "warc" else "15K"
    assert runs.get()[0] == 1
    there, url = runs.objects, "pre/fix/_fetchpool/"
    (part,) = there.json(f"{url}run.json")["ledger"]
    names = [name for name in there.names(url) if name.startswith(f"results-{part['session']}")]
    lines = b"".join(there.read(url + name) for name in sorted(names)).splitlines(keepends=True)
    kept = _ends_within_a_container(lines)
    for name in names:
        there.remove(url + name)
    there.write(url + min(names), b"".join(lines[:kept]))
    assert 0 < len(runs.pieces()) == kept < len(lines)
    runs.check_going_on(state="elsewhere")
    # Nothing is brought once more.
    since = len(runs.proxy.asked)
    assert runs.get("--once", state="elsewhere")[0] == 1
    read = {asked.key for asked in runs.proxy.asked[since:] if asked.method in ("GET", "HEAD")}
    assert not any(f"/{runs.kind}/" in key for key in read)


def _ends_within_a_container(lines: list[bytes]) -> int:
    """Return how many of *lines* to keep so that some container is named by others, too."""
    containers = [json.loads(line).get("container") for line in lines]
    return next(
        at
        for at in range(len(lines) - 3, 1, -1)
        if {*containers[:at]} & {*containers[at:]} - {None}
    )


@pytest.mark.parametrize("runs", ["parquet", "sqlite"], indirect=True)
def test_rows_that_no_record_names_any_more_go_from_what_is_there(runs: Runs) -> None:
    assert runs.get()[0] == 1
    status, error = runs.get("--retry-failed", state="elsewhere")
    assert status == 1, error
    runs.check("elsewhere")


def test_a_database_in_a_directory_has_no_size(tmp_path: Path) -> None:
    args = ["get", "urls.txt", "-o", "here", "--store", "sqlite", "--segment-size", "5K"]
    refused = run_fetchpool(args, cwd=tmp_path)
    assert refused.returncode == 2
    assert "a database in a directory is one" in one_line(refused.stderr)

"""Several commands at one prefix, from one machine or several: one at a time, and none forgets."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from tests.harness import run_fetchpool
from tests.program.helpers import PATIENCE_S, PIPE, eventually, one_line, start, write_list
from tests.remote.running import Runs
from tests.remote.store import Objects, environment
from tests.servers.counting import CountingServer
from tests.servers.store_proxy import StoreProxy


@pytest.fixture
def runs(tmp_path: Path, objects: Objects, proxy: StoreProxy, server: CountingServer) -> Runs:
    return Runs(tmp_path / "run", objects, proxy, server)


def test_a_directory_is_the_state_of_one_place(runs: Runs) -> None:
    assert runs.get()[0] == 1
    env = environment(runs.proxy.url)

    def refused(*args: str) -> str:
        result = run_fetchpool(["get", "urls.txt", "-q", *args], cwd=runs.folder, env=env)
        assert result.returncode == 2, result.stderr
        return one_line(result.stderr)

    assert "is the state of s3://" in refused("-o", runs.objects.url("b"), "--state", "state")
    assert "bodies are in an object store" in refused("-o", "state")
    runs.prefix = "emptied"
    shutil.copytree(runs.folder / "state", runs.folder / "copy")
    published = json.loads((runs.folder / "copy/.fetchpool/remote.json").read_text())
    published["url"] = runs.objects.url("emptied")
    (runs.folder / "copy/.fetchpool/remote.json").write_text(json.dumps(published))
    said = refused("-o", runs.objects.url("emptied"), "--state", "copy")
    assert "holds no run any more" in said


def test_two_runs_are_never_at_one_prefix(runs: Runs) -> None:
    with runs.holding(), runs.start() as first:
        eventually(lambda: runs.server.counts.hits, "the first run fetches")
        env = environment(runs.proxy.url)
        args = ["get", "other.txt", "-q", "-o", runs.objects.url("pre/fix"), "--state", "other"]
        write_list(runs.folder / "other.txt", [runs.server.url("/other")])
        refused = run_fetchpool(args, cwd=runs.folder, env=env)
        assert refused.returncode == 75
        message = f"another run holds {runs.objects.url('pre/fix')}: process {first.pid} on "
        assert message in one_line(refused.stderr)
        url = runs.objects.url("pre/fix")
        shown = run_fetchpool(["status", url, "--json"], cwd=runs.folder, env=env)
        assert json.loads(shown.stdout)["phase"] == "running"
        first.kill()
        first.wait()
    refused = run_fetchpool(args, cwd=runs.folder, env=env)
    assert refused.returncode == 75, "its lease lasts for a while"
    assert "/other" not in runs.server.counts.targets()
    # As if that time had passed.
    runs.objects.write("pre/fix/_fetchpool/lock", b'{"holder":"dead","lease_s":0}')
    runs.check_going_on(state="elsewhere")


def test_who_has_lost_the_prefix_stops_and_takes_nothing_from_the_other(runs: Runs) -> None:
    with runs.holding() as answer_it, runs.start() as zombie:
        eventually(lambda: len(runs.pieces()) == len(runs.urls), "all the others are recorded")
        runs.objects.write("pre/fix/_fetchpool/lock", b'{"holder":"dead","lease_s":0}')
        write_list(runs.folder / "urls.txt", runs.urls)
        runs.check_going_on(state="heir")
        answer_it()
        status, error = zombie.ended()
    assert status == 75, error
    assert "another run has gone on with" in error
    runs.check("heir")
    # What it had is older than what is there.
    since = len(runs.server.counts.hits)
    assert runs.get("--once")[0] == 1
    assert len(runs.server.counts.hits) == since
    runs.check()


def test_a_pipe_goes_on_elsewhere(runs: Runs) -> None:
    """Records that wait for their lines are in the store, too."""
    args = ["get", "-", "-o", runs.objects.url("pre/fix"), "-q", "--hash", "--retries", "0"]
    env = environment(runs.proxy.url)
    last = len(runs.urls)
    for state, count in (("a", 6), ("b", 2), ("c", last)):
        since = len(runs.server.counts.hits)
        command = [*args, "--state", state]
        with start(command, cwd=runs.folder, env=env, stdin=PIPE) as process:
            process.say(*runs.urls[:count])
            eventually(partial(runs.has_recorded, state, count), f"{count} are recorded")
            if count == last:
                assert process.ended()[0] == 1
                break
            process.terminate()
            assert process.wait(PATIENCE_S) == 143
        assert len(runs.server.counts.hits) - since == (6 if state == "a" else 0)
        assert len(runs.pieces()) == count
    assert len(runs.server.counts.hits) - since == last - 1 - 6
    runs.check("c")

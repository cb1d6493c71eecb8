"""`get -o s3://…` with the real program: what lies there, who may write there, what refuses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness import PROGRAM, run_fetchpool
from tests.program.helpers import one_line
from tests.remote.running import BODIES, Runs
from tests.remote.store import Objects, environment
from tests.servers.counting import CountingServer
from tests.servers.store_proxy import Asked, Fault, StoreProxy


@pytest.fixture
def runs(tmp_path: Path, objects: Objects, proxy: StoreProxy, server: CountingServer) -> Runs:
    return Runs(tmp_path / "run", objects, proxy, server)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_each_body_is_an_object_named_as_its_file_would_be(runs: Runs, workers: str) -> None:
    status, error = runs.get(workers=workers)
    assert status == 1, error
    runs.check()
    for record in runs.pieces():
        if record["ok"]:
            assert record["path"].startswith(f"127.0.0.1+{runs.server.port}/run/")
    assert not any((runs.folder / "state").glob("127*"))
    everything = [*(runs.folder / "state").rglob("*"), *runs.folder.glob("*.txt")]
    text = b"".join(path.read_bytes() for path in everything if path.is_file())
    text += b"".join(runs.objects.read(key) for key in runs.objects.names(""))
    assert b"a-secret-of-the-store" not in text
    assert runs.proxy.at_once <= 34


def test_what_is_there_is_read_from_anywhere(runs: Runs, tmp_path: Path) -> None:
    assert runs.get()[0] == 1
    url, env = runs.objects.url("pre/fix"), environment(runs.proxy.url)
    state = runs.folder / "state"
    for dest in (url, str(state)):
        shown = run_fetchpool(["status", dest, "--json"], cwd=tmp_path, env=env)
        told = json.loads(shown.stdout)
        assert (told["dest"], told["phase"], told["ok"]) == (dest, "finished", BODIES + 1)
        body = run_fetchpool(["cat", dest, "6"], cwd=tmp_path, env=env)
        assert (body.returncode, len(body.stdout)) == (0, 300_000)
        none = run_fetchpool(["cat", dest, str(BODIES + 1)], cwd=tmp_path, env=env)
        assert (none.returncode, "has no body" in none.stderr) == (1, True)
    exported = run_fetchpool(["export", url], cwd=tmp_path, env=env)
    assert exported.stdout == (state / "results.jsonl").read_text()
    report = run_fetchpool(["report", url, "--format", "markdown"], cwd=tmp_path, env=env)
    assert f"| ok | {BODIES + 1} |" in report.stdout, report.stderr
    nothing = run_fetchpool(["status", runs.objects.url("other")], cwd=tmp_path, env=env)
    assert nothing.returncode == 2
    assert "holds no run" in one_line(nothing.stderr)


def test_faults_of_the_store_cost_no_url_anything(runs: Runs) -> None:
    cycle = [Fault.RESET, None, Fault.SLOW_DOWN, None, Fault.LOST, None, None]
    runs.proxy.fault = lambda asked: cycle[asked.number % len(cycle)]
    assert runs.get()[0] == 1
    runs.proxy.fault = lambda asked: None
    runs.check()
    assert len(runs.server.counts.hits) == len(runs.urls) - 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_store_that_is_down_ends_the_run_which_goes_on_later(runs: Runs, workers: str) -> None:
    def fail_after_some_bodies(asked: Asked) -> Fault | None:
        put = sum(each.method == "PUT" and "/run/" in each.key for each in runs.proxy.asked)
        return Fault.SLOW_DOWN if put > 5 else None

    runs.proxy.fault = fail_after_some_bodies
    status, error = runs.get("--outage-patience", "0.2", workers=workers)
    assert status == 74, error
    assert "503" in error
    assert "SlowDown" in error
    assert "Run the same command again to go on." in error
    runs.proxy.fault = lambda asked: None
    runs.check_going_on(workers=workers)


def test_what_cannot_be_used_is_refused_before_a_request(runs: Runs, tmp_path: Path) -> None:
    def refused(status: int, *words: str, url: str = runs.objects.url("pre/fix")) -> str:
        env = environment(runs.proxy.url)
        args = ["get", "urls.txt", "-q", "-o", url, "--state", "state", *words]
        result = run_fetchpool(args, cwd=runs.folder, env=env)
        assert result.returncode == status, result.stderr
        return one_line(result.stderr)

    assert "NoSuchBucket" in refused(73, url="s3://no-such-bucket/x")
    runs.proxy.fault = lambda asked: Fault.DENIED
    assert "AccessDenied" in refused(73)
    runs.proxy.fault = lambda asked: Fault.UNCONDITIONAL
    assert "can't be kept apart" in refused(73)
    runs.proxy.fault = lambda asked: None
    runs.objects.write("pre/fix/mine.txt", b"x")
    assert "holds objects that are not fetchpool's" in refused(73)
    assert runs.objects.bodies("pre/fix") == {"mine.txt"}
    assert "--mtime can't be combined with --output s3://" in refused(2, "--mtime")
    assert "has credentials" in refused(2, url="s3://key:secret@bucket/x")
    assert "--state is for a DEST in an object store" in refused(2, url="here")
    assert not runs.server.counts.hits


def test_without_obstore_one_line_says_how_to_get_it(runs: Runs) -> None:
    code = "import sys; sys.modules['obstore'] = None; import runpy; sys.argv[0] = 'fetchpool'; "
    code += "runpy.run_module('fetchpool', run_name='__main__')"
    args = ["get", "urls.txt", "-q", "-o", "s3://bucket/x"]
    program = (PROGRAM[0], "-c", code)
    result = run_fetchpool(args, cwd=runs.folder, program=program)
    assert result.returncode == 2
    assert "pip install 'fetchpool[remote]'" in one_line(result.stderr)


def test_objects_of_a_host_called_like_our_own_are_beside_them(runs: Runs) -> None:
    body = runs.server.url("/run.json?size=20", host="_fetchpool.localhost")
    (runs.folder / "named.csv").write_text(f"url,name\n{body},_fetchpool/run.json\n")
    args = ["get", "named.csv", "-q", "-o", runs.objects.url("pre/fix"), "--state", "named"]
    args += ["--column", "url=url", "--column", "name=name"]
    result = run_fetchpool(args, cwd=runs.folder, env=environment(runs.proxy.url))
    assert result.returncode == 0, result.stderr
    assert runs.objects.bodies("pre/fix") == {"_fetchpool~2/run.json"}
    assert [record["ok"] for record in runs.pieces()] == [True]

"""`--secret-param`: a marked value is sent as it is, and is nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.harness import (
    Result,
    check_bodies,
    fetchpool_in_pty,
    read_records,
    run_fetchpool,
    stored_files,
)
from tests.program.helpers import check_records, write_list
from tests.servers.counting import CountingServer
from tests.servers.proxy import RecordingProxy

CANARY = "canary%2D6c4e"
"""As it stands in the list; what is looked for is the part without the escape."""

MARKED = ["--secret-param", "token", "--secret-param", "api key", "--retries", "0"]

_BROKEN = """
import os
from fetchpool.http.direct import DirectExchange
from fetchpool.scheduling.judge import Judge

send = DirectExchange.send

async def break_down(self, plan, *rest):
    if "/crash" in plan.target.url:
        raise ValueError(f"a bug at {plan.target.url}, {plan!r}")
    return await send(self, plan, *rest)

def break_off(self, job, *rest):
    raise KeyError(job.target.url, job.request)

DirectExchange.send = break_down
if "BREAK_OFF" in os.environ:
    Judge.decide = break_off
"""
"""A `sitecustomize` for every process of a run: bugs whose messages tell what they are about."""


@pytest.fixture
def broken(tmp_path: Path) -> dict[str, str]:
    """Return the environment in which fetchpool has bugs."""
    place = tmp_path / "bugs"
    place.mkdir()
    (place / "sitecustomize.py").write_text(_BROKEN)
    return {"PYTHONPATH": str(place)}


def lines_of_all_kinds(server: CountingServer) -> list[str]:
    """Return lines whose outcomes tell of their URLs in every way there is."""
    landing = server.url(f"/landing?a=1&token={CANARY}")
    return [
        server.url(f"/plain.txt?token={CANARY}"),
        server.url(f"/status?status=404&TO%6Ben={CANARY}"),
        server.url(f"/blank?api+key={CANARY}&api%20key={CANARY};x={CANARY[::-1]}"),
        server.url(f"/redirect?to={quote(landing, safe='')}"),
        server.url(f"/crash?token={CANARY}"),
        server.url(f"/long?token={CANARY * 6000}"),
        f"http://127.0.0.1:1/refused?token={CANARY}",
        f"http://127.0.0.1:99999/no-url?token={CANARY}@x",
        f"http://me:{CANARY}@127.0.0.1:1/?token={CANARY}",
        f"no URL ?token={CANARY} {CANARY}",
    ]


def leaks(root: Path, *sources: Path) -> list[str]:
    """Return the files below *root* that hold the canary, names included, but for *sources*.

    Bodies are what the server says: this one repeats its URL.
    """
    dests = [path.parent for path in root.rglob("results.jsonl")]
    bodies = {dest / name for dest in dests for name in stored_files(dest)}
    return [
        str(path)
        for path in root.rglob("*")
        if "canary" in path.name
        or (path.is_file() and path not in {*sources, *bodies} and b"canary" in path.read_bytes())
    ]


def shown(result: Result) -> str:
    return result.stdout + result.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("records", ["r.jsonl", "r.csv"])
def test_a_marked_value_is_written_nowhere(
    server: CountingServer, tmp_path: Path, broken: dict[str, str], workers: str, records: str
) -> None:
    lines = lines_of_all_kinds(server)
    source = write_list(tmp_path / "urls.txt", lines)
    args = ["get", "urls.txt", "-o", "out", *MARKED, "--workers", workers, "--records", records]
    args += ["--log-file", "log", "--metrics-file", "metrics"]
    result = run_fetchpool(args, cwd=tmp_path, env=broken)
    again = run_fetchpool([*args, "--retry-failed"], cwd=tmp_path, env=broken)
    status = run_fetchpool(["status", "out"], cwd=tmp_path)
    config = run_fetchpool(["config", *MARKED], cwd=tmp_path)
    assert leaks(tmp_path, source) == []
    for each in (result, again, status, config):
        assert "canary" not in shown(each)
    assert (result.returncode, again.returncode) == (1, 1)
    # What the server was sent is what the list has.
    targets = {hit.target for hit in server.counts.hits}
    assert f"/plain.txt?token={CANARY}" in targets
    assert f"/landing?a=1&token={CANARY}" in targets
    # And what is told is otherwise whole.
    found = {record["seq"]: record for record in read_records(tmp_path / "out")}
    assert sorted(found) == list(range(1, len(lines) + 1))
    assert found[1]["url"] == server.url("/plain.txt?token=***")
    assert found[2]["url"] == server.url("/status?status=404&TO%6Ben=***")
    assert found[3]["url"].endswith(f"/blank?api+key=***&api%20key=***;x={CANARY[::-1]}")
    assert found[4]["url"].endswith("landing%3Fa%3D1%26token%3D***")
    assert found[4]["final_url"] == server.url("/landing?a=1&token=***")
    assert found[5]["error"] == "internal"
    assert "***" in found[5]["detail"]
    assert "Traceback" in (tmp_path / "log").read_text()
    check_bodies(list(found.values()), tmp_path / "out")


def test_a_value_that_is_not_marked_would_be_found(
    server: CountingServer, tmp_path: Path, broken: dict[str, str]
) -> None:
    source = write_list(tmp_path / "urls.txt", lines_of_all_kinds(server))
    args = ["get", "urls.txt", "-o", "out", "--retries", "0", "--records", "r.csv"]
    result = run_fetchpool([*args, "--log-file", "log"], cwd=tmp_path, env=broken)
    found = [str(tmp_path / name) for name in ("log", "out/results.jsonl", "r.csv")]
    assert sorted(leaks(tmp_path, source)) == found
    assert "canary" in result.stderr


def test_a_marked_value_goes_through_a_proxy_and_is_written_nowhere(
    server: CountingServer, tmp_path: Path
) -> None:
    lines = lines_of_all_kinds(server)
    source = write_list(tmp_path / "urls.txt", lines)
    args = ["get", "urls.txt", *MARKED, "--log-file", "log", "--records=r.csv"]
    with RecordingProxy() as proxy:
        good = run_fetchpool(args, cwd=tmp_path, env={"HTTP_PROXY": proxy.url})
        asked = {each.target for each in proxy.asked}
    dead = run_fetchpool(
        [*args, "--retry-failed"],
        cwd=tmp_path,
        env={"HTTP_PROXY": f"http://me:{CANARY}@127.0.0.1:1/?token={CANARY}"},
    )
    assert set(lines[:5]) <= asked
    assert "canary" not in shown(good) + shown(dead)
    assert leaks(tmp_path, source) == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_bug_that_ends_the_run_tells_no_marked_value(
    server: CountingServer, tmp_path: Path, broken: dict[str, str], workers: str
) -> None:
    source = write_list(tmp_path / "urls.txt", [server.url(f"/a?token={CANARY} {CANARY}")])
    result = run_fetchpool(
        ["get", "urls.txt", *MARKED, "--workers", workers, "--log-file", "log"],
        cwd=tmp_path,
        env={**broken, "BREAK_OFF": "1"},
    )
    assert "Traceback" in result.stderr + (tmp_path / "log").read_text()
    assert "token=***" in result.stderr
    assert "canary" not in shown(result)
    assert leaks(tmp_path, source) == []


def test_a_marked_value_is_not_on_the_screen(server: CountingServer, tmp_path: Path) -> None:
    url = server.url(f"/a?status=404&token={CANARY} {CANARY}")
    for args in ([url], [url, "-o", "out", "--failures", "all"], [url, url, "-o", "other"]):
        screen = fetchpool_in_pty(["get", *args, *MARKED], cwd=tmp_path)
        assert screen.returncode == 1
        assert b"canary" not in screen.output
        assert b"token=***" in screen.output
    assert leaks(tmp_path) == []


def test_answers_to_urls_with_a_marked_value_are_not_kept(
    server: CountingServer, tmp_path: Path
) -> None:
    secrets = [server.url(f"/a?token={n}") for n in (1, 2)]
    others = [server.url("/b"), server.url("/c")]

    def fetched_by(urls: Sequence[str], *args: str) -> list[str]:
        before = len(server.counts.hits)
        write_list(tmp_path / "urls.txt", urls)
        run_fetchpool(["get", "urls.txt", "--once", *args], cwd=tmp_path)
        return sorted(hit.target for hit in server.counts.hits[before:])

    assert len(fetched_by([*secrets, *others], *MARKED)) == 4
    assert fetched_by([*others, *secrets[::-1]], *MARKED) == ["/a?token=1", "/a?token=2"]
    # A name that is marked later: what was written before is not gone on with, nor left.
    (tmp_path / "urls.fetched" / "results.jsonl").unlink()
    assert len(fetched_by([*secrets, *others])) == 4
    assert fetched_by([*secrets, *others], *MARKED) == ["/a?token=1", "/a?token=2"]
    records = check_records(tmp_path / "urls.fetched", [server.url("/a?token=***")] * 2 + [*others])
    assert len({record["path"] for record in records}) == 4

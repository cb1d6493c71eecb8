"""`--store tar`: samples that tar, Python and WebDataset read, and records that say where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.containers.checking import bodies_in, check_containers, examples
from tests.harness import WORKERS, read_records, run_fetchpool
from tests.program.helpers import write_list
from tests.servers.counting import CountingServer

SIZES = (0, 1, 511, 512, 513, 3000, 40_000, 300_000)


READ = """
import hashlib, json, sys, webdataset
samples = list(webdataset.WebDataset(sys.argv[1:], shardshuffle=False))
def told(key, value):
    return value if key[0] == "_" else json.loads(value) if key == "json" else (
        hashlib.sha256(value).hexdigest())
print(json.dumps([
    {key: told(key, value) for key, value in sample.items() if key != "__local_path__"}
    for sample in samples
]))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[CountingServer]:
    with CountingServer() as there:
        yield there


def get(folder: Path, *options: str, workers: str = WORKERS or "1") -> int:
    args = ["get", "urls.txt", "-o", "out", "-q", "--retries", "0", "--workers", workers]
    return run_fetchpool([*args, "--store", "tar", *options], cwd=folder).returncode


@pytest.fixture(scope="module")
def dest(tmp_path_factory: pytest.TempPathFactory, server: CountingServer) -> Path:
    """A run with bodies of all sizes, in several tars."""
    folder = tmp_path_factory.mktemp("tar")
    urls = [server.url(f"/{n}/page.html?size={n}") for n in SIZES]
    urls += [server.url("/data.json?size=200"), server.url("/x.tar.gz?size=90")]
    write_list(folder / "urls.txt", [*urls, server.url("/gone?status=404"), "no url"])
    assert get(folder, "--segment-size", "100K", "--hash") == 1
    return folder / "out"


def test_each_body_is_where_its_record_says(dest: Path) -> None:
    records = read_records(dest)
    check_containers("tar", records, dest)
    assert [record["url"] for record in records if "container" not in record and record["ok"]] == []
    for record in records:
        assert record["path"] is None
        assert ("container" in record) is record["ok"]
    containers = {record["container"] for record in records if record["ok"]}
    assert len(containers) >= 2
    for record in records:
        if record["ok"]:
            data = (dest / record["container"]).read_bytes()
            assert len(data) <= 100 * 1024 or record["bytes"] > 90_000
            assert data[record["offset"] :][: record["length"]].count(b"\0") == 0


def test_gnu_tar_and_webdataset_read_every_sample(dest: Path) -> None:
    records = {record["seq"]: record for record in read_records(dest) if record["ok"]}
    tars = sorted(map(str, dest.glob("tar/*.tar")))
    for path in tars:
        listed = subprocess.run(["tar", "-tf", path], capture_output=True, text=True, check=True)
        assert not listed.stderr
    # In a process of its own: it leaves files open.
    read = subprocess.run([sys.executable, "-c", READ, *tars], capture_output=True, check=True)
    samples: list[dict[str, Any]] = json.loads(read.stdout)
    assert len(samples) == len(records)
    for sample in samples:
        told = sample["json"]
        record = records[told["seq"]]
        assert int(sample["__key__"]) == told["seq"]
        assert {key: record[key] for key in told} == told
        (ending,) = {key for key in sample if key[0] != "_"} - {"json"}
        assert sample[ending] == record["sha256"]
    endings = {next(iter({k for k in s if k[0] != "_"} - {"json"})) for s in samples}
    assert endings == {"html", "body.json", "tar.gz"}


def test_cat_writes_the_body_whatever_it_is_asked_by(dest: Path) -> None:
    for record in read_records(dest):
        shown = run_fetchpool(["cat", "out", str(record["seq"])], cwd=dest.parent)
        if record["ok"]:
            assert (shown.returncode, len(shown.stdout)) == (0, record["bytes"]), shown.stderr
        else:
            assert (shown.returncode, shown.stdout) == (1, "")
            assert "has no body: " in shown.stderr
            assert (record["detail"] or "") in shown.stderr
    shown = run_fetchpool(["cat", "out", "1", "--head"], cwd=dest.parent)
    assert shown.returncode == 1
    assert "only --store warc keeps them" in shown.stderr
    big = next(record for record in read_records(dest) if record["bytes"] == 300_000)
    shown = run_fetchpool(["cat", "out", big["url"]], cwd=dest.parent)
    assert len(shown.stdout) == 300_000


def test_samples_limits_a_tar_and_workers_have_their_own(
    tmp_path: Path, server: CountingServer
) -> None:
    hosts = [server.url(f"/{n}?size=100", f"h{n % 4}.localhost") for n in range(23)]
    write_list(tmp_path / "urls.txt", hosts)
    assert get(tmp_path, "--samples", "5", workers="2") == 0
    records = read_records(tmp_path / "out")
    check_containers("tar", records, tmp_path / "out")
    counts = []
    for path in tmp_path.glob("out/tar/*.tar"):
        with tarfile.open(path) as tar:
            counts.append(len(tar.getmembers()))
    assert max(counts) == 10
    assert sum(counts) == 46


def test_new_run_keeps_the_old_tars_until_it_is_complete(
    tmp_path: Path, server: CountingServer
) -> None:
    urls = [server.url(f"/again/{n}?size=50") for n in range(5)]
    write_list(tmp_path / "urls.txt", urls)
    assert get(tmp_path) == 0
    first = {each.container for each in bodies_in("tar", tmp_path / "out")}
    stopped = ["--max-time", "0.001"]
    assert get(tmp_path, *stopped) in (0, 75)
    if len(read_records(tmp_path / "out")) < 5:
        assert first <= {f"tar/{path.name}" for path in (tmp_path / "out/tar").iterdir()}
    while get(tmp_path) != 0:
        pass
    check_containers("tar", read_records(tmp_path / "out"), tmp_path / "out")
    assert not first & {each.container for each in bodies_in("tar", tmp_path / "out")}


def test_bodies_that_a_loss_of_power_took_are_fetched_again(
    tmp_path: Path, server: CountingServer
) -> None:
    urls = [server.url(f"/power/{n}?size=1000") for n in range(9)]
    write_list(tmp_path / "urls.txt", urls)
    assert get(tmp_path, workers="1") == 0
    dest, ledger = tmp_path / "out", tmp_path / "out/results.jsonl"
    records = read_records(dest)
    (path,) = (tmp_path / "out/tar").iterdir()
    path.rename(path.with_name(path.name + ".open"))
    os.truncate(f"{path}.open", records[6]["offset"] + 500)
    since = len(server.counts.hits)
    result = run_fetchpool(["get", "urls.txt", "-o", "out", "--store", "tar"], cwd=tmp_path)
    assert result.returncode == 0
    assert "3 records name bodies that aren't in its container, as after a loss" in result.stderr
    assert len(server.counts.hits) == since + 3
    check_containers("tar", read_records(dest), dest)
    assert {record["url"] for record in read_records(dest)} == set(urls)

    (path, *_) = sorted((tmp_path / "out/tar").iterdir())
    path.rename(tmp_path / "elsewhere")  # to where it is used
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:-1]))
    assert get(tmp_path, workers="1") == 0
    assert len(server.counts.hits) == since + 4


def test_other_store_than_the_stopped_runs_is_refused(
    tmp_path: Path, server: CountingServer
) -> None:
    write_list(tmp_path / "urls.txt", [server.url(f"/other/{n}") for n in range(3)])
    assert get(tmp_path) == 0
    ledger = tmp_path / "out/results.jsonl"
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:-1]))
    result = run_fetchpool(["get", "urls.txt", "-o", "out"], cwd=tmp_path)
    assert result.returncode == 2
    assert "with --store tar, this command has none of" in result.stderr


def test_lines_that_the_document_shows_read_it(dest: Path) -> None:
    (example,) = examples("tar")
    (dest.parent / "pages").symlink_to(dest)
    shown = subprocess.run(
        [sys.executable, "-c", example], cwd=dest.parent, capture_output=True, text=True, check=True
    )
    assert shown.stdout.startswith("0000000001 ['__key__', ")

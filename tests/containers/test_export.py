"""`fetchpool export --store`: bodies and records in another store, exactly those."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetchpool.output.sinks.reading import read_body
from tests.containers.checking import STORES, check_containers
from tests.harness import Record, check_bodies, read_records, run_fetchpool
from tests.program.helpers import write_list
from tests.servers.counting import CountingServer

PLACE = ("path", "container", "offset", "length")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with one run for each store, over the same list."""
    folder = tmp_path_factory.mktemp("export")
    with CountingServer() as server:
        urls = [server.url(f"/{n}/x.html?size={n}") for n in (0, 1, 3000, 300_000)]
        urls += [server.url("/data.json?size=80"), urls[2], server.url("/gone?status=404"), "no"]
        write_list(folder / "urls.txt", urls)
        for store in ("files", *STORES):
            args = ["get", "urls.txt", "-o", store, "--store", store, "-q", "--retries", "0"]
            assert run_fetchpool([*args, "--hash"], cwd=folder).returncode == 1
        yield folder


WAYS = [
    *itertools.product(("files", *STORES), ("files", "tar")),
    *(("files", "parquet"), ("files", "sqlite"), ("parquet", "sqlite"), ("sqlite", "parquet")),
]


@pytest.mark.parametrize(("there", "here"), WAYS)
def test_any_store_becomes_any_other(folder: Path, there: str, here: str) -> None:
    name = f"{there}-to-{here}"
    done = run_fetchpool(["export", there, "--store", here, "-o", name], cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    before, after = read_records(folder / there), read_records(folder / name)
    assert list(map(placeless, after)) == list(map(placeless, before))
    if here == "files":
        check_bodies(after, folder / name)
    else:
        check_containers(here, after, folder / name)
    for old, new in zip(before, after, strict=True):
        if old["ok"]:
            assert body_of(folder / name, new) == body_of(folder / there, old)
    # What was finished stays so, and is gone on with as any run is.
    again = ["get", "urls.txt", "-o", name, "--store", here, "-q", "--hash", "--once"]
    assert run_fetchpool(again, cwd=folder).returncode == 1
    assert read_records(folder / name) == after


def test_nothing_is_overwritten_and_nothing_half_made_stays(folder: Path) -> None:
    done = run_fetchpool(["export", "files", "--store", "tar", "-o", "tar"], cwd=folder)
    assert done.returncode == 73
    assert "tar is there already: name a directory that isn't" in done.stderr
    (body,) = {each["path"] for each in read_records(folder / "files") if each["bytes"] == 300_000}
    kept = (folder / "files" / body).read_bytes()
    (folder / "files" / body).unlink()
    try:
        done = run_fetchpool(["export", "files", "--store", "tar", "-o", "new"], cwd=folder)
    finally:
        (folder / "files" / body).write_bytes(kept)
    assert done.returncode == 74
    assert (
        f"cannot read {body} in files: No such file or directory. new was not made" in done.stderr
    )
    assert not [path for path in folder.iterdir() if "new" in path.name]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--store", "tar"], "--store writes a directory: name a new one with --output"),
        (["--store", "zip", "-o", "x"], "--store takes files"),
        (["--store", "tar", "-o", "x", "--format", "csv"], "drop one of them"),
        (["--store", "tar", "-o", "x.tar"], "name a directory for such files"),
    ],
)
def test_mistakes_are_one_line(folder: Path, options: list[str], said: str) -> None:
    done = run_fetchpool(["export", "files", *options], cwd=folder)
    assert done.returncode == 2
    assert said in done.stderr


def placeless(record: Record) -> Record:
    return {key: value for key, value in record.items() if key not in PLACE}


def body_of(dest: Path, record: Record) -> bytes:
    place = None
    if "container" in record:
        place = record["container"], record["offset"], record["length"]
    return b"".join(read_body(dest, record["path"], place))

"""What a shell, cron or a workflow engine is told, over all lines of the list."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.harness import PROGRAM, Result, run_fetchpool
from tests.program.helpers import check_records, hits, one_line, side_by_side, write_list
from tests.servers.counting import CountingServer


def _listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != "home"}


def test_fail_if_decides_over_all_lines_those_kept_included(
    server: CountingServer, tmp_path: Path
) -> None:
    """Two of eight URLs fail; `--once` keeps them, and they count all the same."""
    urls = [server.url(f"/{i}{'?status=404' if i % 4 == 0 else ''}") for i in range(8)]
    write_list(tmp_path / "urls.txt", urls)
    first = run_fetchpool(["get", "urls.txt"], cwd=tmp_path)
    assert first.returncode == 1
    fetched = len(server.counts.hits)

    def again(expression: str) -> Result:
        dest = f"urls.{expression.replace('%', 'p').replace('>', '_')}"
        args = ["get", "urls.txt", "--once", "--fail-if", expression, "-o", dest]
        shutil.copytree(tmp_path / "urls.fetched", tmp_path / dest)
        return run_fetchpool(args, cwd=tmp_path)

    expected = {
        "errors>0": 1,
        "errors>1": 1,
        "errors>2": 0,
        "errors>24.9%": 1,
        "errors>25%": 0,
        "never": 0,
    }
    results = dict(zip(expected, side_by_side(again, list(expected)), strict=True))
    assert {each: result.returncode for each, result in results.items()} == expected
    assert len(server.counts.hits) == fetched
    for result in results.values():
        assert "6 ok, 2 failed (404 2), 8 kept" in result.stderr


# -- 2: nothing was fetched

USAGE = {
    "missing file": ["missing.txt"],
    "directory as list": ["folder"],
    "utf-16 list": ["wide.txt"],
    "gzip list": ["list.gz"],
    "no source and a closed input": [],
    "standard input twice": ["-", "-"],
    "unknown option": ["urls.txt", "--paralel", "3"],
    "value out of range": ["urls.txt", "--limit", "-1"],
    "value of no kind": ["urls.txt", "--durability", "maybe"],
    "expression": ["urls.txt", "--fail-if", "errors>lots"],
    "rivals": ["urls.txt", "--force-close", "--keepalive", "5"],
    "two flags": ["urls.txt", "--once", "--fresh"],
    "form to come": ["urls.txt", "-o", "pages.tar"],
    "records over the list": ["urls.txt", "--records", "urls.txt"],
    "records over the ledger": ["urls.txt", "--records", "urls.fetched/results.jsonl"],
    "log over the list": ["urls.txt", "--log-file", "./urls.txt"],
    "roots that are missing": ["urls.txt", "--cacert", "missing.pem"],
    "roots that are none": ["urls.txt", "--cacert", "urls.txt"],
    "roots that are a folder": ["urls.txt", "--cacert", "folder"],
}


def _given(folder: Path, server: CountingServer) -> None:
    write_list(folder / "urls.txt", [server.url("/a")])
    (folder / "folder").mkdir()
    (folder / "wide.txt").write_text(server.url("/a"), encoding="utf-16")
    (folder / "list.gz").write_bytes(b"\x1f\x8b\x08\x00" + bytes(30))
    (folder / "file").write_text("somebody's")


def test_mistake_is_one_line_and_changes_nothing(server: CountingServer, tmp_path: Path) -> None:
    _given(tmp_path, server)
    before = _listing(tmp_path)

    def run(args: list[str]) -> Result:
        closed = ["sh", "-c", 'exec "$@" <&-', "sh"] if not args else []
        return run_fetchpool(["get", *args], cwd=tmp_path, program=[*closed, *PROGRAM])

    (tmp_path / "home").mkdir()
    for name, result in zip(USAGE, side_by_side(run, list(USAGE.values())), strict=True):
        assert result.returncode == 2, f"{name}: {result.stderr}"
        assert result.stdout == "", name
        assert len(one_line(result.stderr)) > 30, name
    assert _listing(tmp_path) == before
    assert not server.counts.hits


# -- 73: the output can't be created

UNUSABLE = {
    "file": ["-o", "file"],
    "parent is a file": ["-o", "file/pages"],
    "default is a file": [],
    "records": ["-o", "pages", "--records", "missing/records.jsonl"],
    "records directory": ["-o", "pages", "--records", "folder"],
    "log": ["-o", "pages", "--log-file", "missing/log"],
    "metrics": ["-o", "pages", "--metrics-file", "missing/fetchpool.prom"],
    "not ours": ["-o", "stranger"],
}


def test_output_that_cannot_be_made_is_one_line_before_any_request(
    server: CountingServer, tmp_path: Path
) -> None:
    _given(tmp_path, server)
    (tmp_path / "urls.fetched").write_text("somebody's")
    (tmp_path / "stranger").mkdir()
    (tmp_path / "stranger" / "results.jsonl").write_text('{"theirs": 1}\n')
    (tmp_path / "home").mkdir()

    def run(args: list[str]) -> Result:
        return run_fetchpool(["get", "urls.txt", *args], cwd=tmp_path)

    for name, result in zip(UNUSABLE, side_by_side(run, list(UNUSABLE.values())), strict=True):
        assert result.returncode == 73, f"{name}: {result.stderr}"
        assert result.stdout == "", name
        assert len(one_line(result.stderr)) > 30, name
    for path in ("file", "urls.fetched"):
        assert (tmp_path / path).read_text() == "somebody's"
    assert (tmp_path / "stranger" / "results.jsonl").read_text() == '{"theirs": 1}\n'
    assert not server.counts.hits


REFUSED = {
    "cacert": (["--cacert", "missing.pem"], 2),
    "records": (["--records", "missing/records.jsonl"], 73),
    "log": (["--log-file", "missing/log"], 73),
    "metrics": (["--metrics-file", "missing/prom"], 73),
}


@pytest.mark.parametrize("workers", ["1", "2"])
def test_run_that_is_refused_leaves_the_one_before_as_it_was(
    server: CountingServer, tmp_path: Path, workers: str
) -> None:
    write_list(tmp_path / "urls.txt", [server.url("/a"), server.url("/b")])
    args = ["get", "urls.txt", "-o", "out", "-q", "--workers", workers]
    assert run_fetchpool(args, cwd=tmp_path).returncode == 0
    before = (tmp_path / "out/results.jsonl").read_bytes()
    for name, (options, status) in REFUSED.items():
        assert run_fetchpool([*args, *options], cwd=tmp_path).returncode == status, name
        assert (tmp_path / "out/results.jsonl").read_bytes() == before, name
    assert run_fetchpool([*args, "--once"], cwd=tmp_path).returncode == 0
    assert len(server.counts.hits) == 2


def test_list_without_a_url_leaves_no_records_of_another_run(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("# nothing yet\n")
    (tmp_path / "r.jsonl").write_text("yesterday's\n")
    args = ["get", "empty.txt", "-o", "out", "--records", "r.jsonl"]
    result = run_fetchpool(args, cwd=tmp_path)
    assert result.returncode == 0
    assert "1 blank, comment or header line)" in result.stderr
    assert (tmp_path / "r.jsonl").read_text() == ""
    assert not (tmp_path / "out").exists()


# -- where things go


@pytest.mark.parametrize(
    ("args", "dest"),
    [
        (["lists/urls.txt"], "urls.fetched"),
        (["lists/urls"], "fetched"),
        (["-"], "fetched"),
        (["lists/urls.txt", "lists/urls"], "fetched"),
        (["URL"], "fetched"),
    ],
    ids=["txt", "other", "stdin", "several", "url"],
)
def test_directory_nobody_named_is_called_after_the_list(
    server: CountingServer, tmp_path: Path, args: list[str], dest: str
) -> None:
    (tmp_path / "lists").mkdir()
    for name in ("urls.txt", "urls"):
        write_list(tmp_path / "lists" / name, [server.url("/a.txt")])
    words = [server.url("/a.txt") if arg == "URL" else arg for arg in args]
    result = run_fetchpool(["get", *words], stdin=server.url("/a.txt"), cwd=tmp_path)
    assert result.returncode == 0
    made = {path.name for path in tmp_path.iterdir()} - {"lists", "home"}
    assert made == {dest}
    check_records(tmp_path / dest, [server.url("/a.txt")] * len(args))


def test_without_bodies_and_output_nothing_stays_on_disk(
    server: CountingServer, tmp_path: Path
) -> None:
    write_list(tmp_path / "urls.txt", [server.url("/a")])
    assert run_fetchpool(["get", "urls.txt", "--no-body"], cwd=tmp_path).returncode == 0
    assert {path.name for path in tmp_path.iterdir()} == {"urls.txt", "home"}
    assert sum(hits(server).values()) == 1

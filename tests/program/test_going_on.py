"""The same command again: every cell of CONTRACT's table, for files, changed files and pipes."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.harness import Result, check_bodies, read_records, run_fetchpool
from tests.program.helpers import (
    answer,
    check_records,
    eventually,
    hits,
    one_line,
    side_by_side,
    start,
    write_list,
)
from tests.servers.counting import CountingServer

FLAGS = ("", "--retry-failed", "--once", "--fresh")
LISTS = ("same", "changed", "pipe")
STOPPED, FINISHED = "stopped", "finished"
STOPPED_PIPE, FINISHED_PIPE = "stopped pipe", "finished pipe"
HELD_BACK = 60
"""So many answers are given before the one that runs are stopped at."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A command given again."""

    before: str
    flag: str
    listed: str

    def __str__(self) -> str:
        return f"{self.before}-{self.flag.strip('-') or 'plain'}-{self.listed}"


CELLS = [Cell(*each) for each in itertools.product((STOPPED, FINISHED), FLAGS, LISTS[:2])]
CELLS += [Cell(before, flag, "pipe") for before in (STOPPED, FINISHED_PIPE) for flag in FLAGS]
CELLS += [Cell(STOPPED_PIPE, "", listed) for listed in LISTS]


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a cell's command."""

    result: Result
    dest: Path
    urls: list[str]
    before: Counter[str]
    """The URLs that had a record, with their number."""
    ok_before: Counter[str]
    hits: Counter[str]
    previous: bool
    """Whether the earlier records went to `previous.jsonl`."""


class Table:
    """All cells, done side by side, each in its own copy of the earlier run's directory and list.

    The server tells them apart by the header that each sends.
    """

    def __init__(self, folder: Path, server: CountingServer) -> None:
        self._folder = folder
        self._server = server
        url = server.url
        good = [url(f"/{i}.txt") for i in range(6)]
        bad = url("/bad.txt?status=404")
        good[3] += f"?until={HELD_BACK}"  # here runs are stopped that have six records
        self.urls = [good[0], bad, good[1], good[0], bad, good[2], good[3], good[4], bad, good[5]]
        # Moved, dropped, new, and more and fewer of the same than there were.
        self.changed = [url("/new.txt"), good[2], bad, good[0], good[1], good[0], good[0], good[4]]
        for before in (STOPPED, STOPPED_PIPE, FINISHED, FINISHED_PIPE):
            (folder / before).mkdir()
            write_list(folder / before / "urls.txt", self.urls)
        self._stop("urls.txt", STOPPED)
        self._stop("-", STOPPED_PIPE)
        answer(server, HELD_BACK)
        assert self._get("urls.txt", FINISHED).returncode == 1
        assert self._get("-", FINISHED_PIPE).returncode == 1
        self.ran = dict(zip(CELLS, side_by_side(self._run, CELLS), strict=True))

    def _args(self, source: str, name: str, *more: str) -> list[str]:
        return ["get", source, "-o", "out", "--retries", "0", "-H", f"X-Dest: {name}", *more]

    def _get(self, source: str, name: str, *more: str) -> Result:
        """Give the command in the folder *name*."""
        folder = self._folder / name
        # A regular file as standard input could be read ahead.
        stdin = (folder / "urls.txt").read_text() if source == "-" else None
        return run_fetchpool(self._args(source, name, *more), cwd=folder, stdin=stdin)

    def _stop(self, source: str, name: str) -> None:
        """Make a run that is killed when six lines have their record."""
        folder = self._folder / name
        with (
            (folder / "urls.txt").open("rb") as stdin,
            start(
                self._args(source, name, "-q", "--limit", "1"), cwd=folder, stdin=stdin
            ) as process,
        ):
            eventually(lambda: len(read_records(folder / "out")) == 6, "six records")
            process.kill()
            process.wait()

    def _run(self, cell: Cell) -> Ran:
        folder = self._folder / str(cell)
        shutil.copytree(self._folder / cell.before, folder)
        dest = folder / "out"
        before = read_records(dest)
        urls = self.changed if cell.listed == "changed" else self.urls
        write_list(folder / "urls.txt", urls)
        source = "-" if cell.listed == "pipe" else "urls.txt"
        result = self._get(source, str(cell), *([cell.flag] if cell.flag else []))
        mine = [hit for hit in self._server.counts.hits if hit.get("x-dest") == str(cell)]
        return Ran(
            result,
            dest,
            urls,
            Counter(record["url"] for record in before),
            Counter(record["url"] for record in before if record["ok"]),
            Counter(f"http://{hit.host}{hit.target}" for hit in mine),
            (dest / ".fetchpool" / "previous.jsonl").exists(),
        )


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Table]:
    with CountingServer() as server:
        yield Table(tmp_path_factory.mktemp("table"), server)


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_same_command_again_keeps_what_the_table_says(table: Table, cell: Cell) -> None:
    ran = table.ran[cell]
    if cell.flag == "--fresh" or (cell.flag == "" and cell.before.startswith(FINISHED)):
        kept: Counter[str] = Counter()
    elif cell.flag == "--retry-failed":
        kept = ran.ok_before & Counter(ran.urls)
    else:
        kept = ran.before & Counter(ran.urls)
    assert ran.result.returncode == 1, ran.result.stderr
    assert ran.hits == Counter(ran.urls) - kept
    check_bodies_of(ran)
    assert (f", {kept.total()} kept" in ran.result.stderr) == bool(kept)
    assert ran.previous == (not kept)


def check_bodies_of(ran: Ran) -> None:
    records = check_records(ran.dest, ran.urls)
    for record in records:
        assert record["ok"] == ("status=404" not in record["url"])
        if record["ok"]:
            body = (ran.dest / record["path"]).read_text()
            assert record["url"].endswith(body.partition(" ")[2])


def test_again_without_an_earlier_run_each_flag_is_a_plain_run(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = [server.url("/a"), server.url("/b?status=404")]
    write_list(tmp_path / "urls.txt", urls)
    (tmp_path / "home").mkdir()

    def run(flag: str) -> int:
        args = ["get", "urls.txt", "-o", f"out{flag}", "--retries", "0", flag]
        return run_fetchpool(args, cwd=tmp_path).returncode

    flags = [flag for flag in FLAGS if flag]
    assert side_by_side(run, flags) == [1] * len(flags)
    assert set(hits(server).values()) == {len(flags)}
    for flag in flags:
        check_records(tmp_path / f"out{flag}", urls)


def test_failed_url_keeps_its_old_body_and_lost_lines_keep_theirs(tmp_path: Path) -> None:
    with CountingServer() as server:
        urls = [server.url("/kept.txt"), server.url("/gone.txt")]
        write_list(tmp_path / "urls.txt", urls)
        assert run_fetchpool(["get", "urls.txt"], cwd=tmp_path).returncode == 0
    dest = tmp_path / "urls.fetched"
    bodies = {record["path"]: record["bytes"] for record in read_records(dest)}
    write_list(tmp_path / "urls.txt", urls[:1])
    assert run_fetchpool(["get", "urls.txt", "--retries", "0"], cwd=tmp_path).returncode == 1
    [record] = check_records(dest, urls[:1])
    assert (record["error"], record["path"]) == ("connect", None)
    assert {path: (dest / path).stat().st_size for path in bodies} == bodies


@pytest.mark.parametrize("listed", ["file", "pipe"])
def test_failures_have_one_label_whoever_tells_of_them(
    server: CountingServer, tmp_path: Path, listed: str
) -> None:
    """What a URL is called whose host was given up: in `status`, and when a run goes on."""
    urls = [server.url("/ok"), server.url("/down?status=503"), server.url("/gone?status=404")]
    write_list(tmp_path / "list.txt", urls)
    source, stdin = "list.txt", None
    if listed == "pipe":
        source, stdin = "-", "".join(f"{url}\n" for url in urls)
    run_fetchpool(["get", source, "-o", "out", "--retries", "0"], stdin=stdin, cwd=tmp_path)
    ledger = tmp_path / "out" / "results.jsonl"
    ledger.write_text(ledger.read_text().replace('"status":503', '"status":null'))
    wanted = {"404": 1, "given up": 1}

    shown = run_fetchpool(["status", "out", "--json"], cwd=tmp_path)
    assert json.loads(shown.stdout)["failed_by"] == wanted
    assert "given up" in run_fetchpool(["status", "out"], cwd=tmp_path).stdout

    before = len(server.counts.hits)
    args = ["get", source, "-o", "out", "--once", "--metrics-file", "run.prom"]
    again = run_fetchpool(args, stdin=stdin, cwd=tmp_path)
    assert len(server.counts.hits) == before, "all three are kept"
    assert re.search(r"given up +1\b", again.stderr)
    assert not re.search(r"\bstatus +1\b", again.stderr)
    assert 'kind="given up"' in (tmp_path / "run.prom").read_text()


def test_only_chosen_kinds_are_tried_again(server: CountingServer, tmp_path: Path) -> None:
    urls = [server.url("/a?status=404"), server.url("/b?status=500"), "no url", server.url("/c")]
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "--retries", "0"]
    assert run_fetchpool(args, cwd=tmp_path).returncode == 1
    first = len(server.counts.hits)
    args += ["--retry-failed", "--retry-kinds", "status:5xx"]
    result = run_fetchpool(args, cwd=tmp_path)
    assert hits(server, first) == Counter([urls[1]])
    assert "3 kept" in result.stderr
    check_records(tmp_path / "urls.fetched", urls)


def test_stopped_run_is_not_gone_on_with_by_what_does_not_fit(
    server: CountingServer, tmp_path: Path
) -> None:
    never = server.url("/never?until=100000")
    urls = [server.url("/a"), never]
    write_list(tmp_path / "urls.txt", urls)
    (tmp_path / "other").mkdir()
    write_list(tmp_path / "other" / "urls.txt", urls)
    with start(["get", "urls.txt"], cwd=tmp_path) as process:
        eventually(lambda: read_records(tmp_path / "urls.fetched"), "a record")
        process.kill()
        process.wait()
    before = (tmp_path / "urls.fetched" / "results.jsonl").read_bytes()
    count = len(server.counts.hits)
    for args in (["urls.txt", "--hash"], ["urls.txt", "--keep-errors"], ["other/urls.txt"]):
        result = run_fetchpool(["get", *args], cwd=tmp_path)
        assert result.returncode == 2
        assert "--fresh" in one_line(result.stderr)
    assert (tmp_path / "urls.fetched" / "results.jsonl").read_bytes() == before
    assert len(server.counts.hits) == count


def test_urls_with_userinfo_are_fetched_anew_and_never_told(
    server: CountingServer, tmp_path: Path
) -> None:
    secret = server.url("/a").replace("//", "//me:canary-77@")
    write_list(tmp_path / "urls.txt", [secret, server.url("/b?status=404")])
    args = ["get", "urls.txt", "--retries", "0", "--log-file", "log"]
    first = run_fetchpool(args, cwd=tmp_path)
    second = run_fetchpool([*args, "--retry-failed"], cwd=tmp_path)
    argument = run_fetchpool(["get", secret, server.url("/c?status=404")], cwd=tmp_path)
    assert len([hit for hit in server.counts.hits if hit.target == "/a"]) == 3
    said = [each.stdout + each.stderr for each in (first, second, argument)]
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    files.remove((tmp_path / "urls.txt").read_bytes())
    assert not any("canary-77" in text for text in said)
    assert not any(b"canary-77" in content for content in files)
    check_bodies(read_records(tmp_path / "urls.fetched"), tmp_path / "urls.fetched")

"""Lists that share a directory: none is replaced unasked, and `--add` joins them."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from fetchpool.config import Config
from fetchpool.run.choices import layout_of
from tests.harness import PROGRAM, check_bodies, clean_environment, read_records, run_fetchpool
from tests.program.helpers import eventually, hits, one_line, start, write_list
from tests.servers.counting import CountingServer


def places(dest: Path) -> list[tuple[str, int, str]]:
    """Return source, line and URL of all records by their numbers, each used once."""
    records = sorted(read_records(dest), key=lambda record: record["seq"])
    assert len({record["seq"] for record in records}) == len(records)
    check_bodies(records, dest)
    return [(record["source"], record["line"], record["url"]) for record in records]


def test_finished_run_of_another_list_is_not_replaced_unasked(
    server: CountingServer, tmp_path: Path
) -> None:
    write_list(tmp_path / "a.csv", [server.url("/a")])
    write_list(tmp_path / "b.csv", [server.url("/b")])
    assert run_fetchpool(["get", "a.csv", "-o", "x"], cwd=tmp_path).returncode == 0
    before = (tmp_path / "x" / "results.jsonl").read_bytes()
    url = server.url("/c")
    for words in (["b.csv"], ["-"], [url], ["b.csv", "--once"], ["-", "--retry-failed"]):
        result = run_fetchpool(["get", *words, "-o", "x"], cwd=tmp_path, stdin=f"{url}\n")
        assert result.returncode == 2, words
        said = one_line(result.stderr)
        assert "a.csv" in said
        assert "--fresh" in said
        assert "--add" in said
    assert (tmp_path / "x" / "results.jsonl").read_bytes() == before
    assert len(server.counts.hits) == 1
    fresh = run_fetchpool(["get", "b.csv", "-o", "x", "--fresh"], cwd=tmp_path)
    assert (fresh.returncode, len(fresh.records)) == (0, 1)


def test_same_list_with_other_lines_begins_anew(server: CountingServer, tmp_path: Path) -> None:
    for path in ("/a", "/b"):
        write_list(tmp_path / "urls.txt", [server.url(path)])
        assert run_fetchpool(["get", "urls.txt", "-o", "x"], cwd=tmp_path).returncode == 0
        args = ["get", "-o", "piped"]
        piped = run_fetchpool(args, cwd=tmp_path, stdin=f"{server.url(path)}\n")
        assert piped.returncode == 0
        for dest in ("x", "piped"):
            assert [record["url"] for record in read_records(tmp_path / dest)] == [server.url(path)]


def test_each_list_has_a_directory_of_its_name(server: CountingServer, tmp_path: Path) -> None:
    names = {"a.csv": "a.fetched", "x.fetched": "x.fetched.fetched", "deep/er.txt": "er.fetched"}
    (tmp_path / "deep").mkdir()
    for number, name in enumerate(names):
        write_list(tmp_path / name, [server.url(f"/{number}")])
        assert run_fetchpool(["get", name], cwd=tmp_path).returncode == 0, name
    for number, dest in enumerate(names.values()):
        assert read_records(tmp_path / dest)[0]["url"] == server.url(f"/{number}")
    both = run_fetchpool(["get", "a.csv", "x.fetched"], cwd=tmp_path)
    assert both.returncode == 0
    assert len(read_records(tmp_path / "fetched")) == 2


@pytest.mark.parametrize(
    ("name", "dest"),
    [
        ("b.csv", "b.fetched"),
        ("data.csv.gz.list", "data.csv.gz.fetched"),
        ("urls.2026-01-31", "urls.2026-01-31.fetched"),
        (".hidden.txt", ".hidden.fetched"),
        ("data.v2.csv", "data.v2.fetched"),
        ("lists/urls.txt", "urls.fetched"),
        ("data.tar.gz", "data.fetched"),
        ("Data.CSV.GZ", "Data.fetched"),
        ("urls.jsonl.zst", "urls.fetched"),
        ("a.b.c.txt", "a.b.c.fetched"),
        ("v1.2", "v1.2.fetched"),
        (".gz", "fetched"),
        ("urls", "fetched"),
        ("-", "fetched"),
        ("https://example.org/a.txt", "fetched"),
        ("HTTP://example.org", "fetched"),
        ("/dev/fd/63", "fetched"),
        ("/dev/stdin", "fetched"),
    ],
)
def test_name_of_the_directory_is_the_lists_without_its_ending(name: str, dest: str) -> None:
    for names, expected in (([name], dest), ([name, "b.txt"], "fetched")):
        layout = layout_of(Config(), names, None)
        assert layout is not None
        assert layout.dest == Path(expected)


@pytest.mark.parametrize("as_lists", [False, True], ids=["arguments", "lists"])
def test_commands_made_by_xargs_add_up(
    server: CountingServer, tmp_path: Path, as_lists: bool
) -> None:
    urls = [server.url(f"/{number}") for number in range(200)]
    words = urls
    if as_lists:
        words = [f"{number}.txt" for number in range(20)]
        for number, word in enumerate(words):
            write_list(tmp_path / word, urls[number * 10 : number * 10 + 10])
    (tmp_path / "home").mkdir()
    done = subprocess.run(
        ["xargs", "-n", str(len(words) // 2), *PROGRAM, "get", "--add", "-o", "xs", "-q"],
        input="\n".join(words).encode(),
        cwd=tmp_path,
        env=clean_environment(tmp_path / "home"),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    records = read_records(tmp_path / "xs")
    assert Counter(record["url"] for record in records) == Counter(urls)
    assert sorted(record["seq"] for record in records) == list(range(1, 201))
    assert set(hits(server).values()) == {1}
    status = run_fetchpool(["status", "xs", "--json"], cwd=tmp_path).stdout
    assert '"phase": "finished"' in status
    assert '"urls": 200' in status


def test_killed_adding_run_goes_on_and_costs_nobody_a_record(
    server: CountingServer, tmp_path: Path
) -> None:
    first = [server.url(f"/a{number}.txt") for number in range(3)]
    shared = first[0]
    second = [server.url("/b.txt"), shared, server.url("/c.txt?until=100000"), server.url("/d.txt")]
    write_list(tmp_path / "a.txt", first)
    write_list(tmp_path / "b.txt", second)
    dest = tmp_path / "x"
    assert run_fetchpool(["get", "a.txt", "-o", "x"], cwd=tmp_path).returncode == 0
    add = ["get", "b.txt", "--add", "-o", "x"]
    with start(add, cwd=tmp_path) as process:
        eventually(lambda: len(read_records(dest)) == 6, "six records")
        process.kill()
        process.wait()
    assert {place[0] for place in places(dest)} == {"a.txt", "b.txt"}
    since = len(server.counts.hits)
    write_list(tmp_path / "b.txt", [server.url("/new.txt"), *second[:2], *second[3:]])
    result = run_fetchpool(add, cwd=tmp_path)
    assert result.returncode == 0
    assert "3 kept" in result.stderr
    assert hits(server, since) == Counter([server.url("/new.txt")])
    assert places(dest) == [
        *(("a.txt", line, url) for line, url in enumerate(first, 1)),
        ("b.txt", 1, server.url("/new.txt")),
        ("b.txt", 2, second[0]),
        ("b.txt", 3, shared),
        ("b.txt", 4, second[3]),
    ]


def test_exit_status_of_adding_is_about_the_list_alone(
    server: CountingServer, tmp_path: Path
) -> None:
    bad, good = server.url("/bad?status=404"), server.url("/good")
    dest = ["-o", "x", "--add", "--retries", "0"]
    assert run_fetchpool(["get", bad, *dest], cwd=tmp_path).returncode == 1
    assert run_fetchpool(["get", good, *dest], cwd=tmp_path).returncode == 0
    since = len(server.counts.hits)
    assert run_fetchpool(["get", bad, *dest, "--retry-failed"], cwd=tmp_path).returncode == 1
    assert run_fetchpool(["get", good, *dest, "--once"], cwd=tmp_path).returncode == 0
    assert hits(server, since) == Counter([bad])
    assert sorted(url for _, _, url in places(tmp_path / "x")) == sorted([bad, good])


def test_piped_lists_add_up(server: CountingServer, tmp_path: Path) -> None:
    lists = [["/a", "/b"], ["/c"], ["/a"]]
    for paths in lists:
        stdin = "".join(f"{server.url(path)}\n" for path in paths)
        args = ["get", "--add", "-o", "x"]
        assert run_fetchpool(args, cwd=tmp_path, stdin=stdin).returncode == 0
    assert [url for _, _, url in places(tmp_path / "x")] == [
        server.url(path) for paths in lists for path in paths
    ]
    stdin = "".join(f"{server.url(path)}\n" for path in ("/c", "/new", "/b"))
    args = ["get", "--add", "--once", "-o", "x"]
    result = run_fetchpool(args, cwd=tmp_path, stdin=stdin)
    assert result.returncode == 0
    assert "2 kept" in result.stderr
    assert [url for _, _, url in places(tmp_path / "x")][4:] == [server.url("/new")]


@pytest.mark.parametrize("source", ["empty.txt", "-"])
def test_list_without_a_url_leaves_the_directory_as_it_is(
    server: CountingServer, tmp_path: Path, source: str
) -> None:
    write_list(tmp_path / "urls.txt", [server.url("/a")])
    write_list(tmp_path / "empty.txt", ["", "# nothing"])
    assert run_fetchpool(["get", "urls.txt", "-o", "x"], cwd=tmp_path).returncode == 0
    before = {path: path.read_bytes() for path in (tmp_path / "x").rglob("*") if path.is_file()}
    stamps = {path: os.stat(path).st_mtime_ns for path in before}
    others = (["x"], ["x", "--once"]) if source == "-" else (["x", "--fresh"], ["not-there"])
    for words in (["x", "--add"], *others):
        args = ["get", source, "-o", *words]
        result = run_fetchpool(args, cwd=tmp_path, stdin="\n# nothing\n")
        assert result.returncode == 0, words
        one_line(result.stderr)
    assert before == {p: p.read_bytes() for p in (tmp_path / "x").rglob("*") if p.is_file()}
    assert stamps == {path: os.stat(path).st_mtime_ns for path in before}
    assert not (tmp_path / "not-there").exists()


def test_status_counts_every_source_of_lists_that_were_added(
    server: CountingServer, tmp_path: Path
) -> None:
    """Of a long list only some names are kept: xargs makes lists of 500 URLs."""
    for start_at in (0, 20):
        urls = [server.url(f"/{n}") for n in range(start_at, start_at + 20)]
        done = run_fetchpool(["get", *urls, "-o", "x", "--add"], cwd=tmp_path)
        assert done.returncode == 0
    text = run_fetchpool(["status", "x"], cwd=tmp_path).stdout
    assert text.count("\nlist ") == 5
    assert "and 35 more" in text


def test_status_names_the_list_that_was_stopped(server: CountingServer, tmp_path: Path) -> None:
    write_list(tmp_path / "slow.txt", [server.url("/slow?delay=60")])
    write_list(tmp_path / "a.txt", [server.url("/a")])
    stopped = ["get", "slow.txt", "-o", "x", "--add", "--max-time", "0.2"]
    assert run_fetchpool(stopped, cwd=tmp_path).returncode == 75
    assert run_fetchpool(["get", "a.txt", "-o", "x", "--add"], cwd=tmp_path).returncode == 0
    text = run_fetchpool(["status", "x"], cwd=tmp_path).stdout
    assert "stopped" in text
    assert text.splitlines()[-1] == "Run the command over slow.txt again: it was stopped."

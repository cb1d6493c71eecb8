"""Lists in the forms people have, through the real program: what is asked, recorded and refused."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pytest

from tests.harness import run_fetchpool
from tests.program.helpers import answer, eventually, hits, start
from tests.servers.counting import CountingServer


def texts(server: CountingServer) -> dict[str, str]:
    """Return a list of the URLs `/1` and `/2` in each of some forms."""
    one, two = server.url("/1"), server.url("/2")
    return {
        "csv": f'id,note,image_link\n1,"a\nb",{one}\n2,c,{two}\n',
        "tsv": f"x\t{one}\t7\ny\t{two}\t8\n",
        "jsonl": f'{{"id": 1, "url": "{one}"}}\n{{"id": 2, "url": "{two}"}}\n',
        "json": json.dumps([{"id": 1, "url": one}, {"id": 2, "url": two}], indent=1),
        "sitemap": f"<urlset>\n<url><loc>{one}</loc></url>\n<url><loc>{two}</loc></url>\n</urlset>",
        "opml": f'<opml>\n<outline xmlUrl="{one}"/><outline xmlUrl="{two}"/></opml>',
        "bookmarks": f'<html>\n<a href="{one}">1</a> <a href="{two}">2</a>\n</html>',
        "aria2": f"{one}\n  split=2\n{two}\n  split=2\n",
        "sums": f"{'a' * 64}  {one}\n{'b' * 64}  {two}\n",
        "lines": f"url\n{one}\n{two}\n",
    }


FORMS = ("csv", "tsv", "jsonl", "json", "sitemap", "opml", "bookmarks", "aria2", "sums", "lines")


@pytest.mark.parametrize("form", FORMS)
def test_only_urls_are_asked_for(server: CountingServer, tmp_path: Path, form: str) -> None:
    text = texts(server)[form]
    (tmp_path / "list").write_text(text)
    (tmp_path / "packed").write_bytes(gzip.compress(text.encode()))
    asked = {server.url("/1"): 1, server.url("/2"): 1}
    seqs = None
    # A list is read, unpacked and piped before anything looks at its form.
    every = ((["list"], None), (["packed"], None), (["-"], text))
    for args, stdin in every if form in ("csv", "json", "lines") else every[:1]:
        before = len(server.counts.hits)
        result = run_fetchpool(["get", *args, "-o", f"out-{args[0]}"], stdin=stdin, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        assert hits(server, before) == asked
        found = {record["url"]: record["seq"] for record in result.records}
        assert len(result.records) == 2
        assert seqs in (None, found)
        seqs = found
        name = "standard input" if args == ["-"] else args[0]
        assert f"fetchpool: {name}: " in result.stderr  # what it was taken for


@pytest.mark.parametrize("is_piped", [False, True], ids=["file", "pipe"])
def test_a_spreadsheet_goes_in_and_one_comes_out(
    server: CountingServer, tmp_path: Path, is_piped: bool
) -> None:
    rows = f'Name;ok;Link\r\nMüller;ja;{server.url("/1")}\r\n"a;b";nein;{server.url("/2")}\r\n'
    (tmp_path / "sheet.csv").write_text(f"\ufeff{rows}", newline="")
    name, stdin = ("-", f"\ufeff{rows}") if is_piped else ("sheet.csv", None)
    command = ["get", name, "-o", "out", "--records", "out.csv"]
    result = run_fetchpool(command, cwd=tmp_path, stdin=stdin)
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "out.csv").read_bytes()
    assert text.startswith(b"\xef\xbb\xbfName;ok;seq;url;fetchpool_ok;")
    table = list(csv.DictReader(text.decode("utf-8-sig").splitlines(), delimiter=";"))
    found = {row["Name"]: (row["ok"], row["fetchpool_ok"], row["url"]) for row in table}
    assert found == {
        "Müller": ("ja", "true", server.url("/1")),
        "a;b": ("nein", "true", server.url("/2")),
    }
    assert run_fetchpool(["export", "out", "-o", "later.csv"], cwd=tmp_path).returncode == 0
    assert (tmp_path / "later.csv").read_bytes() == text
    if is_piped:
        return
    # What an earlier version fetched is written as ever.
    state = tmp_path / "out" / ".fetchpool" / "state.json"
    fields = json.loads(state.read_text())
    assert fields.pop("sheet") == [";", True]
    state.write_text(json.dumps(fields))
    plain = run_fetchpool(["export", "out", "--format", "csv"], cwd=tmp_path)
    assert plain.stdout.startswith("Name,ok,seq,url,fetchpool_ok,")


def test_what_cannot_be_told_asks_for_nothing(server: CountingServer, tmp_path: Path) -> None:
    url = server.url
    text = f"{url('/a')},{url('/b')}\n" * 5
    (tmp_path / "list.csv").write_text(text)
    for args, stdin in ((["list.csv"], None), (["-"], text)):
        result = run_fetchpool(["get", *args, "-o", "out"], stdin=stdin, cwd=tmp_path)
        assert result.returncode == 2
        first, *samples = result.stderr.splitlines()
        assert "--column url=1" in first
        assert len(samples) == 3
        assert samples[0] == f"  line 1: {url('/a')},{url('/b')}"
    assert server.counts.hits == []
    assert not (tmp_path / "out").exists()
    result = run_fetchpool(["get", "list.csv", "--column", "url=2", "-o", "out"], cwd=tmp_path)
    assert result.returncode == 0
    assert set(server.counts.targets()) == {"/b"}


def test_samples_show_no_secret(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("https://u:canary@a.test/,https://u:canary@b.test/\n")
    result = run_fetchpool(["get", "list.csv"], cwd=tmp_path)
    assert result.returncode == 2
    assert "canary" not in result.stderr
    assert "***@a.test" in result.stderr


def test_incomplete_urls_are_completed(server: CountingServer, tmp_path: Path) -> None:
    host = server.url("").removeprefix("http://")
    (tmp_path / "hosts").write_text(f"{host}/h\n{server.url('/full')}\n")
    (tmp_path / "paths").write_text("a/b\n/c?d\n")
    without = run_fetchpool(["get", "paths"], cwd=tmp_path)
    assert (without.returncode, "--base URL" in without.stderr) == (2, True)
    for args in (["hosts", "--default-scheme", "http"], ["paths", "--base", server.url("/x/y")]):
        result = run_fetchpool(["get", *args, "-o", f"out-{args[0]}"], cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    assert sorted(server.counts.targets()) == ["/c?d", "/full", "/h", "/x/a/b"]
    both = run_fetchpool(
        ["get", "paths", "--base", "http://h/", "--default-scheme", "https"], cwd=tmp_path
    )
    assert both.returncode == 2


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("form", ["csv", "jsonl", "json"])
def test_table_is_gone_on_with_after_a_kill(
    server: CountingServer, tmp_path: Path, form: str, workers: str
) -> None:
    urls = [
        server.url(f"/{number}?until=30" if number >= 10 else f"/{number}") for number in range(20)
    ]
    rows = [{"note": 'two\n"lines"', "url": url} for url in urls]
    text = {
        "csv": "note,url\n" + "".join(f'"two\n""lines""",{url}\n' for url in urls),
        "jsonl": "".join(json.dumps(row) + "\n" for row in rows),
        "json": json.dumps(rows),
    }[form]
    (tmp_path / "list").write_text(text)
    args = ["get", "list", "-o", "out", "--workers", workers, "--limit", "4", "--per-host", "4"]
    ledger = tmp_path / "out" / "results.jsonl"
    with start(args, cwd=tmp_path) as run:
        eventually(
            lambda: ledger.exists() and ledger.read_bytes().count(b"\n") == 10, "ten records"
        )
        run.kill()
        run.ended()
    answer(server, 20)
    before = len(server.counts.hits)
    result = run_fetchpool(args, cwd=tmp_path)
    asked = hits(server, before)
    assert result.returncode == 0
    assert set(asked) == set(urls[10:])
    assert sorted(record["url"] for record in result.records) == sorted(urls)
    seqs = {record["url"]: record["seq"] for record in result.records}
    lines = 2 if form == "csv" else 1  # of a row
    first = 2 if form == "csv" else 1
    assert seqs == {url: first + lines * number for number, url in enumerate(urls)}


def test_other_column_is_another_list_to_go_on_with(server: CountingServer, tmp_path: Path) -> None:
    url = server.url
    rows = "".join(f"{url(f'/a{n}')},{url(f'/b{n}')}\n" for n in range(3))
    (tmp_path / "list.csv").write_text(f"one,two\n{rows}")
    args = ["get", "list.csv", "-o", "out", "--once", "--column"]
    assert run_fetchpool([*args, "url=one"], cwd=tmp_path).returncode == 0
    result = run_fetchpool([*args, "url=two"], cwd=tmp_path)
    assert result.returncode == 0
    assert sorted(record["url"] for record in result.records) == [url(f"/b{n}") for n in range(3)]
    before = len(server.counts.hits)
    assert run_fetchpool([*args, "url=two"], cwd=tmp_path).returncode == 0
    assert len(server.counts.hits) == before


def test_parquet_without_pyarrow_names_the_command(tmp_path: Path) -> None:
    (tmp_path / "list.parquet").write_bytes(b"PAR1" + b"\0" * 100 + b"PAR1")
    absent = tmp_path / "absent"
    absent.mkdir()
    (absent / "pyarrow.py").write_text("raise ImportError('not here')\n")
    result = run_fetchpool(["get", "list.parquet"], env={"PYTHONPATH": str(absent)}, cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "pip install 'fetchpool[parquet]'" in result.stderr


def test_row_says_how_its_request_is_made(server: CountingServer, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(
        f"url,m,b\n{server.url('/1')},PUT,text\n{server.url('/2')},,\n"
    )
    args = ["get", "list.csv", "-o", "out", "--column", "method=m", "--column", "body=b"]
    result = run_fetchpool(args, cwd=tmp_path)
    assert result.returncode in (0, 1)
    methods = {record["url"]: record.get("method", "GET") for record in result.records}
    assert methods == {server.url("/1"): "PUT", server.url("/2"): "GET"}

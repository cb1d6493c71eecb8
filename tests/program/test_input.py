"""Lists as they come: from files, pipes and arguments, in any encoding, with any line in them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.harness import RECORD_KEYS, read_records, run_fetchpool
from tests.program.helpers import PIPE, check_records, eventually, hits, one_line, start, write_list
from tests.servers.counting import CountingServer


def test_several_sources_are_numbered_through_and_named(
    server: CountingServer, tmp_path: Path
) -> None:
    url = server.url
    (tmp_path / "a.txt").write_text(f"# comment\n\n{url('/1')}\n{url('/2')}")  # no last newline
    (tmp_path / "b.txt").write_bytes(f"\ufeff{url('/3')}\r\n# bye\r\n".encode())
    args = ["get", "a.txt", url("/4"), "-", "b.txt", "-o", "out"]
    result = run_fetchpool(args, stdin=f"{url('/5')}\n", cwd=tmp_path)
    assert result.returncode == 0
    rows = [(r["seq"], r["url"], r["source"], r["line"]) for r in result.records]
    assert sorted(rows) == [
        (3, url("/1"), "a.txt", 3),
        (4, url("/2"), "a.txt", 4),
        (5, url("/4"), url("/4"), 1),
        (6, url("/5"), "-", 1),
        (7, url("/3"), "b.txt", 1),
    ]
    assert tuple(result.records[0]) == (*RECORD_KEYS, "source", "line")
    assert "4 lists" in result.stderr


def test_lines_of_every_kind_have_one_record_each(server: CountingServer, tmp_path: Path) -> None:
    url = server.url
    lines: list[bytes] = [
        b"",
        b"   ",
        b"# a comment",
        b"  " + url("/blanks").encode() + b" \t",
        url("/dup").encode(),
        url("/dup").encode(),
        url("/fragment#part").encode(),
        url("/signed?a=%2f%zz&b=+%20").encode(),
        url("/[/red]").encode(),
        url("/").encode() + b"caf\xe9",
        "http://bücher.invalid./".encode(),
        b"http://caf\xe9.invalid/",
        b"no url",
        b"ftp://127.0.0.1/",
        b"javascript:alert(1)",
        url("/nul").encode() + b"\x00",
        b"http://" + b"a" * 64 + b".invalid/",
        b"http://[fe80::1%25eth0]/",
        b"\xe2\x80\xae" + url("/bidi").encode(),
        url("/long").encode() + b"x" * (10 << 20),
        url("/last").encode(),
    ]
    (tmp_path / "urls.txt").write_bytes(b"\n".join(lines))
    args = ["get", "urls.txt", "--retries", "0"]
    result = run_fetchpool(args, cwd=tmp_path)
    assert result.returncode == 1
    records = read_records(tmp_path / "urls.fetched")
    by_line = {record["seq"]: record for record in records}
    assert sorted(by_line) == list(range(4, len(lines) + 1))
    assert len(records) == len(by_line)
    errors = {number: record["error"] for number, record in by_line.items()}
    assert [errors[number] for number in range(4, 11)] == [None] * 7
    assert errors[11] == "dns"
    assert {errors[number] for number in range(12, 21)} == {"input"}
    assert errors[21] is None
    assert by_line[7]["url"].endswith("#part")
    asked = set(server.counts.targets())
    assert "/signed?a=%2f%zz&b=+%20" in asked
    assert "/fragment" in asked
    assert "/caf%E9" in asked
    assert server.counts.targets().count("/dup") == 2
    assert by_line[5]["path"] == by_line[6]["path"]
    ledger = tmp_path / "urls.fetched" / "results.jsonl"
    assert ledger.stat().st_size < 1 << 20  # a line of 10 MB is not told in full
    assert "\u202e" not in ledger.read_text()


@pytest.mark.parametrize("exchange", ["direct", "session"])
def test_only_urls_are_sent_of_lines_that_hold_more(
    server: CountingServer, tmp_path: Path, exchange: str
) -> None:
    url = server.url
    fetched = {
        url("/c d.pdf"): "/c%20d.pdf",
        url("/a, b (2017)/x.pdf"): "/a,%20b%20(2017)/x.pdf",
        url("/r?urls=http://a/,http://b/"): "/r?urls=http://a/,http://b/",
        f"\u200b{url('/stripped')}\u200c\u2060": "/stripped",
        f"\u202a{url('/copied')}\u202c": "/copied",
    }
    refused = {
        f"{url('/1')} # a note": "a note behind the URL",
        f"{url('/2')} {url('/3')}": "several URLs on one line",
        f"{url('/4')},{url('/5')}": "several URLs on one line",
        f"{url('/6')} | {url('/7')}": "several URLs on one line",
        f"{url('/8')}\t{url('/9')}": "a tab in the line",
        f'{url("/10")} "~Name" tag': "text behind the URL",
        f"Part 1 - {url('/11')}": "text before the URL",
        "www.v.example/@chan/x": "the scheme is missing",
        "ftp://ftp.v.example/E_1.fastq.gz": "ftp is not fetched here",
    }
    write_list(tmp_path / "urls.txt", [*fetched, *refused])
    args = ["get", "urls.txt", "-o", "out", "--exchange", exchange]
    result = run_fetchpool(args, cwd=tmp_path)
    assert result.returncode == 1
    assert sorted(server.counts.targets()) == sorted(fetched.values())
    records = sorted(result.records, key=lambda record: record["seq"])
    assert [r["ok"] for r in records] == [True] * len(fetched) + [False] * len(refused)
    for record, (line, reason) in zip(records[len(fetched) :], refused.items(), strict=True):
        assert record["error"] == "input"
        assert record["detail"].startswith(reason)
        assert record["url"] == line


@pytest.mark.parametrize("content", ["", "\n\n", "# one\n  # two\n\n", "\ufeff# one"])
@pytest.mark.parametrize("before", [None, "finished"])
def test_list_without_a_url_leaves_everything_as_it_is(
    tmp_path: Path, content: str, before: str | None
) -> None:
    (tmp_path / "urls.txt").write_text(content)
    dest = tmp_path / "urls.fetched"
    if before is not None:
        dest.mkdir()
        (dest / "results.jsonl").write_text('{"seq":1}\n')
    args = ["get", "urls.txt", "--fresh", "--metrics-file", "fetchpool.prom"]
    result = run_fetchpool(args, cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout == ""
    assert "no URL in urls.txt" in one_line(result.stderr)
    assert dest.exists() == (before is not None)
    assert "fetchpool_run_exit_status 0" in (tmp_path / "fetchpool.prom").read_text()
    if before is not None:
        assert {path.name for path in dest.iterdir()} == {"results.jsonl"}


def test_named_pipe_is_a_list(server: CountingServer, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    urls = [server.url(f"/{i}") for i in range(3)]
    with start(["get", "fifo", "-o", "out", "-q"], cwd=tmp_path) as process:
        with (tmp_path / "fifo").open("w") as fifo:
            fifo.write("".join(f"{url}\n" for url in urls[:2]))
            fifo.flush()
            eventually(lambda: len(read_records(tmp_path / "out")) == 2, "two records")
            fifo.write(urls[2])
        assert process.ended() == (0, "")
    check_records(tmp_path / "out", urls)


def test_list_that_fails_on_the_way_stops_the_run(server: CountingServer, tmp_path: Path) -> None:
    """The second list, a named pipe that is opened when its turn comes, is gone by then."""
    os.mkfifo(tmp_path / "later")
    args = ["get", "-", "later", "-o", "out"]
    with start(args, cwd=tmp_path, stdin=PIPE) as process:
        process.say(server.url("/first"))
        eventually(lambda: read_records(tmp_path / "out"), "a record")
        (tmp_path / "later").unlink()
        status, error = process.ended()
    assert status == 74
    assert "later can't be read" in error
    assert {record["url"] for record in read_records(tmp_path / "out")} == set(hits(server))


def test_list_in_another_encoding_of_names(server: CountingServer, tmp_path: Path) -> None:
    """A list whose own name is not UTF-8 is read; what is said of it stays printable."""
    name = os.fsdecode(b"caf\xe9.txt")
    write_list(tmp_path / name, [server.url("/a")])
    result = run_fetchpool(["get", name, server.url("/b")], cwd=tmp_path)
    assert result.returncode == 0
    text = (tmp_path / "fetched" / "results.jsonl").read_text(encoding="utf-8")
    assert {json.loads(line)["source"] for line in text.splitlines()} == {
        r"caf\xe9.txt",
        server.url("/b"),
    }

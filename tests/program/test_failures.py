"""The URLs that failed are named at the end: by reason, with their lines."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import pytest

from fetchpool.config import Config
from fetchpool.run.choices import failed_records
from tests.harness import fetchpool_in_pty, read_records, run_fetchpool
from tests.program.helpers import PIPE, answer, eventually, start, write_list
from tests.program.test_terminal import HOSTILE, OURS, check_harmless
from tests.servers.counting import CountingServer

NO_URL = "miller;berlin"


def listed(stderr: str) -> list[str]:
    """Return what stands below the last line that begins with the program's name."""
    lines = stderr.splitlines()
    last = max(n for n, line in enumerate(lines) if line.startswith("fetchpool: "))
    return lines[last + 1 :]


@pytest.mark.parametrize("quiet", [True, False], ids=["quiet", "plain"])
@pytest.mark.parametrize("kept", [True, False], ids=["ledger", "no ledger"])
def test_failed_urls_are_named_by_reason_with_their_lines(
    server: CountingServer, tmp_path: Path, quiet: bool, kept: bool
) -> None:
    urls = [server.url("/a"), server.url("/b?status=404"), "", NO_URL, server.url("/c?status=404")]
    write_list(tmp_path / "urls.txt", [*urls, "http://u:secret@127.0.0.1:1/closed"])
    args = ["get", "urls.txt", "--retries", "0", *(["-q"] if quiet else [])]
    result = run_fetchpool([*args, *([] if kept else ["--no-body"])], cwd=tmp_path)
    assert result.returncode == 1
    assert "\x1b" not in result.stderr
    assert "secret" not in result.stderr
    assert listed(result.stderr) == [
        "  404 (2)",
        f"    line 2  {urls[1]}",
        f"    line 5  {urls[4]}",
        "  connect: connection refused while connecting (1)",
        "    line 6  http://***@127.0.0.1:1/closed",
        "  input: no URL; one begins with http:// or https:// (1)",
        f"    line 4  {NO_URL}",
    ]


def test_tolerated_failures_are_named_unless_nothing_is_to_be_said(
    server: CountingServer, tmp_path: Path
) -> None:
    write_list(tmp_path / "urls.txt", [server.url("/b?status=404")])
    args = ["get", "urls.txt", "--fail-if", "never"]
    assert "/b?status=404" in run_fetchpool(args, cwd=tmp_path).stderr
    assert run_fetchpool([*args, "-q"], cwd=tmp_path).stderr == ""
    assert listed(run_fetchpool([*args, "--failures", "0"], cwd=tmp_path).stderr) == []


@pytest.mark.parametrize("number", ["1", "4", "20", "all"])
def test_option_says_how_many_are_named(
    server: CountingServer, tmp_path: Path, number: str
) -> None:
    urls = [server.url(f"/{i}?status=404") for i in range(25)]
    urls += [server.url(f"/{i}?status=410") for i in range(5)]
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "urls.txt", "-o", "my pages", "--failures", number, "--per-host", "0"]
    lines = listed(run_fetchpool(args, cwd=tmp_path).stderr)
    named = [line.split()[2] for line in lines if line.startswith("    line")]
    if number == "all":
        assert sorted(named) == sorted(urls)
        assert f"    line  1  {urls[0]}" in lines  # as wide as the longest, line 25
        assert not any("more" in line or "jq" in line for line in lines)
        return
    assert len(named) == int(number)
    assert named[0] == urls[0]
    assert (urls[25] in named) == (int(number) > 1)
    more = [int(line.split()[1]) for line in lines if line.startswith("    and")]
    hidden = 5 if number == "1" else 0  # a reason of which there is no room for one
    assert sum(more) + hidden + len(named) == 30
    assert lines[-1] == "  all 30: jq 'select(.ok|not)' 'my pages/results.jsonl'"
    command = lines[-1].partition(": ")[2]
    shown = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert shown.stdout.count('"url"') == 30


def test_without_ledger_and_records_it_is_said_what_keeps_all(
    server: CountingServer, tmp_path: Path
) -> None:
    write_list(tmp_path / "urls.txt", [server.url(f"/{i}?status=404") for i in range(4)])
    args = ["get", "urls.txt", "--no-body", "--failures", "2"]
    assert listed(run_fetchpool(args, cwd=tmp_path).stderr)[-2:] == [
        "    and 2 more",
        "  all 4: -o DEST or --records FILE keeps them",
    ]
    args += ["--records", "records.csv"]
    assert listed(run_fetchpool(args, cwd=tmp_path).stderr)[-1] == "  all 4: in records.csv"
    args[args.index("2")] = "all"
    everything = listed(run_fetchpool(args, cwd=tmp_path).stderr)
    assert len(everything) == 5


@pytest.mark.parametrize("number", ["20", "all"])
@pytest.mark.parametrize("pipe", [False, True], ids=["file", "pipe"])
def test_after_going_on_the_failures_kept_from_before_are_named_too(
    server: CountingServer, tmp_path: Path, pipe: bool, number: str
) -> None:
    urls = [server.url(f"/{i}?status=404") for i in range(3)]
    urls += [server.url("/held?until=1000&status=410"), server.url("/good")]
    write_list(tmp_path / "urls.txt", urls)
    args = ["get", "-" if pipe else "urls.txt", "-o", "out", "--failures", number, "-q"]
    with start(args, cwd=tmp_path, stdin=PIPE) as process:
        if pipe:
            process.say(*urls)
        eventually(lambda: len(read_records(tmp_path / "out")) == 4, "four records")
        process.kill()
    with start(args, cwd=tmp_path, stdin=PIPE) as process:
        if pipe:
            process.say(*urls)
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        eventually(lambda: len(server.counts.hits) >= 6, "the held URL is asked for again")
        answer(server, 1000)
        status, error = process.ended()
    assert status == 1
    lines = listed(error)
    assert lines[0] == "  404 (3)"
    named = {tuple(line.split()) for line in lines if line.startswith("    line")}
    assert named == {("line", str(number), url) for number, url in enumerate(urls[:4], 1)}


def test_of_several_lists_it_is_said_which(server: CountingServer, tmp_path: Path) -> None:
    write_list(tmp_path / "a.txt", [server.url("/a"), server.url("/b?status=404")])
    url = server.url("/direct?status=404")
    result = run_fetchpool(
        ["get", "a.txt", url, "-", "-q"], cwd=tmp_path, stdin=server.url("/p?status=404")
    )
    assert [line.strip() for line in listed(result.stderr)] == [
        "404 (3)",
        f"a.txt:2             {server.url('/b?status=404')}",
        url,
        f"(standard input):1  {server.url('/p?status=404')}",
    ]
    alone = run_fetchpool(["get", url, "-o", "alone", "-q"], cwd=tmp_path)
    assert listed(alone.stderr) == ["  404 (1)", f"    {url}"]


def test_list_without_any_url_says_so_and_advises_nothing(tmp_path: Path) -> None:
    hosts = [f"www.h{n}.example/x" for n in range(40)]
    lines = ["name;town", NO_URL, "ftp://example.org/", *hosts]
    write_list(tmp_path / "urls.txt", lines)
    plain = run_fetchpool(["get", "urls.txt", "--input-format", "lines", "-q"], cwd=tmp_path)
    assert plain.returncode == 1
    first = "fetchpool: none of the 43 lines is an http(s) URL; 0 ok, 43 failed (input 43), "
    assert plain.stderr.startswith(first)
    groups = [line for line in listed(plain.stderr) if line.startswith("  input")]
    assert groups == [
        "  input: the scheme is missing; write https:// before the host, or add "
        "--default-scheme https (40)",
        "  input: no URL; one begins with http:// or https:// (2)",
        "  input: ftp is not fetched here; curl or wget can (1)",
    ]
    assert f"    line 2  {NO_URL}" in listed(plain.stderr)
    assert "--retry-failed" not in plain.stderr
    screen = fetchpool_in_pty(["get", "urls.txt", "--input-format", "lines"], cwd=tmp_path)
    text = OURS.sub(b"", screen.output).decode()
    assert "\nNone of the 43 lines is an http(s) URL.\r\n" in text
    assert NO_URL in text
    assert "--retry-failed" not in text
    status = run_fetchpool(["status", "urls.fetched"], cwd=tmp_path)
    assert "--retry-failed" not in status.stdout


def test_screen_names_them_and_nothing_from_a_list_commands_the_terminal(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = [server.url(f"/{i}?status=404") for i in range(30)]
    (tmp_path / "urls.txt").write_text("\n".join([*urls, *HOSTILE]), encoding="utf-8")
    args = ["get", "urls.txt", "--retries", "0", "--failures", "12"]
    screen = fetchpool_in_pty(args, cwd=tmp_path, rows=80)
    check_harmless(screen.output)
    text = OURS.sub(b"", screen.output).decode().replace("\r", "")
    assert re.search(r"\n404 \(30\)\n  line 1  \S+/0\?status=404\n(  line .*\n)+  and", text)
    assert "failures jq 'select(.ok|not)' urls.fetched/results.jsonl\nagain " in text


def test_stopped_run_names_what_failed_so_far(server: CountingServer, tmp_path: Path) -> None:
    urls = [server.url("/b?status=404"), server.url("/held?until=1000")]
    write_list(tmp_path / "urls.txt", urls)
    with start(["get", "urls.txt", "-o", "out"], cwd=tmp_path) as process:
        eventually(lambda: read_records(tmp_path / "out"), "a record")
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        process.stderr.readline()
        waits = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        status, error = process.ended()
    assert status == 130
    assert b"Ctrl-C: 1 request running, cut off within 5 s" in waits
    assert listed(error)[:2] == ["  404 (1)", f"    line 1  {urls[0]}"]


def test_hosts_given_up_are_named_with_the_reason(tmp_path: Path) -> None:
    write_list(tmp_path / "urls.txt", [f"http://127.0.0.1:1/{i}" for i in range(40)])
    result = run_fetchpool(["get", "urls.txt", "--retries", "0"], cwd=tmp_path)
    first = listed(result.stderr)[0]
    said = re.match(r"  gave up 127\.0\.0\.1:1, (\d+) URLs not asked for: .*refused", first)
    assert said is not None, first
    never = [r for r in read_records(tmp_path / "urls.fetched") if not r["attempts"]]
    assert int(said[1]) >= len(never) > 0


def test_reader_that_stops_reading_the_list_holds_nothing_for_ever(
    server: CountingServer, tmp_path: Path
) -> None:
    """With `all` the list may be longer than any pipe: a reader that leaves ends it."""
    urls = [f"{NO_URL} {i} {'x' * 200}" for i in range(3000)]
    write_list(tmp_path / "urls.txt", urls)
    with start(
        ["get", "urls.txt", "--input-format", "lines", "-q", "--failures", "all"], cwd=tmp_path
    ) as process:
        assert process.stderr is not None
        assert b"3000 failed" in process.stderr.readline()
        process.stderr.close()
        assert process.wait(30) == 1


@pytest.mark.parametrize(
    ("records", "at", "told"),
    [
        (None, "d/results.jsonl", "jq 'select(.ok|not)' d/results.jsonl"),
        ("-", "it's/results.jsonl", """jq 'select(.ok|not)' 'it'"'"'s/results.jsonl'"""),
        ("x.csv", "d/results.jsonl", "jq 'select(.ok|not)' d/results.jsonl"),
        ("x.csv", "x.csv", "in x.csv"),
        ("x.json", "x.json", "jq 'select(.ok|not)' x.json"),
        (None, None, "-o DEST or --records FILE keeps them"),
        ("-", None, None),
    ],
)
def test_where_all_failures_are_is_told(
    records: str | None, at: str | None, told: str | None
) -> None:
    assert failed_records(Config(records=records), at) == told

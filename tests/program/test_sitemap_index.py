"""An index of sitemaps through the real program: its sitemaps are fetched as any URL, and read."""

from __future__ import annotations

import gzip
import json
import signal
import tarfile
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.harness import check_bodies, read_records, run_fetchpool, stored_files
from tests.program.helpers import eventually, hits, noted, start
from tests.servers.counting import CountingServer
from tests.test_sitemap_index import index, urlset


def serve(server: CountingServer, path: str, body: bytes, address: str = "127.0.0.1") -> str:
    """Have *server* answer *path* with *body*; return its URL."""
    server.wishes[server.host(address) + path] = {"text": body.decode("latin-1")}
    return server.url(path, address)


def asked(server: CountingServer, since: int = 0) -> list[str]:
    return sorted(hits(server, since).elements())


@pytest.mark.parametrize("way", ["file", "pipe", "workers", "tar"])
def test_pages_have_records_and_sitemaps_have_none(
    crowd: CountingServer, tmp_path: Path, way: str
) -> None:
    other, third = crowd.addresses[1:3]
    pages = [crowd.url(f"/{number}", crowd.addresses[number]) for number in range(12)]
    packed = serve(crowd, "/p.xml.gz", gzip.compress(urlset(*pages[2:5])), other)
    moved = crowd.url(f"/m?to={quote(packed, safe='')}", third)  # to a host of another worker's
    nested = serve(crowd, "/n.xml", index(serve(crowd, "/t.txt", pages[5].encode()), moved))
    last = serve(crowd, "/l.xml", urlset(*pages[6:]))
    text = index(serve(crowd, "/f.xml", urlset(*pages[:2])), nested, last)
    (tmp_path / "list").write_bytes(gzip.compress(text))
    args = ["-"] if way == "pipe" else ["list"]
    args += ["--workers", "3"] if way in ("workers", "tar") else []
    args += ["--store", "tar"] if way == "tar" else []
    stdin = text.decode() if way == "pipe" else None
    result = run_fetchpool(["get", *args, "-o", "out"], cwd=tmp_path, stdin=stdin)
    assert result.returncode == 0, result.stderr
    assert "an index of sitemaps, URLs from the sitemaps it names → out" in result.stderr
    assert "12 ok, 0 failed" in result.stderr
    sitemaps = [target for target in crowd.counts.targets() if not target[1].isdigit()]
    assert len(sitemaps) == len(set(sitemaps)) == 6
    assert len(crowd.counts.targets()) == 18
    records = sorted(result.records, key=lambda record: record["seq"])
    order = [*pages[:2], pages[5], *pages[2:5], *pages[6:]]
    assert [record["url"] for record in records] == order
    assert not list((tmp_path / "out").rglob("*.new"))
    if way != "tar":
        check_bodies(records, tmp_path / "out")
        return
    bodies = []
    for path in (tmp_path / "out").rglob("*.tar"):
        with tarfile.open(path) as tar:
            files = [tar.extractfile(each) for each in tar if not each.name.endswith(".json")]
            bodies += [file.read().decode() for file in files if file is not None]
    assert sorted(bodies) == sorted(f"{url[7:].replace('/', ' /')}" for url in pages)


def test_sitemap_that_is_missing_is_a_failure_and_nothing_is_taken_for_gone(
    server: CountingServer, tmp_path: Path
) -> None:
    first = serve(server, "/a.xml", urlset(server.url("/1")))
    second = serve(server, "/b.xml", urlset(server.url("/2"), server.url("/3")))
    silent = server.url("/s?hangup=1")
    (tmp_path / "list").write_bytes(index(silent, first, second))
    command = ["get", "list", "-o", "out", "--retries", "0"]
    assert run_fetchpool([*command, "-q"], cwd=tmp_path).returncode == 1
    server.wishes[server.host("127.0.0.1") + "/b.xml"] = {"status": "404"}
    result = run_fetchpool([*command, "--refresh", "--prune", "--hash"], cwd=tmp_path)
    assert result.returncode == 1
    failed = {each["url"]: each["detail"] for each in result.records if not each["ok"]}
    assert failed == {
        silent: "the server closed the connection after the request was sent; "
        "what this sitemap names is missing",
        second: "HTTP status 404; what this sitemap names is missing",
    }
    assert [each["url"] for each in result.records if each["ok"]] == [server.url("/1")]
    assert "left" not in result.stderr
    assert "pruned" not in result.stderr
    serve(server, "/b.xml", urlset(server.url("/2"), server.url("/3")))
    since = len(server.counts.hits)
    result = run_fetchpool([*command, "--retry-failed"], cwd=tmp_path)
    ok = [server.url(f"/{number}") for number in (1, 2, 3)]
    assert sorted(each["url"] for each in result.records if each["ok"]) == ok
    assert asked(server, since) == sorted([silent, first, second, *ok[1:]])


def test_killed_run_goes_on_though_sitemaps_have_changed(
    server: CountingServer, tmp_path: Path
) -> None:
    pages = [server.url(f"/{number}") for number in range(60)]
    held = server.url("/held?until=10000")
    first = serve(server, "/a.xml", urlset(*pages[:30]))
    second = serve(server, "/b.xml", urlset(*pages[30:], held))
    (tmp_path / "list").write_bytes(index(first, second))
    command = ["get", "list", "-o", "out"]
    dest = tmp_path / "out"
    with start(command, cwd=tmp_path) as process:
        eventually(lambda: (dest / "results.jsonl").exists(), "the ledger is there")
        eventually(lambda: len(read_records(dest)) == 60, "pages are recorded")
        process.kill()
    (dest / ".fetchpool" / "sitemap-left.new").write_bytes(b"")
    new = server.url("/new")
    serve(server, "/a.xml", urlset(new, *reversed(pages[:30])))
    serve(server, "/b.xml", urlset(*pages[40:]))
    since = len(server.counts.hits)
    for workers in ("2", "1"):
        result = run_fetchpool([*command, "--workers", workers, "--once"], cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        news = [new] if workers == "2" else []
        assert asked(server, since) == sorted([first, second, *news])
        since = len(server.counts.hits)
        records = sorted(result.records, key=lambda record: record["seq"])
        today = [new, *reversed(pages[:30]), *pages[40:]]
        assert [(each["seq"], each["url"]) for each in records] == list(enumerate(today, 3))
        assert {each["path"] for each in records} <= stored_files(dest)
        assert not list(dest.rglob("*.new"))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_run_that_waits_for_a_sitemap_can_be_stopped(
    server: CountingServer, tmp_path: Path, workers: str
) -> None:
    (tmp_path / "list").write_bytes(index(server.url("/s?until=10000")))
    command = ["get", "list", "-o", "out", "--workers", workers, "--log-file", "log"]
    with start(command, cwd=tmp_path) as process:
        eventually(lambda: server.counts.hits, "the sitemap is asked for")
        process.send_signal(signal.SIGINT)
        eventually(lambda: noted(tmp_path / "log", "stopping"), "it stops")
        process.send_signal(signal.SIGINT)
        status, said = process.ended()
    assert status == 130, said
    assert read_records(tmp_path / "out") == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sitemap_that_never_comes_holds_up_a_list_for_its_time_only(
    server: CountingServer, tmp_path: Path, workers: str
) -> None:
    page = server.url("/1")
    good = serve(server, "/a.xml", urlset(page))
    (tmp_path / "list").write_bytes(index(server.url("/s?until=10000"), good))
    command = ["get", "list", "-o", "out", "--timeout", "0.3", "--retries", "0"]
    result = run_fetchpool([*command, "--workers", workers], cwd=tmp_path)
    assert result.returncode == 1
    found = sorted((each["url"], each["error"]) for each in result.records)
    assert found == [(page, None), (server.url("/s?until=10000"), "timeout")]


def test_rules_of_the_run_hold_for_sitemaps(server: CountingServer, tmp_path: Path) -> None:
    page = server.url("/1")
    good, bad = (serve(server, path, urlset(page)) for path in ("/a.xml", "/no/b.xml"))
    serve(server, "/robots.txt", b"User-agent: *\nDisallow: /no/\n")
    (tmp_path / "list").write_bytes(index(bad, good))
    rules = ["--robots", "-H", "X-Mine: 1", "--no-body", "--records", "-", "-d", "x"]
    result = run_fetchpool(["get", "list", *rules], cwd=tmp_path)
    assert result.returncode == 1
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert sorted((each["url"], each["error"]) for each in records) == [
        (page, None), (bad, "blocked")
    ]  # fmt: skip
    robots, sitemap, one = server.counts.hits
    assert [robots.target, sitemap.target, one.target] == ["/robots.txt", "/a.xml", "/1"]
    assert (sitemap.get("x-mine"), sitemap.get("content-length")) == ("1", None)
    assert (one.get("x-mine"), one.get("content-length")) == ("1", "1")


def test_dry_run_says_which_sitemaps_there_are_and_asks_for_none(
    server: CountingServer, tmp_path: Path
) -> None:
    urls = [server.url("/a.xml"), server.url("/b.xml")]
    (tmp_path / "list").write_bytes(index(*urls))
    result = run_fetchpool(["get", "list", "--dry-run"], cwd=tmp_path)
    assert result.returncode == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(each["url"], each["is_sitemap"], each["path"]) for each in lines] == [
        (url, True, None) for url in urls
    ]
    assert "of these, 2 are sitemaps: what they name isn't known yet" in result.stderr
    assert server.counts.hits == []

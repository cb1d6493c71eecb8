"""Several proxies: a host stays with one, and goes on with another where that fails."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.harness import Record, Result, fetchpool_in_pty, run_fetchpool
from tests.program_fairness.hosts import block
from tests.servers.counting import CountingServer
from tests.servers.proxy import Asked, MoodyProxy

# A server of asyncio leaves a connection unclosed that is cut while it is served.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

HOSTS = block(93, 12)
CANARY = "canary-0815"
NO_CREDENTIALS = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
NOT_NOW = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 300\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
def hosts() -> Iterator[CountingServer]:
    with CountingServer(HOSTS) as server:
        yield server


@pytest.fixture
def proxies() -> Iterator[list[MoodyProxy]]:
    with ExitStack() as stack:
        yield [stack.enter_context(MoodyProxy()) for _ in range(3)]


def urls_of(server: CountingServer, each: int) -> list[str]:
    return [server.url(f"/{n}?size=3000", host) for n in range(each) for host in HOSTS]


def write(tmp_path: Path, urls: list[str], proxies: list[MoodyProxy]) -> list[str]:
    """Write list and proxies; return the arguments of a run."""
    (tmp_path / "list").write_text("\n".join(urls) + "\n")
    lines = [proxy.url.replace("://", f"://me:{CANARY}@") for proxy in proxies]
    (tmp_path / "proxies.txt").write_text("# ours\n\n" + "\n".join(lines) + "\n")
    args = ["get", "list", "-o", "out", "--no-body", "--log-file", "log", "--per-host", "3"]
    return [*args, "--retries", "0", "--proxy-file", "proxies.txt"]


def used(records: list[Record]) -> dict[str, set[object]]:
    """Return the proxies of each host, as the records name them."""
    found = defaultdict(set)
    for record in records:
        found[str(record["url"]).split("/")[2]].add(record["proxy"])
    return dict(found)


def check_complete(result: Result, urls: list[str]) -> None:
    assert result.returncode == 0, (result.stderr, [r for r in result.records if not r["ok"]][:3])
    assert len({record["seq"] for record in result.records}) == len(result.records) == len(urls)


def check_unwritten(tmp_path: Path, result: Result) -> None:
    assert CANARY not in result.stdout + result.stderr
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "proxies.txt"]
    assert [path for path in files if CANARY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("exchange", "workers"), [("direct", "1"), ("session", "1"), ("direct", "2")]
)
def test_hosts_stay_with_their_proxies_and_go_on_with_others_where_these_fail(
    tmp_path: Path,
    hosts: CountingServer,
    proxies: list[MoodyProxy],
    exchange: str,
    workers: str,
) -> None:
    urls = urls_of(hosts, 8)
    args = [*write(tmp_path, urls, proxies), "--exchange", exchange, "--workers", workers]
    result = run_fetchpool([*args, "--records", "r.csv"], cwd=tmp_path)
    check_complete(result, urls)
    first = used(result.records)
    assert {len(each) for each in first.values()} == {1}
    assert len(set.union(*first.values())) > 1
    assert {line.rsplit(",", 1)[1] for line in (tmp_path / "r.csv").read_text().splitlines()} == {
        "proxy",
        *(str(name) for each in first.values() for name in each),
    }
    assert max(hosts.counts.peaks.values()) <= 3
    assert "proxy-rests" not in (tmp_path / "log").read_text()

    # One goes, another doesn't take us any more: the third does it all, at no URL's cost.
    uses = Counter(name for names in first.values() for name in names)
    gone, refusing, good = sorted(proxies, key=lambda proxy: -uses[proxy.url])
    gone.mood = lambda asked: gone.go_away()
    refusing.mood = lambda asked: NO_CREDENTIALS
    result = run_fetchpool([*args, "--fresh"], cwd=tmp_path)
    check_complete(result, urls)
    assert {record["attempts"] for record in result.records} == {1}
    assert set.union(*used(result.records).values()) == {good.url}
    log = (tmp_path / "log").read_text()
    assert f"proxy-rests proxy={gone.url} seconds=1" in log
    assert f"proxy-rests proxy={refusing.url} seconds=1" in log
    assert "our-network-down" not in log
    assert "parked" not in log
    check_unwritten(tmp_path, result)


def test_all_of_them_gone_is_ours_until_one_is_back(
    tmp_path: Path, hosts: CountingServer, proxies: list[MoodyProxy]
) -> None:
    urls = urls_of(hosts, 8)
    args = write(tmp_path, urls, proxies)

    def leave(proxy: MoodyProxy, seconds: float | None) -> Callable[[Asked], None]:
        def mood(asked: Asked) -> None:
            if len(proxy.asked) == 5:
                proxy.go_away(seconds)

        return mood

    for proxy, seconds in zip(proxies, (None, None, 2.0), strict=True):
        proxy.mood = leave(proxy, seconds)
    result = run_fetchpool(args, cwd=tmp_path, timeout=40)
    check_complete(result, urls)
    log = (tmp_path / "log").read_text()
    assert log.count("our-network-down") == log.count("our-network-back") >= 1

    proxies[2].call(stop(proxies[2]))
    result = run_fetchpool([*args, "--fresh", "--outage-patience", "1.5"], cwd=tmp_path)
    assert result.returncode == 75
    assert "the proxy can't be reached" in result.stderr
    assert result.records == []
    check_unwritten(tmp_path, result)


async def stop(proxy: MoodyProxy) -> None:
    proxy.go_away()


def test_host_that_throttles_one_proxy_goes_on_with_another_meanwhile(
    tmp_path: Path, hosts: CountingServer, proxies: list[MoodyProxy]
) -> None:
    throttled = HOSTS[0]
    turned_away: Counter[str] = Counter()

    def throttle(proxy: MoodyProxy) -> Callable[[Asked], bytes | None]:
        def mood(asked: Asked) -> bytes | None:
            if f"//{throttled}:" not in asked.target or len(turned_away) == 2:
                return None if proxy.url not in turned_away else NOT_NOW
            turned_away[proxy.url] += 1
            return NOT_NOW

        return mood

    for proxy in proxies:
        proxy.mood = throttle(proxy)
    urls = [hosts.url(f"/{n}", throttled) for n in range(20)]
    args = write(tmp_path, urls, proxies)
    args[args.index("--retries") + 1] = "5"
    result = run_fetchpool(args, cwd=tmp_path)
    check_complete(result, urls)
    (through,) = used(result.records).values()
    assert len(through) == 1
    assert not through & set(turned_away)
    assert "parked" not in (tmp_path / "log").read_text()


def test_each_proxy_has_the_hosts_limit_where_hosts_are_spread_and_the_end_tells_of_them(
    tmp_path: Path, proxies: list[MoodyProxy]
) -> None:
    with CountingServer(gate=6) as server:
        urls = [server.url(f"/{'warm' if n < 60 else 'held'}{n}") for n in range(90)]
        args = write(tmp_path, urls, proxies)
        args[args.index("--per-host") + 1] = "2"
        screen = fetchpool_in_pty([*args, "--per-host-and-proxy"], cwd=tmp_path, columns=100)
        assert max(server.counts.peaks.values()) == 6
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.output.decode())
    assert screen.returncode == 0, shown
    words = [line.split() for line in shown.splitlines()]
    assert ["proxies", "URLs", "ok", "failed", "rested"] in words
    rows = {each[0]: each[1:] for each in words if each and each[0] in {p.url for p in proxies}}
    assert sum(int(urls) for urls, *_ in rows.values()) == len(urls)
    assert all(int(urls) == int(ok) > 10 for urls, ok, *_ in rows.values())
    assert len(rows) == len(proxies)
    assert CANARY not in shown

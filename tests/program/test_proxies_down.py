"""A proxy that is gone, or doesn't take us, is our side's trouble: a pause, no URL's failure."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import Result, run_fetchpool, why_no_resolver, with_resolver
from tests.program_fairness.hosts import block
from tests.servers.counting import CountingServer
from tests.servers.dns import Name, NameServer
from tests.servers.proxy import Asked, MoodyProxy
from tests.servers.tls import Authority

needs_resolver = pytest.mark.skipif(why_no_resolver() is not None, reason=str(why_no_resolver()))

# A server of asyncio leaves a connection unclosed that is cut within its TLS handshake.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

HOSTS = block(91, 12)
AWAY_S = 1.5
EACH_WAY = pytest.mark.parametrize("scheme", ["http", "https"])
EACH_EXCHANGE = pytest.mark.parametrize("exchange", ["direct", "session"])
NO_CREDENTIALS = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def proxy() -> Iterator[MoodyProxy]:
    with MoodyProxy() as moody:
        yield moody


@pytest.fixture
def hosts(request: pytest.FixtureRequest, authority: Authority) -> Iterator[CountingServer]:
    """Twelve hosts, with TLS where the test's parameter `scheme` says so."""
    is_tls = request.node.callspec.params.get("scheme") == "https"
    context = authority.contexts["good"] if is_tls else None
    with CountingServer(HOSTS, context=context) as server:
        yield server


def urls_of(server: CountingServer, each: int) -> list[str]:
    return [server.url(f"/{n}?size=3000", host) for n in range(each) for host in HOSTS]


def fetch(tmp_path: Path, urls: list[str], proxy: str, *options: str, **env: str) -> Result:
    (tmp_path / "list.txt").write_text("\n".join(urls) + "\n")
    args = ["get", "list.txt", "-o", "out", "--no-body", "--insecure", "--log-file", "log"]
    args += ["--retries", "0", "--proxy", proxy] if proxy else ["--retries", "0"]
    return run_fetchpool([*args, *options], cwd=tmp_path, env=env, timeout=40)


def check_complete(result: Result, urls: list[str]) -> None:
    """Assert that every URL is ok, each recorded once, though none may be tried again."""
    assert result.returncode == 0, (result.stderr, [r for r in result.records if not r["ok"]][:3])
    assert len({record["seq"] for record in result.records}) == len(result.records) == len(urls)


def check_waited(tmp_path: Path) -> None:
    """Assert that the log tells of trouble on our side that is over, and of no host's."""
    log = (tmp_path / "log").read_text()
    assert log.count("our-network-down") == log.count("our-network-back") >= 1
    assert "parked" not in log


def leave_once(proxy: MoodyProxy, at: int) -> None:
    """Have *proxy* be away for a while from request number *at* on."""

    def leave(asked: Asked) -> None:
        if len(proxy.asked) == at:
            proxy.go_away(AWAY_S)

    proxy.mood = leave


@EACH_WAY
@EACH_EXCHANGE
def test_proxy_that_is_away_for_a_while_costs_no_url_anything(
    tmp_path: Path, hosts: CountingServer, proxy: MoodyProxy, scheme: str, exchange: str
) -> None:
    at = 60 if scheme == "http" else 12  # a tunnel takes many requests

    leave_once(proxy, at)
    urls = urls_of(hosts, 25)
    result = fetch(tmp_path, urls, proxy.url, "--exchange", exchange, "--limit", "30")
    check_complete(result, urls)
    check_waited(tmp_path)


@EACH_WAY
def test_bodies_that_a_proxy_cuts_by_going_are_fetched_when_it_is_back(
    tmp_path: Path, hosts: CountingServer, proxy: MoodyProxy, scheme: str
) -> None:
    def leave_soon(asked: Asked) -> None:
        if len(proxy.asked) == 12:
            asyncio.get_running_loop().call_later(0.1, proxy.go_away, AWAY_S)

    proxy.mood = leave_soon
    urls = [url.replace("size=3000", "size=5000000") for url in urls_of(hosts, 2)]
    check_complete(fetch(tmp_path, urls, proxy.url), urls)


@pytest.mark.parametrize(
    ("scheme", "exchange", "loop"),
    [
        ("http", "direct", "uvloop"),
        ("https", "direct", "uvloop"),
        ("https", "direct", "asyncio"),
        ("https", "session", "uvloop"),
    ],
)
def test_a_proxy_with_tls_may_be_away_too(
    tmp_path: Path,
    hosts: CountingServer,
    authority: Authority,
    scheme: str,
    exchange: str,
    loop: str,
) -> None:
    with MoodyProxy(authority.contexts["good"]) as proxy:
        at = 40 if scheme == "http" else 12

        leave_once(proxy, at)
        urls = urls_of(hosts, 10)
        ways = ["--exchange", exchange, "--event-loop", loop]
        result = fetch(tmp_path, urls, proxy.url, *ways)
    check_complete(result, urls)
    check_waited(tmp_path)


@EACH_WAY
def test_with_several_workers_too(
    tmp_path: Path, hosts: CountingServer, proxy: MoodyProxy, scheme: str
) -> None:
    leave_once(proxy, 12)
    urls = urls_of(hosts, 10)
    result = fetch(tmp_path, urls, proxy.url, "--workers", "2")
    check_complete(result, urls)


def refuse(proxy: MoodyProxy) -> None:
    proxy.call(_leave(proxy))


async def _leave(proxy: MoodyProxy) -> None:
    proxy.go_away()


def hang_up(proxy: MoodyProxy) -> None:
    proxy.mood = lambda asked: b""


def want_credentials(proxy: MoodyProxy) -> None:
    proxy.mood = lambda asked: NO_CREDENTIALS


def speak_otherwise(proxy: MoodyProxy) -> None:
    proxy.mood = lambda asked: b"SSH-2.0-OpenSSH_9.9\r\n\r\n"


def freeze(proxy: MoodyProxy) -> None:
    proxy.frozen = True


@EACH_WAY
@pytest.mark.parametrize(
    ("trouble", "exchange", "why"),
    [
        (refuse, "direct", "refused"),
        (hang_up, "session", "closed the connection"),
        (want_credentials, "direct", "407"),
        (freeze, "session", "doesn't answer"),
    ],
)
def test_proxy_that_never_serves_ends_the_run_with_75_and_no_record(
    tmp_path: Path,
    hosts: CountingServer,
    proxy: MoodyProxy,
    scheme: str,
    trouble: Callable[[MoodyProxy], None],
    exchange: str,
    why: str,
) -> None:
    trouble(proxy)
    options = ["--outage-patience", "0.5", "--connect-timeout", "1", "--read-timeout", "1"]
    result = fetch(tmp_path, urls_of(hosts, 3), proxy.url, "--exchange", exchange, *options)
    assert (result.returncode, result.records) == (75, []), result.stderr
    assert "the proxy" in result.stderr
    assert why in result.stderr
    assert not hosts.counts.hits


def test_one_url_is_enough_to_tell(tmp_path: Path, proxy: MoodyProxy) -> None:
    refuse(proxy)
    result = fetch(tmp_path, ["http://127.0.0.1:9/"], proxy.url, "--outage-patience", "0.5")
    assert (result.returncode, result.records) == (75, []), result.stderr


@EACH_WAY
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_proxy_that_hangs_up_at_all_there_is_is_known_by_few_urls(
    tmp_path: Path, proxy: MoodyProxy, scheme: str, count: int, workers: str
) -> None:
    hang_up(proxy)
    urls = [f"{scheme}://127.0.0.1:9/{n}" for n in range(count)]
    options = ["--outage-patience", "0.5", "--workers", workers]
    result = fetch(tmp_path, urls, proxy.url, *options)
    assert (result.returncode, result.records) == (75, []), result.stderr
    assert "the proxy closed the connection" in result.stderr


@pytest.mark.parametrize("scheme", ["http"])
def test_hosts_reached_without_the_proxy_do_not_speak_for_it(
    tmp_path: Path, hosts: CountingServer, proxy: MoodyProxy, scheme: str
) -> None:
    hang_up(proxy)
    urls = [f"{scheme}://127.0.0.1:9/", *urls_of(hosts, 1)]
    direct = ",".join(HOSTS)
    patience = ["--outage-patience", "0.5"]
    result = fetch(tmp_path, urls, "", *patience, HTTP_PROXY=proxy.url, NO_PROXY=direct)
    assert result.returncode == 75, result.stderr
    assert len(result.records) == len(HOSTS)
    assert all(record["ok"] for record in result.records)


def test_what_answers_connect_with_no_http_is_no_proxy(tmp_path: Path, proxy: MoodyProxy) -> None:
    speak_otherwise(proxy)
    result = fetch(tmp_path, ["https://127.0.0.1:9/"], proxy.url, "--outage-patience", "0.5")
    assert (result.returncode, result.records) == (75, []), result.stderr


@pytest.mark.parametrize("options", [["--limit", "1"], ["--workers", "2"]], ids=" ".join)
@EACH_WAY
def test_url_at_which_the_proxy_hangs_up_from_the_start_costs_the_others_nothing(
    tmp_path: Path, hosts: CountingServer, proxy: MoodyProxy, scheme: str, options: list[str]
) -> None:
    proxy.mood = lambda asked: b"" if "127.0.0.1:9" in asked.target else None
    bad, good = f"{scheme}://127.0.0.1:9/", urls_of(hosts, 1)
    result = fetch(tmp_path, [bad, *good], proxy.url, *options)
    found = {record["url"]: record["error"] for record in result.records}
    assert found == {bad: "connect", **dict.fromkeys(good)}, result.stderr
    assert result.returncode == 1


def test_tls_that_fails_with_the_proxy_is_no_urls_failure(
    tmp_path: Path, authority: Authority
) -> None:
    with MoodyProxy(authority.contexts["untrusted"]) as proxy:
        args = ["get", "https://127.0.0.1:9/", "-o", "out", "--outage-patience", "0.5"]
        result = run_fetchpool([*args, "--proxy", proxy.url], cwd=tmp_path)
    assert (result.returncode, result.records) == (75, []), result.stderr
    assert "the proxy can't be reached: certificate refused" in result.stderr


@needs_resolver
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_proxy_whose_name_is_unknown_is_no_urls_failure(tmp_path: Path, scheme: str) -> None:
    with NameServer({}) as names:
        args = ["get", f"{scheme}://127.0.0.1:9/", "-o", "out", "--outage-patience", "0.5"]
        result = run_fetchpool(
            [*args, "--proxy", "http://proxy.test:3128"],
            cwd=tmp_path,
            program=with_resolver(names.address, tmp_path),
        )
    assert (result.returncode, result.records) == (75, []), result.stderr
    assert "no such name" in result.stderr


@needs_resolver
@pytest.mark.parametrize("scheme", ["http"])
def test_proxy_whose_name_is_known_again_lets_the_run_go_on(
    tmp_path: Path, hosts: CountingServer, proxy: MoodyProxy, scheme: str
) -> None:
    with NameServer({}) as names:

        async def know_later() -> None:
            known = {"proxy.test": Name(("127.0.0.1",))}
            asyncio.get_running_loop().call_later(1.5, setattr, names, "names", known)

        names.call(know_later())
        urls = urls_of(hosts, 1)
        url = proxy.url.replace("127.0.0.1", "proxy.test")
        args = ["get", *urls, "-o", "out", "--outage-patience", "20", "--proxy", url]
        program = with_resolver(names.address, tmp_path)
        result = run_fetchpool(args, cwd=tmp_path, program=program)
    check_complete(result, urls)


@EACH_WAY
def test_credentials_that_are_taken_again_let_the_run_go_on(
    tmp_path: Path, hosts: CountingServer, proxy: MoodyProxy, scheme: str
) -> None:
    """From the tenth request on the proxy wants others, until it has said so forty times."""
    said: list[Asked] = []

    def want(asked: Asked) -> bytes | None:
        if len(proxy.asked) < 10 or len(said) >= 40:
            return None
        said.append(asked)
        return NO_CREDENTIALS

    proxy.mood = want
    urls = urls_of(hosts, 8)
    check_complete(fetch(tmp_path, urls, proxy.url), urls)
    check_waited(tmp_path)


@EACH_WAY
def test_proxy_that_thaws_lets_the_run_go_on(
    tmp_path: Path, hosts: CountingServer, proxy: MoodyProxy, scheme: str
) -> None:
    async def thaw_when_it_is_missed() -> None:
        log = tmp_path / "log"
        while not (log.exists() and "our-network-down" in log.read_text()):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        proxy.frozen = False

    async def begin() -> None:
        thawing.append(asyncio.ensure_future(thaw_when_it_is_missed()))

    thawing: list[asyncio.Future[None]] = []
    freeze(proxy)
    proxy.call(begin())
    urls = urls_of(hosts, 2)
    options = ["--connect-timeout", "1", "--read-timeout", "1"]
    check_complete(fetch(tmp_path, urls, proxy.url, *options), urls)


# -- what is a host's or a URL's own


@EACH_WAY
def test_host_that_alone_wants_credentials_holds_up_no_other(
    tmp_path: Path, hosts: CountingServer, proxy: MoodyProxy, scheme: str
) -> None:
    proxy.mood = lambda asked: NO_CREDENTIALS if f"{HOSTS[0]}:" in asked.target else None
    urls = urls_of(hosts, 4)
    result = fetch(tmp_path, urls, proxy.url)
    assert result.returncode == 1, result.stderr
    assert len(result.records) == len(urls)
    failed = [record for record in result.records if not record["ok"]]
    assert {record["error"] for record in failed} == {"connect"}
    assert all("407" in record["detail"] for record in failed)
    assert {record["url"] for record in failed} == {u for u in urls if f"{HOSTS[0]}:" in u}


@pytest.mark.parametrize("scheme", ["https"])
@pytest.mark.parametrize("status", [403, 502, 504])
def test_host_that_the_proxy_does_not_reach_fails_alone(
    tmp_path: Path, hosts: CountingServer, proxy: MoodyProxy, scheme: str, status: int
) -> None:
    answer = f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode()
    proxy.mood = lambda asked: answer if asked.target.startswith(f"{HOSTS[0]}:") else None
    urls = urls_of(hosts, 4)
    result = fetch(tmp_path, urls, proxy.url)
    assert result.returncode == 1, result.stderr
    failed = [record for record in result.records if not record["ok"]]
    assert {record["url"] for record in failed} == {u for u in urls if f"{HOSTS[0]}:" in u}
    assert {record["error"] for record in failed} == {"connect"}
    assert any(str(status) in record["detail"] for record in failed)
    assert "our-network-down" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("scheme", ["http"])
def test_gateway_trouble_of_plain_http_is_a_status_of_that_url(
    tmp_path: Path, hosts: CountingServer, proxy: MoodyProxy, scheme: str
) -> None:
    proxy.mood = lambda asked: BAD_GATEWAY if f"{HOSTS[0]}:" in asked.target else None
    urls = urls_of(hosts, 2)
    result = fetch(tmp_path, urls, proxy.url)
    failed = {record["url"]: record["status"] for record in result.records if not record["ok"]}
    assert failed == {url: 502 for url in urls if f"{HOSTS[0]}:" in url}


@EACH_WAY
def test_proxy_that_hangs_up_for_one_host_is_that_hosts_matter(
    tmp_path: Path, hosts: CountingServer, proxy: MoodyProxy, scheme: str
) -> None:
    proxy.mood = lambda asked: b"" if f"{HOSTS[0]}:" in asked.target else None
    urls = [*urls_of(hosts, 4)]
    urls.sort(key=lambda url: f"{HOSTS[0]}:" in url)
    result = fetch(tmp_path, urls, proxy.url, "--limit", "8")
    failed = {record["url"] for record in result.records if not record["ok"]}
    assert failed == {url for url in urls if f"{HOSTS[0]}:" in url}, result.stderr
    assert result.returncode == 1


@pytest.mark.parametrize("scheme", ["https"])
@pytest.mark.parametrize(
    "opening",
    [
        b"HTTP/1.1 201 Created\r\n\r\n",
        b"HTTP/1.0 204 No Content\r\nProxy-Agent: x\r\n\r\n",
        b"HTTP/1.1 299 Whatever\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\n\n",
    ],
)
def test_any_2xx_opens_a_tunnel(
    tmp_path: Path, hosts: CountingServer, proxy: MoodyProxy, scheme: str, opening: bytes
) -> None:
    proxy.opening = opening
    urls = urls_of(hosts, 2)
    check_complete(fetch(tmp_path, urls, proxy.url, "--connect-timeout", "3"), urls)


@pytest.mark.parametrize("scheme", ["http"])
def test_hosts_that_need_no_proxy_do_not_speak_for_it(
    tmp_path: Path, hosts: CountingServer, proxy: MoodyProxy, scheme: str
) -> None:
    """Half of the list goes there directly; what answers there doesn't end the wait."""
    direct = set(HOSTS[::2])
    leave_once(proxy, 10)
    urls = [f"{url}&delay=0.02" for url in urls_of(hosts, 15)]
    env = {"HTTP_PROXY": proxy.url, "NO_PROXY": " ".join(direct)}
    result = fetch(tmp_path, urls, "", "--limit", "20", **env)
    check_complete(result, urls)
    assert (tmp_path / "log").read_text().count("our-network-down") == 1
    # The proxy passes on what it is probed with, which is for `/`.
    hits = Counter(hit.target + hit.host for hit in hosts.counts.hits if hit.target != "/")
    assert set(hits.values()) <= {1, 2}, "twice only what was cut off"

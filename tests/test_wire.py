"""What the options do on the wire, seen by the servers that the real program talks to."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.harness import (
    PROGRAM,
    Result,
    check_bodies,
    one_process,
    raise_descriptor_limit,
    run_fetchpool,
    why_no_network_namespace,
    why_no_resolver,
    with_resolver,
)
from tests.servers.counting import CountingServer
from tests.servers.dns import Name, NameServer
from tests.servers.proxy import RecordingProxy
from tests.servers.tls import Authority

needs_resolver = pytest.mark.skipif(why_no_resolver() is not None, reason=str(why_no_resolver()))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def server() -> Iterator[CountingServer]:
    with CountingServer() as counting:
        yield counting


def fetch(
    tmp_path: Path,
    urls: Sequence[str],
    *options: str,
    env: dict[str, str] | None = None,
    program: Sequence[str] = PROGRAM,
) -> Result:
    """Fetch *urls* into `out` and return what came of it, bodies checked."""
    (tmp_path / "list.txt").write_text("\n".join(urls) + "\n")
    args = ["get", "list.txt", "-o", "out", *options]
    result = run_fetchpool(args, cwd=tmp_path, env=env, program=program)
    assert len(result.records) == len(urls), result.stderr
    check_bodies(result.records, tmp_path / "out")
    return result


def all_ok(result: Result) -> bool:
    """Return whether every URL is ok and each stored body is the one of its final URL."""
    assert result.returncode == 0, (result.stderr, [r for r in result.records if not r["ok"]])
    return all(record["ok"] for record in result.records)


# --- limits


def _hosts(count: int) -> list[str]:
    return [f"127.0.1.{n}" for n in range(1, count + 1)]


@pytest.fixture
def crowd() -> Iterator[CountingServer]:
    """Thirty hosts, each an address of its own."""
    raise_descriptor_limit()
    try:
        with CountingServer(_hosts(30)) as counting:
            yield counting
    except OSError:
        pytest.skip("this system has no loopback addresses beyond 127.0.0.1")


def test_limits_hold_over_many_hosts_with_redirects_and_retries(
    tmp_path: Path, crowd: CountingServer
) -> None:
    hosts = crowd.addresses
    urls = []
    for index, host in enumerate(hosts):
        onward = quote(crowd.url(f"/landed/{index}?delay=0.02", hosts[(index + 1) % 7]), safe="")
        urls += [crowd.url(f"/plain/{n}?delay=0.02", host) for n in range(5)]
        urls += [crowd.url(f"/hop/{n}?delay=0.01&to={onward}", host) for n in range(3)]
        urls += [crowd.url("/again?status=503&first=1&delay=0.01", host)]
    result = fetch(tmp_path, urls, "--limit", "20", "--per-host", "3")
    assert all_ok(result)
    assert crowd.counts.peak <= 20
    assert max(crowd.counts.peaks.values()) <= 3
    assert len(crowd.counts.hits) == 30 * (5 + 3 * 2 + 2)
    assert {r["redirects"] for r in result.records if "/hop/" in r["url"]} == {1}
    assert {r["attempts"] for r in result.records if "/again" in r["url"]} == {2}


def _warm_then_many(server: CountingServer, warm: int, many: int) -> list[str]:
    """Return *many* URLs for each address, after *warm* that are answered at once."""
    paths = [f"/warm/{n}" for n in range(warm)] + [f"/{n}" for n in range(many)]
    return [server.url(path, host) for path in paths for host in server.addresses]


@one_process
def test_every_slot_of_the_limit_is_used(tmp_path: Path) -> None:
    with CountingServer(_hosts(4), gate=12) as server:
        urls = _warm_then_many(server, 3, 10)
        assert all_ok(fetch(tmp_path, urls, "--limit", "12", "--per-host", "3"))
        assert server.counts.peak == 12
        assert set(server.counts.peaks.values()) == {3}


def test_one_host_gets_no_more_than_its_limit_however_long_its_list(
    tmp_path: Path, server: CountingServer
) -> None:
    urls = [server.url(f"/{n}?delay=0.01") for n in range(60)]
    assert all_ok(fetch(tmp_path, urls, "--limit", "50", "--per-host", "1"))
    assert server.counts.peak == 1


def test_per_host_0_leaves_the_total_limit_alone_to_hold(tmp_path: Path) -> None:
    with CountingServer(gate=30) as server:
        urls = _warm_then_many(server, 30, 60)
        assert all_ok(fetch(tmp_path, urls, "--limit", "30", "--per-host", "0"))
        assert server.counts.peak == 30


def test_limit_0_takes_as_many_as_there_are(tmp_path: Path) -> None:
    raise_descriptor_limit()
    with CountingServer(gate=150) as server:
        # Workers share the URLs by chance: each is to trust the host with more than its part.
        urls = _warm_then_many(server, 300, 150)
        assert all_ok(fetch(tmp_path, urls, "--limit", "0", "--per-host", "0"))
        assert server.counts.peak == 150


def test_default_is_ten_to_a_host(tmp_path: Path) -> None:
    with CountingServer(gate=10) as server:
        assert all_ok(fetch(tmp_path, _warm_then_many(server, 10, 40)))
        assert server.counts.peak == 10


def test_two_ports_are_two_hosts(tmp_path: Path) -> None:
    with CountingServer(gate=2) as one, CountingServer(gate=2) as other:
        urls = _warm_then_many(one, 2, 6) + _warm_then_many(other, 2, 6)
        assert all_ok(fetch(tmp_path, urls, "--per-host", "2"))
        assert (one.counts.peak, other.counts.peak) == (2, 2)


def test_slow_host_does_not_delay_others(tmp_path: Path) -> None:
    with CountingServer(["127.0.0.1", "::1"]) as server:
        slow = [server.url(f"/{n}?until=40", "127.0.0.1") for n in range(8)]
        fast = [server.url(f"/{n}", "::1") for n in range(40)]
        options = ["--limit", "8", "--per-host", "4", "--read-timeout", "15"]
        result = fetch(tmp_path, slow + fast, *options)
        assert all_ok(result)
        assert {record["url"] for record in result.records[:40]} == set(fast)


# --- connections


def test_connections_are_used_again(tmp_path: Path, server: CountingServer) -> None:
    urls = [server.url(f"/{n}") for n in range(30)]
    assert all_ok(fetch(tmp_path, urls, "--per-host", "2"))
    assert server.counts.connections <= 2
    assert {hit.get("connection") for hit in server.counts.hits} <= {None, "keep-alive"}


def test_force_close_opens_a_connection_for_every_request(
    tmp_path: Path, server: CountingServer
) -> None:
    urls = [server.url(f"/{n}") for n in range(20)]
    assert all_ok(fetch(tmp_path, urls, "--force-close", "--per-host", "2"))
    assert server.counts.connections == 20
    assert {hit.turn for hit in server.counts.hits} == {1}
    assert {hit.get("connection") for hit in server.counts.hits} == {"close"}


def test_force_close_holds_for_redirects_and_retries_too(
    tmp_path: Path, server: CountingServer
) -> None:
    hop = server.url("/hop?to=/landed")
    again = server.url("/again?status=503&first=1")
    assert all_ok(fetch(tmp_path, [hop, again], "--force-close"))
    assert server.counts.connections == len(server.counts.hits) == 4


def test_idle_connection_is_dropped_after_keepalive(tmp_path: Path) -> None:
    # A request every two seconds: an idle life of 0.4 s (twice that at most) lies well between.
    with CountingServer() as short, CountingServer() as default:
        folders = [tmp_path / "short", tmp_path / "default"]
        for folder in folders:
            folder.mkdir()
        with ThreadPoolExecutor(2) as threads:
            options = ["--host-rate", "0.5", "--per-host", "1"]
            urls = [[server.url(f"/{n}") for n in range(3)] for server in (short, default)]
            first = threads.submit(fetch, folders[0], urls[0], *options, "--keepalive", "0.4")
            second = threads.submit(fetch, folders[1], urls[1], *options)
            assert all_ok(first.result())
            assert all_ok(second.result())
        assert short.counts.connections == 3
        assert default.counts.connections == 1


def test_stale_connection_is_no_error_and_no_attempt_of_the_url(
    tmp_path: Path, server: CountingServer
) -> None:
    urls = [server.url(f"/{n}?stale=1") for n in range(6)]
    result = fetch(tmp_path, urls, "--per-host", "1", "--retries", "0")
    assert all_ok(result)
    assert {record["attempts"] for record in result.records} == {1}


@pytest.mark.parametrize(
    ("exchange", "retries"), [("direct", 0), ("direct", 1), ("direct", 3), ("session", 1)]
)
def test_request_that_ends_every_connection_takes_no_more_than_any_other(
    tmp_path: Path, server: CountingServer, exchange: str, retries: int
) -> None:
    """A kept connection may have been closed before: that is excused once, not once for each."""
    good = [server.url(f"/{n}?delay=0.05") for n in range(30)]  # over ten connections, all kept
    bad = [server.url(f"/{n}?hangup=1") for n in range(3)]
    options = ["--exchange", exchange, "--retries", str(retries)]
    result = fetch(tmp_path, [*good, *bad, *(server.url(f"/{n}") for n in range(30))], *options)
    asked = Counter(hit.target for hit in server.counts.hits)
    for url in bad:
        record = result.of(url)
        assert (record["error"], record["ok"]) == ("connect", False)
        assert record["attempts"] == asked[url[url.index("/", 8) :]] <= max(2, 1 + retries)
    assert sum(record["ok"] for record in result.records) == 60


def test_force_close_with_keepalive_is_a_usage_error(
    tmp_path: Path, server: CountingServer
) -> None:
    args = ["get", server.url("/"), "-o", "out", "--force-close", "--keepalive", "5"]
    assert run_fetchpool(args, cwd=tmp_path).returncode == 2
    assert server.counts.connections == 0


# --- attempts


@pytest.mark.parametrize("retries", [0, 2])
def test_server_sees_as_many_requests_as_attempts(
    tmp_path: Path, server: CountingServer, retries: int
) -> None:
    url = server.url("/broken?status=500")
    result = fetch(tmp_path, [url], "--retries", str(retries))
    assert result.returncode == 1
    record = result.of(url)
    assert (record["error"], record["status"]) == ("status", 500)
    assert record["attempts"] == len(server.counts.hits) == 1 + retries


def test_closed_port_is_tried_again(tmp_path: Path, server: CountingServer) -> None:
    closed = "http://127.0.0.1:1/"  # a port that no other server of the tests gets meanwhile
    result = fetch(tmp_path, [server.url("/"), closed], "--retries", "2")
    record = result.of(closed)
    assert (record["error"], record["status"], record["attempts"]) == ("connect", None, 3)


def test_body_of_an_error_is_stored_only_when_asked_for(
    tmp_path: Path, server: CountingServer
) -> None:
    url = server.url("/gone?status=404")
    assert fetch(tmp_path, [url]).of(url)["path"] is None
    record = fetch(tmp_path, [url], "--keep-errors", "--fresh").of(url)
    assert (record["ok"], record["error"], record["bytes"] > 0) == (False, "status", True)
    assert record["path"]


def test_refusal_for_good_is_not_asked_again(tmp_path: Path, server: CountingServer) -> None:
    urls = [server.url(f"/{status}?status={status}") for status in (400, 401, 403, 404, 410, 501)]
    result = fetch(tmp_path, urls, "--retries", "3")
    assert {record["error"] for record in result.records} == {"status"}
    assert len(server.counts.hits) == len(urls)


def test_retry_after_parks_the_whole_host_and_no_other(tmp_path: Path) -> None:
    with CountingServer() as parked, CountingServer() as other:
        busy = parked.url("/busy?status=429&first=1&after=2")
        urls = [busy, *(parked.url(f"/{n}") for n in range(5))]
        urls += [other.url(f"/{n}") for n in range(5)]
        result = fetch(tmp_path, urls, "--per-host", "1", "--limit", "5")
        assert all_ok(result)
        assert result.of(busy)["attempts"] == 2
        first, second, *_ = sorted(hit.at for hit in parked.counts.hits)
        assert second - first >= 1.9  # what the host asked for; longer is the machine's business
        assert {record["url"] for record in result.records[:5]} == set(urls[6:])


def test_max_redirects_0_makes_the_3xx_the_answer(tmp_path: Path, server: CountingServer) -> None:
    url = server.url("/hop?to=/landed")
    record = fetch(tmp_path, [url], "--max-redirects", "0").of(url)
    assert (record["error"], record["status"], record["redirects"]) == ("status", 302, 0)
    assert server.counts.targets() == ["/hop?to=/landed"]


@pytest.mark.parametrize(("most", "ok"), [(1, False), (2, True)])
def test_max_redirects_counts_hops(
    tmp_path: Path, server: CountingServer, most: int, ok: bool
) -> None:
    url = server.url(f"/a?to={quote('/b?to=/landed', safe='')}")
    record = fetch(tmp_path, [url], "--max-redirects", str(most)).of(url)
    assert record["ok"] is ok
    assert record["error"] == (None if ok else "redirect")
    assert len(server.counts.hits) == 1 + most


@pytest.mark.parametrize("exchange", ["direct", "session"])
def test_quotes_in_a_query_are_sent_as_given(
    tmp_path: Path, server: CountingServer, exchange: str
) -> None:
    """A signature may be over them, and browsers' percent-encoding would break it."""
    landing = "/landed?name=O'Neil&x=%27"
    urls = [
        server.url("/a?name='b'&sig=%27c%27"),
        server.url("/a b?name='b' c"),
        server.url(f"/d?to={quote(landing, safe='')}"),
    ]
    assert all_ok(fetch(tmp_path, urls, "--exchange", exchange))
    assert sorted(server.counts.targets()) == sorted(
        ["/a?name='b'&sig=%27c%27", "/a%20b?name='b'%20c", urls[2][len(server.url("")) :], landing]
    )


# --- rates


def test_rate_holds_over_all_hosts(tmp_path: Path) -> None:
    with CountingServer() as one, CountingServer() as other:
        urls = [server.url(f"/{n}") for n in range(15) for server in (one, other)]
        assert all_ok(fetch(tmp_path, urls, "--rate", "10"))
        one.counts.hits += other.counts.hits
        # Up to a second's worth may start at once, or arrive late and together.
        assert one.counts.most_within(1.0) <= 20
        times = [hit.at for hit in one.counts.hits]
        assert max(times) - min(times) >= (len(urls) - 10) / 10 * 0.9


def test_host_rate_holds_for_each_host_while_they_go_on_side_by_side(tmp_path: Path) -> None:
    with CountingServer() as one, CountingServer() as other:
        urls = [server.url(f"/{n}") for server in (one, other) for n in range(15)]
        assert all_ok(fetch(tmp_path, urls, "--host-rate", "5"))
        for server in (one, other):
            assert server.counts.most_within(1.0) <= 10
        first, second = (sorted(hit.at for hit in s.counts.hits) for s in (one, other))
        assert first[0] < second[-1]
        assert second[0] < first[-1]


def test_rate_counts_redirects_and_retries(tmp_path: Path, server: CountingServer) -> None:
    urls = [server.url(f"/{n}?to=/landed/{n}") for n in range(10)]
    assert all_ok(fetch(tmp_path, urls, "--host-rate", "5"))
    assert len(server.counts.hits) == 20
    assert server.counts.most_within(1.0) <= 10


# --- what is sent


def test_request_says_who_asks(tmp_path: Path, server: CountingServer) -> None:
    assert all_ok(fetch(tmp_path, [server.url("/?a=%2F&b=%41#part")]))
    hit = server.counts.hits[0]
    assert hit.target == "/?a=%2F&b=%41"
    assert hit.host == f"127.0.0.1:{server.port}"
    assert (hit.get("user-agent") or "").startswith("fetchpool/")
    names = [name for name, _ in hit.headers]
    assert len(names) == len(set(names))


def test_user_agent_and_headers_are_sent(tmp_path: Path, server: CountingServer) -> None:
    options = ["-A", "probe/1", "-H", "X-One: 1", "-H", "X-Two:  two words "]
    assert all_ok(fetch(tmp_path, [server.url("/")], *options))
    hit = server.counts.hits[0]
    assert [hit.get(name) for name in ("user-agent", "x-one", "x-two")] == [
        "probe/1",
        "1",
        "two words",
    ]


def test_headers_stay_with_the_urls_own_origin(tmp_path: Path) -> None:
    with CountingServer() as own, CountingServer() as other:
        away = own.url(f"/away?to={quote(other.url('/landed'), safe='')}")
        home = own.url("/home?to=/landed")
        assert all_ok(fetch(tmp_path, [away, home], "-H", "X-Key: k", "-H", "Authorization: a"))
        assert [hit.get("x-key") for hit in own.counts.hits] == ["k"] * 3
        assert [hit.get("authorization") for hit in own.counts.hits] == ["a"] * 3
        landed = other.counts.hits[0]
        assert (landed.get("x-key"), landed.get("authorization")) == (None, None)


def test_headers_do_not_come_back_with_a_redirect_that_returns(tmp_path: Path) -> None:
    with CountingServer() as own, CountingServer() as other:
        back = quote(own.url("/landed"), safe="")
        away = quote(other.url(f"/back?to={back}"), safe="")
        assert all_ok(fetch(tmp_path, [own.url(f"/away?to={away}")], "-H", "X-Key: k"))
        assert [hit.get("x-key") for hit in other.counts.hits] == [None]
        assert own.counts.hits[0].get("x-key") == "k"


def test_userinfo_becomes_a_header_for_its_origin_alone(tmp_path: Path) -> None:
    with CountingServer() as own, CountingServer() as other:
        url = own.url(f"/?to={quote(other.url('/landed'), safe='')}")
        secret = url.replace("http://", "http://user:hush@")
        result = fetch(tmp_path, [secret])
        assert all_ok(result)
        assert own.counts.hits[0].get("authorization") == "Basic dXNlcjpodXNo"
        assert other.counts.hits[0].get("authorization") is None
        assert "hush" not in str(result.records) + result.stderr + result.stdout


# --- TLS


def _secured(authority: Authority, name: str) -> CountingServer:
    context: ssl.SSLContext = authority.contexts[name]
    return CountingServer(context=context)


def test_cacert_adds_a_root(tmp_path: Path, authority: Authority) -> None:
    roots = authority.write_roots(tmp_path / "roots.pem")
    with _secured(authority, "good") as server:
        assert all_ok(fetch(tmp_path, [server.url("/")], "--cacert", str(roots)))


@pytest.mark.parametrize(("exchange", "loop"), [("direct", "uvloop"), ("session", "asyncio")])
def test_roots_are_the_system_s(
    tmp_path: Path, authority: Authority, exchange: str, loop: str
) -> None:
    roots = authority.write_roots(tmp_path / "roots.pem")
    with _secured(authority, "good") as server:
        urls = [server.url(f"/{n}") for n in range(3)]
        ways = ["--exchange", exchange, "--event-loop", loop]
        assert all_ok(fetch(tmp_path, urls, *ways, env={"SSL_CERT_FILE": str(roots)}))


def test_unknown_root_is_refused_at_once(tmp_path: Path, authority: Authority) -> None:
    with _secured(authority, "good") as server:
        url = server.url("/")
        record = fetch(tmp_path, [url]).of(url)
        assert (record["error"], record["attempts"], record["status"]) == ("tls", 1, None)
        assert server.counts.hits == []


def test_insecure_takes_any_certificate_and_says_so(tmp_path: Path, authority: Authority) -> None:
    names = ["untrusted", "expired", "wrong-host", "self-signed"]
    with ExitStack() as servers:
        urls = [servers.enter_context(_secured(authority, name)).url(f"/{name}") for name in names]
        result = fetch(tmp_path, urls, "--insecure")
        assert all_ok(result)
        assert {r["url"]: r["insecure"] for r in result.records} == dict.fromkeys(urls, True)


def test_tls_connections_are_used_again(tmp_path: Path, authority: Authority) -> None:
    roots = authority.write_roots(tmp_path / "roots.pem")
    with _secured(authority, "good") as server:
        urls = [server.url(f"/{n}?size=100000") for n in range(12)]
        assert all_ok(fetch(tmp_path, urls, "--cacert", str(roots), "--per-host", "2"))
        assert server.counts.connections <= 2


def test_force_close_over_tls_ends(tmp_path: Path, authority: Authority) -> None:
    roots = authority.write_roots(tmp_path / "roots.pem")
    with _secured(authority, "good") as server:
        urls = [server.url(f"/{n}") for n in range(8)]
        assert all_ok(fetch(tmp_path, urls, "--cacert", str(roots), "--force-close"))
        assert server.counts.connections == 8


# --- proxies


@pytest.fixture
def proxy() -> Iterator[RecordingProxy]:
    with RecordingProxy() as recording:
        yield recording


def test_proxy_gets_whole_urls(
    tmp_path: Path, server: CountingServer, proxy: RecordingProxy
) -> None:
    url = server.url("/x?a=%2F")
    assert all_ok(fetch(tmp_path, [url], "--proxy", proxy.url))
    assert [(asked.method, asked.target) for asked in proxy.asked] == [("GET", url)]
    assert len(server.counts.hits) == 1


@pytest.mark.parametrize("exchange", ["direct", "session"])
def test_proxy_is_asked_to_connect_for_https_and_sees_no_header(
    tmp_path: Path, authority: Authority, proxy: RecordingProxy, exchange: str
) -> None:
    roots = authority.write_roots(tmp_path / "roots.pem")
    with _secured(authority, "good") as server:
        options = ["--proxy", proxy.url, "--cacert", str(roots), "-H", "X-Key: hush"]
        assert all_ok(fetch(tmp_path, [server.url("/")], *options, "--exchange", exchange))
        assert [asked.method for asked in proxy.asked] == ["CONNECT"]
        assert proxy.asked[0].target == f"127.0.0.1:{server.port}"
        assert proxy.asked[0].get("x-key") is None
        assert server.counts.hits[0].get("x-key") == "hush"


@pytest.mark.parametrize("exchange", ["direct", "session"])
def test_proxy_password_goes_to_the_proxy_only_and_is_never_shown(
    tmp_path: Path, server: CountingServer, proxy: RecordingProxy, exchange: str
) -> None:
    secret = proxy.url.replace("http://", "http://user:hush@")
    result = fetch(tmp_path, [server.url("/")], "--proxy", secret, "--exchange", exchange)
    assert all_ok(result)
    assert proxy.asked[0].get("proxy-authorization") == "Basic dXNlcjpodXNo"
    everything = result.stdout + result.stderr + (tmp_path / "out/results.jsonl").read_text()
    assert "hush" not in everything


@pytest.mark.parametrize("exchange", ["direct", "session"])
def test_header_of_the_user_takes_the_place_of_the_urls_credentials(
    tmp_path: Path, server: CountingServer, exchange: str
) -> None:
    url = server.url("/").replace("http://", "http://user:hush@")
    options = ["-H", "authorization: Bearer abc", "--exchange", exchange]
    fetch(tmp_path, [url], *options)
    sent = [value for name, value in server.counts.hits[0].headers if name == "authorization"]
    assert sent == ["Bearer abc"]


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
def test_proxy_is_taken_from_the_environment(
    tmp_path: Path, server: CountingServer, proxy: RecordingProxy, name: str
) -> None:
    assert all_ok(fetch(tmp_path, [server.url("/")], env={name: proxy.url}))
    assert len(proxy.asked) == 1


def test_https_proxy_of_the_environment_is_for_https(
    tmp_path: Path, server: CountingServer, authority: Authority, proxy: RecordingProxy
) -> None:
    roots = authority.write_roots(tmp_path / "roots.pem")
    with _secured(authority, "good") as secured:
        urls = [server.url("/"), secured.url("/")]
        env = {"HTTPS_PROXY": proxy.url}
        assert all_ok(fetch(tmp_path, urls, "--cacert", str(roots), env=env))
        assert [asked.method for asked in proxy.asked] == ["CONNECT"]


@pytest.mark.parametrize("exception", ["127.0.0.1", "*", "localhost,127.0.0.1"])
def test_no_proxy_is_an_exception(
    tmp_path: Path, server: CountingServer, proxy: RecordingProxy, exception: str
) -> None:
    env = {"HTTP_PROXY": proxy.url, "NO_PROXY": exception}
    assert all_ok(fetch(tmp_path, [server.url("/")], env=env))
    assert proxy.asked == []


def test_empty_proxy_turns_the_environments_off(
    tmp_path: Path, server: CountingServer, proxy: RecordingProxy
) -> None:
    env = {"HTTP_PROXY": proxy.url, "HTTPS_PROXY": proxy.url}
    assert all_ok(fetch(tmp_path, [server.url("/")], "--proxy", "", env=env))
    assert proxy.asked == []


def test_proxy_is_used_for_every_hop(
    tmp_path: Path, server: CountingServer, proxy: RecordingProxy
) -> None:
    assert all_ok(fetch(tmp_path, [server.url("/?to=/landed")], "--proxy", proxy.url))
    assert [asked.target for asked in proxy.asked] == [
        server.url("/?to=/landed"),
        server.url("/landed"),
    ]


# --- addresses and names

_LOOPBACK = [
    "127.0.0.1",
    "2130706433",
    "0177.0.0.1",
    "0x7f.1",
    "127.1",
    "127.255.255.254",
    "0",
    "[::1]",
    "[::]",
    "[::ffff:7f00:1]",
    "[::ffff:127.0.0.1]",
    "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "127\u30020\u30020\u30021",
    "localhost",
]
_ELSEWHERE = [
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "100.64.0.1",
    "198.18.0.1",
    "192.0.2.1",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b::a00:1]",
    "[2002:7f00:1::]",
    "[2001:db8::1]",
    "[fe80::1]",
    "[fc00::1]",
    "[ff02::1]",
    "[::ffff:10.0.0.1]",
]


def test_public_only_blocks_every_spelling_of_loopback_before_any_packet(tmp_path: Path) -> None:
    with CountingServer(["127.0.0.1", "::1"]) as server:
        urls = [f"http://{name}:{server.port}/" for name in _LOOPBACK]
        result = fetch(tmp_path, urls, "--public-only")
        assert {r["url"]: r["error"] for r in result.records if r["error"] != "blocked"} == {}
        assert server.counts.connections == 0


@pytest.mark.skipif(why_no_network_namespace() is not None, reason=str(why_no_network_namespace()))
def test_public_only_blocks_what_is_not_public(tmp_path: Path) -> None:
    # In a network namespace without any interface: a wrong answer can't send a packet either.
    urls = [f"http://{name}:9/" for name in _ELSEWHERE]
    result = fetch(tmp_path, urls, "--public-only", program=["unshare", "-n", *PROGRAM])
    assert {r["url"]: r["error"] for r in result.records if r["error"] != "blocked"} == {}


@pytest.fixture
def named(tmp_path: Path) -> Iterator[tuple[CountingServer, NameServer, list[str]]]:
    """A server on both families, a resolver that knows it by name, and the program using it."""
    names = {
        "both.test": Name(("127.0.0.1", "::1")),
        "four.test": Name(("127.0.0.1",)),
        "alias.test": Name(alias="step.test"),
        "step.test": Name(alias="four.test"),
        "alias-dead.test": Name(alias="nothing-there.test"),
        "alias-loop.test": Name(alias="alias-loop.test"),
        "no-address.test": Name(),
        "servfail.test": Name(error="SERVFAIL"),
        "refused.test": Name(error="REFUSED"),
        "silent.test": Name(silent=True),
        "malformed.test": Name(("127.0.0.1",), malformed=True),
        **{f"late-{n}.test": Name(("127.0.0.1",), after_malformed=True) for n in range(10)},
        **{f"silent-{n}.test": Name(silent=True) for n in range(30)},
    }
    with CountingServer(["127.0.0.1", "::1"]) as server, NameServer(names) as resolver:
        yield server, resolver, with_resolver(resolver.address, tmp_path)


Named = tuple[CountingServer, NameServer, list[str]]


@needs_resolver
@pytest.mark.parametrize(("option", "address"), [("-4", "127.0.0.1"), ("-6", "::1")])
def test_family_of_addresses_can_be_chosen(
    tmp_path: Path, named: Named, option: str, address: str
) -> None:
    server, _, program = named
    urls = [server.url(f"/{n}", "both.test") for n in range(4)]
    assert all_ok(fetch(tmp_path, urls, option, program=program))
    assert {hit.address for hit in server.counts.hits} == {address}


@pytest.mark.parametrize(
    ("option", "url", "exchange"),
    [("-6", "http://127.0.0.1/", "direct"), ("-4", "http://[::1]/", "session")],
)
def test_address_of_the_family_that_was_left_out_is_blocked(
    tmp_path: Path, option: str, url: str, exchange: str
) -> None:
    record = fetch(tmp_path, [url], option, "--exchange", exchange).of(url)
    assert record["error"] == "blocked"
    assert option in record["detail"]


@needs_resolver
def test_name_is_looked_up_once_while_its_answer_is_kept(tmp_path: Path, named: Named) -> None:
    server, resolver, program = named
    urls = [server.url(f"/{n}", "four.test") for n in range(6)]
    options = ["-4", "--force-close", "--per-host", "1"]
    assert all_ok(fetch(tmp_path, urls, *options, program=program))
    assert resolver.questions["four.test", "A"] == 1
    assert server.counts.connections == 6


@needs_resolver
def test_dns_ttl_0_asks_for_every_connection(tmp_path: Path, named: Named) -> None:
    server, resolver, program = named
    urls = [server.url(f"/{n}", "four.test") for n in range(6)]
    options = ["-4", "--force-close", "--per-host", "1", "--dns-ttl", "0"]
    assert all_ok(fetch(tmp_path, urls, *options, program=program))
    assert resolver.questions["four.test", "A"] == 6


@needs_resolver
def test_aliases_are_followed_and_host_header_stays(tmp_path: Path, named: Named) -> None:
    server, _, program = named
    assert all_ok(fetch(tmp_path, [server.url("/", "alias.test")], program=program))
    assert server.counts.hits[0].host == f"alias.test:{server.port}"


@needs_resolver
def test_name_without_address_is_a_dns_failure(tmp_path: Path, named: Named) -> None:
    server, _, program = named
    attempts = {
        "unknown.test": {1},
        "alias-dead.test": {1},
        "no-address.test": {1, 2},
        "alias-loop.test": {1, 2},
        "refused.test": {1, 2},
        "servfail.test": {2},
        "silent.test": {2},
    }
    good, bad = server.url("/", "four.test"), {server.url("/", name): name for name in attempts}
    result = fetch(tmp_path, [good, *bad], "--retries", "1", program=program)
    assert result.of(good)["ok"]
    for url, name in bad.items():
        record = result.of(url)
        assert (record["error"], record["status"]) == ("dns", None), name
        assert record["attempts"] in attempts[name], record


@needs_resolver
@one_process  # each has a resolver of its own
def test_malformed_answer_about_one_name_fails_no_other(tmp_path: Path, named: Named) -> None:
    """To c-ares it fails whatever waits on its socket, as the other names do here."""
    server, resolver, program = named
    urls = [server.url("/", f"late-{n}.test") for n in range(10)]
    bad = server.url("/", "malformed.test")
    result = fetch(tmp_path, [*urls, bad], "-4", "--retries", "0", program=program)
    assert all(result.of(url)["ok"] for url in urls)
    record = result.of(bad)
    assert record["error"] == "dns"
    assert "malformed" in record["detail"]
    assert {resolver.questions[f"late-{n}.test", "A"] for n in range(10)} == {2}


@needs_resolver
def test_30_dead_names_do_not_hold_up_a_good_one(tmp_path: Path, named: Named) -> None:
    server, _, program = named
    urls = [server.url("/", f"silent-{n}.test") for n in range(30)]
    urls += [server.url(f"/{n}", "four.test") for n in range(10)]
    result = fetch(tmp_path, urls, "--retries", "0", program=program)
    assert {record["url"] for record in result.records[:10]} == set(urls[30:])
    assert {record["error"] for record in result.records[10:]} == {"dns"}


@needs_resolver
def test_public_only_blocks_a_name_that_leads_to_loopback(tmp_path: Path, named: Named) -> None:
    server, _, program = named
    urls = [server.url("/", name) for name in ("four.test", "alias.test", "both.test")]
    result = fetch(tmp_path, urls, "--public-only", program=program)
    assert {record["error"] for record in result.records} == {"blocked"}
    assert server.counts.connections == 0

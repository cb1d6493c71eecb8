"""Requests through a SOCKS proxy, by each exchange on each loop."""

from __future__ import annotations

import asyncio
import random
import ssl
from typing import Any

import pytest

from fetchpool.http.watch import Timeouts
from fetchpool.model.attempts import FailedAttempt, Fault, Plan, Response
from fetchpool.model.urls import parse_url
from fetchpool.model.values import FailureKind
from tests.engine.rig import Rig, Visit, body_of, rig
from tests.loops import Run
from tests.servers.counting import CountingServer
from tests.servers.socks import SocksProxy
from tests.servers.tls import Authority

pytest.importorskip("python_socks")

WAYS = pytest.mark.parametrize("way", ["direct", "session"])


async def echo(visit: Visit) -> None:
    """Answer each request with its target and the fields that are a proxy's business."""
    while True:
        line, *fields = (await visit.request()).split("\r\n")
        secret = [each for each in fields if each.lower().startswith("proxy-")]
        body = " ".join([line.split(" ")[1], *secret]).encode()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


async def get(it: Rig, url: str, **options: Any) -> Response | FailedAttempt:
    result = await it.engine.attempt(Plan(parse_url(url), (), route=it.route, **options), None)
    await asyncio.sleep(0)  # at the end of the turn its connection is given back
    return result


@WAYS
@pytest.mark.parametrize(
    ("scheme", "user", "said"),
    [
        ("socks5", "", "127.0.0.1"),
        ("socks5h", "", "localhost"),
        ("socks5h", "me:%26%40@", "localhost"),
        ("socks4a", "", "localhost"),
        ("socks4a", "me@", "localhost"),
    ],
)
def test_names_are_looked_up_here_or_there_and_the_host_gets_a_plain_request(
    run: Run, way: str, scheme: str, user: str, said: str
) -> None:
    async def work(proxy: SocksProxy) -> None:
        async with rig(echo, family=2) as it:
            it.go_through(proxy.url(scheme, user), way)
            for path in ("/1?", "/2"):
                answer = await get(it, f"http://localhost:{it.site.port}{path}")
                assert body_of(answer) == path.encode()
                assert answer.measures.peer is None
                assert answer.measures.route == it.route
            assert proxy.asked == [f"{said}:{it.site.port}"], "the connection is kept"
            answer = await get(it, f"http://127.0.0.1:{it.site.port}/3")
            assert body_of(answer) == b"/3"
            assert proxy.asked[1:] == [f"127.0.0.1:{it.site.port}"], "for its origin alone"

    with SocksProxy(("me", "&@") if user else None) as proxy:
        run(work(proxy))


@WAYS
def test_tls_is_the_hosts_and_is_resumed(run: Run, authority: Authority, way: str) -> None:
    from tests.engine.test_through_proxies import trusting

    served = authority.fresh()
    body = random.Random(3).randbytes(1_000_000)

    async def behave(visit: Visit) -> None:
        while True:
            await visit.request()
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async def work(proxy: SocksProxy, elsewhere: CountingServer) -> None:
        async with rig(behave, server_tls=served, client_tls=trusting(authority)) as it:
            it.go_through(proxy.url("socks5h"), way)
            for _ in range(3):
                assert body_of(await get(it, f"https://localhost:{it.site.port}/")) == body
                for handler in list(it.connector.idle):
                    handler.end_idle()
                    handler.abort()
            assert served.session_stats()["hits"] >= 1
            dotted = await get(it, f"https://localhost.:{it.site.port}/")
            assert body_of(dotted) == body
        async with rig(behave, server_tls=served, client_tls=ssl.create_default_context()) as it:
            it.go_through(proxy.url("socks5h"), way)
            result = await get(it, elsewhere.url("/"))
            assert isinstance(result, FailedAttempt)
            assert result.failure.kind is FailureKind.TLS

    # Of a handshake that fails the server may hear when this loop has been closed: it has its own.
    with SocksProxy() as proxy, CountingServer(context=authority.fresh()) as elsewhere:
        run(work(proxy, elsewhere))


HOSTS_OWN = [  # scheme, the proxy's reply, what is told, whether it may pass
    ("socks5", 1, "general socks server failure", True),
    ("socks5", 2, "connection not allowed by ruleset", False),
    ("socks5h", 3, "network unreachable", True),
    ("socks5h", 4, "host unreachable", True),
    ("socks5", 5, "connection refused by destination host", True),
    ("socks5", 8, "address type not supported", False),
    ("socks4a", 0x5B, "request rejected or failed", True),
]


@pytest.mark.parametrize("way", ["direct"])
def test_what_the_proxy_says_of_a_host_is_the_hosts(run: Run, way: str) -> None:
    async def work(proxy: SocksProxy) -> None:
        for scheme, reply, why, passing in HOSTS_OWN:
            proxy.reply = reply
            async with rig(echo) as it:
                it.go_through(proxy.url(scheme), way)
                result = await it.get()
                assert isinstance(result, FailedAttempt)
                assert result.failure.detail.lower() == f"the proxy answered: {why}"
                assert (result.failure.kind, result.fault) == (FailureKind.CONNECT, Fault.TOLD)
                assert result.transient is passing

    with SocksProxy() as proxy:
        run(work(proxy))


@WAYS
def test_what_is_wrong_with_the_proxy_is_ours(run: Run, way: str) -> None:
    async def work(proxy: SocksProxy) -> None:
        cases = [
            (proxy.url("socks5h"), None, "the proxy wants other credentials"),
            (proxy.url("socks5h", "me:wrong@"), None, "the proxy wants other credentials"),
            (proxy.url("socks4a", "you@"), None, "the proxy answered: request rejected because"),
            (proxy.url("socks5h"), b"HTTP/1.1 400 No\r\n\r\n", "what the proxy sent is no SOCKS"),
            ("socks5h://127.0.0.1:1", None, "the proxy can't be reached: conn"),
            ("socks5h://no-such.invalid", None, "the proxy can't be reached: "),
        ]
        for url, says, why in cases:
            proxy.says = says
            async with rig(echo) as it:
                it.go_through(url, way)
                result = await it.get()
                assert isinstance(result, FailedAttempt)
                assert result.failure.detail.startswith(why), (url, result)
                assert result.fault is Fault.PROXY, (url, result)
                assert "wrong" not in repr((result, it.plan()))

    with SocksProxy(("me", "right")) as proxy:
        run(work(proxy))


@pytest.mark.parametrize("way", ["direct"])
def test_proxy_that_hangs_up_is_doubted_and_one_that_is_silent_is_timed_out(
    run: Run, way: str
) -> None:
    async def work(proxy: SocksProxy) -> None:
        proxy.says = b""
        async with rig(echo) as it:
            it.go_through(proxy.url("socks5h"), way)
            result = await it.get()
            assert isinstance(result, FailedAttempt)
            assert result.failure.detail.startswith("the proxy closed the connection when")
            assert result.fault is Fault.DOUBTED

        async def stall(visit: Visit) -> None:
            await visit.gone()

        async with rig(stall, timeouts=Timeouts(connect_s=0.3)) as it:
            it.go_through(f"socks5h://127.0.0.1:{it.site.port}", way)
            result = await get(it, "http://a.example/")
            assert isinstance(result, FailedAttempt)
            assert result.fault is Fault.PROXY

    with SocksProxy() as proxy:
        run(work(proxy))


@WAYS
def test_address_policy_holds_where_names_are_looked_up_here(run: Run, way: str) -> None:
    async def work(proxy: SocksProxy) -> None:
        async with rig(echo, family=2) as it:
            it.go_through(proxy.url("socks5"), way)
            for host in ("localhost", "127.0.0.1"):
                result = await get(it, f"http://{host}:{it.site.port}/", public_only=True)
                assert isinstance(result, FailedAttempt)
                assert result.failure.kind is FailureKind.BLOCKED
            result = await get(it, "http://no-such.invalid/")
            assert isinstance(result, FailedAttempt)
            assert result.failure.kind is FailureKind.DNS
            assert proxy.asked == []

    with SocksProxy() as proxy:
        run(work(proxy))


async def test_nothing_is_reachable_through_a_proxy_that_does_not_take_us() -> None:
    target = parse_url("http://127.0.0.1:1/")
    with SocksProxy(("me", "right")) as proxy:
        async with rig(echo) as it:
            it.go_through(proxy.url("socks5h", "me:wrong@"), "direct")
            assert isinstance(await it.get(), FailedAttempt)
            assert not await it.engine.reachable(target, it.route)
            proxy.user = ("me", "wrong")
            assert await it.engine.reachable(target, it.route)
            it.go_through(proxy.url("socks4a"), "direct")
            assert await it.engine.reachable(target, it.route)

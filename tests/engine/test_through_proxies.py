"""Requests through a proxy, by each exchange on each loop: whose connection serves whom."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import socket
import ssl
from contextlib import asynccontextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from fetchpool.model.attempts import FailedAttempt, Plan, Proxy, Response
from fetchpool.model.urls import parse_url
from fetchpool.model.values import FailureKind
from fetchpool.network.tls import ClientContext
from tests.engine.rig import Behaviour, Rig, Visit, body_of, rig
from tests.loops import Run
from tests.servers.counting import CountingServer
from tests.servers.proxy import KeepingProxy
from tests.servers.tls import Authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

OK = b"HTTP/1.1 200 OK\r\n"
WAYS = pytest.mark.parametrize("way", ["direct", "session"])


def whole(body: bytes) -> bytes:
    return OK + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


async def echo(visit: Visit) -> None:
    """Answer each request with its target: of a proxy that is a whole URL."""
    while True:
        await visit.send(whole((await visit.request()).split(" ")[1].encode()))


def trusting(authority: Authority) -> ClientContext:
    """Return a context that resumes sessions, and trusts the tests' authority."""

    def make() -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.ca.configure_trust(context)
        return context

    return ClientContext(make)


@asynccontextmanager
async def proxied(
    behaviour: Behaviour, way: str = "direct", user: str = "", **options: Any
) -> AsyncIterator[Rig]:
    """Yield a rig whose site is the proxy of all its requests."""
    async with rig(behaviour, **options) as it:
        proxy = f"{it.scheme}://{user}127.0.0.1:{it.site.port}"
        it.go_through(proxy, way)
        yield it


async def get(
    it: Rig, url: str, *fields: tuple[str, str], **options: Any
) -> Response | FailedAttempt:
    result = await it.engine.attempt(Plan(parse_url(url), fields, route=it.route, **options), None)
    await asyncio.sleep(0)  # at the end of the turn its connection is given back
    return result


ORIGINS = ["http://a.example/1", "http://b.example:81/2?", "http://127.0.0.1:9/3"]


@pytest.mark.parametrize("tls", [False, True])
def test_connections_to_a_proxy_serve_all_origins_of_plain_http(
    run: Run, authority: Authority, tls: bool
) -> None:
    async def work() -> None:
        served = authority.fresh() if tls else None
        trust = trusting(authority)
        async with proxied(echo, server_tls=served, client_tls=trust, limit_per_host=1) as it:
            for url in ORIGINS * 2:
                assert body_of(await get(it, url)) == url.encode()
            assert it.site.connections == it.connector.opened == 1
            assert len(it.connector.idle) == 1
            assert not it.connector._acquired
            assert not it.connector._acquired_per_host

    run(work())


@WAYS
def test_hosts_behind_a_proxy_are_limited_one_by_one(run: Run, way: str) -> None:
    """Two are answered together, which takes two connections, and two of one host in turn."""
    asked: list[str] = []
    both = asyncio.Event()

    async def behave(visit: Visit) -> None:
        while True:
            url = (await visit.request()).split(" ")[1]
            asked.append(url)
            if len(asked) == 2:
                both.set()
            await both.wait()
            await visit.send(whole(url.encode()))

    async def work() -> None:
        async with proxied(behave, way, limit_per_host=1) as it:
            urls = ["http://a.example/1", "http://a.example/2", "http://b.example/1"]
            bodies = [body_of(each) for each in await asyncio.gather(*(get(it, u) for u in urls))]
            assert bodies == [url.encode() for url in urls]
            assert sorted(asked[:2]) == [urls[0], urls[2]]
            assert not it.connector._acquired_per_host
            assert not it.connector._waiters

    run(work())


@WAYS
@pytest.mark.parametrize("tls", [False, True])
def test_a_tunnel_serves_its_own_origin_only_and_its_tls_is_the_origins(
    run: Run, authority: Authority, way: str, tls: bool
) -> None:
    """Many megabytes through TLS, and through TLS in TLS; both are resumed."""
    body = random.Random(7).randbytes(3_000_000)
    outer, inner = authority.fresh(), authority.fresh()

    async def behave(visit: Visit) -> None:
        while True:
            await visit.request()
            await visit.send(whole(body))

    async def work(proxy: KeepingProxy) -> None:
        trust = trusting(authority)
        async with rig(behave, server_tls=inner, client_tls=trust) as it:
            it.go_through(proxy.url, way)
            hosts = ["127.0.0.1", "localhost"] * 2
            for host in hosts:
                answer = body_of(await get(it, f"https://{host}:{it.site.port}/"))
                assert hashlib.sha256(answer).digest() == hashlib.sha256(body).digest()
            assert proxy.connections == it.site.connections == 2
            tunnels = [asked.target.rpartition(":")[0] for asked in proxy.asked]
            assert tunnels == hosts[:2]
            for _ in range(3):
                for handler in list(it.connector.idle):
                    handler.end_idle()
                    handler.abort()
                await get(it, f"https://localhost:{it.site.port}/")
            assert inner.session_stats()["hits"] >= 1
            assert not tls or outer.session_stats()["hits"] >= 1

    with KeepingProxy(outer if tls else None) as proxy:
        run(work(proxy))


@WAYS
def test_tunnel_to_another_than_the_origin_is_refused(
    run: Run, authority: Authority, way: str
) -> None:
    async def work(server: CountingServer, proxy: KeepingProxy) -> None:
        async with rig(echo, client_tls=trusting(authority)) as it:
            it.go_through(proxy.url, way)
            result = await get(it, server.url("/").replace("http:", "https:"))
            assert isinstance(result, FailedAttempt)
            assert result.failure.kind is FailureKind.TLS
            assert not server.counts.hits
            assert [asked.method for asked in proxy.asked] == ["CONNECT"]

    wrong = authority.contexts["wrong-host"]
    with CountingServer(context=wrong) as server, KeepingProxy() as proxy:
        run(work(server, proxy))


@WAYS
def test_dot_behind_a_name_is_no_part_of_a_certificate_in_a_tunnel(
    run: Run, authority: Authority, way: str
) -> None:
    async def work(server: CountingServer, proxy: KeepingProxy) -> None:
        async with rig(echo, client_tls=trusting(authority)) as it:
            it.go_through(proxy.url, way)
            result = await get(it, f"https://localhost.:{server.port}/")
            assert isinstance(result, Response), result.failure
            assert [asked.target for asked in proxy.asked] == [f"localhost.:{server.port}"]

    with CountingServer(context=authority.contexts["good"]) as server, KeepingProxy() as proxy:
        run(work(server, proxy))


@WAYS
def test_credentials_are_the_proxys_and_take_the_place_of_others(run: Run, way: str) -> None:
    async def work() -> None:
        async with proxied(echo, way, user="u:p@") as it:
            await get(it, "http://a.example/", ("proxy-authorization", "Basic other"))
            ((_, head),) = it.site.requests
            said = [line for line in head.split("\r\n") if "proxy-auth" in line.lower()]
            assert said == ["Proxy-Authorization: Basic dTpw"]
            assert "\r\nHost: a.example\r\n" in head

    run(work())


@WAYS
@pytest.mark.parametrize("in_tunnel", [False, True])
def test_bodies_and_heads_go_through_a_proxy_as_without_one(
    run: Run, authority: Authority, way: str, in_tunnel: bool
) -> None:
    """What is sent once has a connection of its own there, too."""

    async def behave(visit: Visit) -> None:
        while True:
            head = await visit.request()
            if head.startswith("HEAD "):
                await visit.send(OK + b"Content-Length: 5\r\n\r\n")
                continue
            length = int(head.lower().partition("content-length: ")[2].partition("\r")[0] or 0)
            await visit.send(whole(b"got " + await visit.reader.readexactly(length)))

    async def work(proxy: KeepingProxy) -> None:
        tls = authority.fresh() if in_tunnel else None
        async with rig(behave, server_tls=tls, client_tls=trusting(authority)) as it:
            own = f"http://127.0.0.1:{it.site.port}"
            url = proxy.url if in_tunnel else own
            it.go_through(url, way)
            origin = f"https://127.0.0.1:{it.site.port}" if in_tunnel else "http://a.example"
            assert body_of(await get(it, f"{origin}/1")) == b"got "
            sent = await get(it, f"{origin}/2", method="POST", body=b"x" * 200_000, once=True)
            assert body_of(sent) == b"got " + b"x" * 200_000
            assert isinstance(await get(it, f"{origin}/3", method="HEAD"), Response)
            assert body_of(await get(it, f"{origin}/4")) == b"got "
            numbers, heads = zip(*it.site.requests, strict=True)
            start = "" if in_tunnel else origin
            asked = [head.partition(" HTTP")[0] for head in heads]
            wanted = ["GET {}/1", "POST {}/2", "HEAD {}/3", "GET {}/4"]
            assert asked == [each.format(start) for each in wanted]
            assert numbers.count(numbers[1]) == 1

    with KeepingProxy() as proxy:
        run(work(proxy))


@WAYS
def test_bytes_that_nobody_asked_a_proxy_for_answer_no_other_origin(run: Run, way: str) -> None:
    async def behave(visit: Visit) -> None:
        url = (await visit.request()).split(" ")[1].encode()
        await visit.send(whole(url))
        await visit.send(whole(b"poison"))
        await visit.gone()

    async def work() -> None:
        async with proxied(behave, way) as it:
            for url in ORIGINS:
                assert body_of(await get(it, url)) == url.encode()

    run(work())


@WAYS
def test_proxy_that_closes_a_kept_connection_costs_no_attempt(run: Run, way: str) -> None:
    async def behave(visit: Visit) -> None:
        for _ in range(2):
            url = (await visit.request()).split(" ")[1]
            if url.endswith("/1") or visit.number > 1:
                await visit.send(whole(url.encode()))

    async def work() -> None:
        async with proxied(behave, way) as it:
            for number in (1, 2):
                url = f"http://a.example/{number}"
                assert body_of(await get(it, url)) == url.encode()
            assert it.site.connections == 2

    run(work())


@WAYS
def test_address_in_a_url_is_judged_on_a_kept_connection_too(run: Run, way: str) -> None:
    async def work() -> None:
        async with proxied(echo, way) as it:
            assert isinstance(await get(it, ORIGINS[0], public_only=True), Response)
            result = await get(it, "http://10.0.0.1/", public_only=True)
            assert isinstance(result, FailedAttempt)
            assert result.failure.kind is FailureKind.BLOCKED
            assert len(it.site.requests) == 1

    run(work())


@WAYS
def test_tls_with_a_proxy_that_ignores_its_end_holds_no_descriptor(
    run: Run, authority: Authority, way: str
) -> None:
    """Shut down, a connection would wait for the proxy to say so too: thirty seconds."""
    context = authority.fresh()
    listening = socket.create_server(("127.0.0.1", 0))
    ended = Event()

    def serve() -> None:
        plain, _ = listening.accept()
        with context.wrap_socket(plain, server_side=True) as secure:
            secure.recv(65536)
            secure.sendall(whole(b"x"))
            with socket.socket(fileno=os.dup(secure.fileno())) as raw:
                raw.settimeout(5)
                with suppress(TimeoutError):
                    while raw.recv(4096):
                        pass
                    ended.set()

    async def work() -> None:
        async with rig(echo, client_tls=trusting(authority), force_close=True) as it:
            proxy = f"https://127.0.0.1:{listening.getsockname()[1]}"
            it.go_through(proxy, way)
            assert body_of(await get(it, ORIGINS[0])) == b"x"
            await asyncio.to_thread(thread.join)

    thread = Thread(target=serve)
    thread.start()
    with listening:
        run(work())
    assert ended.is_set()


@WAYS
def test_no_peer_is_told_of_behind_a_proxy(run: Run, way: str) -> None:
    async def work() -> None:
        async with proxied(echo, way) as it:
            for reused in (False, True):
                result = await get(it, ORIGINS[0])
                assert (result.measures.peer, result.measures.reused) == (None, reused)

    run(work())


@WAYS
@pytest.mark.parametrize("in_tunnel", [False, True])
@pytest.mark.parametrize("says_goodbye", [True, False])
def test_end_of_tls_has_to_be_said_by_a_proxy_or_within_its_tunnel(
    run: Run, authority: Authority, way: str, in_tunnel: bool, says_goodbye: bool
) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(OK + b"\r\nall there is")
        if says_goodbye:
            visit.writer.close()
        else:
            visit.writer.transport.abort()
        await visit.gone()

    async def work(proxy: KeepingProxy) -> None:
        trust = trusting(authority)
        tls = authority.fresh()
        async with proxied(behave, way, server_tls=tls, client_tls=trust) as it:
            if in_tunnel:
                it.route = Proxy(proxy.url)
            url = f"https://127.0.0.1:{it.site.port}/" if in_tunnel else ORIGINS[0]
            result = await get(it, url)
            if says_goodbye:
                assert body_of(result) == b"all there is"
            else:
                assert isinstance(result, FailedAttempt)
                assert result.failure.kind is FailureKind.TRUNCATED
            await it.site.closed.wait()

    with KeepingProxy() as proxy:
        run(work(proxy))

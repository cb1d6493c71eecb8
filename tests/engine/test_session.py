"""The session exchange: what its guard needs of aiohttp, and what becomes of a server's worst."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp.client_proto import ResponseHandler

from fetchpool import Config, FetchPool
from fetchpool.http.direct import DirectExchange
from fetchpool.model.attempts import FailedAttempt, Response
from fetchpool.model.values import FailureKind
from fetchpool.network.connector import UnfitLibraryError, why_not_guardable
from tests.engine.rig import Visit, body_of, rig

OK = b"HTTP/1.1 200 OK\r\n"


async def test_this_aiohttp_can_be_guarded() -> None:
    assert why_not_guardable(asyncio.get_running_loop()) is None


async def test_another_aiohttp_is_not_used_unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Elsewhere:
        """Where another aiohttp keeps its body."""

        def __set__(self, handler: object, payload: object) -> None: ...
        def __get__(self, handler: object, kind: object = None) -> None: ...

    monkeypatch.setattr(ResponseHandler, "_payload", Elsewhere(), raising=False)
    with pytest.raises(UnfitLibraryError, match=r"ResponseHandler\._payload"):
        async with FetchPool(Config(exchange="session")):
            pass
    async with FetchPool(Config(exchange="auto")) as pool:  # has no need of aiohttp's parser
        assert type(pool._engine._exchange) is DirectExchange  # type: ignore[union-attr]


async def test_refusal_before_the_request_has_left_is_told_as_such() -> None:
    async def behave(visit: Visit) -> None:
        await visit.send(b"220 mail.example ESMTP\r\n")
        await visit.gone()

    async with rig(behave, way="session") as it:
        for _ in range(20):
            result = await it.get()
            assert isinstance(result, FailedAttempt)
            assert result.failure.kind is FailureKind.PROTOCOL
        await it.site.closed.wait()


async def test_refusal_within_a_body_that_is_being_read_ends_it() -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
        await asyncio.sleep(0.01)  # the head and the first chunk are mostly read alone
        await visit.send(b"1;" + b"x" * 70_000)
        await visit.gone()

    async with rig(behave, way="session") as it:
        result = await it.get()
        assert isinstance(result, FailedAttempt)
        assert "endless chunk extensions" in (result.failure.detail or "")
        await it.site.closed.wait()


async def test_surplus_closes_the_connection_and_costs_the_next_url_nothing() -> None:
    async def behave(visit: Visit) -> None:
        while True:
            await visit.request()
            await visit.send(OK + b"Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\npoison")

    async with rig(behave, way="session") as it:
        results = [await it.get() for _ in range(3)]
        assert [isinstance(result, Response) and body_of(result) for result in results] == [
            b"ok"
        ] * 3
        assert it.site.connections == 3


@pytest.mark.parametrize(
    ("said", "where"), [(b"", "after the request was sent"), (OK + b"X", "within the head")]
)
async def test_proxy_that_breaks_off_is_told_of_with_where_it_did(said: bytes, where: str) -> None:
    async def behave(visit: Visit) -> None:
        await visit.request()
        await visit.send(said)

    async with rig(behave, way="session") as it:
        proxy = f"http://127.0.0.1:{it.site.port}"
        it.go_through(proxy, "session")
        result = await it.get()
        assert isinstance(result, FailedAttempt)
        assert result.failure.kind is FailureKind.CONNECT
        assert "the proxy closed the connection " + where in result.failure.detail

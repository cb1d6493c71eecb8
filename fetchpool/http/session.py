"""The reference way to exchange a request for an answer: through `ClientSession.request`."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from time import monotonic
from typing import TYPE_CHECKING, cast

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from fetchpool.http.exchange import ExchangeError
from fetchpool.http.faults import translate
from fetchpool.http.framing import MAX_HEADERS, MAX_LINE_BYTES, body_length
from fetchpool.http.gateway import Gateway, Gateways
from fetchpool.http.guard import Guard
from fetchpool.http.receiver import BodyAction, Receiver
from fetchpool.model.attempts import Plan, Proxy
from fetchpool.model.values import Head, Target
from fetchpool.network.connector import (
    AUTHORIZATION,
    FetchConnector,
    PolicedRequest,
    UnfitLibraryError,
    demand_fresh,
    demand_public,
    guard,
    is_socks,
    watcher,
    why_not_guardable,
)
from fetchpool.network.connector import close as close_connector

if TYPE_CHECKING:
    from aiohttp import ClientMiddlewareType
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.connector import Connection

    from fetchpool.http.watch import Watch
    from fetchpool.network.connector import Handler

READ_BUFFER_BYTES = 256 * 1024

BODY_PIECE_BYTES = 64 * 1024

_target: ContextVar[Target] = ContextVar("target")
"""What the request that is being made asks for."""


class _AsItIs:
    """A URL whose target is written as it stands: yarl drops the `?` of an empty query."""

    def __init__(self, url: URL, target: Target, *, whole: bool) -> None:
        """With *whole* its text is the whole URL, as an HTTP proxy wants it, else the path."""
        self._url = url
        self._text = target.url if whole else target.path
        self.raw_path_qs = target.path

    def __str__(self) -> str:
        return self._text

    def __getattr__(self, name: str) -> object:
        return getattr(self._url, name)


class _Request(PolicedRequest):
    """A request whose target leaves as it stands in the list, byte for byte."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Write the request; return its response, yet to come."""
        url = self.url
        whole = self.proxy is not None and not is_socks(self.proxy)
        self.url = cast("URL", _AsItIs(url, _target.get(), whole=whole))
        try:
            response = await super().send(conn)
        finally:
            self.url = url
        current = watcher.get()
        if current is not None:
            current.waiting()
        return response


class _Body(aiohttp.Payload):
    """A request's body, byte for byte; a server that reads it slowly is not taken for silent."""

    def __init__(self, body: bytes, watch: Watch) -> None:
        super().__init__(body)
        self._bytes = body
        self._watch = watch

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self._bytes)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the body as text; for aiohttp's own use."""
        return self._bytes.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body, a piece after another as the server reads on."""
        for start in range(0, len(self._bytes), BODY_PIECE_BYTES):
            await writer.write(self._bytes[start : start + BODY_PIECE_BYTES])
            self._watch.sent(monotonic())


def _demands(plan: Plan) -> tuple[ClientMiddlewareType, ...]:
    """Return what the connection of *plan* has to be, as middlewares of aiohttp's."""
    demands: tuple[ClientMiddlewareType, ...] = (demand_public,) if plan.public_only else ()
    return (*demands, demand_fresh) if plan.once else demands


class SessionExchange:
    """Exchanges through one shared `ClientSession`, everything automatic switched off."""

    def __init__(self, connector: FetchConnector) -> None:
        if (missing := why_not_guardable(asyncio.get_running_loop())) is not None:
            raise UnfitLibraryError(missing)
        self._connector = connector
        self._gateways = Gateways(connector)
        self._session = aiohttp.ClientSession(
            connector=connector,
            request_class=_Request,
            connector_owner=False,
            cookie_jar=aiohttp.DummyCookieJar(),  # no state from one URL to another
            auto_decompress=False,  # aiohttp takes a cut gzip for a clean end
            requote_redirect_url=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # http.watch judges
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            max_headers=MAX_HEADERS,
            read_bufsize=READ_BUFFER_BYTES,
        )
        # aiohttp re-sends an idempotent request once by itself; attempts are counted here instead.
        self._session._retry_connection = False

    async def send(self, plan: Plan, watch: Watch, receiver: Receiver) -> None:
        """Send *plan*; see `Exchange.send`."""
        watcher.set(watch)
        judge = Guard(plan.method)
        guard.set(judge)
        _target.set(plan.target)
        gateway = self._gateways.of(plan.route)
        response: aiohttp.ClientResponse | None = None
        try:
            response = await self._ask(plan, gateway, watch)
            if gateway is not None:
                gateway.judge(plan, response.status)
            await self._read(response, plan.method, judge, watch, receiver)
        except ExchangeError:
            raise
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RuntimeError) as error:
            if isinstance(judge.refusal, ExchangeError):
                raise judge.refusal from error
            raise translate(
                judge.refusal or error,  # what aiohttp refused, it may tell as a lost connection
                at=watch.phase(answering=receiver.answer is not None),
                reused=watch.reused,
            ) from error
        finally:
            if response is not None:
                response.close()  # a no-op where the body was read to its end

    async def _ask(
        self, plan: Plan, gateway: Gateway | None, watch: Watch
    ) -> aiohttp.ClientResponse:
        """Send *plan* and return its answer, unread."""
        headers = CIMultiDict(plan.headers)
        if plan.length is not None:
            headers["Content-Length"] = str(plan.length)
        if plan.once:
            headers["Connection"] = "close"
        to_proxy = None if gateway is None else gateway.fields()
        is_asked = gateway is not None and not gateway.is_socks
        if is_asked and to_proxy and plan.target.scheme == "http":
            headers[AUTHORIZATION] = to_proxy[AUTHORIZATION]
        return await self._session.request(
            plan.method,
            URL(plan.target.url, encoded=True),
            headers=headers,
            data=None if not plan.body else _Body(plan.body, watch),
            allow_redirects=False,
            middlewares=_demands(plan),
            proxy=None if gateway is None else gateway.address,
            proxy_headers=to_proxy,
        )

    async def _read(
        self,
        response: aiohttp.ClientResponse,
        method: str,
        judge: Guard,
        watch: Watch,
        receiver: Receiver,
    ) -> None:
        # What aiohttp read is the guard's word for it, but for one that can't be guarded.
        head = judge.head or Head(
            response.status,
            tuple((key.decode("latin-1").lower(), value.decode("latin-1"))
                  for key, value in response.raw_headers),
        )  # fmt: skip
        if receiver.head(head, body_length(head, method)) is BodyAction.CLOSE:
            return
        async for chunk in response.content.iter_any():
            if not receiver.feed(chunk):
                return
            if receiver.behind:
                with _unread(response):
                    await receiver.catch_up(watch)
        if judge.refusal is not None:
            raise judge.refusal
        receiver.finish(proven=judge.proven)
        response.release()

    async def weigh(self, plan: Plan, error: ExchangeError) -> ExchangeError:
        """See `Exchange.weigh`."""
        return await self._gateways.weigh(plan, error)

    async def reachable(self, target: Target, route: Proxy | None) -> bool:
        """See `Exchange.reachable`."""
        return await self._gateways.reachable(target, route)

    async def close(self) -> None:
        """Close the session and every connection."""
        await self._gateways.close()
        await self._session.close()
        await close_connector(self._connector)
        await asyncio.sleep(0)


def _unread(response: aiohttp.ClientResponse) -> AbstractContextManager[None]:
    """Leave unread in the block what else comes for *response*."""
    connection = response.connection
    if connection is None:  # all of it is there
        return nullcontext()
    return cast("Handler", connection.protocol).left_unread()

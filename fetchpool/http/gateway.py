"""A proxy as our side sees it: who we are to it, and whether it is there and takes us.

    attempt fails ──▶ weigh ──(the proxy is there)──▶ the URL's own matter
                        └─────(it is not)──▶ Fault.PROXY: nobody's record, a pause, probes

From one failure it can't be told whose it is: a proxy that has gone cuts bodies, tunnels and
time-outs as a server does. So it is looked at, once for all that fail together.
"""

from __future__ import annotations

import asyncio
import base64
from collections import Counter, deque
from collections.abc import Coroutine
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from yarl import URL

from fetchpool.http.exchange import ExchangeError
from fetchpool.http.faults import CREDENTIALS_WANTED, refused_by_proxy
from fetchpool.model.attempts import Fault, Plan, Proxy
from fetchpool.model.values import Failure, FailureKind, Target
from fetchpool.network.connector import AUTHORIZATION, connect_request, is_socks

if TYPE_CHECKING:
    from fetchpool.network.connector import FetchConnector

LOOK_S = 3.0
"""How long a look at a proxy may take: less than a probe (`http.core.PROBE_TIMEOUT_S`)."""

KNOWN_SERVED = 3
"""Hosts that were reached through a proxy lately, remembered to see whether it still takes us."""

EXCUSED_AT_MOST = 3
"""How often the same URL is asked for again because the proxy took us for it when it was looked
at: a look can't ask quite the same."""

REMEMBER_EXCUSES = 10_000

LATE_S = 0.9
"""A proxy that takes longer than this to say something was away when it was asked."""

LATE_AT_MOST = 20
"""How often that is believed in a run: there are proxies that are always slow."""

_GREETINGS = dict.fromkeys(("socks5", "socks5h"), b"\x05\x01\x00")
_GREETINGS["socks4a"] = b"\x04\x01\x00\x00\x7f\x00\x00\x01\x00"
"""What has a SOCKS proxy say something: how to sign on; in SOCKS4, that it can't reach port 0."""

_OUR_OWN = frozenset({Fault.PROXY, Fault.DESCRIPTORS, Fault.TOLD})
"""What needs no look."""


class Gateway:
    """One proxy."""

    def __init__(self, connector: FetchConnector, url: str) -> None:
        """*url* may have credentials: they are sent as the bytes that their escapes stand for."""
        self._connector = connector
        with_credentials = URL(url, encoded=True)
        self.address = with_credentials.with_user(None)
        """The proxy's URL without credentials."""
        self.is_socks = is_socks(self.address)
        """Whether it passes on connections, and never knows of HTTP."""
        self.authorization = _basic(with_credentials)
        self._served: deque[Target] = deque(maxlen=KNOWN_SERVED)
        self._refused: Target | None = None
        """What it didn't take us for, while that is why it is lost."""
        self._excuses: Counter[str] = Counter()
        self._late = 0
        self._looks: dict[str, asyncio.Task[bool]] = {}

    def fields(self) -> dict[str, str]:
        """Return the header fields that say who we are."""
        return {AUTHORIZATION: self.authorization} if self.authorization else {}

    def judge(self, plan: Plan, status: int) -> None:
        """Judge the answer to *plan* by its *status*: another's, or the proxy's refusal of us.

        Raises `ExchangeError` for that. Hosts that a redirect leads to are never probed: the list
        doesn't name them.
        """
        target = plan.target
        if status == CREDENTIALS_WANTED and target.scheme == "http" and not self.is_socks:
            raise refused_by_proxy(status)
        if _is_of_list(plan) and all(each.host_key != target.host_key for each in self._served):
            self._served.append(target)

    async def weigh(self, plan: Plan, error: ExchangeError) -> ExchangeError:
        """Return *error* as it is if the proxy is there and takes us, else the proxy's."""
        if error.fault in _OUR_OWN:
            return error
        if error.fault is Fault.DOUBTED:
            return await self._weigh_refusal(plan, error)
        if self._is_unanswered(plan, error):
            what = error.failure.detail.replace("the server", "the proxy", 1)
            failure = Failure(FailureKind.CONNECT, what)
            return await self._weigh_refusal(plan, ExchangeError(failure, transient=True))
        if not error.transient:
            return error
        if await self._together("there", self._was_there()):
            return _settled(error) if error.fault is Fault.HOST else error
        failure = Failure(FailureKind.CONNECT, "the proxy can't be reached, or doesn't answer")
        return _lost(failure)

    async def _weigh_refusal(self, plan: Plan, error: ExchangeError) -> ExchangeError:
        """Weigh *error*, by which the proxy didn't take us: it is the URL's own only if the proxy
        takes us for others, and does the same again for this one."""
        if not await self._together("takes us", self._takes_us(plan.target)):
            self._refused = plan.target if _is_of_list(plan) else None
            if self._may_be_urls(plan, error) and await self._together("there", self._was_there()):
                self._excuse(plan.target)
                return ExchangeError(error.failure, transient=True, fault=Fault.DOUBTED)
            return _lost(error.failure)
        may_excuse = self._excuses[plan.target.url] < EXCUSED_AT_MOST
        if may_excuse and await self._takes_us_for(plan.target):  # it was for a moment only
            self._excuse(plan.target)
            return _lost(error.failure)
        return _settled(error)

    def _may_be_urls(self, plan: Plan, error: ExchangeError) -> bool:
        """Return whether *error* may be the URL's own matter: the first hang-up at it, by a proxy
        that has served nobody yet."""
        hung_up = error.transient and error.failure.kind is FailureKind.CONNECT
        return hung_up and not self._served and not self._excuses[plan.target.url]

    def _excuse(self, target: Target) -> None:
        if len(self._excuses) >= REMEMBER_EXCUSES:
            self._excuses.clear()
        self._excuses[target.url] += 1

    async def is_back(self, target: Target) -> bool:
        """Return True if the proxy is there, and takes us again if it did not.

        *target* is what it may take us for, if it has served nobody yet.
        """
        if self._refused is None:
            return await self._is_there()
        if await self._takes_us(target):
            self._refused = None
            if not self._served:
                self._served.append(target)
            return True
        return False

    async def close(self) -> None:
        """End the looks that are under way."""
        looks = list(self._looks.values())
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)

    def _is_unanswered(self, plan: Plan, error: ExchangeError) -> bool:
        """Tell whether it was the proxy that closed without an answer: for http it is asked."""
        is_asked = plan.target.scheme == "http" and not self.is_socks
        return is_asked and error.fault is Fault.URL and error.failure.kind is FailureKind.CONNECT

    async def _was_there(self) -> bool:
        """Tell whether the proxy answers so soon that it may have been there all the time."""
        began = monotonic()
        there = await self._is_there()
        if there and monotonic() - began > LATE_S and self._late < LATE_AT_MOST:
            self._late += 1
            return False
        return there

    # -- looks -----------------------------------------------------------------------------------

    async def _together(self, what: str, look: Coroutine[None, None, bool]) -> bool:
        """Return what *look* finds, or another that was begun before and asks the same."""
        running = self._looks.get(what)
        if running is None:
            running = self._looks[what] = asyncio.create_task(look)
            running.add_done_callback(lambda _: self._looks.pop(what, None))
        else:
            look.close()
        return await asyncio.shield(running)

    async def _is_there(self) -> bool:
        """Return True if the proxy can be connected to, and says something or hangs up.

        It is asked for itself: whatever it answers takes nobody else.
        """
        if self.is_socks:
            look = await self._connector.look_at_proxy(
                self.address, _GREETINGS[self.address.scheme], LOOK_S
            )
            return look.connected and look.heard
        host = self.address.host_port_subcomponent
        request = f"OPTIONS * HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        look = await self._connector.look_at_proxy(self.address, request.encode(), LOOK_S)
        return look.connected and look.heard

    async def _takes_us(self, target: Target) -> bool:
        """Return True if the proxy takes us for a host it served before, else for *target*."""
        targets = list(self._served) or [target]
        return any(await asyncio.gather(*(self._takes_us_for(each) for each in targets)))

    async def _takes_us_for(self, target: Target) -> bool:
        if self.is_socks:
            look = await self._connector.look_through_socks(
                self.address, self.authorization, target, LOOK_S
            )
        else:
            request = self._question(target)
            look = await self._connector.look_at_proxy(self.address, request, LOOK_S)
        if look.status is None:
            return look.connected and not look.heard  # silence refuses nobody
        return look.status != CREDENTIALS_WANTED

    def _question(self, target: Target) -> bytes:
        """Return a request through the proxy that asks nothing of *target*'s server."""
        host = f"[{target.host}]" if ":" in target.host else target.host
        authority = f"{host}:{target.port}"
        if target.scheme == "https":
            return connect_request(authority, self.authorization)
        # With no forward left the proxy answers by itself (RFC 9110 §7.6.2).
        lines = [f"OPTIONS http://{authority}/ HTTP/1.1", f"Host: {authority}", "Max-Forwards: 0"]
        lines += (f"{name}: {value}" for name, value in self.fields().items())
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


class Gateways:
    """All proxies of a run, each met when the first plan names it."""

    def __init__(self, connector: FetchConnector) -> None:
        self._connector = connector
        self._known: dict[Proxy, Gateway] = {}

    def of(self, route: Proxy | None) -> Gateway | None:
        """Return the proxy of *route*; None where that leads straight to the host."""
        if route is None:
            return None
        gateway = self._known.get(route)
        if gateway is None:
            gateway = self._known[route] = Gateway(self._connector, route.url)
        return gateway

    async def weigh(self, plan: Plan, error: ExchangeError) -> ExchangeError:
        """See `Exchange.weigh`."""
        gateway = self.of(plan.route)
        return error if gateway is None else await gateway.weigh(plan, error)

    async def reachable(self, target: Target, route: Proxy | None) -> bool:
        """See `Exchange.reachable`."""
        gateway = self.of(route)
        if gateway is not None:
            return await gateway.is_back(target)
        return await self._connector.reachable(target.host, target.port)

    async def close(self) -> None:
        """End the looks that are under way."""
        for gateway in self._known.values():
            await gateway.close()


def _lost(failure: Failure) -> ExchangeError:
    return ExchangeError(failure, transient=True, fault=Fault.PROXY)


def _settled(error: ExchangeError) -> ExchangeError:
    """Return *error* as its host's own matter, which the proxy has told us of."""
    return ExchangeError(error.failure, transient=error.transient, fault=Fault.TOLD)


def _is_of_list(plan: Plan) -> bool:
    return plan.named_by is None or plan.named_by.url == plan.target.url


def _basic(url: URL) -> str | None:
    """Return the credentials of *url* as a header's value (RFC 7617 §2), None if it has none."""
    if url.raw_user is None and url.raw_password is None:
        return None
    pair = [unquote_to_bytes(part or "") for part in (url.raw_user, url.raw_password)]
    return "Basic " + base64.b64encode(b":".join(pair)).decode()

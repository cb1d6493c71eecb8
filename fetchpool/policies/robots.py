"""Obeys robots.txt (RFC 9309): asks each origin for it first, and refuses what it refuses.

before(job) ──▶ what is known of plan.target.origin?
   nothing ──▶ OwnRequest of /robots.txt: the job's host waits ──▶ learn ──▶ asked again
   a text ───▶ Rules (big ones in a thread) ──▶ Failure(blocked, rule), or None and a pace
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from time import time

from msgspec.structs import replace

from fetchpool.model.attempts import Plan
from fetchpool.model.robots import MOST_DELAY_S, RobotsRead
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Failure, FailureKind, Outcome
from fetchpool.policies import Need, OwnRequest, Policy
from fetchpool.policies.robots_cache import (
    KEPT_S,
    REFUSES_S,
    Cache,
    Known,
    Origin,
    Ready,
    Shelf,
)
from fetchpool.policies.robots_text import Rules, product_token, sitemaps_in, user_agent_in
from fetchpool.scheduling.job import Job

MOST_BYTES = 512 * 1024
"""How much of a robots.txt is read; at least 500 KiB are to be (RFC 9309 §2.5)."""

MUCH = 16 * 1024
"""Characters of rules from which on a thread deals with them: 512 KiB take 0.4 s to read, and up
to 60 ms for a URL."""

TOO_MANY_REQUESTS = 429
_NO_WAY_THERE = (FailureKind.DNS, FailureKind.CONNECT, FailureKind.TLS)
"""Kinds that are the URL's own just as well: it is recorded as what it is."""


class Robots(Policy):
    """Refuses what an origin's robots.txt refuses, and keeps its Crawl-delay (`--robots`).

    A redirect's hop is judged by the robots.txt of its own origin.
    """

    def __init__(
        self,
        cache: Cache,
        tell: Callable[[RobotsRead], None],
        clock: Callable[[], float] = time,
        obeys: Callable[[str], bool] | None = None,
    ) -> None:
        """Remember in *cache*, and *tell* of each robots.txt that was fetched.

        *obeys* says of a host key whether its robots.txt is obeyed; None = all are.
        *clock* returns seconds since the epoch: what is remembered outlives this process.
        """
        self._cache = cache
        self._tell = tell
        self._clock = clock
        self._obeys = obeys
        self._shelf = Shelf()
        self._asked: dict[Origin, OwnRequest] = {}
        self._untold: dict[Origin, RobotsRead] = {}

    def before(self, job: Job, plan: Plan) -> Need | Awaitable[Need]:
        """See `Policy.before`."""
        target, now = plan.target, self._clock()
        if target.path == "/robots.txt":
            return None  # always allowed (RFC 9309 §2.2.2)
        if self._obeys is not None and not self._obeys(target.host_key):
            return None
        user_agent = user_agent_in(plan.headers)
        token = product_token(user_agent)
        ready = self._shelf.get(target.origin, token, now)
        if ready is None:
            known = self._cache.find(target.origin, now)
            if known is None:
                return self._ask(target.origin, user_agent)
            if len(known.text) > MUCH:
                return self._read_aside(known, token, plan)
            rules = None if known.refusal is not None else Rules(known.text, token)
            ready = self._keep(Ready(known.expires, rules, known.refusal), target.origin, token)
        if ready.rules is not None and ready.rules.size > MUCH:
            return self._judge_aside(ready.rules, plan)
        return _judge(ready, plan)

    def _ask(self, origin: Origin, user_agent: str | None) -> OwnRequest:
        """Return the request for the robots.txt of *origin*, the same one while it runs.

        It is sent as whom it is to hold for, and without what else the user adds: credentials are
        for what needs them.
        """
        own = self._asked.get(origin)
        if own is None:
            url = _url(origin)
            headers = () if user_agent is None else (("User-Agent", user_agent),)
            own = self._asked[origin] = OwnRequest(url, partial(self._learn, origin), headers)
        return own

    def _learn(self, origin: Origin, outcome: Outcome) -> None:
        """Remember what became of the request for the robots.txt of *origin*."""
        del self._asked[origin]
        known, says = known_from(outcome, self._clock())
        self._cache.learn(origin, known)
        sitemaps, in_all = sitemaps_in(known.text)
        self._untold[origin] = RobotsRead(_url(origin), says, None, sitemaps, in_all)

    async def _read_aside(self, known: Known, token: str, plan: Plan) -> Need:
        rules = await asyncio.to_thread(Rules, known.text, token)
        ready = self._keep(Ready(known.expires, rules), plan.target.origin, token)
        return await self._judge_aside(rules, plan) if rules.size > MUCH else _judge(ready, plan)

    async def _judge_aside(self, rules: Rules, plan: Plan) -> Need:
        return _judged(await asyncio.to_thread(rules.refuse, plan.target.url), rules, plan)

    def _keep(self, ready: Ready, origin: Origin, token: str) -> Ready:
        """Put *ready* on the shelf, and tell of it if it was fetched just now."""
        self._shelf.put(origin, token, ready)
        news = self._untold.pop(origin, None)
        if news is not None:
            delay_s = None if ready.rules is None else ready.rules.crawl_delay_s
            self._tell(replace(news, crawl_delay_s=delay_s))
        return ready


def known_from(outcome: Outcome, now: float) -> tuple[Known, str]:
    """Return what the *outcome* of a request for a robots.txt means, and the same in a few words.

    RFC 9309 §2.3.1: a redirect too many and a 4xx are as good as none, what can't be reached
    refuses all. So does 429, other than there: who is too busy to say what is allowed has not said
    that everything is; Google reads it so, too.
    """
    if outcome.ok:
        body = outcome.body or b""
        if len(body) >= MOST_BYTES:  # up to the last whole line
            body = body[:MOST_BYTES].rpartition(b"\n")[0]
        return Known(now + KEPT_S, body.decode("utf-8-sig", "replace")), "rules"
    detail = outcome.detail or "no answer"
    is_status = outcome.error is FailureKind.STATUS and outcome.status is not None
    if outcome.error is FailureKind.REDIRECT or (is_status and not _is_unreachable(outcome)):
        return Known(now + KEPT_S), f"allows all: {detail}"
    refusal = Failure(FailureKind.BLOCKED, f"robots.txt can't be had: {detail}")
    if outcome.error in _NO_WAY_THERE:
        refusal = Failure(outcome.error, f"robots.txt: {detail}")
    return Known(now + REFUSES_S, refusal=refusal), f"refuses all: {detail}"


def _is_unreachable(outcome: Outcome) -> bool:
    status = outcome.status or 0
    return status >= 500 or status == TOO_MANY_REQUESTS


def _judge(ready: Ready, plan: Plan) -> Failure | None:
    if ready.rules is None:
        return ready.refusal
    return _judged(ready.rules.refuse(plan.target.url), ready.rules, plan)


def _judged(refusing: str | None, rules: Rules, plan: Plan) -> Failure | None:
    """Return the failure of a URL that the rule *refusing* refuses; else give *plan* its pace."""
    if refusing is not None:
        return Failure(FailureKind.BLOCKED, f"robots.txt: {refusing}")
    plan.interval_s = min(rules.crawl_delay_s or 0.0, MOST_DELAY_S)
    return None


def _url(origin: Origin) -> str:
    scheme, host, port = origin
    name = f"[{host}]" if ":" in host else host
    return parse_url(f"{scheme}://{name}:{port}/robots.txt").url

"""Which of several proxies a host's next request goes through.

    good ──(can't be reached, hangs up, 407)──▶ rests ──(its time is over)──▶ one request tries it
      ▲                                           ▲                            │          │
      └───────────────────(served)────────────────┼────────────────────────────┘          │
                                                  └──────────(failed: twice the rest)─────┘

A host stays with one proxy: the first good one in an order that host and proxies alone decide
(rendezvous hashing), so that the next run and every process choose the same. When a proxy is good
again, its hosts come back to it, and no others move.

Pure: time is an argument called `now` (monotonic seconds).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import TypeGuard

from fetchpool.model.attempts import Proxy

FIRST_REST_S = 1.0
"""How long a proxy rests that has failed; twice as long after each further failure."""

LONGEST_REST_S = 120.0

PROBED_AT_MOST = 16
"""Proxies that are looked at together when none is good."""

AVOIDED_AT_MOST = 10_000
"""Pairs of a host and a proxy that are remembered because the host throttled it."""

OnRest = Callable[[str, float, str], None]
"""Is told which proxy rests, for how many seconds, and why."""


class _Health:
    """How a proxy is."""

    __slots__ = ("failures", "rests_until", "since")

    def __init__(self) -> None:
        self.failures = 0
        """In a row, those of one rest counted once; 0 = it is good."""
        self.rests_until = 0.0
        self.since = float("-inf")
        """When its rest began: what was under way then says nothing new."""

    @property
    def rest_s(self) -> float:
        return float(min(LONGEST_REST_S, FIRST_REST_S * 2 ** min(self.failures - 1, 20)))


class _Avoided:
    """A proxy that a host throttles."""

    __slots__ = ("since", "times", "until")

    def __init__(self) -> None:
        self.since = self.until = 0.0
        self.times = 0


class ProxyPool:
    """The proxies of a run, each good or at rest."""

    def __init__(
        self, proxies: Sequence[Proxy], *, spread: bool = False, on_rest: OnRest | None = None
    ) -> None:
        """With *spread* a host's requests go to all good proxies, else to its own one.

        *on_rest* is told of each rest.
        """
        self._health = {proxy: _Health() for proxy in proxies}
        self._spread = spread
        self.on_rest = on_rest
        self.on_good: Callable[[int], None] | None = None
        """Is told how many are good, when that has changed."""
        self._avoided: dict[tuple[str, Proxy], _Avoided] = {}
        self._running: dict[tuple[str, Proxy], int] = {}
        self._order_of = lru_cache(maxsize=4096)(self._order)

    def has(self, proxy: Proxy | None) -> TypeGuard[Proxy]:
        """Return True if *proxy* is one of them."""
        return proxy in self._health

    @property
    def good(self) -> int:
        """How many of them are good."""
        return sum(not health.failures for health in self._health.values())

    # -- which one -------------------------------------------------------------------------------

    def choose(self, host: str, now: float) -> Proxy:
        """Return the proxy of the next request to *host*.

        Where none is good for it: one that the host throttles, before one that rests.
        """
        usable = [proxy for proxy in self._order_of(host) if self._is_usable(host, proxy, now)]
        if not usable:
            return min(
                self._order_of(host),
                key=lambda proxy: (
                    self._health[proxy].rests_until > now,
                    self._usable_from(host, proxy),
                ),
            )
        chosen = usable[0]
        if self._spread:
            chosen = min(usable, key=lambda proxy: self._running.get((host, proxy), 0))
        health = self._health[chosen]
        if health.failures:  # others wait until it is known what this request came to
            health.rests_until = now + health.rest_s
        return chosen

    def begin(self, host: str, proxy: Proxy) -> None:
        """Count a request to *host* that goes through *proxy*, until its `end`."""
        self._running[host, proxy] = self._running.get((host, proxy), 0) + 1

    def end(self, host: str, proxy: Proxy) -> None:
        """Count it no more."""
        left = self._running.get((host, proxy), 1) - 1
        if left:
            self._running[host, proxy] = left
        else:
            self._running.pop((host, proxy), None)

    def _order(self, host: str) -> tuple[Proxy, ...]:
        """Return all proxies, the one that *host* is to stay with first."""

        def weight(proxy: Proxy) -> bytes:
            return blake2b(f"{proxy.url}\0{host}".encode(), digest_size=8).digest()

        return tuple(sorted(self._health, key=weight))

    def _is_usable(self, host: str, proxy: Proxy, now: float) -> bool:
        return self._usable_from(host, proxy) <= now

    def _usable_from(self, host: str, proxy: Proxy) -> float:
        avoided = self._avoided.get((host, proxy))
        rests_until = self._health[proxy].rests_until
        return rests_until if avoided is None else max(rests_until, avoided.until)

    # -- what requests show ----------------------------------------------------------------------

    def failed(self, proxy: Proxy, why: str, now: float, started: float) -> None:
        """Rest *proxy*, which failed a request that began at *started*, because of *why*."""
        health = self._health[proxy]
        if started < health.since:
            return
        health.failures += 1
        health.since = now
        health.rests_until = now + health.rest_s
        self._tell_good()
        if self.on_rest is not None:
            self.on_rest(proxy.name, health.rest_s, why)

    def served(self, host: str, proxy: Proxy, started: float) -> None:
        """Record that *proxy* did its work for a request to *host* that began at *started*."""
        health = self._health[proxy]
        if health.failures and started >= health.since:
            self.found(proxy)
        avoided = self._avoided.get((host, proxy))
        if avoided is not None and started >= avoided.until:
            del self._avoided[host, proxy]

    def throttled(
        self, host: str, proxy: Proxy, asked_s: float | None, now: float, started: float
    ) -> bool:
        """Leave *proxy* alone for *host*, which throttled a request that began at *started*.

        For as long as it asked, else for a second, twice as long after each further time. Returns
        True if another one may be asked meanwhile.
        """
        key = (host, proxy)
        if key not in self._avoided and len(self._avoided) >= AVOIDED_AT_MOST:
            over = [each for each, avoided in self._avoided.items() if avoided.until <= now]
            for each in over or [next(iter(self._avoided))]:
                del self._avoided[each]
        avoided = self._avoided.setdefault(key, _Avoided())
        if started >= avoided.since:
            avoided.since = now
            avoided.times += 1
        own_s = FIRST_REST_S * 2 ** min(avoided.times - 1, 6)
        avoided.until = max(avoided.until, now + (asked_s or own_s))
        return any(self._is_usable(host, each, now) for each in self._health)

    # -- when none is good -----------------------------------------------------------------------

    def has_usable(self, now: float) -> bool:
        """Return True if a proxy is not at rest."""
        return any(health.rests_until <= now for health in self._health.values())

    def to_probe(self) -> list[Proxy]:
        """Return those whose rest ends first."""
        ranked = sorted(self._health, key=lambda proxy: self._health[proxy].rests_until)
        return ranked[:PROBED_AT_MOST]

    def found(self, proxy: Proxy) -> None:
        """Record that *proxy* is there, and takes us."""
        health = self._health[proxy]
        health.failures = 0
        health.rests_until = 0.0
        self._tell_good()

    def _tell_good(self) -> None:
        if self.on_good is not None:
            self.on_good(self.good)

    def still_gone(self, proxy: Proxy, now: float) -> None:
        """Record that a probe didn't find *proxy*: others are probed before it again."""
        health = self._health[proxy]
        health.rests_until = now + health.rest_s

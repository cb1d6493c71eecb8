"""Which way a request goes: straight to the host, or through a proxy."""

from __future__ import annotations

from collections.abc import Callable

from fetchpool.model.attempts import FailedAttempt, Fault, Plan, Proxy, Report
from fetchpool.model.values import Target
from fetchpool.policies import Policy
from fetchpool.scheduling.job import Job
from fetchpool.scheduling.proxy_pool import ProxyPool

_NO_WORD = frozenset({Fault.DOUBTED, Fault.OURS, Fault.DESCRIPTORS, Fault.SILENT})
"""Faults of which nothing follows for a proxy."""


class Route(Policy):
    """Sends each request, our own ones too, through the proxy that is chosen for its URL.

    It is no policy of a run in which no host has a proxy.
    """

    for_own_too = True

    def __init__(self, choose: Callable[[Target], Proxy | None]) -> None:
        """Ask *choose* for the proxy of a URL; it returns None where there is none."""
        self._choose = choose

    def before(self, job: Job, plan: Plan) -> None:
        """See `Policy.before`."""
        plan.route = self._choose(plan.target)


class PooledRoute(Policy):
    """The same with several proxies, of which it learns how they are."""

    for_own_too = True

    def __init__(self, choose: Callable[[Target], Proxy | None], pool: ProxyPool) -> None:
        """*choose* may name a proxy that isn't one of *pool*, or none."""
        self._choose = choose
        self._pool = pool

    def before(self, job: Job, plan: Plan) -> None:
        """See `Policy.before`."""
        plan.route = self._choose(plan.target)
        if self._pool.has(plan.route):
            self._pool.begin(plan.target.host_key, plan.route)

    def after(self, job: Job, report: Report) -> None:
        """See `Policy.after`."""
        proxy, host, times = report.measures.route, job.target.host_key, report.measures.timeline
        if not self._pool.has(proxy):
            return
        self._pool.end(host, proxy)
        if isinstance(report, FailedAttempt) and report.fault is Fault.PROXY:
            self._pool.failed(proxy, report.failure.detail, times.ended, times.started)
        elif not (isinstance(report, FailedAttempt) and report.fault in _NO_WORD):
            self._pool.served(host, proxy, times.started)

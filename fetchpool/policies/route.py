"""Which way a request goes: straight to the host, or through a proxy."""

from __future__ import annotations

from collections.abc import Callable

from fetchpool.model.attempts import Plan, Proxy
from fetchpool.model.values import Target
from fetchpool.policies import Policy
from fetchpool.scheduling.job import Job


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

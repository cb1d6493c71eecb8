"""What is sent to a host that has settings of its own, and how long it may take."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from fetchpool.model.asking import Fields
from fetchpool.model.attempts import Plan, Timeouts
from fetchpool.policies import Policy
from fetchpool.scheduling.job import Job


class HostManners(msgspec.Struct, frozen=True):
    """How a host is asked; hosts with the same settings share one object."""

    ours: Fields
    """Fields of every request."""
    on_hop: Fields
    """The same, and those that were given for this host by name."""
    timeouts: Timeouts
    lines: tuple[Policy, ...]
    """What is added to requests for the origin of a line's URL."""


class ByHost(Policy):
    """Asks each host with its own settings: those of the list, and those that redirects lead to.

    A hop to another origin gets what was given for its host by name, but not on the way from https
    to plain http: who can read along there might have sent it that way. A request of our own gets
    no field of the user's, as always.
    """

    for_own_too = True

    def __init__(self, manners_at: Callable[[str], HostManners]) -> None:
        """Ask *manners_at* for a host's, by its key."""
        self._at = manners_at

    def before(self, job: Job, plan: Plan) -> None:
        """See `Policy.before`."""
        target, first = plan.target, job.first
        manners = self._at(target.host_key)
        plan.timeouts = manners.timeouts
        plan.headers = manners.ours
        if job.own is not None:
            return
        if target is first or target.origin == first.origin:
            for policy in manners.lines:
                policy.before(job, plan)
        elif target.scheme == "https" or first.scheme == "http":
            plan.headers = manners.on_hop

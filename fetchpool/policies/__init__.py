"""What is added to a request, and learnt from its response: one file for each policy.

scheduler ──job──▶ before(job, plan), policy by policy ──▶ exchange ──▶ after(job, report)
                     │ Failure: the job ends, nothing is sent
                     └ OwnRequest: its host waits for that, then the job is asked about again

`pipeline.pool.policies_of` has the list, in its order.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeAlias

from fetchpool.model.attempts import Plan, Report
from fetchpool.model.values import Failure
from fetchpool.scheduling.job import Job, OwnRequest

__all__ = ["Need", "OwnRequest", "Policies", "Policy"]

Need: TypeAlias = Failure | OwnRequest | None
"""What comes before a request, or instead of it."""


class Policy:
    """One policy: overrides what it needs. What it doesn't override costs nothing."""

    for_own_too = False
    """Whether `before` and `after` are called for requests of our own, too."""

    def before(self, job: Job, plan: Plan) -> Need | Awaitable[Need]:
        """Add to *plan* what the next request for *job* needs; None = send it.

        A `Failure` ends the job without a request. An `OwnRequest` is made first, once however
        often it is returned: while it runs, no other request to the job's host starts. What takes
        long to decide is awaited; the job keeps its slot meanwhile.
        """
        return None

    def after(self, job: Job, report: Report) -> None:
        """Learn from the *report* of an attempt, a failed one and a redirect's hop included."""


class Policies:
    """The methods to call for each request, in the order of the list."""

    def __init__(self, policies: list[Policy]) -> None:
        asked = [each for each in policies if type(each).before is not Policy.before]
        self.before = tuple(each.before for each in asked)
        self.before_own = tuple(each.before for each in asked if each.for_own_too)
        told = [each for each in policies if type(each).after is not Policy.after]
        self.after = tuple(each.after for each in told)
        self.after_own = tuple(each.after for each in told if each.for_own_too)

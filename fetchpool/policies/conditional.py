"""Asking only for what has changed (`--refresh`)."""

from __future__ import annotations

from fetchpool.model.attempts import Plan
from fetchpool.policies import Policy
from fetchpool.scheduling.job import Job


class Conditional(Policy):
    """Asks for another version than the one of an earlier run, where the server told which it was.

    Only of the URL that answered then: a redirect's hop has no version of that body. Nothing is
    asked of a method that brings no body, or where the user asks for a part or a version himself.
    """

    def before(self, job: Job, plan: Plan) -> None:
        """See `Policy.before`."""
        earlier = job.request.earlier
        if earlier is None or earlier.condition is None or plan.target.url != earlier.url:
            return
        if plan.method not in ("GET", "HEAD") or plan.body is not None:
            return
        if not any(name.lower().startswith("if-") or name.lower() == "range"
                   for name, _ in plan.headers):  # fmt: skip
            plan.condition = earlier.condition

"""Which addresses a request may be sent to."""

from __future__ import annotations

from fetchpool.model.attempts import Plan
from fetchpool.policies import Policy
from fetchpool.scheduling.job import Job


class PublicOnly(Policy):
    """Sends every request to public addresses only (`--public-only`), our own ones too.

    Without it that holds for the hops behind a public redirect alone (`Job.public_only`).
    """

    for_own_too = True

    def before(self, job: Job, plan: Plan) -> None:
        """See `Policy.before`."""
        plan.public_only = True

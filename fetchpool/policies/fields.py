"""The header fields a request leaves with: ours, those of the run, and its own."""

from __future__ import annotations

from functools import lru_cache

from fetchpool.model.asking import Fields, over
from fetchpool.model.attempts import Plan
from fetchpool.policies import Policy
from fetchpool.scheduling.job import Job

REMEMBERED = 256
"""Sets of fields that requests bring with them, kept ready to be sent."""


class UserFields(Policy):
    """Adds the fields of the run (`--header`) and of the request itself.

    They go to the origin of the line's URL only. A request's own win over those of the run, and
    those over ours. Once a redirect has made a GET of a request, what describes its body
    (`Content-…`) is left out (RFC 9110 §15.4).
    """

    def __init__(self, ours: Fields, of_run: Fields) -> None:
        self._ours = ours
        self._of_run = of_run
        # The same fields are the same object each time: exchanges keep them as bytes.
        self._combined = lru_cache(maxsize=REMEMBERED)(self._combine)
        self._plain = self._combined((), turned_get=False)

    def before(self, job: Job, plan: Plan) -> None:
        """See `Policy.before`."""
        target, first = plan.target, job.first
        if target is not first and target.origin != first.origin:
            return
        if job.turned_get or job.request.headers:
            plan.headers = self._combined(job.request.headers, turned_get=job.turned_get)
        else:
            plan.headers = self._plain

    def _combine(self, own: Fields, *, turned_get: bool) -> Fields:
        given = over(self._of_run, own)
        if turned_get:
            given = tuple(field for field in given if not field[0].lower().startswith("content-"))
        return over(self._ours, given)

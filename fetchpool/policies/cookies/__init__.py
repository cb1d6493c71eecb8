"""Cookies: those of `--cookies`, and those that responses set, each where its own rules allow.

set_cookie   what a Set-Cookie says
jar          which cookies are kept, and which request gets which
"""

from __future__ import annotations

from functools import lru_cache

from fetchpool.model.asking import Fields
from fetchpool.model.attempts import Plan, Report
from fetchpool.policies import Policy
from fetchpool.policies.cookies.jar import Jar
from fetchpool.scheduling.job import Job


class Cookies(Policy):
    """Adds `Cookie`, unless the user gave one, and learns from `Set-Cookie`, of hops too."""

    def __init__(self, jar: Jar) -> None:
        self._jar = jar

    def before(self, job: Job, plan: Plan) -> None:
        """See `Policy.before`."""
        cookies = self._jar.field_for(plan.target)
        if cookies:
            plan.headers = _with_cookies(plan.headers, cookies)

    def after(self, job: Job, report: Report) -> None:
        """See `Policy.after`."""
        for line in () if report.head is None else report.head.get_all("set-cookie"):
            self._jar.receive(job.target, line)


@lru_cache(maxsize=256)
def _with_cookies(fields: Fields, cookies: str) -> Fields:
    """Return *fields* with *cookies*, unless they have a `Cookie`."""
    if any(name.lower() == "cookie" for name, _ in fields):
        return fields
    return (*fields, ("Cookie", cookies))

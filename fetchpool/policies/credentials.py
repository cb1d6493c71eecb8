"""Who asks: the credentials of a URL's userinfo, or of `--user`."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache

from fetchpool.model.asking import Fields
from fetchpool.model.attempts import Plan
from fetchpool.policies import Policy
from fetchpool.scheduling.job import Job


class Credentials(Policy):
    """Adds `Authorization`, to the origin of the line's URL only.

    A field that the user gave wins over the URL's userinfo, as with curl, and that over `--user`.
    """

    def __init__(self, user: str | None) -> None:
        """Use *user*, `USER:PASSWORD`, for URLs without userinfo; None = none."""
        self._of_run = None if user is None else basic(user)

    def before(self, job: Job, plan: Plan) -> None:
        """See `Policy.before`."""
        authorization = job.first.authorization or self._of_run
        if authorization is not None and plan.target.origin == job.first.origin:
            plan.headers = with_authorization(plan.headers, authorization)


@lru_cache(maxsize=256)
def with_authorization(fields: Fields, authorization: str) -> Fields:
    """Return *fields* with *authorization*, unless they have one."""
    if any(name.lower() == "authorization" for name, _ in fields):
        return fields
    return (*fields, ("Authorization", authorization))


def basic(credentials: str) -> str:
    """Return the `Authorization` of *credentials*, `USER:PASSWORD` (RFC 7617, in UTF-8)."""
    return "Basic " + b64encode(credentials.encode()).decode("ascii")

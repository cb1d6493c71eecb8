"""Who asks: the credentials of a URL's userinfo, of `--user`, or of files that name the host."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache

from fetchpool.model.asking import Fields
from fetchpool.model.attempts import Plan
from fetchpool.model.credentials import BearerTokens, Netrc
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


class CredentialFiles(Policy):
    """Adds `Authorization` where a file names the origin (`--bearer-file`) or host (`--netrc`).

    It goes there also where a redirect leads there, a netrc's `default` to the line's own origin
    only. All other credentials come first.
    """

    def __init__(self, tokens: BearerTokens | None, netrc: Netrc | None) -> None:
        self._tokens = {} if tokens is None else {o: f"Bearer {t}" for o, t in tokens.tokens}
        machines = () if netrc is None else netrc.machines
        self._machines = {host: None if who is None else basic(who) for host, who in machines}
        default = None if netrc is None else netrc.default
        self._default = None if default is None else basic(default)

    def before(self, job: Job, plan: Plan) -> None:
        """See `Policy.before`."""
        authorization = self._found(job, plan)
        if authorization is not None:
            plan.headers = with_authorization(plan.headers, authorization)

    def _found(self, job: Job, plan: Plan) -> str | None:
        target, first = plan.target, job.first
        if (token := self._tokens.get(target.origin)) is not None:
            return token
        # A netrc knows no schemes: where a redirect gives up TLS, a password would be readable.
        if first.scheme == "https" and target.scheme == "http":
            return None
        default = self._default if target.origin == first.origin else None
        return self._machines.get(target.host.removesuffix("."), default)


@lru_cache(maxsize=256)
def with_authorization(fields: Fields, authorization: str) -> Fields:
    """Return *fields* with *authorization*, unless they have one."""
    if any(name.lower() == "authorization" for name, _ in fields):
        return fields
    return (*fields, ("Authorization", authorization))


def basic(credentials: str) -> str:
    """Return the `Authorization` of *credentials*, `USER:PASSWORD` (RFC 7617, in UTF-8)."""
    return "Basic " + b64encode(credentials.encode()).decode("ascii")

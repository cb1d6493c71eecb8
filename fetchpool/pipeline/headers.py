"""Which header fields a request leaves with: ours, the user's, its own, and who asks."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from fetchpool.http.decoding import ACCEPT_ENCODING
from fetchpool.model.asking import Fields

if TYPE_CHECKING:
    from fetchpool.config import Config
    from fetchpool.scheduling.job import Job

REMEMBERED = 256
"""Sets of fields that requests bring with them, made ready to be sent."""


def header_maker(config: Config) -> Callable[[Job], Fields]:
    """Return a function that gives the header fields of a job's next request.

    The user's own fields and credentials go to the origin of the line's URL only; a request's own
    come before those of the run, and those before ours. Where several say who asks, a field does
    before the URL, as with curl, and the URL before `--user`. Once a redirect has made a GET of a
    request, what describes its body (`Content-…`) stays behind (RFC 9110 §15.4).
    """
    automatic = (
        ("Accept", "*/*"),
        ("Accept-Encoding", ACCEPT_ENCODING),
        ("User-Agent", config.user_agent_text),
    )
    elsewhere = tuple(field for field in automatic if field[1])
    by_user = None if config.user is None else basic(config.user)

    @lru_cache(maxsize=REMEMBERED)
    def at_home(own: Fields, authorization: str | None, turned_get: bool) -> Fields:
        given = _over(config.header, own)
        if turned_get:
            given = tuple(field for field in given if not field[0].lower().startswith("content-"))
        fields = _over(elsewhere, given)
        if authorization is None or any(name.lower() == "authorization" for name, _ in given):
            return fields
        return (*fields, ("Authorization", authorization))

    plain = at_home((), by_user, False)

    def headers_for(job: Job) -> Fields:
        first, request = job.first, job.request
        if job.target is not first and job.target.origin != first.origin:
            return elsewhere
        if first.authorization is None and not request.headers and not job.turned_get:
            return plain
        return at_home(request.headers, first.authorization or by_user, job.turned_get)

    return headers_for


def basic(credentials: str) -> str:
    """Return the `Authorization` of *credentials*, `USER:PASSWORD` (RFC 7617, in UTF-8)."""
    return "Basic " + b64encode(credentials.encode()).decode("ascii")


def _over(fields: Fields, stronger: Fields) -> Fields:
    """Return *fields* without those that the *stronger* have, and the stronger."""
    names = {name.lower() for name, _ in stronger}
    return (*(field for field in fields if field[0].lower() not in names), *stronger)

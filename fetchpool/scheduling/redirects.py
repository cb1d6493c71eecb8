"""Where an answer's Location leads: the next hop, or why there is none."""

from __future__ import annotations

from fetchpool.model.addresses import is_public
from fetchpool.model.urls import BlockedSchemeError, InvalidURLError, join_url, redact
from fetchpool.model.values import Failure, FailureKind, Head
from fetchpool.scheduling.job import Job

SEE_OTHER = 303
POST_TURNING = frozenset({301, 302})
"""What browsers make of them, and RFC 9110 §15.4.2 and §15.4.3 allow, for a POST alone."""


def follow(job: Job, head: Head, peer: str | None, max_redirects: int) -> Failure | None:
    """Move *job* on to where *head* points; return why that can't be done, or None.

    *peer* is the address that answered, None behind a proxy: a redirect from a public address may
    only lead to public ones (it would let any server aim us at our own network).

    301 and 302 make a GET of a POST, 303 of everything but HEAD (RFC 9110 §15.4); else method and
    body are repeated, a body at the line's own origin only.

    It may lead to a URL that was asked before, even to the same one: a page that sets a state (it
    has seen this client) sends back to where it was asked from. Only the number of hops ends that.
    """
    if job.redirects >= max_redirects:
        circle = ", in a circle" if job.met_again else ""
        return Failure(FailureKind.REDIRECT, f"more than {max_redirects} redirects{circle}")
    location = head.get("location")
    assert location is not None
    try:
        target = join_url(job.target, location)
    except BlockedSchemeError as error:
        return Failure(FailureKind.BLOCKED, f"redirect refused: {error}")
    except InvalidURLError as error:
        return Failure(FailureKind.REDIRECT, f"unusable Location: {error}")
    turns_get = _turns_get(job.method, head.status)
    if job.body is not None and not turns_get and target.origin != job.first.origin:
        what = f"redirect ({head.status}) of a {job.method} with a body to another origin refused"
        return Failure(FailureKind.REDIRECT, f"{what}: {redact(target.url)}")
    job.turned_get = job.turned_get or turns_get
    if peer is not None and is_public(peer):
        job.public_only = True
    job.hop(target)
    return None


def _turns_get(method: str, status: int) -> bool:
    """Return whether a redirect with *status* is to be followed with a GET, without a body."""
    if status == SEE_OTHER:
        return method not in ("GET", "HEAD")
    return method == "POST" and status in POST_TURNING

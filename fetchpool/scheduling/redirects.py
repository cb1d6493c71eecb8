"""Where an answer's Location leads: the next hop, or why there is none."""

from __future__ import annotations

from fetchpool.model.addresses import is_public
from fetchpool.model.urls import BlockedSchemeError, InvalidURLError, join_url
from fetchpool.model.values import Failure, FailureKind, Head
from fetchpool.scheduling.job import Job


def follow(job: Job, head: Head, peer: str | None, max_redirects: int) -> Failure | None:
    """Move *job* on to where *head* points; return why that can't be done, or None.

    *peer* is the address that answered, None behind a proxy: a redirect from a public address may
    only lead to public ones (it would let a stranger's server aim us at our own network).

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
    if peer is not None and is_public(peer):
        job.public_only = True
    job.hop(target)
    return None

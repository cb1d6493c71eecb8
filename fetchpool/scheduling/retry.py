"""Whether a request is tried again, and how much later.

    no response ─┐
    408, 5xx    ─┼─▶ Trouble ──▶ RetryPolicy.pause_s ──▶ seconds, or None: that was the last attempt
    429, 503    ─┘

How long the whole host of a 429 or 503 is left alone is `host_health`'s matter. Pure: clock
readings and random numbers are arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import UTC
from email.utils import parsedate_to_datetime

import msgspec

from fetchpool.model.again import LATER_STATUS, THROTTLING_STATUSES, USUAL, Again
from fetchpool.model.asking import NOT_IDEMPOTENT
from fetchpool.model.attempts import FailedAttempt, Response
from fetchpool.model.values import FailureKind, Head

MAX_RETRY_AFTER_S = 300.0
"""Longest wait granted to a server that asks for one, in seconds."""

MAX_BACKOFF_S = 60.0
"""Longest wait of our own choice, in seconds."""

FIRST_PAUSE_S = {
    FailureKind.TRUNCATED: 0.25,
    FailureKind.CONNECT: 0.5,
    FailureKind.DNS: 1.0,
    FailureKind.TIMEOUT: 1.0,
    # One mirror of several, or a body cut where nothing but its checksum shows it.
    FailureKind.CHECKSUM: 1.0,
    FailureKind.STATUS: 1.0,
}
"""Kinds that may pass, with the longest pause before the second attempt, in seconds.

The other kinds say the same however often they are asked: a certificate doesn't mend itself within
a minute, nor does a body shrink.
"""

LOOKED_UP_AGAIN_S = 0.5
"""Shortest pause after a failed look-up: the resolver remembers it for 0.4 s."""

NOT_DONE_STATUSES = frozenset({408, 425, 429, 503})
"""By these a server says that it has not done what was asked: it has not had all of the request
(RFC 9110 §15.5.9), doesn't risk it so early (RFC 8470 §5.2), has refused it (RFC 6585 §4, RFC 9110
§15.6.4). After any other it may have: a 500 is a server that broke off somewhere, a 502 or 504 a
gateway that doesn't know."""

_DELAY = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_LONGEST_DATE = 64  # the longest form, of RFC 850, has 33 characters


class Trouble(msgspec.Struct, frozen=True):
    """Why an attempt was no success."""

    kind: FailureKind
    status: int | None = None
    """Of a complete answer, for kind STATUS."""
    retry_after_s: float | None = None
    """What the answer asked for, as `parse_retry_after` returns it."""
    transient: bool = True
    """False if whoever saw it knows that it will not pass, like a name that doesn't exist."""

    @property
    def throttling(self) -> bool:
        """Whether the host asks for less, not only this URL."""
        return self.kind is FailureKind.STATUS and self.status in THROTTLING_STATUSES


class RetryPolicy(msgspec.Struct, frozen=True):
    """What is tried again, how often, and how patiently."""

    retries: int
    """Further attempts after a passing fault, whichever it is; 0 = a URL is requested once."""
    delay_s: float | None = None
    """Shortest pause before the second attempt; None = by kind, half of `FIRST_PAUSE_S`."""
    again: Again = USUAL

    @classmethod
    def chosen(
        cls, retries: int, delay_s: float | None, on: Collection[str], off: Collection[str]
    ) -> RetryPolicy:
        """Return the policy of `--retry-on` *on* and `--no-retry-on` *off*, both checked."""
        return cls(retries, delay_s, Again.chosen(on, off))

    def passing(self, trouble: Trouble) -> bool:
        """Tell whether another attempt may do better."""
        kind, status, again = trouble.kind, trouble.status, self.again
        if kind is FailureKind.STATUS:
            return status in again.statuses or (again.later and status == LATER_STATUS)
        # A kind that the user named is tried again whatever is known of it.
        return kind in again.kinds and (trouble.transient or kind not in FIRST_PAUSE_S)

    def wants(self, head: Head) -> bool:
        """Tell whether a complete response with *head* is tried again, if it may be."""
        if head.status in self.again.statuses:
            return True
        is_later = head.status == LATER_STATUS and self.again.later
        return is_later and head.get("retry-after") is not None

    def pause_s(self, trouble: Trouble, counted: int, random: Callable[[], float]) -> float | None:
        """Return the seconds to the next attempt, None if *trouble* is the URL's outcome.

        *counted* is how many attempts count by now, this one included, at least 1. *random* returns
        numbers from 0 up to 1: our own pause doubles each time and lies at random in the upper half
        of its span, so that what failed together doesn't come back together.

        `Retry-After` is obeyed, to the letter, for every status worth another attempt (RFC 9110
        §10.2.3 binds it to none), not on a 3xx: browsers ignore it there, and ten hops of five
        minutes each would hold up the end of a run for an hour.
        """
        if counted > self.retries or not self.passing(trouble):
            return None
        if trouble.retry_after_s:  # zero asks for nothing: the pause is ours
            return min(trouble.retry_after_s, MAX_RETRY_AFTER_S)
        doublings = min(max(counted - 1, 0), 10)  # far beyond the cap, far below an overflow
        first_s = FIRST_PAUSE_S.get(trouble.kind, 1.0)
        most_s = MAX_BACKOFF_S
        if self.delay_s is not None:
            first_s = 2.0 * self.delay_s
            most_s = max(most_s, first_s)
        pause_s = min(first_s * 2.0**doublings, most_s) * (0.5 + 0.5 * random())
        return max(pause_s, LOOKED_UP_AGAIN_S) if trouble.kind is FailureKind.DNS else pause_s


def may_repeat(method: str, result: Response | FailedAttempt | None, *, answered: bool) -> bool:
    """Return whether a request with *method* may be sent again by itself (RFC 9110 §9.2.2).

    What isn't idempotent only if it is known not to have been done: nothing of it has left, or the
    *result* of the attempt says so. *answered* says that it was done: its answer led on to another
    page, and only that is what failed.
    """
    if method not in NOT_IDEMPOTENT:
        return True
    if answered or result is None:
        return False
    if isinstance(result, Response):
        return result.head.status in NOT_DONE_STATUSES
    return not result.measures.sent


def parse_retry_after(value: str | None, date: str | None, now_epoch: float) -> float | None:
    """Return how many seconds from now *value*, a Retry-After field, asks to wait, or None.

    A number of seconds or one of the three forms of HTTP-date (RFC 9110 §10.2.3, §5.6.7), the
    latter measured against *date*, the answer's own Date field, so that a server with a wrong clock
    is understood; without one, against *now_epoch* (seconds since the epoch). Fractions of a second
    are taken, though no RFC knows them: servers send them. At most `MAX_RETRY_AFTER_S`; None for
    what is missing, past or nonsense.
    """
    if value is None:
        return None
    value = value.strip(" \t")
    if _DELAY.fullmatch(value):
        return min(float(value), MAX_RETRY_AFTER_S)  # too many digits are infinity, not an error
    until = _epoch(value)
    if until is None:
        return None
    sent_at = _epoch(date)
    wait_s = until - (now_epoch if sent_at is None else sent_at)
    return min(wait_s, MAX_RETRY_AFTER_S) if wait_s >= 0 else None


def _epoch(value: str | None) -> float | None:
    """Return the HTTP-date *value* in seconds since the epoch, or None if it is none."""
    if value is None or len(value) > _LONGEST_DATE or not value.isascii():
        return None
    try:
        moment = parsedate_to_datetime(value)
        # The form of asctime() names no zone; all of them mean UTC (RFC 9110 §5.6.7).
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):  # its parser raises all of these
        return None

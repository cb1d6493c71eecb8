"""Again, or not, and how much later: what follows a setback, for its URL and for its host.

    no answer ─┐
    408, 5xx  ─┼─▶ Setback ──▶ RetryPolicy.decide ──▶ Retry(after_s, …) or None
    429, 503  ─┘                                      └ host_wide: the whole host waits

Pure: clock readings and random numbers are arguments.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

import msgspec

from fetchpool.models import FailureKind

MAX_RETRY_AFTER_S = 300.0
"""Longest wait granted to a server that asks for one, in seconds."""

MAX_BACKOFF_S = 60.0
"""Longest wait of our own choice, in seconds."""

MAX_FREE_ATTEMPTS = 10
"""Requests for one URL that throttling answers may cost beyond `retries`.

A host is given its time as long as it serves others, but a URL that is refused for ever must not
stop its host again and again.
"""

FIRST_PAUSE_S = {
    FailureKind.TRUNCATED: 0.25,
    FailureKind.CONNECT: 0.5,
    FailureKind.DNS: 1.0,
    FailureKind.TIMEOUT: 1.0,
    FailureKind.STATUS: 1.0,
}
"""Kinds that may pass, with the longest pause before the second attempt, in seconds.

The other kinds say the same however often they are asked: a certificate doesn't mend itself within
a minute, nor does a body shrink.
"""

THROTTLING_STATUSES = frozenset({429, 503})
"""Spoken for the whole host: RFC 6585 §4 (too many requests), RFC 9110 §15.6.4 (overloaded)."""

PASSING_STATUSES = THROTTLING_STATUSES | {
    408,  # Request Timeout, "MAY repeat": RFC 9110 §15.5.9
    425,  # Too Early: RFC 8470 §5.2
    500,  # Internal Server Error: RFC 9110 §15.6.1
    502,  # Bad Gateway: RFC 9110 §15.6.3
    504,  # Gateway Timeout: RFC 9110 §15.6.5
}

_DELAY = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_LONGEST_DATE = 64  # the longest form, of RFC 850, has 33 characters


class Setback(msgspec.Struct, frozen=True):
    """Why an attempt was no success."""

    kind: FailureKind
    status: int | None = None
    """Of a complete answer, for kind STATUS."""
    retry_after_s: float | None = None
    """What the answer asked for, as `parse_retry_after` returns it."""
    transient: bool = True
    """False if whoever saw it knows that it will not pass, like a name that doesn't exist."""

    @property
    def passing(self) -> bool:
        """Whether another attempt may do better."""
        if self.kind is FailureKind.STATUS:
            return self.status in PASSING_STATUSES
        return self.transient and self.kind in FIRST_PAUSE_S

    @property
    def throttling(self) -> bool:
        """Whether the host asks for less, not only this URL."""
        return self.kind is FailureKind.STATUS and self.status in THROTTLING_STATUSES


class Tries(msgspec.Struct, frozen=True):
    """What a URL and its host have been through, this setback's request included."""

    sent: int
    """Requests sent for the URL, at least 1; a hop of a redirect is none."""
    free: int = 0
    """How many of them were answered by throttling and forgiven."""
    parkings: int = 0
    """Times the host was parked since its last good answer; a volley of 429s is one."""
    patient: bool = True
    """Whether the host's throttling is still forgiven (see HostHealth)."""


class Retry(msgspec.Struct, frozen=True):
    """What follows a setback."""

    after_s: float
    """Nothing starts earlier than this, in seconds from now."""
    again: bool
    """The URL gets another attempt. False only together with `host_wide`: its last one is spent,
    but its host has asked all the same to be left alone."""
    host_wide: bool
    """All of the host waits, not this URL alone."""
    free: bool
    """The attempt that failed doesn't count."""


class RetryPolicy(msgspec.Struct, frozen=True):
    """How often a URL is tried again, and how patiently."""

    retries: int
    """Further attempts after a passing fault; with 0 a URL is requested once, whatever comes."""

    def decide(self, setback: Setback, tries: Tries, random: Callable[[], float]) -> Retry | None:
        """Return what follows *setback*, or None if it is the URL's outcome and no one waits.

        *random* returns numbers from 0 up to 1. A URL gets at most 1 + `retries` requests, and
        where there are retries at all, `MAX_FREE_ATTEMPTS` more for throttling answers.

        `Retry-After` is obeyed, to the letter, for every status worth another attempt (RFC 9110
        §10.2.3 binds it to none), not on a 3xx: browsers ignore it there, and ten hops of five
        minutes each would hold up the end of a run for an hour.
        """
        if not setback.passing:
            return None
        if setback.throttling:
            free = tries.patient and tries.free < MAX_FREE_ATTEMPTS and self.retries > 0
            again = free or self._has_attempts_left(tries)
            return Retry(_pause_s(setback, tries.parkings + 1, random), again, True, free)
        if not self._has_attempts_left(tries):
            return None
        nth = tries.sent - tries.free
        return Retry(_pause_s(setback, nth, random), again=True, host_wide=False, free=False)

    def _has_attempts_left(self, tries: Tries) -> bool:
        return tries.sent - tries.free <= self.retries


def _pause_s(setback: Setback, nth: int, random: Callable[[], float]) -> float:
    """Return the seconds to wait after the *nth* setback: as asked, else backing off.

    Our own pause doubles each time and lies at random in the upper half of its span, so that what
    failed together doesn't come back together. `Retry-After: 0` asks for nothing: it is ours too.
    """
    if setback.retry_after_s:
        return min(setback.retry_after_s, MAX_RETRY_AFTER_S)
    doublings = min(max(nth - 1, 0), 10)  # far beyond the cap, far below an overflow
    longest_s = min(FIRST_PAUSE_S[setback.kind] * 2.0**doublings, MAX_BACKOFF_S)
    return longest_s * (0.5 + 0.5 * random())


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

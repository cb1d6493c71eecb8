"""What is tried again: by default, and as a user writes it (`404`, `500-504`, `5xx`, `tls`)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import NamedTuple

THROTTLING_STATUSES = frozenset({429, 503})
"""Spoken for the whole host: RFC 6585 §4 (too many requests), RFC 9110 §15.6.4 (overloaded)."""

PASSING_STATUSES = THROTTLING_STATUSES | {
    408,  # Request Timeout, "MAY repeat": RFC 9110 §15.5.9
    425,  # Too Early: RFC 8470 §5.2
    500,  # Internal Server Error: RFC 9110 §15.6.1
    502,  # Bad Gateway: RFC 9110 §15.6.3
    504,  # Gateway Timeout: RFC 9110 §15.6.5
    520,  # The origin's response was none: this and the next by Cloudflare, "Error 520" to 527
    521,  # The origin refuses connections.
    522,  # Connecting to the origin timed out.
    523,  # The origin is unreachable.
    524,  # The origin's response took too long.
    527,  # The link to the origin failed.
    529,  # The site is overloaded: Qualys, Anthropic and others.
}

LATER_STATUS = 202
"""Accepted: with Retry-After, "not yet, ask again then" (RFC 9110 §15.3.3, §10.2.3)."""

PASSING_KINDS = ("dns", "connect", "timeout", "truncated", "checksum")
"""Kinds of error that may pass: see `scheduling.retry.FIRST_PAUSE_S`."""

FAILED_STATUSES = range(300, 1000)
"""Statuses of responses that aren't ok. Servers do send some beyond 599."""

_WRITTEN = re.compile(r"(?:status:)?([1-9])(?:xx|([0-9]{2})(?:-([1-9][0-9]{2}))?)")


def statuses_in(text: str) -> range | None:
    """Return the statuses that *text* stands for, at least one; None: it stands for none.

    `status` alone is every status that isn't ok.
    """
    if text == "status":
        return FAILED_STATUSES
    found = _WRITTEN.fullmatch(text)
    if found is None:
        return None
    hundred = int(found[1]) * 100
    if found[2] is None:
        return range(hundred, hundred + 100)
    first = hundred + int(found[2])
    return range(first, int(found[3] or first) + 1) or None


class Again(NamedTuple):
    """What is tried again."""

    statuses: frozenset[int] = PASSING_STATUSES
    kinds: tuple[str, ...] = PASSING_KINDS
    later: bool = True
    """Whether a 202 with Retry-After is asked again."""

    @classmethod
    def chosen(cls, on: Collection[str], off: Collection[str]) -> Again:
        """Return what is tried again by default, with what is in *on* and without that in *off*.

        Of two that hold a status the narrower one decides, of equal ones that in *off*.
        """
        if not on and not off:
            return USUAL
        spans = [(span, True) for text in on if (span := statuses_in(text)) is not None]
        spans += [(span, False) for text in off if (span := statuses_in(text)) is not None]
        statuses = set(PASSING_STATUSES)
        for span, wanted in sorted(spans, key=lambda each: (-len(each[0]), not each[1])):
            if wanted:
                statuses.update(span)
            else:
                statuses.difference_update(span)
        named = (word for word in on if statuses_in(word) is None)
        kinds = dict.fromkeys([*PASSING_KINDS, *named])
        later = str(LATER_STATUS) not in off and ("status" not in off or LATER_STATUS in statuses)
        return cls(frozenset(statuses), tuple(each for each in kinds if each not in off), later)

    def in_words(self) -> str:
        """Return what is tried again, for a person."""
        said = [*self.kinds]
        if self.statuses:
            said.append(_runs(self.statuses))
        if self.later and LATER_STATUS not in self.statuses:
            said.append(f"{LATER_STATUS} with Retry-After")
        return ", ".join(said) or "nothing"


USUAL = Again()


def _runs(statuses: Iterable[int]) -> str:
    """Return *statuses* in order, neighbours as a range: `408, 500, 502-504`."""
    runs: list[list[int]] = []
    for status in sorted(statuses):
        if runs and status == runs[-1][-1] + 1:
            runs[-1][1:] = [status]
        else:
            runs.append([status])
    return ", ".join("-".join(map(str, run)) for run in runs)

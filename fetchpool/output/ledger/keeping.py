"""What the same command, given again, keeps of an earlier run: the table of the user's manual.

                  after a stopped run   after a finished run
(no flag)         all                   nothing
--retry-failed    ok                    ok
--once            all                   all
--fresh           nothing               nothing
"""

from __future__ import annotations

from enum import Enum

from fetchpool.config.expressions import matches
from fetchpool.model.urls import conceals
from fetchpool.output.ledger.entries import Entry


class Previous(Enum):
    """What an earlier command left in the directory."""

    NONE = "none"
    STOPPED = "stopped"
    FINISHED = "finished"
    """Every line of its list has a record."""


class Flag(Enum):
    """How the user wants to go on; the flags exclude each other."""

    PLAIN = "plain"
    RETRY_FAILED = "retry_failed"
    ONCE = "once"
    FRESH = "fresh"


class Kept(Enum):
    """Which of the old records count as answers."""

    NOTHING = "nothing"
    OK = "ok"
    ALL = "all"


def decide(previous: Previous, flag: Flag) -> Kept:
    """Return what is kept of the *previous* run under *flag*; nothing where there was none."""
    if previous is Previous.NONE or flag is Flag.FRESH:
        return Kept.NOTHING
    if flag is Flag.RETRY_FAILED:
        return Kept.OK
    if flag is Flag.ONCE or previous is Previous.STOPPED:
        return Kept.ALL
    return Kept.NOTHING


class Keeping:
    """The decision applied to single records.

    With `Kept.OK`, failures that are none of *retry_kinds* (as `Config` checks them; none at all =
    every kind) are kept too: `--retry-failed` does not mean them. A record whose URL has a secret
    is never kept: the ledger does not hold it, so it can't tell whose record it is. Nor is one that
    holds a secret in the clear because it was not marked then.
    """

    def __init__(self, kept: Kept, retry_kinds: tuple[str, ...] = ()) -> None:
        self._kept = kept
        self._retry_kinds = retry_kinds

    @property
    def everything(self) -> bool:
        """No record is dropped for how it ended."""
        return self._kept is Kept.ALL

    def __call__(self, entry: Entry) -> bool:
        """Tell whether the record counts as an answer."""
        if self._kept is Kept.NOTHING or conceals(entry.url):
            return False
        if entry.ok or self._kept is Kept.ALL:
            return True
        return not matches(self._retry_kinds, entry.error or "", entry.status)

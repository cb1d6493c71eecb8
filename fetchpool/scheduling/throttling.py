"""What refusals (429, 503) say: of the host, or of the URLs that were refused.

    refused ──▶ the host pauses ──▶ a fresh URL first ──▶ served: the refused ones in a fair moment
                      ▲                    └── refused, too: twice the pause ──▶ … given up
                      └──────────────────────────────┘

A host is judged by different URLs, not by repeats: some URLs of a good host are refused for ever. A
refusal speaks for its host first: nothing is asked of it for as long as it said, or for a pause of
our own, which doubles with each probe refused and is quartered by each that is not. After a pause a
URL goes first that was never asked, from anywhere in what waits, as lists often have their bad
lines together. A refused URL is asked again in a fair moment: while the host serves well (more in a
row than the last time before it refused, and eight at least), or alone, after a rest as long as the
host took for each URL it served lately. Refused again by a host that serves well, it is its own
matter: nobody else waits for it. A host is given up when so many requests in a row were refused,
each after a pause and each for another URL while there are any, as chance can't explain: six, or
more where it refuses a share of its URLs for ever, or where a tenth of them, all bad, could be most
of what is left. The last of them is for a URL that was refused before: some hosts make what they
are asked for, and refuse it until they have it. Where that is served, it is what goes next after
each refusal.

Pure: time is an argument called `now` (monotonic seconds).
"""

from __future__ import annotations

import math

import msgspec

FIRST_PAUSE_S = 1.0
"""Our own pause after the first refusal, at most."""

SHORTEST_PAUSE_S = 0.125
LONGEST_PAUSE_S = 60.0

LONGEST_PAUSE_FOR_REPEATS_S = 4.0
"""The longest our own pause grows by refusals of URLs that were refused before."""

SERVES_WELL_AFTER = 8
"""Good responses in a row, at least, after which a host is trusted to serve anybody."""

LONGEST_RUN = 64
"""Good responses in a row beyond which no more are counted."""

USUAL_SHARE = 0.1
"""The share of its URLs that a good host may refuse for ever, wherever in a list they stand."""

GIVEN_UP_AFTER = 6
"""Refusals in a row, after a pause each, that make a host's waiting URLs fail fast, where it
refuses a tenth of its URLs or fewer: a tenth six times in a row is one in a million."""

GIVEN_UP_AFTER_S = 15.0
"""How long a run of refusals lasts at least by then: a server that restarts takes some seconds."""

GIVEN_UP_AT_MOST = 64
"""The same for a host that refuses four of five URLs or more."""


class Refusal(msgspec.Struct, frozen=True):
    """A 429 or 503 to one request."""

    status: int
    is_first: bool = True
    """False if the request was refused before: then it says little new about the host."""
    asked_s: float | None = None
    """The pause that the host asked for (Retry-After), in seconds."""


class Throttling:
    """What a host's refusals came to, from the first one on."""

    __slots__ = (
        "_good_fresh",
        "_helped",
        "_helped_not",
        "_in_vain",
        "_last_run",
        "_lasts_s",
        "_left",
        "_refused",
        "_refused_now",
        "_repeats",
        "_run_since",
        "_served",
        "_served_after_all",
        "_served_since",
        "_since",
        "_well_after",
        "pause_s",
        "refusals",
        "rest_s",
    )

    def __init__(self, served: int) -> None:
        """Begin with the first refusal of a host that gave *served* good responses before."""
        self.pause_s = FIRST_PAUSE_S
        """Our own pause after a refusal that names none, at most."""
        self.rest_s = FIRST_PAUSE_S
        """How long the host must have had nothing to do for a refused URL to be fairly tried."""
        self.refusals = 0
        """Refusals in a row, after a pause each, since the last good response."""
        self._served = served
        self._good_fresh = served  # good responses since a refusal to URLs not refused before
        self._well_after = SERVES_WELL_AFTER
        self._last_run = SERVES_WELL_AFTER  # good responses in a row that a refusal ended
        self._run_since = 0.0  # when the present run of refusals began
        self._lasts_s = 0.0  # how long it took to its last refusal
        self._since: float | None = None  # since when refusals came before it served well
        self._served_since = 0
        self._refused = 0  # URLs refused and not served since, but for the present run's
        self._refused_now = 0
        self._served_after_all = 0
        self._helped = 0  # repeats that were wanted and served
        self._helped_not = 0  # the same and refused
        self._in_vain = 0  # refusals of URLs that were refused before
        self._repeats = 0  # those of the present run
        self._left = 0  # URLs that were never asked, at the last refusal

    @property
    def serves_well(self) -> bool:
        """True while one more refusal is rather its URL's matter than the host's."""
        return self._good_fresh >= self._well_after

    @property
    def needs_rests(self) -> bool:
        """True if the host refuses after a few requests: it may need rests to serve anybody."""
        return self._last_run < SERVES_WELL_AFTER and not self.serves_well

    @property
    def repeats_help(self) -> bool:
        """True if the host serves what it refused before, after a pause: as one does that makes
        what it is asked for, and calls itself busy until it has it."""
        return self._helped > 4 * self._helped_not

    @property
    def wants_repeat(self) -> bool:
        """True if a refused URL goes before fresh ones: as the last before the host is given up,
        or after each refusal, where that helps."""
        if self._repeats or not self.refusals:
            return False
        if self.repeats_help:
            return True
        # Pauses double, so the next refusal comes after twice as long.
        return self._lasts_s >= GIVEN_UP_AFTER_S / 2 and self._is_hopeless_after(self.refusals + 1)

    def served(self, now: float, was_refused: bool) -> None:
        """Take note of a good response; *was_refused*: to a URL that was refused before."""
        self._served += 1
        if was_refused:
            self._refused = max(0, self._refused - 1)
            self._served_after_all += 1
        else:  # the others had a moment for themselves, perhaps
            self._good_fresh += 1
        if self.refusals:
            self._helped += was_refused and self.wants_repeat
            self._end_run()
        if self._since is None:
            return
        if self.serves_well:
            self._since = None
            return
        self._served_since += 1
        self._find_rest(now - self._since)

    def _find_rest(self, took_s: float) -> None:
        """Take the time the host took for each URL it served within *took_s* for its rest.

        What a limiter had left over when it began to refuse makes the first intervals too short.
        Where tries of refused URLs are in vain mostly, no rest would help them.
        """
        each_s = took_s / self._served_since * (1 + 1 / self._served_since)
        tries = self._served_after_all + self._in_vain
        helps = (self._served_after_all + 4) / (tries + 4)
        self.rest_s = min(each_s * helps, LONGEST_PAUSE_S)

    def _end_run(self) -> None:
        self.refusals = 0
        self._repeats = 0
        self._refused += self._refused_now
        self._refused_now = 0
        self.pause_s = max(SHORTEST_PAUSE_S, self.pause_s / 4)

    def volley(self, refusal: Refusal) -> None:
        """Take note of the refusal of a request sent together with one that counts for all."""
        self._refused_now += refusal.is_first
        self._in_vain += not refusal.is_first
        self._repeats += not refusal.is_first

    def refused(self, now: float, refusal: Refusal, window: int, left: int) -> None:
        """Take note of a refusal after which the host gets *window* requests at once.

        So many URLs are *left* of it that were never asked.
        """
        if not refusal.is_first:
            self._helped_not += self.wants_repeat or self.repeats_help
        self.volley(refusal)
        self._left = left
        if self._since is None:
            self._since = now
            self._served_since = 0
        if self.refusals and self._odds(self.refusals) < 0.01:
            most_s = self._longest_pause_s() if refusal.is_first else LONGEST_PAUSE_FOR_REPEATS_S
            self.pause_s = max(self.pause_s, min(most_s, self.pause_s * 2))
        if self._good_fresh:
            self._last_run = min(self._good_fresh, LONGEST_RUN)
        self._good_fresh = 0
        self._well_after = max(SERVES_WELL_AFTER, 2 * window, self._last_run + 1)
        if not self.refusals:
            self._run_since = now
        self._lasts_s = now - self._run_since
        # Repeats count where it comes to them: while fresh URLs wait, those go first after a pause.
        self.refusals += 1
        if not self._served_since:
            self.rest_s = self.pause_s

    def refused_own(self) -> None:
        """Take note of a refusal that is its URL's own matter; some more, and it is the host's."""
        self._in_vain += 1
        self._good_fresh = max(0, self._good_fresh - SERVES_WELL_AFTER // 2)

    def next_pause_s(self, refusal: Refusal, draw: float) -> float:
        """Return how long the host is left alone: as it asked, else for a pause of our own.

        Our own lies in the upper half of its span, by *draw* from 0 up to 1, so that what stops
        together starts apart. `Retry-After: 0` asks for nothing; who refuses again after the pause
        it asked for gets no less than ours.
        """
        own_s = self.pause_s * (0.5 + 0.5 * draw)
        if not refusal.asked_s:
            return own_s
        return max(refusal.asked_s, own_s) if self.refusals > 1 else refusal.asked_s

    def is_hopeless(self, now: float) -> bool:
        """Return True if the present run of refusals can't be chance, nor a short pause."""
        has_lasted = now - self._run_since >= GIVEN_UP_AFTER_S
        return has_lasted and self._is_hopeless_after(self.refusals)

    def _is_hopeless_after(self, refusals: int) -> bool:
        if refusals < GIVEN_UP_AFTER:
            return False
        if not self._left and self._repeats >= GIVEN_UP_AFTER:
            return True  # the host, or all that is left of its URLs: they fail either way
        if refusals >= GIVEN_UP_AT_MOST:
            return True
        return self._odds(refusals) <= 1e-6 and self._share_left() ** refusals <= 1e-5

    def _longest_pause_s(self) -> float:
        """Return how long our own pause grows, so that giving up takes no longer for few URLs."""
        share = self._share_left()
        if share**GIVEN_UP_AFTER <= 1e-5:
            return LONGEST_PAUSE_S
        needed = GIVEN_UP_AT_MOST if share >= 1.0 else math.log(1e-5) / math.log(share)
        return LONGEST_PAUSE_S / min(needed, self._refused_now + self._left + GIVEN_UP_AFTER)

    def _odds(self, refusals: int) -> float:
        """Return how probable a run of so many *refusals* is where the usual share is refused."""
        refused = self._refused * self._refused_for_ever()
        share = refused / (refused + self._served) if refused else 0.0
        return float(share**refusals)

    def _share_left(self) -> float:
        """Return the share of bad URLs among those the present run met and those left, if a tenth
        of all the host's are bad and stand there."""
        here = self._refused_now + self._left
        if not here:
            return 0.0
        bad = USUAL_SHARE * (self._served + self._refused + here) * self._refused_for_ever()
        return min(1.0, bad / here)

    def _refused_for_ever(self) -> float:
        """Return the share of refused URLs that stay so, going by those that were tried again."""
        return (self._in_vain + 1) / (self._in_vain + self._served_after_all + 1)

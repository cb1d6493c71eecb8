"""What refusals (429, 503) say: about the host, or about the URLs that were refused.

    refused ──▶ the host pauses ──▶ a fresh URL first ──▶ served: the refused ones in a fair moment
                      ▲                    └── refused, too: twice the pause ──▶ … given up
                      └──────────────────────────────┘

A host is judged by different URLs, not by repeats, as some URLs of a good host are always refused.

- A refusal counts against the host first: it gets no request for as long as it asked, or for our
  own pause, which doubles with each refused probe and is quartered by each served one.
- After a pause a URL goes first that was never requested, picked from anywhere in the queue, as
  lists often have their bad lines together.
- A refused URL is requested again at a fair moment: while the host serves well (more responses in a
  row than before it last refused, and eight at least), or alone, after a rest as long as the host
  took for each URL that it served lately. If it is refused by a host that serves well, that is due
  to the URL, and no other URL waits for it.
- A host is given up when so many requests in a row were refused that chance can't explain it, each
  after a pause and each for another URL while there are any: six, or more where it always refuses a
  share of its URLs, or where a tenth of them, all bad, could be most of what is left. The last of
  these requests is for a URL that was refused before, as some hosts make what they are asked for,
  and refuse it until they have it. If it is served, such a URL goes next after each refusal.

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
"""The longest pause that refusals of repeated URLs can make."""

SERVES_WELL_AFTER = 8
"""Good responses in a row, at least, after which a host serves well."""

LONGEST_RUN = 64
"""Good responses in a row are counted up to here."""

USUAL_SHARE = 0.1
"""The share of its URLs that a good host may always refuse, wherever in a list they are."""

GIVEN_UP_AFTER = 6
"""Refusals in a row, each after a pause, that make a host's waiting URLs fail fast, if it refuses a
tenth of its URLs or fewer: by chance that happens once in a million."""

GIVEN_UP_AFTER_S = 15.0
"""How long such a run of refusals lasts at least: a server that restarts takes some seconds."""

GIVEN_UP_AT_MOST = 64
"""The same for a host that refuses four of five URLs or more."""


class Refusal(msgspec.Struct, frozen=True):
    """A 429 or 503 to one request."""

    status: int
    is_first: bool = True
    """False if the request was refused before: then it says little about the host."""
    asked_s: float | None = None
    """The pause that the host asked for (Retry-After), in seconds."""


class Throttling:
    """What a host's refusals show, from the first one on."""

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
        """Begin with the first refusal of a host that gave *served* good responses before it."""
        self.pause_s = FIRST_PAUSE_S
        """Our own pause after a refusal without Retry-After, at most."""
        self.rest_s = FIRST_PAUSE_S
        """How long the host must be idle before a refused URL gets a fair try."""
        self.refusals = 0
        """Refusals in a row, each after a pause, since the last good response."""
        self._served = served
        self._good_fresh = served  # good responses to URLs never refused, since a refusal
        self._well_after = SERVES_WELL_AFTER
        self._last_run = SERVES_WELL_AFTER  # good responses in a row that a refusal ended
        self._run_since = 0.0  # when the present run of refusals began
        self._lasts_s = 0.0  # how long it has lasted, up to its last refusal
        self._since: float | None = None  # since when refusals came before it served well
        self._served_since = 0
        self._refused = 0  # URLs refused and not served since, without those of the present run
        self._refused_now = 0
        self._served_after_all = 0
        self._helped = 0  # repeats of refused URLs that were wanted and served
        self._helped_not = 0  # those that were refused
        self._in_vain = 0  # refusals of URLs that were refused before
        self._repeats = 0  # of these, those in the present run
        self._left = 0  # URLs never requested, at the last refusal

    @property
    def serves_well(self) -> bool:
        """True while one more refusal is probably due to its URL, not to the host."""
        return self._good_fresh >= self._well_after

    @property
    def needs_rests(self) -> bool:
        """True if the host refuses after a few requests, and may need rests."""
        return self._last_run < SERVES_WELL_AFTER and not self.serves_well

    @property
    def repeats_help(self) -> bool:
        """True if the host serves what it refused before, after a pause: it makes what it is asked
        for, and refuses it until it has it."""
        return self._helped > 4 * self._helped_not

    @property
    def wants_repeat(self) -> bool:
        """True if a refused URL goes before new ones: as the last try before the host is given up,
        or after each refusal where that helps."""
        if self._repeats or not self.refusals:
            return False
        if self.repeats_help:
            return True
        # Pauses double, so the next refusal comes after twice the time.
        return self._lasts_s >= GIVEN_UP_AFTER_S / 2 and self._is_hopeless_after(self.refusals + 1)

    def served(self, now: float, was_refused: bool) -> None:
        """Record a good response; *was_refused*: to a URL that was refused before."""
        self._served += 1
        if was_refused:
            self._refused = max(0, self._refused - 1)
            self._served_after_all += 1
        else:  # the others were perhaps tried at a fair moment
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
        """Set the rest to the time the host took for each URL that it served within *took_s*.

        Quota left over from before the refusals makes the first intervals too short. Where most
        tries of refused URLs fail, no rest would help.
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
        """Record the refusal of a request sent together with one that counts for all."""
        self._refused_now += refusal.is_first
        self._in_vain += not refusal.is_first
        self._repeats += not refusal.is_first

    def refused(self, now: float, refusal: Refusal, window: int, left: int) -> None:
        """Record a refusal after which the host gets *window* requests at once.

        *left* of its URLs were never requested.
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
        # Repeats count, too: while new URLs wait, those go first after a pause.
        self.refusals += 1
        if not self._served_since:
            self.rest_s = self.pause_s

    def refused_own(self) -> None:
        """Record a refusal that is due to its URL; some more, and it is due to the host."""
        self._in_vain += 1
        self._good_fresh = max(0, self._good_fresh - SERVES_WELL_AFTER // 2)

    def next_pause_s(self, refusal: Refusal, draw: float) -> float:
        """Return how long the host gets no request: as it asked, else for our own pause.

        Our own pause lies in the upper half of its span, chosen by *draw* (0 <= draw < 1), so that
        requests stopped together don't start together. `Retry-After: 0` is no wish; a host that
        refuses again after the pause it asked for gets our own, if that is longer.
        """
        own_s = self.pause_s * (0.5 + 0.5 * draw)
        if not refusal.asked_s:
            return own_s
        return max(refusal.asked_s, own_s) if self.refusals > 1 else refusal.asked_s

    def is_hopeless(self, now: float) -> bool:
        """Return True if the present run of refusals is neither chance nor a short outage."""
        has_lasted = now - self._run_since >= GIVEN_UP_AFTER_S
        return has_lasted and self._is_hopeless_after(self.refusals)

    def _is_hopeless_after(self, refusals: int) -> bool:
        if refusals < GIVEN_UP_AFTER:
            return False
        if not self._left and self._repeats >= GIVEN_UP_AFTER:
            return True  # the host refuses all, or all its URLs that are left: they fail either way
        if refusals >= GIVEN_UP_AT_MOST:
            return True
        return self._odds(refusals) <= 1e-6 and self._share_left() ** refusals <= 1e-5

    def _longest_pause_s(self) -> float:
        """Return the longest own pause: with few URLs left, giving up must take no longer."""
        share = self._share_left()
        if share**GIVEN_UP_AFTER <= 1e-5:
            return LONGEST_PAUSE_S
        needed = GIVEN_UP_AT_MOST if share >= 1.0 else math.log(1e-5) / math.log(share)
        return LONGEST_PAUSE_S / min(needed, self._refused_now + self._left + GIVEN_UP_AFTER)

    def _odds(self, refusals: int) -> float:
        """Return the probability of *refusals* in a row if the usual share of URLs is bad."""
        refused = self._refused * self._refused_for_ever()
        share = refused / (refused + self._served) if refused else 0.0
        return float(share**refusals)

    def _share_left(self) -> float:
        """Return the share of bad URLs among those of the present run and those left, if a tenth of
        all URLs of the host are bad, and all these are among them."""
        here = self._refused_now + self._left
        if not here:
            return 0.0
        bad = USUAL_SHARE * (self._served + self._refused + here) * self._refused_for_ever()
        return min(1.0, bad / here)

    def _refused_for_ever(self) -> float:
        """Return the share of refused URLs that stay refused, among those tried again."""
        return (self._in_vain + 1) / (self._in_vain + self._served_after_all + 1)

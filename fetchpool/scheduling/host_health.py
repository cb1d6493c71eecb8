"""What a host's responses say about it: how many requests at once, and when the next may start.

    good responses      the window grows, one request per response, up to --per-host; where that
                        is `auto`, as a `Finder` says (see `concurrency`)
    429, 503            the host is parked as it asked; the window is halved, then grows in steps
                        (see `throttling`)
    no connection, or   after some in a row: one probe at a time, further and further apart;
    no bytes over it    then its URLs fail fast, with a probe now and then that may end this

Pure: time is an argument called `now` (monotonic seconds).
"""

from __future__ import annotations

from fetchpool.model.hosts import Found
from fetchpool.model.values import Failure, FailureKind
from fetchpool.scheduling.concurrency import Finder
from fetchpool.scheduling.throttling import Refusal, Throttling

FIRST_WINDOW = 2
"""Requests at once to a new host: its first response shows whether it throttles.

Doubling from two reaches the default `--per-host` of 10 after three rounds of responses. Starting
with one would cost a slow host a round more; with `--per-host`, as many refused requests.
"""

SUSPECT_AFTER = 5
"""Attempts in a row without a connection, or without a byte over it, that make a host suspect."""

FAIL_FAST_AFTER = 8
"""Such attempts in a row that make its waiting URLs fail without a request."""

PROBE_AFTER_S = 1.0
"""Pause before the first probe of a suspect host; doubles with each failed probe."""

FAIL_FAST_PROBE_S = 30.0
"""Pause between probes of a host whose URLs fail fast; doubles up to `PROBE_AT_MOST_S`."""

PROBE_AT_MOST_S = 300.0

SILENT_AFTER = 20
"""Different URLs in a row that a host which once responded leaves without a byte, before silence
counts like a lack of connection. Each costs a time-out, so this is less than a page of dead
links."""

REPEATS_AFTER = 24
"""Silent attempts in a row, beyond those, from which on repeats of a URL count too: a list may have
one URL of a host a thousand times."""

URLS_AT_MOST = 64
"""Silent URLs remembered."""


class HostHealth:
    """The condition of one host, as its responses show it."""

    __slots__ = (
        "_asked_until",
        "_asked_why",
        "_good_since_cut",
        "_last_cut",
        "_probe_pause_s",
        "_silences",
        "_silent_urls",
        "_suspect_since",
        "_wave",
        "doubtful",
        "failing",
        "failures",
        "finder",
        "is_wary",
        "most",
        "parked_until",
        "probe_at",
        "served",
        "spoke",
        "throttling",
        "why",
        "window",
    )

    def __init__(self, most: int, *, finds: bool = False) -> None:
        """Where it *finds* its window, that is never above *most*, either."""
        self.most = most
        """The largest window: `--per-host`, or `--limit` where a host has no limit of its own."""
        self.finder = Finder(most) if finds else None
        """What finds the window; None = it grows to `most`."""
        self.window = min(FIRST_WINDOW, most)
        """How many requests at once the host gets."""
        self.parked_until = 0.0
        self.why: str | None = None
        """Why the host is parked or fails fast, in a few words; None while all is well."""
        self.failing = Failure(FailureKind.CONNECT, "")
        """The failure of its URLs while it fails fast."""
        self.doubtful = False
        """True from a refusal or failure until a good response: fresh URLs go first until then."""
        self.is_wary = False
        """True while the next request is a probe of the host, which no bad URL should spoil."""
        self.failures = 0
        """Attempts in a row that speak against the host: no connection, or no byte over it."""
        self.spoke = False
        """True once it has sent anything: later silence may be due to its URLs."""
        self.served = 0
        """Good responses."""
        self.throttling: Throttling | None = None
        """What its refusals showed; None = there were none."""
        self.probe_at: float | None = None
        """When the host's URLs fail fast: the time of the next probe; else None."""
        self._asked_until = 0.0
        self._asked_why: str | None = None
        self._wave = True
        self._last_cut = float("-inf")
        self._silent_urls: set[str] | None = None  # since the last good response
        self._silences = 0
        self._suspect_since = float("-inf")
        self._good_since_cut = 0
        self._probe_pause_s = 0.0

    @property
    def slowed(self) -> bool:
        """True while the host gets fewer requests at once than it could, because of its
        responses."""
        return not self._wave and self.window < self.most

    @property
    def found(self) -> Found:
        """What the window has come to, if that is found while running."""
        found = None if self.finder is None else self.finder.found
        return Found(None, found, found)

    def fails_fast(self, now: float) -> bool:
        """Return True if the host's URLs fail without a request at *now*."""
        return self.fails_fast_s(now) > 0.0

    def fails_fast_s(self, now: float) -> float:
        """Return for how many seconds more they do so; 0 = they don't."""
        return 0.0 if self.probe_at is None else max(0.0, self.probe_at - now)

    def answered(self, now: float, *, was_refused: bool = False) -> bool:
        """Record a response that shows that the host works and takes requests.

        *was_refused*: an earlier request for the URL was refused. Returns False if nothing changes
        about how many requests may start, and when.
        """
        self.spoke = True
        self.served += 1
        changed = self.doubtful
        if self.window < self.most and self.finder is None:
            self._widen()
            changed = True
        if self.throttling is not None:
            self.throttling.served(now, was_refused)
            changed = True
        if self.doubtful:
            self.recovered()
        elif self._silences:
            self._forget_silences()
        if self.is_wary:
            self._look()
        return changed

    def _look(self) -> None:
        serves_well = self.throttling is None or self.throttling.serves_well
        self.is_wary = self._silences > 0 or not serves_well

    def _forget_silences(self) -> None:
        self._silent_urls = None
        self._silences = 0

    def recovered(self) -> None:
        """Forget the failures to connect; a pause the host asked for stands."""
        self.doubtful = self.throttling is not None and self.throttling.refusals > 0
        self.failures = 0
        self._forget_silences()
        self.probe_at = None
        self._probe_pause_s = 0.0
        self.parked_until = self._asked_until
        self.why = self._asked_why
        self._look()

    def _widen(self) -> None:
        if self._wave:  # first wave: each response adds one request, so a round doubles them
            self.window += 1
            return
        self._good_since_cut += 1
        if self._good_since_cut >= self.window:  # afterwards one request per full round
            self._good_since_cut = 0
            self.window += 1

    def throttled(
        self, now: float, started: float, refusal: Refusal, draw: float, left: int
    ) -> float:
        """Record a refusal of a request sent at *started*; return the pause, in seconds.

        Responses to requests sent together are one event: of the requests sent before the last cut
        only the first refusal halves the window and counts. *draw* is a random number, 0 <= draw <
        1; *left* URLs were never requested.
        """
        self.spoke = self.is_wary = True
        if self.throttling is None:
            self.throttling = Throttling(self.served)
        throttling = self.throttling
        if started <= self._last_cut:
            throttling.volley(refusal)
            return self._pause(now, throttling.next_pause_s(refusal, draw), refusal.status)
        self._last_cut = now
        self._wave = False
        self._good_since_cut = 0
        self.window = max(1, self.window // 2) if self.finder is None else self.finder.refused(now)
        self.doubtful = True
        throttling.refused(now, refusal, self.window, left)
        pause_s = self._pause(now, throttling.next_pause_s(refusal, draw), refusal.status)
        if throttling.is_hopeless(now):
            self.failing = Failure(
                FailureKind.STATUS,
                f"given up: the host answered {refusal.status} "
                f"through {throttling.refusals} pauses",
            )
            self._fail_fast(now, str(refusal.status))
        return pause_s

    def _pause(self, now: float, pause_s: float, status: int) -> float:
        self.park(now + pause_s, status)
        return pause_s

    def refuses_one_more(self) -> bool:
        """Return True, and count it, if one more refusal of a URL is due to that URL."""
        if self.throttling is None or not self.throttling.serves_well:
            return False
        self.throttling.refused_own()
        self._look()
        return True

    def park(self, until: float, status: int) -> None:
        """Park the host until then, as it asked."""
        if until > self._asked_until:
            self._asked_until = until
            self._asked_why = str(status)
        if until > self.parked_until:
            self.parked_until = until
            self.why = str(status)

    def silent(self, now: float, started: float, url: str, failure: Failure) -> None:
        """Record an attempt begun at *started* that got a connection and no byte over it.

        It speaks against the host once for each URL, unless there are very many, and only if the
        host never responded or left a whole page of URLs in a row without a byte.
        """
        silent = self._silent_urls = self._silent_urls or set()
        is_another = url not in silent
        if len(silent) < URLS_AT_MOST:
            silent.add(url)
        self._silences += 1
        self.is_wary = True
        bearable = SILENT_AFTER if self.spoke else 0
        if (is_another and len(silent) > bearable) or self._silences > bearable + REPEATS_AFTER:
            self.unreachable(now, started, failure)

    def unreachable(self, now: float, started: float, failure: Failure) -> None:
        """Record an attempt begun at *started* that received nothing.

        Attempts already running when the host became suspect don't count: only probes make it fail
        fast, so that a server that restarts has a few seconds.
        """
        if started < self._suspect_since:
            return
        self.failures += 1
        self.doubtful = True
        self._wave = False
        if self.failures == SUSPECT_AFTER:
            self._suspect_since = now
        if self.failures >= FAIL_FAST_AFTER:
            self.failing = Failure(
                failure.kind,
                f"given up: the last {self.failures} attempts at the host failed, "
                f"the latest: {failure.detail}",
            )
            self._fail_fast(now, failure.detail)
        elif self.failures >= SUSPECT_AFTER:
            self._to_one()
            pause_s = PROBE_AFTER_S * 2.0 ** (self.failures - SUSPECT_AFTER)
            self.parked_until = max(self.parked_until, now + pause_s)
            self.why = failure.detail

    def _fail_fast(self, now: float, why: str) -> None:
        self._probe_pause_s = min(PROBE_AT_MOST_S, self._probe_pause_s * 2 or FAIL_FAST_PROBE_S)
        # No probe within a pause that the host asked for (RFC 9110 §10.2.3).
        self.probe_at = max(now + self._probe_pause_s, self._asked_until)
        self.parked_until = now  # what is queued fails at once, or is the next probe
        self._to_one()
        self.why = why

    def _to_one(self) -> None:
        self.window = 1
        if self.finder is not None:
            self.finder.lost()

    def bound(self, most: int) -> None:
        """Make *most* the largest window."""
        self.most = most
        self.window = min(self.window, most)
        if self.finder is not None:
            self.window = self.finder.bound(most)

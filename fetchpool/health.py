"""What a host's answers say about it: how many requests at once it gets, and when the next may go.

    good answers        the window grows, one answer at a time, up to --per-host
    429, 503            the host is parked as it asked; the window is halved, then regained by steps
    no connection, or   a few in a row: one probe at a time, further and further apart;
    again and again     its URLs fail fast, with a probe now and then that may bring it back

Pure: time is an argument called `now` (monotonic seconds).
"""

from __future__ import annotations

from fetchpool.models import Failure, FailureKind

FIRST_WINDOW = 2
"""Requests at once to a host nobody has heard of: its first answer shows whether it throttles.

Doubling from two reaches the default `--per-host` of 10 after three rounds of answers; one would
cost a slow host a whole round more, and `--per-host` at once wastes as many refused requests.
"""

SUSPECT_AFTER = 5
"""Attempts in a row that got no connection, or heard nothing over it, that make a host suspect."""

FAIL_FAST_AFTER = 8
"""The same that make its waiting URLs fail without being tried."""

PROBE_AFTER_S = 1.0
"""Pause before the first probe of a suspect host; doubles with each that fails."""

PROBE_EVERY_S = 30.0
"""Pause between probes of a host whose URLs fail fast; doubles up to `PROBE_AT_MOST_S`."""

PROBE_AT_MOST_S = 300.0

PATIENT_PARKINGS = 3
"""Parkings without a good answer between, after which a throttled request spends its attempts."""

PARKINGS_FAIL_FAST_AFTER = 6
"""Parkings without a good answer between, after which the host's waiting URLs fail fast."""


class HostHealth:
    """The condition of one host, moved by what its answers were."""

    __slots__ = (
        "_asked_until",
        "_asked_why",
        "_good_since_cut",
        "_last_cut",
        "_probe_pause_s",
        "_suspect_since",
        "_wave",
        "failing",
        "failures",
        "most",
        "parked_until",
        "parkings",
        "probe_at",
        "spoke",
        "why",
        "window",
    )

    def __init__(self, most: int) -> None:
        self.most = most
        """The largest window: `--per-host`, or `--limit` where a host has no limit of its own."""
        self.window = min(FIRST_WINDOW, most)
        """How many requests at once the host gets now."""
        self.parked_until = 0.0
        self.why: str | None = None
        """Why the host is parked or fails fast, in a few words; None while all is well."""
        self.failing = Failure(FailureKind.CONNECT, "")
        """What its URLs get while it fails fast."""
        self.failures = 0
        """Attempts in a row that heard nothing."""
        self.spoke = False
        """True once it has said anything: what is silent then may be its URLs."""
        self.parkings = 0
        """Parkings since the last good answer."""
        self.probe_at: float | None = None
        """When the host's URLs fail fast: the time of the next probe; else None."""
        self._asked_until = 0.0
        self._asked_why: str | None = None
        self._wave = True
        self._last_cut = float("-inf")
        self._suspect_since = float("-inf")
        self._good_since_cut = 0
        self._probe_pause_s = 0.0

    @property
    def patient(self) -> bool:
        """True while a throttled request may wait its turn again without spending an attempt."""
        return self.parkings < PATIENT_PARKINGS

    @property
    def slowed(self) -> bool:
        """True while the host gets fewer requests at once than it could, for what it answered."""
        return not self._wave and self.window < self.most

    def fails_fast(self, now: float) -> bool:
        """Return True if the host's URLs are not worth a request at *now*."""
        return self.fails_fast_s(now) > 0.0

    def fails_fast_s(self, now: float) -> float:
        """Return how much longer that is so, in seconds; 0 = it isn't."""
        return 0.0 if self.probe_at is None else max(0.0, self.probe_at - now)

    def answered(self) -> bool:
        """Take note of an answer that shows the host alive and willing.

        Returns False if that changes nothing about what may be asked of it, and when.
        """
        self.spoke = True
        widening = self.window < self.most
        if widening:
            self._widen()
        recovering = bool(self.failures or self.parkings)
        if recovering:
            self.parkings = 0
            self.recovered()
        return widening or recovering

    def recovered(self) -> None:
        """Forget the failures to connect; a pause the host asked for stands."""
        self.failures = 0
        self.probe_at = None
        self._probe_pause_s = 0.0
        self.parked_until = self._asked_until
        self.why = self._asked_why

    def _widen(self) -> None:
        if self._wave:  # first wave: every answer opens one more place, so a round doubles them
            self.window += 1
            return
        self._good_since_cut += 1
        if self._good_since_cut >= self.window:  # afterwards one place per full round
            self._good_since_cut = 0
            self.window += 1

    def throttled(self, now: float, started: float, pause_s: float, status: int) -> None:
        """Take note of a 429 or 503 to a request sent at *started*; park the host for *pause_s*.

        The answers to one volley of requests are one event: only the first of those that were
        sent before the last cut halves the window and counts as a parking.
        """
        self.spoke = True
        self.park(now + pause_s, status)
        if started > self._last_cut:
            self._last_cut = now
            self._wave = False
            self._good_since_cut = 0
            self.window = max(1, self.window // 2)
            self.parkings += 1
            if self.parkings >= PARKINGS_FAIL_FAST_AFTER:
                self.failing = Failure(
                    FailureKind.STATUS,
                    f"given up: the host answered {status} through {self.parkings} pauses",
                )
                self._fail_fast(now, str(status))

    def park(self, until: float, status: int) -> None:
        """Take note that the host asked for a pause until then."""
        if until > self._asked_until:
            self._asked_until = until
            self._asked_why = str(status)
        if until > self.parked_until:
            self.parked_until = until
            self.why = str(status)

    def unreachable(self, now: float, started: float, failure: Failure) -> None:
        """Take note of an attempt begun at *started* that heard nothing.

        Those under way when the host became suspect count no more: only probes make it fail fast,
        so that a server that restarts has a few seconds.
        """
        if started < self._suspect_since:
            return
        self.failures += 1
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
            self.window = 1
            pause_s = PROBE_AFTER_S * 2.0 ** (self.failures - SUSPECT_AFTER)
            self.parked_until = max(self.parked_until, now + pause_s)
            self.why = failure.detail

    def _fail_fast(self, now: float, why: str) -> None:
        self._probe_pause_s = min(PROBE_AT_MOST_S, self._probe_pause_s * 2 or PROBE_EVERY_S)
        # No probe within a pause the host asked for (RFC 9110 §10.2.3).
        self.probe_at = max(now + self._probe_pause_s, self._asked_until)
        self.parked_until = now  # nothing waits: what is queued fails, the next probe goes at once
        self.window = 1
        self.why = why

"""How long an exchange may take: every time-out of an attempt, judged in one place.

    start ── connect ──▶ connected ── first byte ──▶ … bytes … ──▶ end
      └ connect_s ┘           └───── silence_s between any two of them ─────┘
                                             └ min_speed, over 30 s ┘
      └────────────────────────── budget_s ───────────────────────────────┘

Time in which we don't read is neither silence nor slow; it counts against the budget alone.

One ticker looks at all exchanges a few times a second: four asyncio timers a request would cost
more than everything else here. Pure: `now` is monotonic seconds.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from fetchpool.model.attempts import Timeline, Timeouts
from fetchpool.model.values import Phase

if TYPE_CHECKING:
    import asyncio

    from fetchpool.http.transcript import Transcript

__all__ = ["SPEED_WINDOW_S", "Timeouts", "Watch"]

SPEED_WINDOW_S = 30.0
"""Over how long a server's speed is measured (CONTRACT, `--min-speed`)."""

# As globals: up to Python 3.11 a member is found by a call of its class's metaclass.
_CONNECT, _SENDING, _WAITING = Phase.CONNECT, Phase.SENDING, Phase.WAITING


class Watch:
    """The clock of one exchange: its time limits, and when it passed each step."""

    __slots__ = (
        "_away_s",
        "_budget_end",
        "_last_byte",
        "_limits",
        "_paused_at",
        "_phase",
        "_samples",
        "bytes_seen",
        "connected_at",
        "dns_at",
        "first_byte_at",
        "fresh",
        "peer",
        "reused",
        "started_at",
        "task",
        "tcp_at",
        "timeout_reason",
        "tls_at",
        "transcript",
    )

    def __init__(
        self,
        limits: Timeouts,
        budget_s: float | None,
        now: float,
        task: asyncio.Task[object] | None,
    ) -> None:
        self._limits = limits
        self._budget_end = None if budget_s is None else now + budget_s
        self._last_byte = now
        self._paused_at: float | None = None
        self._phase = _CONNECT  # up to the response's first byte
        self._away_s = 0.0  # in which we didn't read
        self._samples: deque[tuple[float, int]] | None = None
        self.started_at = now
        self.connected_at: float | None = None
        self.dns_at: float | None = None
        self.tcp_at: float | None = None
        self.tls_at: float | None = None
        self.first_byte_at: float | None = None
        self.bytes_seen = 0
        self.fresh = False
        """Whether the request needs a connection that has carried none before."""
        self.reused = False
        """Whether the connection had carried an exchange before."""
        self.peer: str | None = None
        """The address connected to."""
        self.task = task
        self.transcript: Transcript | None = None
        """What notes the messages down; None = nobody wants them."""
        self.timeout_reason: str | None = None
        """Which limit ended the exchange; None = none did."""

    def entered(self, phase: Phase, now: float) -> None:
        """Begin *phase* of connecting: the one before has ended."""
        match (self._phase, phase):
            case (Phase.LOOKUP, Phase.CONNECT):
                self.dns_at = now
            case (Phase.CONNECT, Phase.TUNNEL | Phase.HANDSHAKE | Phase.SENDING):
                self.tcp_at = now
            case (Phase.HANDSHAKE, Phase.SENDING):
                self.tls_at = now
        self._phase = phase

    def phase(self, *, answering: bool) -> Phase:
        """Return how far the exchange has come; *answering*: the response's head is there."""
        if answering:
            return Phase.BODY
        return self._phase if self.first_byte_at is None else Phase.HEAD

    def connected(self, now: float, peer: str | None, *, reused: bool) -> None:
        """Start the silence time-out: there is a connection, and the request is about to leave."""
        if reused:
            self._phase = _SENDING
        else:
            self.entered(Phase.SENDING, now)
        self.connected_at = self._last_byte = now
        self.peer = peer
        self.reused = reused

    def waiting(self) -> None:
        """Wait for the response: the request has left as soon as it was `connected`."""
        self._phase = _WAITING

    def departed(self, now: float) -> None:
        """Wait for the response: the request has left, a little later than it was `connected`."""
        self._phase = _WAITING
        self.connected_at = self._last_byte = now

    def sent(self, now: float) -> None:
        """Restart the silence time-out: the server has read a piece of the request's body."""
        self._last_byte = now
        if self.first_byte_at is None:
            self.connected_at = now

    def received(self, length: int, now: float) -> None:
        """Count *length* bytes from the server and restart the silence time-out."""
        self._last_byte = now
        self.bytes_seen += length
        if self.first_byte_at is None:
            self.first_byte_at = now

    def timeline(self, queued_at: float | None, now: float, *, whole: bool = True) -> Timeline:
        """Return when each step was passed, of an attempt that ends *now*.

        If the response isn't *whole*, the step that is under way ends with it.
        """
        first, sent = self.first_byte_at, self.connected_at
        if first is None and self._phase is Phase.SENDING:
            sent = None
        last = None if first is None else self._last_byte
        dns, tcp, tls = self.dns_at, self.tcp_at, self.tls_at
        if not whole:
            if first is not None:
                last = now
            elif self.connected_at is None:
                match self._phase:
                    case Phase.LOOKUP:
                        dns = now
                    case Phase.CONNECT:
                        tcp = now
                    case Phase.TUNNEL | Phase.HANDSHAKE:
                        tls = now
        return Timeline(queued_at, self.started_at, dns, tcp, tls, sent, first, last, now)

    def pause(self, now: float) -> None:
        """Read nothing from *now* on: silence is not the server's fault."""
        self._paused_at = now

    def resume(self, now: float) -> None:
        """Read again from *now* on."""
        assert self._paused_at is not None
        self._away_s += now - self._paused_at
        self._paused_at = None
        self._last_byte = now

    def overdue(self, now: float) -> str | None:
        """Return a sentence saying which limit is exceeded at *now*, or None."""
        limits = self._limits
        if self._budget_end is not None and now >= self._budget_end:
            return "took longer than --timeout allows"
        if self.connected_at is None:
            if limits.connect_s and now - self.started_at >= limits.connect_s:
                return f"no connection within {limits.connect_s:g} s"
            return None
        if self._paused_at is not None:
            return None
        if limits.silence_s and now - self._last_byte >= limits.silence_s:
            what = "no answer" if self.first_byte_at is None else "silence"
            return f"{what} for {limits.silence_s:g} s"
        if limits.min_speed and self.first_byte_at is not None:
            return self._too_slow(now - self._away_s)
        return None

    def _too_slow(self, now: float) -> str | None:
        """Look at the speed at *now*, on a clock that stands while we don't read."""
        samples = self._samples
        if samples is None:
            assert self.first_byte_at is not None
            samples = self._samples = deque([(self.first_byte_at, 0)])
        if now - samples[-1][0] >= 1.0:
            samples.append((now, self.bytes_seen))
        while len(samples) > 1 and now - samples[1][0] >= SPEED_WINDOW_S:
            samples.popleft()
        since, before = samples[0]
        if now - since < SPEED_WINDOW_S:
            return None
        speed = (self.bytes_seen - before) / (now - since)
        if speed >= self._limits.min_speed:
            return None
        return f"{speed:.0f} bytes/s over the last {SPEED_WINDOW_S:g} s"

    def shift(self, seconds: float) -> None:
        """Don't count the last *seconds*: this process was not running (stopped, suspended)."""
        self.started_at += seconds
        self._last_byte += seconds
        if self._budget_end is not None:
            self._budget_end += seconds
        if self.connected_at is not None:
            self.connected_at += seconds
        for step in ("dns_at", "tcp_at", "tls_at", "first_byte_at"):
            if (at := getattr(self, step)) is not None:
                setattr(self, step, at + seconds)
        if self._paused_at is not None:
            self._paused_at += seconds
        if self._samples is not None:
            self._samples = deque((at + seconds, total) for at, total in self._samples)

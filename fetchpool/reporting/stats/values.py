"""What is read from the counters: a moment of a run, and its end.

Counts are of URLs unless said otherwise, times are seconds, sizes bytes. Texts that came from a
list or a server stand here as they came: whoever shows them makes them harmless.
"""

from __future__ import annotations

from msgspec import Struct

from fetchpool.reporting.stats.hosts import GivenUpHost, ParkedHost, SlowHost


class Times(Struct, frozen=True):
    """Many measured times in a few numbers, in seconds."""

    p50: float
    """Half of them were shorter; this and the other percentiles within 1 %."""
    p90: float
    p99: float
    count: int
    total_s: float


class HostState(Struct, frozen=True):
    """One host at a moment."""

    host: str
    running: int = 0
    waiting: int = 0
    parked_s: float = 0.0
    """How much longer no request may start there; 0 = not parked."""
    why: str | None = None
    """What it is parked for: `429`, `503`, `failing`."""
    window: int | None = None
    """How many may run there now, where its answers have lowered that."""


class RunState(Struct, frozen=True, kw_only=True):
    """What source and scheduler know at a moment."""

    total: int | None = None
    """URLs of the whole list; None as long as nobody has counted them."""
    read: int = 0
    """URLs read so far."""
    reading: bool = True
    """More may come from the sources."""
    running: int = 0
    hosts: tuple[HostState, ...] = ()
    """Hosts worth showing: those with most waiting, and parked ones; a dozen is plenty."""
    message: str | None = None
    """What all of the run waits for: `our network seems down, probing`."""


class Snapshot(RunState, frozen=True, kw_only=True):
    """A run at a moment, for a display."""

    done: int
    """URLs with an outcome, those kept from an earlier run included."""
    ok: int
    failed: dict[str, int]
    """By label (see `failure_label`), the most frequent first."""
    received: int
    """Bytes that came over connections so far, heads included."""
    elapsed_s: float
    rate: float
    """URLs a second over the last three seconds."""
    byte_rate: float
    left_s: float | None = None
    """Estimated time to the end; None while there is nothing to estimate from."""

    @property
    def failures(self) -> int:
        """Number of URLs that failed."""
        return self.done - self.ok

    @property
    def known_total(self) -> int | None:
        """URLs of the list, if counted or read to the end; never fewer than are done."""
        total = self.total if self.reading or self.total is not None else self.read
        return None if total is None else max(total, self.done)


class Ending(Struct, frozen=True, kw_only=True):
    """How a run ended, as its runner knows it."""

    exit_status: int
    source: str = ""
    """Name of the list or lists, for a person."""
    destination: str | None = None
    """The directory of bodies and records; None = nothing stays on disk."""
    records: str | None = None
    """Where the records are."""
    failed_records: str | None = None
    """How to see all that failed, where only some are listed: a command, or where they are."""
    again: str | None = None
    """The command to give next, where there is one."""
    stopped_by: str | None = None
    """What follows "stopped by": `Ctrl-C`, `--max-time`, `a full disk`; None = it finished."""
    expected: int | None = None
    """URLs of the whole list, where known though the run was stopped."""


class Summary(Ending, frozen=True, kw_only=True):
    """A run that has ended, in numbers."""

    total: int
    """URLs with an outcome; what was kept from an earlier run counts."""
    ok: int
    failed: dict[str, int]
    """By label (see `failure_label`), the most frequent first."""
    kept: int
    """URLs of *total* that an earlier run had answered."""
    skipped: int
    """Lines that were blank or comments."""
    bytes: int
    """Of bodies, decoded; of this run's URLs."""
    wire_bytes: int
    """Of bodies, as received."""
    received: int
    """Bytes that came over connections, heads and attempts that were given up included."""
    elapsed_s: float
    rate: float
    """URLs a second that this run answered."""
    first_byte: Times | None
    """From a request to its answer's first byte; None without any answer."""
    whole: Times | None
    """From a URL's first attempt to the end of its last."""
    connections_opened: int
    requests: int
    """Sent: retries and redirects included."""
    requests_reused: int
    """Of these on a connection that had served before."""
    retries: int
    parked: tuple[ParkedHost, ...]
    """Hosts that were held back longest, at most five."""
    parked_hosts: int
    """How many hosts were held back at all (a lower bound beyond some thousands)."""
    slowest: tuple[SlowHost, ...]
    """Hosts that cost the run most time, at most five, slowest first."""
    given_up: tuple[GivenUpHost, ...] = ()
    """Hosts whose URLs were not asked for any more, at most five."""
    given_up_hosts: int = 0
    """How many hosts were given up at all (a lower bound beyond some thousands)."""

    @property
    def failures(self) -> int:
        """Number of URLs that failed."""
        return self.total - self.ok

    @property
    def reused_share(self) -> float | None:
        """Share of requests sent on a connection that had served before; None without any."""
        return self.requests_reused / self.requests if self.requests else None

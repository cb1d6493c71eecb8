"""Values read from the counters: a run at a moment, and at its end.

Counts are of URLs unless said otherwise, times are seconds, sizes bytes. Texts from a list or a
server are unchanged: whoever shows them must escape them.
"""

from __future__ import annotations

from msgspec import Struct

from fetchpool.model.hosts import Found, HostState
from fetchpool.model.slot_time import RunAccount
from fetchpool.reporting.stats.hosts import GivenUpHost, ParkedHost, SlowHost


class Times(Struct, frozen=True):
    """Many measured times in a few numbers, in seconds."""

    p50: float
    """Half of them were shorter; this and the other percentiles within 1 %."""
    p90: float
    p99: float
    count: int
    total_s: float


class RunState(Struct, frozen=True, kw_only=True):
    """A run at a moment, as source and scheduler know it."""

    total: int | None = None
    """URLs of the whole list; None until they are counted."""
    read: int = 0
    """URLs read so far."""
    reading: bool = True
    """More may come from the sources."""
    running: int = 0
    hosts: tuple[HostState, ...] = ()
    """Hosts worth showing: parked ones, and those with most waiting; a dozen is enough."""
    message: str | None = None
    """What the whole run waits for: `our network seems down, probing`."""


class Snapshot(RunState, frozen=True, kw_only=True):
    """A run at a moment, for the display."""

    done: int
    """URLs with an outcome, those kept from an earlier run included."""
    ok: int
    failed: dict[str, int]
    """By label (see `failure_label`), the most frequent first."""
    received: int
    """Bytes received over connections so far, heads included."""
    elapsed_s: float
    rate: float
    """URLs a second over the last three seconds."""
    byte_rate: float
    left_s: float | None = None
    """Estimated time to the end; None while it is unknown."""

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
    """How a run ended, as the runner knows it."""

    exit_status: int
    source: str = ""
    """Name of the list or lists, for a person."""
    destination: str | None = None
    """The directory of bodies and records; None = nothing stays on disk."""
    records: str | None = None
    """Where the records are."""
    failed_records: str | None = None
    """How to see all failures, where only some are listed: a command, or a path."""
    again: str | None = None
    """The command to run next, if any."""
    stopped_by: str | None = None
    """Completes "stopped by": `Ctrl-C`, `--max-time`, `a full disk`; None = it finished."""
    expected: int | None = None
    """URLs of the whole list, if known although the run was stopped."""
    left: int = 0
    """URLs that the list of the run before had and this one has not, with `--refresh`."""
    pruned: int = 0
    """Bodies of such URLs that were moved away."""
    account: RunAccount | None = None
    """Where the time went."""


class ProxyUse(Struct):
    """One of several proxies, and what came of the URLs that were last asked for through it."""

    proxy: str
    """Without credentials."""
    ok: int = 0
    failed: int = 0
    rested: int = 0
    """How often it failed, and was left alone for a while."""

    def rank(self) -> tuple[int, int, int]:
        """Return how much it is worth showing."""
        return (self.rested, self.failed, self.ok)


class Summary(Ending, frozen=True, kw_only=True):
    """A finished run in numbers."""

    total: int
    """URLs with an outcome, those kept from an earlier run included."""
    ok: int
    failed: dict[str, int]
    """By label (see `failure_label`), the most frequent first."""
    kept: int
    """Of *total*, those with a record of an earlier run."""
    skipped: int
    """Lines that were blank, comments or a header."""
    bytes: int
    """Of decoded bodies, of this run's URLs."""
    wire_bytes: int
    """Of bodies as received."""
    received: int
    """Bytes received over connections, with heads and abandoned attempts."""
    elapsed_s: float
    rate: float
    """URLs a second, of this run."""
    first_byte: Times | None
    """From a request to the first byte of its response; None without any response."""
    whole: Times | None
    """From a URL's first attempt to the end of its last."""
    connections_opened: int
    requests: int
    """Sent, retries and redirects included."""
    requests_reused: int
    """Of these, on a connection that had served before."""
    retries: int
    parked: tuple[ParkedHost, ...]
    """Hosts parked longest, at most five."""
    parked_hosts: int
    """How many hosts were parked at all (a lower bound beyond some thousands)."""
    slowest: tuple[SlowHost, ...]
    """Hosts that cost the run most time, at most five, slowest first."""
    given_up: tuple[GivenUpHost, ...] = ()
    """Hosts whose remaining URLs got no request, at most five."""
    given_up_hosts: int = 0
    """How many hosts were given up at all (a lower bound beyond some thousands)."""
    changes: dict[str, int] = {}
    """What became of URLs since the run before, with `--refresh`: see `Change`."""
    delayed_hosts: int = 0
    """How many of the robots.txt fetched in this run have a Crawl-delay (`--robots`)."""
    longest_delay_s: float = 0.0
    """The longest of them that was kept."""
    sitemaps: tuple[str, ...] = ()
    """The first that these robots.txt name, at most five."""
    sitemaps_in_all: int = 0
    proxies: tuple[ProxyUse, ...] = ()
    """Where there are several: those that failed most, at most five."""
    proxies_used: int = 0
    """How many of them were used at all."""
    found: Found = Found()
    """What limits have come to that are found while running (`auto`)."""

    @property
    def failures(self) -> int:
        """Number of URLs that failed."""
        return self.total - self.ok

    @property
    def reused_share(self) -> float | None:
        """Share of requests sent on a connection that had served before; None without any."""
        return self.requests_reused / self.requests if self.requests else None

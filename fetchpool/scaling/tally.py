"""What a worker counts between two `Tick`s, each of which takes it to the parent."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from fetchpool.scaling.messages import Park, Parked, Tick
from fetchpool.scaling.pauses import Pauses

if TYPE_CHECKING:
    from fetchpool.model.robots import RobotsRead
    from fetchpool.pipeline.fetching import Fetching

TIME_EVERY_S = 1.0
"""How often it is told where the time went."""

HOSTS_SENT = 12
"""How many of the hosts that hold things up are sent to be shown."""


class Tally:
    """Counts what happens beside outcomes, which the parent counts as it records them."""

    def __init__(self, on_throttled: Callable[[Park], None], *, shows: bool) -> None:
        """Call *on_throttled* when a host asks for a pause; *shows*: a display shows hosts."""
        self._on_throttled = on_throttled
        self._shows = shows
        self._pauses = Pauses()
        self._next = Tick()
        self._connections = 0
        self._received = 0
        self._told_time = float("-inf")

    # -- what `Fetching` tells -------------------------------------------------------------------

    def line_skipped(self, count: int = 1) -> None:
        """Do nothing: blank lines don't come here."""

    def request_sent(self, reused: bool) -> None:
        """Count a request."""
        self._next.requests += 1
        self._next.reused += reused

    def retried(self) -> None:
        """Count a further attempt."""
        self._next.retries += 1

    def parked(self, host: str, seconds: float, why: str) -> None:
        """Note that *host* is left alone for a while: it asked for that if *why* is a status."""
        self._next.parked.append(Parked(host, seconds, why))
        if why.isdigit():
            self._on_throttled(self._pauses.extend(host, seconds, int(why), monotonic()))

    def robots_read(self, robots: RobotsRead) -> None:
        """Note what a robots.txt says."""
        self._next.robots.append(robots)

    def rested(self, proxy: str, seconds: float, why: str) -> None:
        """Note that *proxy* rests for a while: in this process."""
        self._next.rested.append(Parked(proxy, seconds, why))

    def park(self, park: Park) -> None:
        """Note a pause that another worker was asked for."""
        self._pauses.note(park, monotonic())

    def outage(self, began: bool) -> None:
        """Do nothing: each `Tick` says whether our network is down."""

    # -- for the parent --------------------------------------------------------------------------

    def tick(self, fetching: Fetching, *, is_last: bool = False) -> Tick:
        """Return what was counted since the last one, and how *fetching* stands now."""
        tick, self._next = self._next, Tick()
        now = monotonic()
        if is_last or now - self._told_time >= TIME_EVERY_S:
            self._told_time = now
            tick.time = fetching.slot_time()
        tick.running = fetching.running
        tick.connections = fetching.connections_opened - self._connections
        tick.received = fetching.bytes_received - self._received
        self._connections += tick.connections
        self._received += tick.received
        if self._shows:
            tick.busiest = fetching.busiest(now, HOSTS_SENT)
        tick.network_down = fetching.network_down
        tick.lowered_to = fetching.lowered_to
        tick.alive = fetching.known_alive
        if fetching.ended:
            tick.found = fetching.found
        return tick

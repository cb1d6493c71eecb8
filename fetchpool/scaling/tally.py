"""What a worker counts and notes, until the next `Tick` takes it to the parent."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from fetchpool.scaling.messages import Park, Parked, Tick
from fetchpool.scaling.pauses import Pauses

if TYPE_CHECKING:
    from fetchpool.pipeline.fetching import Fetching
    from fetchpool.pipeline.pool import FetchPool

HOSTS_SENT = 12
"""Hosts that hold things up, sent to be shown."""


class Tally:
    """Counts what happens beside outcomes, which the parent counts as it records them."""

    def __init__(self, on_throttled: Callable[[Park], None], *, shows: bool) -> None:
        """Call *on_throttled* when a host asks for a pause; *shows*: somebody looks at hosts."""
        self._on_throttled = on_throttled
        self._shows = shows
        self._pauses = Pauses()
        self._next = Tick()
        self._connections = 0
        self._received = 0

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
        """Note that *host* is left alone for a while; where *why* is a status, it asked for it."""
        self._next.parked.append(Parked(host, seconds, why))
        if why.isdigit():
            self._on_throttled(self._pauses.extend(host, seconds, int(why), monotonic()))

    def park(self, park: Park) -> None:
        """Note a pause that another worker was asked for."""
        self._pauses.note(park, monotonic())

    def outage(self, began: bool) -> None:
        """Do nothing: a `Tick` tells how it is."""

    # -- for the parent --------------------------------------------------------------------------

    def tick(self, pool: FetchPool, fetching: Fetching) -> Tick:
        """Return what there is to tell, and begin anew."""
        tick, self._next = self._next, Tick()
        tick.running = fetching.running
        tick.connections = pool.connections_opened - self._connections
        tick.received = pool.bytes_received - self._received
        self._connections += tick.connections
        self._received += tick.received
        if self._shows:
            tick.busiest = fetching.busiest(monotonic(), HOSTS_SENT)
        tick.outage_since = fetching.outage_since
        tick.lowered_to = fetching.lowered_to
        tick.alive = fetching.known_alive
        return tick

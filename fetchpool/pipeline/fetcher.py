"""`Fetcher`: what fetches one list, whatever does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fetchpool.model.hosts import Found
    from fetchpool.model.slot_time import SlotTime
    from fetchpool.model.values import Outcome
    from fetchpool.scheduling.scheduler import HostState


class Fetcher(Protocol):
    """Fetches one list: `Fetching` does it in this process, `Dispatch` with several.

    Where other processes do the work, the numbers are as they were a moment ago.
    """

    async def batch(self) -> list[Outcome]:
        """Return the outcomes there are, at least one; an empty list at the end.

        Raises `StoreError`, `OurSideDownError`, `NoDescriptorsError`, `NoWorkersError` or what the
        source raised, once the outcomes before it have been taken.
        """

    def stop(self) -> None:
        """Start nothing more; what runs may end. `batch` then comes to its end by itself."""

    def abort(self) -> None:
        """Stop at once: what runs is cut off and has no outcome."""

    async def aclose(self) -> None:
        """End everything at once; outcomes not yet taken are lost."""

    @property
    def ended(self) -> bool:
        """True once nothing more will come."""

    @property
    def running(self) -> int:
        """Requests in progress."""

    @property
    def connections_opened(self) -> int:
        """Connections opened so far."""

    @property
    def bytes_received(self) -> int:
        """Bytes that came over connections so far."""

    @property
    def network_down(self) -> bool:
        """True while the network on our side is down."""

    @property
    def lowered_to(self) -> int | None:
        """What `--limit` was lowered to because descriptors ran out, or None.

        With several processes each has its part of the limit: the lowest that a part came to.
        """

    def slot_time(self) -> SlotTime:
        """Return where the time of the slots went so far, over all processes."""

    @property
    def found(self) -> Found:
        """What limits have come to that are found while running."""

    def busiest(self, now: float, count: int) -> list[HostState]:
        """Return up to *count* hosts that hold things up: parked ones, then by what waits."""

"""The small interface behind which a request is exchanged for an answer.

There is more than one way to do it (through `ClientSession.request`, or directly on the
connector's connections). Each pushes what arrives into a `Receiver` and says what went wrong as an
`ExchangeError`.
"""

from __future__ import annotations

from typing import Protocol

from fetchpool.http.receiver import Receiver
from fetchpool.http.watch import Watch
from fetchpool.model.attempts import Fault, Plan, Proxy
from fetchpool.model.values import Failure, Target


class ExchangeError(Exception):
    """An exchange that brought no complete answer."""

    def __init__(
        self,
        failure: Failure,
        *,
        transient: bool = False,
        fault: Fault = Fault.URL,
        stale: bool = False,
    ) -> None:
        super().__init__(failure.detail)
        self.failure = failure
        self.transient = transient
        """Whether another attempt may do better."""
        self.fault = fault
        self.stale = stale
        """A kept connection was closed by the server, perhaps before the request came: it has to
        be sent once more (RFC 9112 §9.3.1), on a new one."""


class Exchange(Protocol):
    """One way to exchange a request for an answer."""

    async def send(self, plan: Plan, watch: Watch, receiver: Receiver) -> None:
        """Send *plan*; push its answer into *receiver*; return when that has finished.

        The connection is given back, or closed, before this returns or raises. Raises
        `ExchangeError`, `BodyError` (from the receiver) or `StoreError` (our disk).
        """

    async def weigh(self, plan: Plan, error: ExchangeError) -> ExchangeError:
        """Return how *plan* ended, *error*, in the light of whether its proxy is there."""
        ...

    async def reachable(self, target: Target, route: Proxy | None) -> bool:
        """Return True if *target*'s server can be connected to or refuses; with a *route*, if that
        proxy is there."""
        ...

    async def close(self) -> None:
        """Close every connection."""

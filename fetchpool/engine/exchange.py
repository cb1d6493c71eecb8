"""The small interface behind which a request is exchanged for an answer.

There is more than one way to do it (through `ClientSession.request`, or directly on the session's
connector). Each pushes what arrives into a `Receiver` and says what went wrong as an
`ExchangeError`.
"""

from __future__ import annotations

from enum import Enum
from typing import Protocol

import msgspec

from fetchpool.engine.receiver import Receiver
from fetchpool.engine.watch import Watch
from fetchpool.models import Failure, Target


class Fault(Enum):
    """Whose trouble a failed exchange is."""

    URL = "url"
    """This URL's: other URLs of the host may do well."""
    HOST = "host"
    """The host could not be reached, but something out there said so (refused, no such name)."""
    SILENT = "silent"
    """Nothing was heard: the host's trouble, or our network's."""
    TOLD = "told"
    """The host's, by the word of somebody near: the proxy, or a look-up remembered. No sign of life
    from outside."""
    OURS = "ours"
    """Our side's, perhaps: no route. A look tells."""
    PROXY = "proxy"
    """Our side's: the proxy can't be reached, or doesn't take us. Never recorded against a URL."""
    DOUBTED = "doubted"
    """The proxy's or the URL's: `Exchange.weigh` tells, before anybody else sees it."""
    DESCRIPTORS = "descriptors"
    """Our side's: out of descriptors or buffers. Fewer at a time will do."""


class Call(msgspec.Struct, frozen=True):
    """What is to be sent."""

    target: Target
    headers: tuple[tuple[str, str], ...]
    public_only: bool = False
    """Refuse to connect to an address that isn't public."""
    named_by: Target | None = None
    """The line's own URL, where *target* is a redirect's hop: it names the body."""
    whole: bool = False
    """Ask for the whole body, whatever there is of it: asking for its rest has failed."""


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
        """A kept connection had been closed by the server: the request was not refused, it just
        has to be sent again (RFC 9112 §9.3.1); that is no attempt."""


class Exchange(Protocol):
    """One way to exchange a request for an answer."""

    async def send(self, call: Call, watch: Watch, receiver: Receiver) -> None:
        """Send *call*; push its answer into *receiver*; return when that has finished.

        The connection is given back, or closed, before this returns or raises. Raises
        `ExchangeError`, `BodyError` (from the receiver) or `StoreError` (our disk).
        """

    async def weigh(self, call: Call, error: ExchangeError) -> ExchangeError:
        """Return how *call* ended, *error*, in the light of whether its proxy is there."""
        ...

    async def reachable(self, target: Target) -> bool:
        """Return True if *target*'s server can be connected to or refuses; its proxy is there."""
        ...

    async def close(self) -> None:
        """Close every connection."""

"""One attempt as values: what is to be sent, and what came of it.

Call ──▶ (http) ──▶ Answer, a complete one, whatever its status
               └──▶ Miss, with whose trouble it is (`Fault`)
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from fetchpool.model.asking import SENDING_METHODS
from fetchpool.model.values import Failure, Head, Target

if TYPE_CHECKING:
    from fetchpool.model.bodies import BodyWriter, Stored


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
    method: str = "GET"
    body: bytes | None = None
    """Sent byte for byte; its length is said by whoever sends it."""
    once: bool = False
    """Never sent again by itself: on a connection of its own, as a kept one may be closed by then,
    and nobody could tell whether the server has read the request (RFC 9110 §9.2.2)."""
    fresh: bool = False
    """Ask on a new connection: others were closed when this was asked for."""
    checksum: str | None = None
    """What the body must come to, as `asking.read_checksum` reads it."""

    def __repr__(self) -> str:
        """Show neither fields nor body: they hold what is secret."""
        return f"Call({self.method} {self.target.url!r})"

    @property
    def length(self) -> int | None:
        """What the request says of its body's length; None = nothing."""
        if self.body is not None:
            return len(self.body)
        return 0 if self.method in SENDING_METHODS else None


class Measures(msgspec.Struct, frozen=True, gc=False):
    """What was measured of one exchange, in seconds and bytes."""

    elapsed_s: float
    first_byte_s: float | None
    """From the request's departure to the first byte of the answer."""
    wire_bytes: int
    """Body bytes as received."""
    reused: bool
    """On a connection that had served before."""
    peer: str | None
    """The address connected to; None where that is a proxy's."""
    resumed_at: int | None = None
    """From which byte on the body was asked for; None = the whole."""
    part_bytes: int = 0
    """How much of a body that broke off may be gone on with."""
    sent: bool = True
    """Whether some of the request may have left."""
    requests: int = 1
    """Requests that count: two if a kept connection failed, and a new one in the same way."""


class Answer(msgspec.Struct, frozen=True):
    """A complete answer, whatever its status."""

    head: Head
    stored: Stored | None
    """Where the body went, if it was wanted."""
    body_bytes: int
    sha256: str | None
    measures: Measures
    draft: BodyWriter | None = None
    """The body, complete, if it is for whoever decides what follows to commit or to discard it."""
    note: str | None = None
    """What is to be said of the body, in a sentence."""


class Miss(msgspec.Struct, frozen=True):
    """No complete answer."""

    failure: Failure
    transient: bool
    """Whether another attempt may do better."""
    fault: Fault
    head: Head | None
    """Of an answer whose body could not be had."""
    measures: Measures

"""One attempt as values: the plan of what to send, and the report of what came of it.

Plan ──▶ (http) ──▶ Report: a Response, complete, whatever its status
                     └──── or a FailedAttempt, with whose trouble it is (`Fault`)
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from fetchpool.model.asking import SENDING_METHODS, Fields
from fetchpool.model.values import Earlier, Failure, Head, Target, Timings

if TYPE_CHECKING:
    from fetchpool.model.bodies import BodyWriter, Store, Stored
    from fetchpool.model.exchanges import Exchanged


class Fault(Enum):
    """Whose trouble a failed exchange is."""

    URL = "url"
    """This URL's: other URLs of the host may do well."""
    HOST = "host"
    """The host could not be reached, but something out there said so (refused, no such name)."""
    SILENT = "silent"
    """Nothing came back: the host's trouble, or our network's."""
    TOLD = "told"
    """The host's, as the proxy says, or a look-up that is remembered. It proves nothing about our
    network."""
    OURS = "ours"
    """Our side's, perhaps: no route. A probe of other hosts tells."""
    PROXY = "proxy"
    """Our side's: the proxy can't be reached, or doesn't take us. Never recorded against a URL."""
    DOUBTED = "doubted"
    """The proxy's or the URL's. `Exchange.weigh` tells whose, but for the first hang-up of a proxy
    that has served nobody yet: that request waits until something answers."""
    DESCRIPTORS = "descriptors"
    """Our side's: out of descriptors or buffers. Fewer at a time will do."""


class Proxy(msgspec.Struct, frozen=True):
    """A proxy that requests go through."""

    url: str
    """With its credentials, if it has some: a secret."""
    name: str = ""
    """What records call it, where there are several; else empty."""

    def __repr__(self) -> str:
        """Show no credentials."""
        return f"Proxy({without_credentials(self.url)!r})"


def without_credentials(url: str) -> str:
    """Return *url*, a proxy's, without user and password."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + rest.rpartition("@")[2]


class Destination(msgspec.Struct, frozen=True):
    """Where the body of a request of our own goes."""

    store: Store
    enough_bytes: int
    """What comes of the body after so many bytes is not read: the body is what came before."""


class Timeouts(msgspec.Struct, frozen=True):
    """Time limits of an attempt, in seconds and bytes per second; 0 = none."""

    connect_s: float = 10.0
    silence_s: float = 30.0
    min_speed: float = 64.0


class Plan(msgspec.Struct):
    """What one attempt is to send, and how; policies add to it before it is sent."""

    target: Target
    headers: Fields
    public_only: bool = False
    """Refuse to connect to an address that isn't public."""
    named_by: Target | None = None
    """The line's own URL, where *target* is a redirect's hop: it names the body."""
    whole: bool = False
    """Ask for the whole body, not for the rest of one that broke off: that has failed before."""
    method: str = "GET"
    body: bytes | None = None
    """Sent byte for byte; the exchange adds its Content-Length."""
    once: bool = False
    """Send it at most once, on a connection of its own: when a kept one closes, nobody can tell
    whether the server has read the request (RFC 9110 §9.2.2)."""
    fresh: bool = False
    """Use a new connection: others closed when this URL was requested."""
    checksum: str | None = None
    """What the body must come to, as `asking.read_checksum` reads it."""
    queued_at: float | None = None
    """From when on the request waited for a slot (monotonic seconds), if that is known."""
    destination: Destination | None = None
    """Where the body goes; None = where the bodies of this run go."""
    earlier: Earlier | None = None
    """What an earlier run got, if that is known: what is the same is not stored again."""
    condition: tuple[str, str] | None = None
    """A field to be added: the response may be 304, which leaves the *earlier* body as it is."""
    timeouts: Timeouts | None = None
    """Its time limits; None = those of this run."""
    interval_s: float = 0.0
    """Seconds between this request and the next one to its host, at least."""
    route: Proxy | None = None
    """The proxy to send it through; None = straight to the host."""

    def __repr__(self) -> str:
        """Show neither fields nor body: they hold what is secret."""
        return f"Plan({self.method} {self.target.url!r})"

    @property
    def length(self) -> int | None:
        """The request's Content-Length; None = it has none."""
        if self.body is not None:
            return len(self.body)
        return 0 if self.method in SENDING_METHODS else None


class Timeline(msgspec.Struct, frozen=True, gc=False):
    """When an attempt passed each step, in monotonic seconds; None = it did not pass that step.

    `dns`, `tcp` and `tls` are the ends of these steps; a kept connection passes none of them. Of an
    attempt that failed, the step in which it did ends with it, and so does its body.
    Through a proxy `dns` and `tcp` are the proxy's; the tunnel is opened between `tcp` and `tls`.
    Where a kept connection failed first, all times are those of the new one.
    """

    queued: float | None
    """None also for a request that waited on disk, or came from another process."""
    started: float
    dns: float | None
    tcp: float | None
    tls: float | None
    sent: float | None
    """When the request left, or the last piece of its body that left before the response."""
    first_byte: float | None
    last_byte: float | None
    ended: float
    """When the body was stored, or the failure known."""

    def timings(self) -> Timings:
        """Return how long each step took."""
        resolved = self.started if self.dns is None else self.dns
        return Timings(
            _between(self.queued, self.started),
            _between(self.started, self.dns),
            _between(resolved, self.tcp),
            _between(self.tcp, self.tls),
            _between(self.sent, self.first_byte),
            _between(self.first_byte, self.last_byte),
        )


def _between(start: float | None, end: float | None) -> float | None:
    """Return the seconds from *start* to *end*, in microseconds' precision."""
    return None if start is None or end is None else round(max(end - start, 0.0), 6)


class Measures(msgspec.Struct, frozen=True, gc=False):
    """What was measured of one exchange."""

    timeline: Timeline
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
    route: Proxy | None = None
    """The proxy it went through; None = straight to the host."""

    @property
    def elapsed_s(self) -> float:
        """Seconds from the start to the end."""
        return self.timeline.ended - self.timeline.started

    def first_byte_s(self) -> float | None:
        """Seconds from the request's departure to the response's first byte; None = none came."""
        timeline = self.timeline
        first, sent = timeline.first_byte, timeline.sent
        return None if first is None or sent is None else first - sent


class Response(msgspec.Struct, frozen=True):
    """A complete response, whatever its status."""

    head: Head
    stored: Stored | None
    """Where the body went, if it was wanted."""
    body_bytes: int
    sha256: str | None
    measures: Measures
    draft: BodyWriter | None = None
    """The complete body, to be committed if this response becomes the outcome, else discarded."""
    note: str | None = None
    """A sentence about the body for the record's detail."""
    exchanged: Exchanged | None = None
    """The messages, if the sink keeps them."""


class FailedAttempt(msgspec.Struct, frozen=True):
    """An attempt without a complete response."""

    failure: Failure
    transient: bool
    """Whether another attempt may do better."""
    fault: Fault
    head: Head | None
    """Of a response whose body could not be had."""
    measures: Measures
    exchanged: Exchanged | None = None
    """The messages as far as they came, if the sink keeps them and there is a *head*."""


Report: TypeAlias = Response | FailedAttempt
"""What came of an attempt: `head` has status and fields as received, `measures` the rest."""

"""Notes down one exchange as it goes over the wire, where the sink keeps whole messages.

protocol ──head, body──▶ Transcript ──▶ Recording ──▶ Exchanged
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fetchpool.model.exchanges import Exchanged, Truncation
from fetchpool.model.values import Failure, FailureKind

if TYPE_CHECKING:
    from fetchpool.model.attempts import Plan
    from fetchpool.model.exchanges import Recording

_TRUNCATIONS: dict[FailureKind, Truncation] = {
    FailureKind.TOO_BIG: "length",
    FailureKind.TIMEOUT: "time",
    FailureKind.TRUNCATED: "disconnect",
    FailureKind.CONNECT: "disconnect",
    FailureKind.TLS: "disconnect",
}


class Transcript:
    """What is sent and received in one exchange; the exchange fills it in."""

    __slots__ = (
        *("_chunked", "_is_cut", "_limit", "_recording", "head_length", "length"),
        *("proven", "request", "sent_at", "whole"),
    )

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._chunked = False
        self._limit: int | None = None  # of `length`
        self._is_cut = False
        self.head_length = 0
        """Bytes of the response's head; 0: it isn't complete."""
        self.length = 0
        self.request = b""
        """The head of the request."""
        self.sent_at = 0.0
        """When it left, in seconds since the epoch."""
        self.whole = False
        """Whether the response came to its end."""
        self.proven = True
        """Whether that end is known to be it (see `Receiver.finish`)."""

    def head(self, raw: bytes | memoryview, *, chunked: bool) -> None:
        """Take the *raw* head of the final response; raises StoreError."""
        self._chunked = chunked
        self.head_length = self.length = len(raw)
        self._recording.write(raw)

    def keep_at_most(self, body_bytes: int) -> None:
        """Keep no more than so much of the body: it is not wanted."""
        self._limit = self.head_length + body_bytes

    def body(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the body as received; raises StoreError."""
        if self._limit is not None and self.length + len(data) > self._limit:
            self._is_cut = True
            data = data[: self._limit - self.length]
        if len(data):
            self.length += len(data)
            self._recording.write(data)

    def exchanged(
        self, plan: Plan, status: int, peer: str | None, failure: Failure | None
    ) -> Exchanged:
        """Return the exchange of *plan*, answered with *status*, which ended with *failure*."""
        return Exchanged(
            plan.target.url,
            plan.method,
            self.request,
            plan.body,
            self.sent_at,
            peer,
            status,
            self._recording,
            self.head_length,
            self.length,
            self._chunked,
            self._truncated(failure),
        )

    def _truncated(self, failure: Failure | None) -> Truncation | None:
        if self._is_cut:
            return "length"
        is_cut_off = failure is not None and failure.kind is FailureKind.TRUNCATED
        if self.whole and (self.proven or not is_cut_off):
            return None
        if failure is None:  # no more of it was wanted
            return "length"
        return _TRUNCATIONS.get(failure.kind, "unspecified")

    def close(self) -> None:
        """Forget what was noted down."""
        self._recording.close()

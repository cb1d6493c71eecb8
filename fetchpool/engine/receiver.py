"""What to do with an answer's head and body while it arrives: count, decode, hash, store.

The exchange pushes (`head`, `feed`…, `finish`); this side never waits. Nothing gets a final name
before `finish` has found the body complete.
"""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import TYPE_CHECKING

import msgspec

from fetchpool.decoding import BodyError, make_decoder
from fetchpool.models import Failure, FailureKind, Head, Target
from fetchpool.stores import Chunk, Stored

if TYPE_CHECKING:
    from fetchpool.decoding import Decoder
    from fetchpool.stores import BodyWriter, Store

WHOLE_BODY_BYTES = 256 * 1024
"""Bodies up to this length are gathered and stored with one call, longer ones stream."""

DRAIN_BYTES = 64 * 1024
"""How much of an unwanted body is read to keep its connection: about what a round trip costs."""

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
"""RFC 9110 §15.4: those that send a GET elsewhere."""

BODILESS_STATUSES = frozenset({204, 304})
"""RFC 9112 §6.3: answers that end with their head."""


class Appetite(Enum):
    """How much of a body is wanted."""

    ALL = "all"
    DRAIN = "drain"
    """Not wanted, but worth reading to its end if that is near: the connection is kept."""
    NONE = "none"


class BodyPolicy(msgspec.Struct, frozen=True):
    """What is done with bodies in this run."""

    max_bytes: int = 1 << 30
    """Largest body, on the wire or decoded; 0 = no cap."""
    keep_errors: bool = False
    sha256: bool = False
    follow_redirects: bool = True


class Receiver:
    """Takes in one answer. Raises `BodyError` for a body that can't be had whole."""

    def __init__(self, target: Target, policy: BodyPolicy, store: Store) -> None:
        self._target = target
        self._policy = policy
        self._store = store
        self._decoder: Decoder | None = None
        self._writer: BodyWriter | None = None
        self._pending: list[Chunk] = []
        self._hash = hashlib.sha256() if policy.sha256 else None
        self.appetite = Appetite.NONE
        self.answer: Head | None = None
        self.wire_bytes = 0
        self.body_bytes = 0
        self.stored: Stored | None = None

    @property
    def sha256(self) -> str | None:
        """The body's hash in hexadecimal, once stored and if asked for."""
        return self._hash.hexdigest() if self._hash is not None and self.stored else None

    def head(self, head: Head) -> Appetite:
        """Take the answer's head; return how much of its body is wanted."""
        self.answer = head
        length = _declared_length(head)
        redirects = self._policy.follow_redirects and is_redirect(head)
        if not redirects and (200 <= head.status < 300 or self._policy.keep_errors):
            cap = self._policy.max_bytes
            if cap and length is not None and length > cap:
                raise _too_big(f"Content-Length is {length} bytes", cap)
            self._decoder = make_decoder(head.get_all("content-encoding"), cap)
            self.appetite = Appetite.ALL
        elif length is None:  # it may never end; a redirect's body is nobody's loss
            self.appetite = Appetite.NONE if redirects else Appetite.DRAIN
        else:
            self.appetite = Appetite.DRAIN if length <= DRAIN_BYTES else Appetite.NONE
        return self.appetite

    def feed(self, chunk: bytes) -> bool:
        """Take a piece of the body as received; return False if no more of it is wanted."""
        self.wire_bytes += len(chunk)
        if self._decoder is None:
            return self.wire_bytes <= DRAIN_BYTES
        cap = self._policy.max_bytes
        if cap and self.wire_bytes > cap:
            raise _too_big("the body is longer", cap)
        for piece in self._decoder.feed(chunk):
            self._keep(piece)
        return True

    def _keep(self, piece: Chunk) -> None:
        self.body_bytes += len(piece)
        if self._hash is not None:
            self._hash.update(piece)
        if self._writer is not None:
            self._writer.write(piece)
            return
        self._pending.append(piece)
        if self.body_bytes > WHOLE_BODY_BYTES:
            assert self.answer is not None
            self._writer = self._store.open(self._target, self.answer)
            for early in self._pending:
                self._writer.write(early)
            self._pending.clear()

    def finish(self) -> None:
        """The answer is complete: store the body under its final name, if it is wanted."""
        if self._decoder is None:
            return
        for piece in self._decoder.finish():
            self._keep(piece)
        assert self.answer is not None
        if self._writer is not None:
            self.stored = self._writer.commit()
            self._writer = None
        else:
            pending = self._pending
            body = pending[0] if len(pending) == 1 else b"".join(pending)
            self.stored = self._store.put(self._target, self.answer, body)

    def abandon(self) -> None:
        """Leave nothing of an unfinished body behind."""
        self._pending.clear()
        if self._writer is not None:
            self._writer.discard()
            self._writer = None


def is_redirect(head: Head) -> bool:
    """Return True if *head* sends the request elsewhere."""
    return head.status in REDIRECT_STATUSES and bool(head.get("location"))


def _declared_length(head: Head) -> int | None:
    """Return the length of the body as its head declares it, or None if only its end will tell."""
    if head.status in BODILESS_STATUSES:
        return 0
    declared = head.get("content-length")
    return int(declared.partition(",")[0]) if declared else None


def _too_big(what: str, cap: int) -> BodyError:
    return BodyError(Failure(FailureKind.TOO_BIG, f"{what}; --max-size allows {cap} bytes"))

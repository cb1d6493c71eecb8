"""What to do with an answer's head and body while it arrives: count, decode, hash, store.

The exchange pushes (`head`, `feed`…, `finish`); this side never waits, but while it is `behind`
(see `unpacking`) the exchange does. Nothing gets a final name before `finish` has found the body
complete.
"""

from __future__ import annotations

from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from fetchpool.http.hashes import RECORDED, Hashes, functions_for, mismatch
from fetchpool.http.resuming import (
    PARTIAL_CONTENT,
    Reply,
    StartAnewError,
    asks_for_range,
    representation,
)
from fetchpool.http.unpacking import Unpacking
from fetchpool.model.again import LATER_STATUS
from fetchpool.model.bodies import Chunk, Sink, Stored
from fetchpool.model.decoding import BodyError, make_decoder, own_codings, unregistered
from fetchpool.model.disposition import suggested_filename
from fetchpool.model.values import (
    REDIRECT_STATUSES,
    Earlier,
    Failure,
    FailureKind,
    Head,
    is_redirect,
)
from fetchpool.model.versions import NOT_MODIFIED, confirms

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from fetchpool.http.resuming import Resumption
    from fetchpool.http.watch import Watch
    from fetchpool.model.attempts import Plan
    from fetchpool.model.bodies import BodyWriter, Store

WHOLE_BODY_BYTES = 256 * 1024
"""Bodies up to this length are gathered and stored with one plan, longer ones stream."""

DRAIN_BYTES = 64 * 1024
"""How much of an unwanted body is read to keep its connection: about what a round trip costs."""

_LONGEST_LABEL = 100


class BodyAction(Enum):
    """How much of a body is wanted."""

    STORE = "store"
    DRAIN = "drain"
    """Not wanted, but worth reading to its end if that is near: the connection is kept."""
    CLOSE = "close"


# As globals: up to Python 3.11 a member is found by a call of its class's metaclass.
_STORE, _DRAIN, _CLOSE = BodyAction


class BodyPolicy(msgspec.Struct, frozen=True):
    """What is done with bodies in this run."""

    max_bytes: int = 1 << 30
    """Largest body, on the wire or decoded; 0 = no cap."""
    keep_errors: bool = False
    sha256: bool = False
    follow_redirects: bool = True
    as_received: bool = False
    """Leave every content coding on."""
    capped_by: str = "--max-size"
    """Which option the cap is of."""


class Receiver:
    """Takes in one answer. Raises `BodyError` for a body that can't be had whole.

    What there is much of is decoded by *threads* (None: the loop's own).

    With a *resumption*, *plan* asked for the rest of a part: the body then is the part and that
    rest, or a whole one, or `StartAnewError` is raised. The part is the receiver's until `finish`
    has returned or `abandon` was called. *again* says that the whole is asked for after that error.
    With *keeps_message* of every body at least `DRAIN_BYTES` are read.
    """

    __slots__ = (
        "_claimed",
        "_codings",
        "_hashes",
        "_is_again",
        "_keeps_message",
        "_kept",
        "_length",
        "_pending",
        "_plan",
        "_policy",
        "_resumption",
        "_store",
        "_threads",
        "_total",
        "_writer",
        "action",
        "answer",
        "body_bytes",
        "draft",
        "note",
        "resumed_at",
        "sha256",
        "stored",
        "unpacking",
        "wire_bytes",
    )

    def __init__(
        self,
        plan: Plan,
        policy: BodyPolicy,
        store: Store,
        resumption: Resumption | None = None,
        threads: Executor | None = None,
        *,
        again: bool = False,
        keeps_message: bool = False,
    ) -> None:
        self._plan = plan
        self._is_again = again
        self._keeps_message = keeps_message
        self._policy = policy
        self._resumption = resumption
        self._length: int | None = None
        self._total: int | None = None  # of a body that may be gone on with
        self._claimed: int | None = None  # what an answer that says to be the whole must come to
        self._kept: Earlier | None = None  # what a 304 leaves as it is
        self._store = store
        self._threads = threads
        self._codings: list[str] = []
        self.unpacking: Unpacking | None = None
        """What decodes the body; None: what comes is the body."""
        self._writer: BodyWriter | None = None
        self._pending: list[bytes] = []
        self._hashes: Hashes | None = None
        if policy.sha256 or plan.checksum is not None:
            self._hashes = Hashes(functions_for(plan.checksum, recorded=policy.sha256))
        self.action = _CLOSE
        self.resumed_at = None if resumption is None else resumption.part.length
        """From which byte on the body was asked for."""
        self.answer: Head | None = None
        self.wire_bytes = 0
        self.body_bytes = 0
        self.stored: Stored | None = None
        self.sha256: str | None = None
        """The body's hash in hexadecimal, once complete and if asked for."""
        self.note: str | None = None
        """What is to be said of a complete body's coding, in a sentence; None = nothing."""
        self.draft: BodyWriter | None = None
        """A complete body that is to be committed only if its answer is its URL's outcome."""

    def _describe(self) -> None:
        """Note what is to be said of the complete body: its hash, and its coding."""
        if self._kept is not None:
            self.sha256 = self._kept.sha256
        elif self._hashes is not None and self._policy.sha256:
            self.sha256 = self._hashes.hexdigest(RECORDED)
        codings = self._codings
        if not codings or not self.body_bytes:
            return
        if self._policy.as_received:
            label = ", ".join(codings)[:_LONGEST_LABEL]
            self.note = f"stored as received, with Content-Encoding {label!r}"
        elif unknown := unregistered(codings):
            names = ", ".join(map(repr, unknown))[:_LONGEST_LABEL]
            self.note = f"Content-Encoding: {names} is no registered coding, and was passed over"

    def _own_codings(self, head: Head) -> frozenset[str]:
        """Return the codings that the file itself has, which *head* may have labelled."""
        if not 200 <= head.status < 300:
            return frozenset()  # an error page is not the file
        plan = self._plan
        paths = {each.path.partition("?")[0] for each in (plan.target, plan.named_by) if each}
        return own_codings(head.get("content-type"), [*paths, suggested_filename(head)])

    def head(self, head: Head, length: int | None) -> BodyAction:
        """Take the answer's head; return how much of its body is wanted.

        *length* is that of the body, None where only its end will tell.
        """
        status = head.status
        self.answer = head
        self._length = length
        if status == NOT_MODIFIED and self._plan.earlier is not None:
            if self._plan.condition is not None:
                return self._keep_earlier(head)
            if not self._is_again:  # a cache that has the wrong answer may have the right one next
                raise StartAnewError
        if self._resumption is not None:
            if self._goes_on(self._resumption, head, length):
                return self.action
        elif status == PARTIAL_CONTENT and not asks_for_range(self._plan):
            # Never stored: who asked for a whole body would take a part of it for that.
            what = "not HTTP: a 206 without having been asked for a part"
            raise BodyError(Failure(FailureKind.PROTOCOL, what))
        if status in REDIRECT_STATUSES and self._leads_on(head):
            # The way goes on, whatever becomes of this body.
            if self._keeps_message:
                self.action = _DRAIN
            return self.action
        if self._plan.method == "HEAD":
            self.action = _DRAIN  # there is nothing to store
        elif 200 <= status < 300 or self._policy.keep_errors:
            cap = self._policy.max_bytes
            if cap and length is not None and length > cap:
                raise _too_big(f"Content-Length is {length} bytes", self._policy)
            codings = self._codings = head.get_all("content-encoding")
            if codings and not self._policy.as_received:
                decoder = make_decoder(codings, cap, self._own_codings(head))
                self.unpacking = Unpacking(decoder, self._threads)
            self.action = _STORE
        elif length is None or length <= DRAIN_BYTES or self._keeps_message:
            self.action = _DRAIN
        return self.action

    def _leads_on(self, head: Head) -> bool:
        """Return whether *head* is that of a redirect which is followed."""
        is_followed = head.status in REDIRECT_STATUSES and self._policy.follow_redirects
        return is_followed and is_redirect(head)

    @property
    def leads_on(self) -> bool:
        """Whether the answer is a redirect that is followed, whatever becomes of its body."""
        return self.answer is not None and self._leads_on(self.answer)

    def _goes_on(self, resumption: Resumption, head: Head, length: int | None) -> bool:
        """Return True if the body with *head* is the rest of the part."""
        part = resumption.part
        reply = resumption.judge(head, length)
        if reply.keeps_part:
            part.suspend()
        elif reply is not Reply.REST:
            part.discard()
        self._resumption = None
        if reply.asks_anew:
            raise StartAnewError
        if reply is Reply.WHOLE:
            self._claimed = resumption.total_of(head)
        if reply is not Reply.REST:
            return False
        self._writer = part
        self._hashes = resumption.hashes
        self._total = part.about.total
        self.wire_bytes = self.body_bytes = part.length
        self.answer = resumption.complete(head)
        self._codings = self.answer.get_all("content-encoding")
        self.action = _STORE
        cap = self._policy.max_bytes
        if cap and self._total > cap:
            raise _too_big(f"the body has {self._total} bytes", self._policy)
        return True

    def _keep_earlier(self, head: Head) -> BodyAction:
        """Take a 304 to a conditional request; raises `StartAnewError` if it doesn't fit."""
        earlier = self._plan.earlier
        if earlier is None or not confirms(head, earlier) or not self._has(earlier):
            raise StartAnewError
        if earlier.content_type is not None and head.get("content-type") is None:
            self.answer = Head(head.status, (*head.headers, ("content-type", earlier.content_type)))
        self._kept = earlier
        self._codings = head.get_all("content-encoding")
        self.body_bytes = earlier.bytes
        self.action = _DRAIN
        return self.action

    def _has(self, earlier: Earlier) -> bool:
        """Tell whether the store still has the *earlier* body, or there is none to have."""
        if not earlier.has_body:
            return True
        named_by = self._plan.named_by or self._plan.target
        return isinstance(self._store, Sink) and self._store.has(named_by, earlier)

    def _keep_body(self, earlier: Earlier) -> Stored:
        """Return where the *earlier* body is, which the store has."""
        return self._store.keep(earlier) if isinstance(self._store, Sink) else Stored(earlier.path)

    def _is_same(self, head: Head) -> bool:
        """Tell whether the complete body is what the store has had from an earlier run."""
        earlier = self._plan.earlier
        if earlier is None or earlier.path is None or self._hashes is None or not is_final(head):
            return False
        if self.body_bytes != earlier.bytes or earlier.sha256 is None:
            return False
        return self._hashes.hexdigest(RECORDED) == earlier.sha256 and self._has(earlier)

    def feed(self, chunk: bytes | memoryview) -> bool:
        """Take a piece of the body as received; return False if no more of it is wanted.

        Not while `behind`, which this may begin. The memory behind a memoryview is the caller's
        again after the plan: what is kept is copied.
        """
        self.wire_bytes += len(chunk)
        if self.action is not _STORE:
            return self.wire_bytes <= DRAIN_BYTES
        cap = self._policy.max_bytes
        if cap and self.wire_bytes > cap:
            raise _too_big("the body is longer", self._policy)
        if self._total is not None and self.wire_bytes > self._total:
            raise StartAnewError  # a chunked rest that is longer than its Content-Range
        if self.unpacking is None:
            if self._claimed is not None and self.wire_bytes > self._claimed:
                raise StartAnewError
            self._keep(chunk)
        else:
            self.unpacking.feed(chunk, self._keep)
        return True

    @property
    def behind(self) -> bool:
        """Whether decoding has not caught up with what was fed: `catch_up` is to be awaited."""
        return self.unpacking is not None and self.unpacking.behind

    async def catch_up(self, watch: Watch) -> None:
        """Wait until all that was fed is decoded and kept; raises as `feed` does.

        To *watch* it is time in which nothing is read. Cancelled, the body is to be abandoned.
        """
        assert self.unpacking is not None
        watch.pause(monotonic())
        try:
            await self.unpacking.catch_up(self._keep)
        finally:
            watch.resume(monotonic())

    def _keep(self, piece: Chunk) -> None:
        self.body_bytes += len(piece)
        if self._hashes is not None:
            self._hashes.update(piece)
        if self._writer is not None:
            self._writer.write(piece)
            return
        self._pending.append(bytes(piece))  # no copy of what is bytes already
        if self.body_bytes > WHOLE_BODY_BYTES:
            assert self.answer is not None
            plan = self._plan
            about = representation(plan.target.url, self.answer, self._length)
            self._total = None if about is None else about.total
            self._writer = self._store.open(plan.named_by or plan.target, self.answer, about)
            for early in self._pending:
                self._writer.write(early)
            self._pending.clear()

    def finish(self, *, proven: bool = True) -> None:
        """The answer is complete: store the body under its final name, if it is wanted.

        Unless *proven*, the body ended as anybody on the way can make it end (RFC 9112 §9.8): only
        its length, or a coding that has an end of its own, can show that it is whole. Else raises
        `BodyError`.

        The body of an answer which may be tried again becomes `draft`: what the next attempt brings
        may have another name, or none.
        """
        if self._kept is not None:
            self.stored = self._keep_body(self._kept)
            self._describe()
            return
        if self.unpacking is not None:
            self.unpacking.finish(self._keep)
        if not proven and self._total is None and not self._has_own_end:
            what = "the TLS connection ended within the body, without saying so (no close_notify)"
            raise BodyError(Failure(FailureKind.TRUNCATED, what))
        if self.action is not _STORE:
            return
        assert self.answer is not None
        if self._claimed not in (None, self.body_bytes):
            raise StartAnewError  # in chunks, up to the close, or coded: now it shows
        if self._total is not None and self.body_bytes != self._total:
            what = f"the body ended after {self.body_bytes} of {self._total} bytes"
            raise BodyError(Failure(FailureKind.TRUNCATED, what))
        plan = self._plan
        if plan.checksum is not None:
            self._check(plan.checksum, self.answer)
        named_by = plan.named_by or plan.target
        if plan.earlier is not None and self._is_same(self.answer):  # so its file stays as it is
            assert plan.earlier is not None
            if self._writer is not None:
                self._writer.discard()
                self._writer = None
            self.stored = self._keep_body(plan.earlier)
        elif not is_final(self.answer):
            self.draft = self._writer or self._store.open(named_by, self.answer)
            self._writer = None
            for piece in self._pending:
                self.draft.write(piece)
        elif self._writer is not None:
            self.stored = self._writer.commit()
            self._writer = None
        else:
            pending = self._pending
            body = pending[0] if len(pending) == 1 else b"".join(pending)
            self.stored = self._store.put(named_by, self.answer, body)
        if self._hashes is not None or self._codings:
            self._describe()

    @property
    def _has_own_end(self) -> bool:
        return self.unpacking is not None and self.unpacking.has_own_end

    def _check(self, checksum: str, head: Head) -> None:
        """Raise `BodyError` unless the body with *head* is what *checksum* promises.

        An error page promises nothing. A body of two answers is asked for as a whole, once.
        """
        failure = None
        if self._hashes is not None and 200 <= head.status < 300:
            failure = mismatch(self._hashes, checksum)
        if failure is None:
            return
        if self._writer is not None:  # whole as it is, it is not to be gone on with
            self._writer.discard()
            self._writer = None
        if head.status == PARTIAL_CONTENT and self.resumed_at is not None:
            raise StartAnewError
        raise BodyError(failure)

    def abandon(self, *, keep: bool) -> bool:
        """Leave nothing of an unfinished body behind; with *keep*, what may be gone on with.

        Returns whether there was such a body.
        """
        self._pending.clear()
        kept = keep and self._writer is not None and self._total is not None
        if self._resumption is not None:  # no answer came: nothing was said about the part
            self._resumption.part.suspend()
            self._resumption = None
        if self._writer is not None:
            if keep:
                self._writer.suspend()
            else:
                self._writer.discard()
            self._writer = None
        if self.draft is not None:
            self.draft.discard()
        return kept


class EnoughError(Exception):
    """As much of a body has come as is wanted."""


class Beginning(Receiver):
    """Takes in the beginning of a body: once there is enough of it, raises `EnoughError`.

    Whatever a coding makes of what was sent, no more is decoded than that and one piece.
    """

    __slots__ = ("_enough",)

    def __init__(self, plan: Plan, store: Store, threads: Executor | None, enough: int) -> None:
        super().__init__(plan, BodyPolicy(max_bytes=0), store, threads=threads)
        self._enough = enough

    def _keep(self, piece: Chunk) -> None:
        if self.body_bytes >= self._enough:
            raise EnoughError
        super()._keep(piece)

    def finish_early(self) -> None:
        """Store what has come as if the body ended with it."""
        self.unpacking = self._claimed = self._total = None
        self.finish()


def is_final(head: Head) -> bool:
    """Return True if a complete answer with *head* is its URL's outcome, whatever else is set."""
    return 200 <= head.status < 300 and head.status != LATER_STATUS


def _too_big(what: str, policy: BodyPolicy) -> BodyError:
    allowed = f"{policy.capped_by} allows {policy.max_bytes} bytes"
    return BodyError(Failure(FailureKind.TOO_BIG, f"{what}; {allowed}"))

"""One request on its way: what has been tried for it so far, and the outcome when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fetchpool.model.asking import NO_CHECKSUM, NOT_IDEMPOTENT, Fields, read_checksum
from fetchpool.model.attempts import Plan
from fetchpool.model.urls import InvalidURLError, parse_url, redact
from fetchpool.model.values import Failure, FailureKind, Head, Outcome, Receipt, Request, Target
from fetchpool.model.versions import NOT_MODIFIED, change_of, validators

if TYPE_CHECKING:
    from collections.abc import Callable

    from fetchpool.model.attempts import FailedAttempt, Measures, Response
    from fetchpool.model.bodies import BodyWriter
    from fetchpool.model.exchanges import Exchanged


MIN_ADVANCE_BYTES = 256 * 1024
"""How much further a body must come for its attempt to count as none.

Every request costs both sides about a round trip: with less for it, a server that gives a byte at a
time would be asked as often as a body has bytes. With this, one of 1 GiB takes 4,096 at most, and
as each is further than all before, a body ends after its announced length (`--max-size` at most).
"""


class BodyProgress(msgspec.Struct, array_like=True):
    """How a big body comes along that breaks off and is gone on with, over several attempts."""

    furthest: int = 0
    """Bytes that the attempt which came furthest left behind."""
    advanced: bool = False
    """Whether the last exchange brought the body `MIN_ADVANCE_BYTES` further than any before."""
    asked_rest: bool = False
    """Whether the current attempt has asked for the rest of a body."""
    rest_failed: bool = False
    """Whether asking for the rest has brought nothing since the body last advanced."""
    whole: bool = False
    """Whether only the whole is to be asked for until the body advances."""
    uncounted: int = 0
    """Attempts that don't count against `--retries`."""

    def note(self, measures: Measures) -> None:
        """Take over what was measured of an exchange."""
        start = max(self.furthest, measures.resumed_at or 0)
        self.advanced = measures.part_bytes >= start + MIN_ADVANCE_BYTES
        if self.advanced:
            self.furthest = measures.part_bytes
            self.rest_failed = self.whole = False
        else:
            self.furthest = start
            self.rest_failed = self.rest_failed or measures.resumed_at is not None
        self.asked_rest = self.asked_rest or measures.resumed_at is not None


class OwnRequest:
    """A request that a policy makes for itself, and what waits for its response."""

    __slots__ = ("headers", "on_end", "url", "waiting")

    def __init__(self, url: str, on_end: Callable[[Outcome], None], headers: Fields = ()) -> None:
        """Call *on_end* once, with what became of the GET of *url*; `Outcome.body` has the body.

        *headers* take the place of the run's own ones; none of the user's are sent.
        """
        self.url = url
        self.on_end = on_end
        self.headers = headers
        self.waiting: list[Job] = []


class Job:
    """The state of one request between its line and its outcome.

    Attempts and hops follow each other: a job is in one place at a time, the scheduler or a task.
    """

    __slots__ = (
        "attempts",
        "began",
        "budget_left_s",
        "exchanged",
        "first",
        "first_byte_s",
        "hops",
        "insecure",
        "own",
        "progress",
        "public_only",
        "queued_at",
        "redirects",
        "refused",
        "request",
        "seen",
        "started_at",
        "status",
        "target",
        "turned_get",
        "unanswered",
        "uncounted_attempts",
    )

    def __init__(self, request: Request, target: Target, own: OwnRequest | None = None) -> None:
        self.request = request
        self.first = target
        """The line's own URL: what user headers and credentials are bound to."""
        self.target = target
        """The current hop's."""
        self.own = own
        """The policy's request that this is; None = a line's."""
        self.queued_at: float | None = None
        """From when on it has waited for a slot; None = not known, as it waited on disk."""
        self.attempts = 0
        """Attempts made, each a request beyond redirects."""
        self.uncounted_attempts = 0
        """How many of them don't count against `--retries`: the trouble was ours."""
        self.refused = False
        """True once it was answered with 429 or 503: the next time is no news about its host."""
        self.unanswered = False
        """True once a connection ended when it was asked for: new ones tell whose trouble it is."""
        self.redirects = 0
        """Hops of the current attempt."""
        self.seen: set[str] | None = None
        """URLs of the current attempt's chain."""
        self.began: float | None = None
        """Monotonic start of the first attempt."""
        self.started_at: float | None = None
        """The same since the epoch."""
        self.budget_left_s: float | None = None
        """What the current attempt has left of `--timeout`."""
        self.progress: BodyProgress | None = None
        """How a body comes along that may be gone on with; None until one has broken off."""
        self.public_only = False
        self.turned_get = False
        """Whether a redirect of the current attempt's chain has made a plain GET of it."""
        self.insecure = False
        self.status: int | None = None
        self.first_byte_s: float | None = None
        self.exchanged: Exchanged | None = None
        """The messages of the last request, if the sink keeps them."""
        self.hops: tuple[Exchanged, ...] = ()
        """Those of the redirects before it, in the current attempt's chain."""

    @property
    def counted_attempts(self) -> int:
        """Attempts that count against `--retries`: neither our trouble nor a body's progress."""
        advances = 0 if self.progress is None else self.progress.uncounted
        return self.attempts - self.uncounted_attempts - advances

    @property
    def method(self) -> str:
        """The next request's."""
        return "GET" if self.turned_get else self.request.method

    @property
    def body(self) -> bytes | None:
        """The next request's."""
        return None if self.turned_get else self.request.body

    def start_attempt(self, now: float, epoch: float, budget_s: float | None) -> None:
        """Begin an attempt at the first URL (a hop of a chain under way begins none)."""
        if self.redirects:
            return
        self.attempts += 1
        self.budget_left_s = budget_s
        if self.progress is not None:
            self.progress.asked_rest = False
        if self.began is None:
            self.began = now
            self.started_at = epoch

    def take_back_attempt(self) -> None:
        """Undo `start_attempt`: nothing was sent."""
        if not self.redirects:
            self.attempts -= 1
            if not self.attempts:
                self.began = self.started_at = None

    def start_over(self) -> None:
        """Go back to the line's own URL for another attempt."""
        self.target = self.first
        self.redirects = 0
        self.seen = None
        self.turned_get = False
        self.exchanged, self.hops = None, ()
        self.public_only = False  # said of a hop; the line's own URL may lead anywhere

    def hop(self, target: Target) -> None:
        """Go on to *target*, where the last answer pointed."""
        if self.seen is None:
            self.seen = {self.target.url}
        self.seen.add(target.url)
        if self.exchanged is not None:
            self.hops = (*self.hops, self.exchanged)
            self.exchanged = None
        self.redirects += 1
        self.target = target

    @property
    def met_again(self) -> bool:
        """Whether some URL of the current attempt's chain stands in it twice."""
        return self.seen is not None and len(self.seen) <= self.redirects

    def note(self, measures: Measures, exchanged: Exchanged | None = None) -> None:
        """Take over what was measured of an exchange, and its messages."""
        self.exchanged = exchanged
        self.first_byte_s = measures.first_byte_s()
        if self.budget_left_s is not None:
            self.budget_left_s = max(0.0, self.budget_left_s - measures.elapsed_s)
        if self.progress is not None or measures.part_bytes or measures.resumed_at is not None:
            self.progress = self.progress or BodyProgress()
            self.progress.note(measures)

    @property
    def advanced(self) -> bool:
        """Whether the last exchange broke off, but brought the body further."""
        return self.progress is not None and self.progress.advanced

    def wants_whole(self, retries: int) -> bool:
        """Tell whether the current attempt is to ask for the whole body, whatever there is of it.

        Those from the last of 1 + *retries* on do, if asking for the rest has failed: there are
        servers that hang up on any Range, or call themselves overloaded.
        """
        progress = self.progress
        if progress is None:
            return False
        return progress.whole or (progress.rest_failed and self.counted_attempts > retries)

    def plan(self, headers: Fields, retries: int, *, repeats_all: bool) -> Plan:
        """Return the plan of the next request, with *headers* and nothing of any policy.

        With *repeats_all* it may be sent again by itself, whatever its method.
        """
        whole = self.progress is not None and self.wants_whole(retries)
        if self.turned_get:
            method, body, once = "GET", None, False
        else:
            method, body = self.request.method, self.request.body
            once = method in NOT_IDEMPOTENT and not repeats_all
        return Plan(
            self.target,
            headers,
            self.public_only,
            self.first,
            whole,
            method,
            body,
            once,
            self.unanswered,
            self.request.checksum,
            self.queued_at,
            None,
            self.request.earlier,
        )

    def answered(self, response: Response, now: float) -> Outcome:
        """Return the outcome of a complete response."""
        status = response.head.status
        # A 304 has a body where that of an earlier run stays as it is.
        ok = 200 <= status < 300 or (status == NOT_MODIFIED and response.stored is not None)
        failure = None if ok else Failure(FailureKind.STATUS, f"HTTP status {status}")
        return self._outcome(now, failure, response.measures, response.head, response)

    def with_body(self, draft: BodyWriter, outcomes: list[Outcome]) -> list[Outcome]:
        """Return *outcomes*, of which this job's says where its body, *draft*, is.

        A body whose answer is no outcome, as it is tried again, is dropped. Raises `StoreError`.
        """
        try:
            for index, outcome in enumerate(outcomes):
                if outcome.request is self.request:
                    stored = draft.commit()
                    receipt = self._with_messages(stored.receipt)
                    outcomes[index] = msgspec.structs.replace(
                        outcome, path=stored.path, body=stored.body, receipt=receipt
                    )
        finally:
            draft.discard()
        return outcomes

    def _with_messages(self, receipt: Receipt | None) -> Receipt | None:
        """Return *receipt*, or one that is made for it, with the messages that the sink keeps."""
        exchanges = self.hops if self.exchanged is None else (*self.hops, self.exchanged)
        if not exchanges:
            return receipt
        receipt = receipt or Receipt()
        receipt.exchanges = exchanges
        return receipt

    def attempt_failed(self, failed: FailedAttempt, now: float) -> Outcome:
        """Return the outcome of an attempt without a complete response."""
        return self._outcome(now, failed.failure, failed.measures, failed.head)

    def failed(self, failure: Failure, now: float, measures: Measures | None = None) -> Outcome:
        """Return the outcome of a job that ends with *failure*."""
        return self._outcome(now, failure, measures)

    def _outcome(
        self,
        now: float,
        failure: Failure | None,
        measures: Measures | None,
        head: Head | None = None,
        response: Response | None = None,
    ) -> Outcome:
        request, first = self.request, self.first
        content_type = etag = last_modified = change = stored = sha256 = note = None
        if head is not None:
            content_type = head.get("content-type")
            if content_type is not None and not content_type.isascii():
                content_type = _text(content_type)
            if failure is None:
                etag, last_modified = validators(head)
        if response is not None:
            stored, sha256, note = response.stored, response.sha256, response.note
            earlier = request.earlier
            if earlier is not None:
                status = response.head.status
                if status == NOT_MODIFIED and failure is None:
                    etag = etag or earlier.etag
                    last_modified = last_modified or earlier.last_modified
                change = change_of(
                    earlier,
                    status,
                    ok=failure is None,
                    sha256=sha256,
                    etag=etag,
                    last_modified=last_modified,
                )
        detail = None if failure is None else _told(request, failure.detail)
        if note is not None:
            detail = f"{detail}; {note}" if detail else note
        if self.target is not first and (first.scheme, self.target.scheme) == ("https", "http"):
            note = "redirected from https to plain http"
            detail = f"{detail}; {note}" if detail else note
        # By position: 20 keywords take msgspec 0.6 µs, 20 values 0.08.
        receipt = None if stored is None else stored.receipt
        return Outcome(
            request,
            failure is None,
            self.status,
            None if failure is None else failure.kind,
            detail,
            self.target.url if self.attempts else None,
            self.redirects,
            self.attempts,
            0 if response is None else response.body_bytes,
            0 if measures is None else measures.wire_bytes,
            content_type,
            None if stored is None else stored.path,
            sha256,
            self.started_at,
            now - self.began if self.began is not None else 0.0,
            self.first_byte_s,
            self.insecure,
            first.host_key,
            None if stored is None else stored.body,
            receipt if self.exchanged is None and not self.hops else self._with_messages(receipt),
            etag,
            last_modified,
            change,
            None if measures is None or measures.route is None else measures.route.name or None,
        )


def target_of(request: Request) -> Target | Outcome:
    """Return what *request* asks for; its outcome, if that is no URL."""
    if request.problem is not None:
        return _refused(request, request.problem)
    if request.checksum is not None and read_checksum(request.checksum) is None:
        return _refused(request, NO_CHECKSUM)
    try:
        target = parse_url(request.url)
    except InvalidURLError as error:
        from fetchpool.model.urls.mistakes import several_in, would_be  # loaded by then

        text = request.url.strip()
        guess = None if several_in(text) else would_be(text)
        detail = f"{error}: {redact(guess)}" if guess else str(error)
        return _refused(request, _told(request, detail))
    if request.method == "GET" and request.body is None and not request.name:
        return target
    return msgspec.structs.replace(target, variant=request.variant, name=request.name or None)


def _told(request: Request, detail: str) -> str:
    """Return *detail*, of a failure of *request*, and what follows from it."""
    return f"{detail}; what this sitemap names is missing" if request.is_sitemap else detail


def _refused(request: Request, detail: str) -> Outcome:
    return Outcome(
        request=request,
        ok=False,
        status=None,
        error=FailureKind.INPUT,
        detail=detail,
        final_url=None,
        redirects=0,
        attempts=0,
        bytes=0,
        wire_bytes=0,
        content_type=None,
        path=None,
        sha256=None,
        started_at=None,
        elapsed_s=0.0,
    )


def _text(value: str) -> str:
    """Return a header's value (Latin-1) as the UTF-8 it may have been, or as it is."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value

"""Going on with a body that broke off: what is asked for, and which answer may be appended.

    200, strong ETag, length ──▶ representation ──▶ the store keeps what came
    Range, If-Range          ──▶ 206 with exactly the rest of exactly these bytes: append
                             ──▶ 2xx that may be the whole: the body anew, here
                             ──▶ anything else: the whole body anew, asked for again

What "may be the whole" has no Content-Range, and where no other strong ETag says that it is another
version, the length that is known: servers exist that send the rest and call it 200.

Never on a Last-Modified alone: two versions of one second would be mixed (RFC 9110 §8.8.2.2).
"""

from __future__ import annotations

import asyncio
import re
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from fetchpool.http.hashes import Hashes
from fetchpool.model.bodies import Representation
from fetchpool.model.values import Head

if TYPE_CHECKING:
    from collections.abc import Collection

    from fetchpool.model.attempts import Plan
    from fetchpool.model.bodies import PartWriter

RESUME_MIN_BYTES = 1 << 20
"""Shorter bodies are fetched anew: the two files that going on takes cost more than they save."""

PARTIAL_CONTENT = 206
RANGE_NOT_SATISFIABLE = 416

WAIT_STATUSES = frozenset({408, 425, 429, 502, 503, 504})
"""Answers that say "later" or come from a gateway: nothing about the range that was asked for.

A 500 may well be a server that trips over the Range itself.
"""

_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{0,1000}"')
"""RFC 9110 §8.8.3 without obs-text: what can be sent back as it came."""

_DESCRIBING = frozenset({"content-type", "content-disposition", "last-modified"})
"""What an answer to If-Range may leave out (RFC 9110 §15.3.7) and a record, a name or the time of a
file is made of."""

_OWN_RANGE = frozenset({"range", "if-range"})

_HASHED_BYTES = 8 << 20


class StartAnewError(Exception):
    """The rest of a body can't be had: it is to be asked for as a whole. That is no attempt."""


class Reply(Enum):
    """What an answer means for the part whose rest was asked for."""

    REST = "rest"
    """The body goes on behind the part."""
    WHOLE = "whole"
    """The part is of no use any more; the answer stands for itself."""
    LATER = "later"
    """The answer says nothing about the part."""
    REFUSED = "refused"
    """An error that a Range may have brought about: only asking for the whole body can tell."""
    UNFIT = "unfit"
    """Neither the rest nor the whole: the part is of no use, the whole is to be asked for."""

    @property
    def keeps_part(self) -> bool:
        """Whether the part may still be gone on with another time."""
        return self in (Reply.LATER, Reply.REFUSED)

    @property
    def asks_anew(self) -> bool:
        """Whether the whole body is to be asked for at once."""
        return self in (Reply.REFUSED, Reply.UNFIT)


class Resumption:
    """A part, and the request for its rest."""

    def __init__(self, part: PartWriter, hashes: Hashes | None) -> None:
        self.part = part
        self.hashes = hashes
        """Fed with the part's bytes; None if no hash is wanted."""

    @classmethod
    async def of(cls, part: PartWriter, functions: Collection[str] = ()) -> Resumption:
        """Return the resumption of *part*, which is suspended if that fails.

        With hash *functions* what there is of the body is read, in a thread: 1 GB/s or so.
        """
        if not functions:
            return cls(part, None)
        done = Hashes(functions)
        try:
            for start in range(0, part.length, _HASHED_BYTES):
                await asyncio.to_thread(_feed, done, partial(part.read, start, _HASHED_BYTES))
        except BaseException:
            part.suspend()
            raise
        return cls(part, done)

    def request(self, plan: Plan) -> Plan:
        """Return *plan*, asking for what is missing and for nothing but these very bytes."""
        about = self.part.about
        headers = [field for field in plan.headers if field[0].lower() != "accept-encoding"]
        headers += [
            ("Accept-Encoding", "identity"),
            ("Range", f"bytes={self.part.length}-"),
            ("If-Range", about.etag),
        ]
        return msgspec.structs.replace(plan, headers=tuple(headers))

    def judge(self, head: Head, length: int | None) -> Reply:
        """Say what an answer with *head*, and a body of *length* bytes if that is known, means."""
        status = head.status
        if status == PARTIAL_CONTENT:
            return Reply.REST if self._is_rest(head, length) else Reply.UNFIT
        if 200 <= status < 300:
            return Reply.WHOLE if self._may_be_whole(head, length) else Reply.UNFIT
        if 300 <= status < 400 or status in WAIT_STATUSES:
            return Reply.LATER
        return Reply.UNFIT if status == RANGE_NOT_SATISFIABLE else Reply.REFUSED

    def total_of(self, head: Head) -> int | None:
        """Return the length that a whole body with *head* must have; None for another version."""
        etag = _etag(head)
        another = etag is not None and etag != self.part.about.etag
        return None if another else self.part.about.total

    def _may_be_whole(self, head: Head, length: int | None) -> bool:
        if head.get_all("content-range"):
            return False
        # A coded body has another length; what it decodes to is looked at when it has come.
        is_plain = length is not None and not head.get_all("content-encoding")
        return not is_plain or self.total_of(head) in (None, length)

    def _is_rest(self, head: Head, length: int | None) -> bool:
        about, start = self.part.about, self.part.length
        ranges = [value.strip(" \t").lower() for value in head.get_all("content-range")]
        return (
            ranges == [f"bytes {start}-{about.total - 1}/{about.total}"]
            and _etag(head) == about.etag
            and length in (None, about.total - start)
            and not head.get_all("content-encoding")
        )

    def complete(self, head: Head) -> Head:
        """Return *head* with the fields that it left out, as the first answer had them."""
        there = {name for name, _ in head.headers}
        missing = tuple(field for field in self.part.about.headers if field[0] not in there)
        return Head(head.status, head.headers + missing)


def representation(url: str, head: Head, length: int | None) -> Representation | None:
    """Return what the body after *head* is, if it may be gone on with; else None.

    That takes a 200 with one strong ETag, a length of at least `RESUME_MIN_BYTES`, no coding, and a
    server that doesn't say it has no ranges.
    """
    if head.status != 200 or length is None or length < RESUME_MIN_BYTES:
        return None
    etag = _etag(head)
    if etag is None or head.get_all("content-encoding"):
        return None
    if any(value.strip(" \t").lower() == "none" for value in head.get_all("accept-ranges")):
        return None
    headers = tuple(field for field in head.headers if field[0] in _DESCRIBING)
    return Representation(url, etag, length, headers)


def may_resume(plan: Plan, part: PartWriter) -> bool:
    """Return whether *plan* may ask for the rest of *part*: the user's own Range comes first."""
    if plan.method != "GET" or plan.body is not None:
        return False
    return not asks_for_range(plan) and _STRONG_ETAG.fullmatch(part.about.etag) is not None


def asks_for_range(plan: Plan) -> bool:
    """Return whether *plan* itself asks for a part of what is there."""
    return any(name.lower() in _OWN_RANGE for name, _ in plan.headers)


def _etag(head: Head) -> str | None:
    """Return the one strong ETag of *head*, or None."""
    etags = [value.strip(" \t") for value in head.get_all("etag")]
    return etags[0] if len(etags) == 1 and _STRONG_ETAG.fullmatch(etags[0]) else None


def _feed(done: Hashes, read: partial[bytes]) -> None:
    done.update(read())

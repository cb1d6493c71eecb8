"""Which version of a body there is: what a server is asked, and what has become of it.

    ETag, Last-Modified of a record ──condition_of──▶ If-None-Match or If-Modified-Since
    304                             ──confirms──────▶ whether it is about that version
    what came, and what was there   ──change_of─────▶ new, changed, same, gone

RFC 9110 §8.8 and §13.1.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from fetchpool.model.values import Change

if TYPE_CHECKING:
    from fetchpool.model.values import Earlier, Head

NOT_MODIFIED = 304
_GONE = frozenset({404, 410})

_ETAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e]{0,1000}"')
"""RFC 9110 §8.8.3, weak ones too, without obs-text: what can be sent back as it came."""

_DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), "
    r"[0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)
"""RFC 9110 §5.6.7, the form that servers have to send."""

_OLD_ENOUGH_S = 1
"""A second at least lies between the last change and the response: of two versions within one
second, both would have the same date (RFC 9110 §8.8.2.2)."""

LONGEST = 1000
"""Characters of a validator that are worth being recorded."""


def condition_of(
    etag: str | None, last_modified: str | None, asked_at: float | None
) -> tuple[str, str] | None:
    """Return the field that asks for another version than that of these validators; None = none.

    *asked_at* is when they came, in seconds since the epoch. A date that lies behind it says
    nothing: a server that knows better would have sent another one (RFC 9110 §8.8.2.1).
    """
    if etag is not None and _ETAG.fullmatch(etag):
        return ("If-None-Match", etag)
    if last_modified is None or asked_at is None:
        return None
    modified_at = http_date(last_modified)
    if modified_at is None or modified_at > asked_at - _OLD_ENOUGH_S:
        return None
    return ("If-Modified-Since", last_modified)


def http_date(text: str) -> float | None:
    """Return what `Last-Modified` says in seconds since the epoch; None where it is no date."""
    if not _DATE.fullmatch(text):
        return None
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def confirms(head: Head, earlier: Earlier) -> bool:
    """Tell whether *head*, of a 304, is about the version of *earlier*: no other ETag is named.

    Compared weakly (RFC 9110 §8.8.3.2): a server that packs on the fly makes its ETags weak.
    """
    told, _ = validators(head)
    if told is None or earlier.etag is None:
        return True
    return told.removeprefix("W/") == earlier.etag.removeprefix("W/")


def validators(head: Head) -> tuple[str | None, str | None]:
    """Return ETag and Last-Modified of *head* as they may be recorded (0.5 µs).

    None for one that is missing, there twice, or no printable ASCII.
    """
    if head.by_name is not None:
        etag, modified = head.by_name.get("etag"), head.by_name.get("last-modified")
        if etag is None and modified is None:
            return None, None
    etag = modified = None
    once = True
    for name, value in head.headers:
        if name == "etag":
            once, etag = once and etag is None, value
        elif name == "last-modified":
            once, modified = once and modified is None, value
    if once and _is_plain((etag or "") + (modified or "")):
        return etag, modified
    return _only(head, "etag"), _only(head, "last-modified")


def _only(head: Head, name: str) -> str | None:
    values = head.get_all(name)
    return values[0] if len(values) == 1 and _is_plain(values[0]) else None


def _is_plain(value: str) -> bool:
    return value.isascii() and value.isprintable() and len(value) <= LONGEST


def change_of(
    earlier: Earlier | None,
    status: int | None,
    *,
    ok: bool,
    sha256: str | None,
    etag: str | None,
    last_modified: str | None,
) -> Change | None:
    """Return what became of the URL since *earlier*; None where that isn't known, or not asked.

    Bodies are compared by their hashes; where there is none, as for HEAD, their validators tell.
    """
    if earlier is None:
        return None
    is_known = bool(earlier.url)
    if not ok:
        return Change.GONE if is_known and status in _GONE else None
    if not is_known:
        return Change.NEW
    if status == NOT_MODIFIED:
        is_same = True
    elif sha256 is not None and earlier.sha256 is not None:
        is_same = sha256 == earlier.sha256
    elif etag is not None or earlier.etag is not None:
        is_same = etag == earlier.etag
    else:
        is_same = last_modified is not None and last_modified == earlier.last_modified
    return Change.SAME if is_same else Change.CHANGED

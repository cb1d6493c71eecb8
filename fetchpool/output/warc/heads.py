"""Heads of HTTP messages: what an index says of a response, and a request without its secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from fetchpool.model.urls import redact, redact_in
from fetchpool.model.urls.redaction import REDACTED, is_hiding

_CONTENT_TYPE = re.compile(rb"\ncontent-type[ \t]*:([^\n]*)", re.IGNORECASE)
_CODING = re.compile(rb"\ncontent-encoding[ \t]*:([^\n]*)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\ntransfer-encoding[ \t]*:[ \t]*chunked[ \t]*\r?\n", re.IGNORECASE)
_CONDITION = re.compile(rb"\nif-(?:none-match|modified-since)[ \t]*:", re.IGNORECASE)
_FOLD = re.compile(rb"\r?\n[ \t]+")
_BEHIND_TYPE = re.compile(r"[;\s]")

_SHOWN = frozenset(
    (
        *("host", "user-agent", "accept", "connection", "keep-alive", "te", "transfer-encoding"),
        *("range", "if-range", "if-match", "if-none-match", "if-modified-since"),
        *("if-unmodified-since", "cache-control", "pragma", "content-length", "content-type"),
        *("content-encoding", "content-language", "expect", "referer", "origin", "dnt", "from"),
        *("upgrade-insecure-requests", "save-data", "priority", "x-requested-with"),
    )
)
_SHOWN_PREFIXES = ("accept-", "sec-")


def media_type_in(head: bytes) -> str | None:
    """Return the media type that a response's *head* says, without parameters; None: nothing.

    As it is written there; empty where the field is.
    """
    found = _CONTENT_TYPE.search(head)
    if found is None:
        return None
    try:
        text = found[1].decode()
    except UnicodeDecodeError:
        text = found[1].decode("latin-1")
    return _BEHIND_TYPE.split(text.strip(), maxsplit=1)[0]


def coding_in(head: bytes) -> bytes:
    """Return what a response's *head* says of the body's content coding; empty: nothing."""
    found = _CODING.search(head)
    return b"" if found is None else found[1].strip().lower()


def fields_of(head: bytes) -> Iterator[tuple[str, str]]:
    """Yield the fields of a *head*, with names in lower case; a line that is none is left out."""
    lines = _FOLD.sub(b" ", head).split(b"\n")[1:]
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            yield name.lower(), value.strip()


def is_chunked(head: bytes) -> bool:
    """Return whether the body behind a response's *head* is in chunks."""
    return _CHUNKED.search(head) is not None


def is_conditional(request: bytes) -> bool:
    """Return whether a *request* asks for the body only where it has changed."""
    return _CONDITION.search(request) is not None


def without_secrets(request: bytes, url: str) -> bytes:
    """Return the head of a *request* for *url* with what may be secret replaced by `***`.

    That are the values of all fields but those that are known to hold no secret: so Authorization,
    Cookie, and whatever a user has made up. In the URLs of the others, and in the request's own,
    what `redact` hides is hidden.
    """
    first, end, fields = request.partition(b"\r\n")
    if not is_hiding():
        return first + end + _plain_fields(fields)
    if (shown := redact(url)) != url:
        first = _asking_for(first, shown)
    return first + end + _fields_without_secrets(fields)


def _fields_without_secrets(fields: bytes) -> bytes:
    return b"\r\n".join(map(_field_without_secret, fields.split(b"\r\n")))


# The requests of a run mostly have the same fields.
_plain_fields = lru_cache(maxsize=256)(_fields_without_secrets)


def _asking_for(line: bytes, url: str) -> bytes:
    """Return the request *line* with *url*, whole or without its origin, for its target."""
    method, target, version = line.split(b" ")
    if target.startswith(b"/"):
        url = "/" + url.split("/", 3)[3]
    return b" ".join((method, url.encode(), version))


def _field_without_secret(line: bytes) -> bytes:
    name, colon, value = line.partition(b":")
    if not colon:
        return line
    text = name.decode("latin-1").lower()
    if text not in _SHOWN and not text.startswith(_SHOWN_PREFIXES):
        return name + b": " + REDACTED.encode()
    if b"@" in value or is_hiding():
        shown = redact_in(value.decode("latin-1"))
        return name + colon + shown.encode("latin-1", "replace")
    return line


def hides_in(body: bytes) -> bool:
    """Return whether the *body* of a request holds the value of a parameter that is hidden."""
    if not is_hiding():
        return False
    text = body.decode("latin-1")
    return redact_in(text) != text

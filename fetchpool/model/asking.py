"""How a URL is asked: methods and what they promise, and what tells one request from another.

GET                 https://example.org/a                the URL is all there is to know
HEAD                HEAD https://example.org/a           a variant of it
POST, with a body   POST 9f86d0… https://example.org/a   another for each body
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, TypeAlias

Fields: TypeAlias = tuple[tuple[str, str], ...]
"""Header fields as names and values, in the order sent."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""Those that can be asked with. CONNECT and TRACE are none to fetch a URL with."""

NOT_IDEMPOTENT = frozenset({"POST", "PATCH"})
"""RFC 9110 §9.2.2, RFC 5789 §2: sent twice, they may be done twice."""

SENDING_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
"""Those whose request says its length though it has no body (RFC 9110 §8.6)."""


_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 §5.6.2
_UNFIT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]")
_MADE_HERE = frozenset({
    "host", "content-length", "transfer-encoding", "connection", "keep-alive", "expect", "trailer",
    "te", "upgrade", "range", "if-range", "proxy-connection", "proxy-authorization",
})  # fmt: skip
"""Fields that follow from the URL, the body and the settings."""


def over(fields: Fields, stronger: Fields) -> Fields:
    """Return *fields* without those that the *stronger* have, and the stronger."""
    names = {name.lower() for name, _ in stronger}
    return (*(field for field in fields if field[0].lower() not in names), *stronger)


class Ask(NamedTuple):
    """How the lines of a list are asked for that don't say so themselves."""

    method: str = "GET"
    headers: Fields = ()
    body: bytes | None = None

    @property
    def variant(self) -> str:
        """See `variant_of`."""
        return variant_of(self.method, self.body)


PLAIN = Ask()
"""A plain GET."""


def variant_of(method: str, body: bytes | None) -> str:
    """Return what tells a request from a plain GET of its URL: method, and a hash of the body."""
    if body is None:
        return "" if method == "GET" else method
    return f"{method} {body_digest(body)}"


@lru_cache(maxsize=4)
def body_digest(body: bytes) -> str:
    """Return the SHA-256 of a request's *body*; remembered, as a run's lines share theirs."""
    import hashlib  # most starts don't need it

    return hashlib.sha256(body).hexdigest()


_CHECKSUM = re.compile(r"(?:(md5|sha-?1|sha-?256|sha-?512)[:=])?([0-9a-f]+)", re.IGNORECASE)
_DIGITS = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}


def read_checksum(text: object) -> tuple[str, str] | None:
    """Return the hash function that *text* names and the digest in lower-case hexadecimal.

    It is `sha256:HEX` or `sha-256=HEX`, likewise with md5, sha1 and sha512, or bare digits, which
    their number tells apart. None: it is neither.
    """
    found = _CHECKSUM.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    function = _DIGITS.get(len(found[2]))
    if found[1] is not None and found[1].lower().replace("-", "") != function:
        return None
    return None if function is None else (function, found[2].lower())


MAX_ROW = 1 << 20
"""Longest row of a list in bytes: a record of 16 MiB could not be read again."""

NO_CHECKSUM = (
    "the checksum of the line is none: sha256:HEX is one (or md5:, sha1:, sha512:), or the bare "
    "hexadecimal digits of one of these"
)


def problem_in_baggage(name: object, checksum: object, row: object) -> str | None:
    """Say what is wrong with what a request brings along, or return None."""
    if checksum is not None and read_checksum(checksum) is None:
        return NO_CHECKSUM
    if name is not None and not isinstance(name, str):
        return "the request's name is no text"
    if row is not None and not _is_row(row):
        return "the request's row is no JSON object in bytes, on one line and of 1 MiB at most"
    return None


def _is_row(row: object) -> bool:
    """Tell whether *row* can stand in a line of the ledger."""
    if not isinstance(row, bytes) or len(row) > MAX_ROW or b"\n" in row or b"\r" in row:
        return False
    try:
        row.decode()
        import msgspec  # most starts don't need it

        msgspec.json.decode(row, type=dict[str, msgspec.Raw])
    except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors
        return False
    return True


def problem_in_ask(method: object, headers: object, body: object) -> str | None:
    """Say why a request can't be asked with *method*, *headers* and *body*, or return None."""
    if not isinstance(method, str) or method.upper() not in METHODS:
        return f"the request's method is none of {', '.join(METHODS)}"
    if body is not None and not isinstance(body, bytes):
        return "the request's body is no bytes"
    if isinstance(headers, str) or not isinstance(headers, Iterable):
        return "the request's header fields are no pairs of name and value"
    for field in headers:
        match field:
            case (str(name), str(value)) if _TOKEN.fullmatch(name) and not _UNFIT.search(value):
                if name.lower() in _MADE_HERE:
                    return f"the request can't set the header field {name}"
            case _:
                return "the request has a header field that is no name and value as HTTP has them"
    return None

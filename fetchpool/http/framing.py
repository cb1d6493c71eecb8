"""What a head may say about the body: stricter than the parsers underneath.

A length read too leniently gives a wrong body.
"""

from __future__ import annotations

from fetchpool.http.exchange import ExchangeError
from fetchpool.model.values import Failure, FailureKind, Head

MAX_LENGTH = 2**63 - 1
"""The longest body: beyond that integers overflow somewhere, and nobody serves it."""

MAX_LENGTH_DIGITS = len(str(MAX_LENGTH))

MAX_LINE_BYTES = 64 * 1024
"""The longest header line, name and value: aiohttp's limit of 8,190 refuses real servers."""

MAX_HEAD_BYTES = 300 * 1024
"""The longest head, with the interim ones before it: curl's limit (MAX_HTTP_RESP_HEADER_SIZE)."""

MAX_HEADERS = 500

MAX_INTERIM = 10
"""Interim (1xx) responses accepted before the final one."""

CHUNK_FRAMING_BYTES = 64 * 1024
"""Most bytes of extensions and trailers, beyond the framing of plain chunks."""

PLAIN_CHUNK_BYTES = 32
"""The most that the framing of one chunk takes: up to 16 digits, blanks, two line ends."""

_CODINGS = frozenset({"chunked", "identity"})
"""Transfer codings that are read; `identity` is RFC 2616's word for none."""

BODILESS_STATUSES = frozenset({204, 304})
"""RFC 9112 §6.3: responses that end with their head."""


def body_length(head: Head, method: str = "GET") -> int | None:
    """Return the length of the body after *head*, or None if only its end will show it.

    *method* is that of the request: a response to HEAD, or one that opens a tunnel, ends with its
    head, whatever that says of a body (RFC 9112 §6.3).

    None is returned for a chunked body, and for one that ends with its connection. Raises
    `ExchangeError` (protocol) if the framing is ambiguous or impossible (RFC 9112 §6.1–6.3, RFC
    9110 §8.6 and §15). Allowed are one valid length, or one transfer coding alone (chunked or, from
    older servers, identity), a final status from 200 to 999 and one Location.
    """
    status = head.status
    if not 200 <= status <= 999:
        raise not_http(f"a final status can't be {status}")
    fields = dict(head.headers)
    if len(fields) != len(head.headers):
        _check_repeated(head)
    declared = fields.get("content-length")
    coding = fields.get("transfer-encoding")
    if coding is not None:
        if declared is not None:
            raise not_http("both Content-Length and Transfer-Encoding")
        if coding.strip(" \t").lower() not in _CODINGS:
            raise not_http("a Transfer-Encoding other than chunked")
    length = None if declared is None else _parse_length(declared)
    return 0 if status in BODILESS_STATUSES or has_no_body(method, status) else length


def has_no_body(method: str, status: int) -> bool:
    """Return True if a response of *status* to *method* has no body, whatever its fields say."""
    return method == "HEAD" or (method == "CONNECT" and 200 <= status < 300)


def is_chunked(head: Head) -> bool:
    """Return True if the body after *head*, whose length is unknown, comes in chunks."""
    coding = head.get("transfer-encoding")
    return coding is not None and coding.strip(" \t").lower() == "chunked"


def _check_repeated(head: Head) -> None:
    """Refuse a field that is repeated with different values where only one can be true."""
    if len(head.get_all("transfer-encoding")) > 1:
        raise not_http("a Transfer-Encoding other than chunked")
    if len({_parse_length(value) for value in head.get_all("content-length")}) > 1:
        raise not_http("several different Content-Lengths")
    if len(set(head.get_all("location"))) > 1:
        raise not_http("two different Locations")


def _parse_length(text: str) -> int:
    """Return the length in a Content-Length, which may repeat it."""
    if not (text.isascii() and text.isdigit()):
        values = {part.strip(" \t") for part in text.split(",")}
        if len(values) > 1:
            raise not_http("several different Content-Lengths")
        (text,) = values
        if not (text.isascii() and text.isdigit()):
            raise not_http("a Content-Length that is no number")
    length = int(text) if len(text) <= MAX_LENGTH_DIGITS else MAX_LENGTH + 1
    if length > MAX_LENGTH:
        raise not_http("an impossible Content-Length")
    return length


def not_http(what: str) -> ExchangeError:
    """Return the error for a response that isn't HTTP; *what* says why."""
    return ExchangeError(Failure(FailureKind.PROTOCOL, f"not HTTP: {what}"))

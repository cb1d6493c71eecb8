"""What a head may say about the body that follows: stricter than the parsers underneath.

A too lenient reading of a length is a wrong body.
"""

from __future__ import annotations

from fetchpool.engine.exchange import ExchangeError
from fetchpool.models import Failure, FailureKind, Head

MAX_LENGTH_DIGITS = 18
"""Lengths beyond 10^18 bytes overflow somebody's integer; nobody serves them."""


def check_framing(head: Head) -> None:
    """Raise `ExchangeError` (protocol) if *head* frames its body ambiguously or impossibly.

    RFC 9112 §6.1–6.3, RFC 9110 §8.6 and §15: one valid length at most, or chunked alone, never
    both; a final status between 200 and 999; nothing asked for 101.
    """
    if not 200 <= head.status <= 999:
        raise _protocol(f"a final status can't be {head.status}")
    lengths = head.get_all("content-length")
    codings = head.get_all("transfer-encoding")
    if codings:
        if lengths:
            raise _protocol("both Content-Length and Transfer-Encoding")
        if [coding.strip(" \t").lower() for coding in codings] != ["chunked"]:
            raise _protocol("a Transfer-Encoding other than chunked")
    if lengths:
        _check_lengths(lengths)
    locations = head.get_all("location")
    if len(set(locations)) > 1:
        raise _protocol("two different Locations")


def _check_lengths(lengths: list[str]) -> None:
    values = {part.strip(" \t") for value in lengths for part in value.split(",")}
    if len(values) > 1:
        raise _protocol("several different Content-Lengths")
    (value,) = values
    if not (value.isascii() and value.isdigit()):
        raise _protocol("a Content-Length that is no number")
    if len(value) > MAX_LENGTH_DIGITS:
        raise _protocol("an impossible Content-Length")


def _protocol(what: str) -> ExchangeError:
    return ExchangeError(Failure(FailureKind.PROTOCOL, f"not HTTP: {what}"))

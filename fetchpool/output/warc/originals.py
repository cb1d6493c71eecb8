"""Which payloads a run has stored already: a second one becomes a revisit record."""

from __future__ import annotations

from typing import NamedTuple

MOST_ORIGINALS = 65_536
"""How many are remembered, those that were used last: about 20 MB."""

LEAST_BYTES = 256
"""A shorter payload is stored again: a revisit record would be longer."""


class Original(NamedTuple):
    """A response whose payload was stored."""

    url: str
    date: str


class Originals:
    """Payloads in the containers of this process."""

    def __init__(self, most: int = MOST_ORIGINALS) -> None:
        self._most = most
        self._known: dict[bytes, bytes] = {}

    def find(self, key: bytes) -> Original | None:
        """Return the response that has the payload of *key*, as `key_of` makes it; or None."""
        found = self._known.pop(key, None)
        if found is None:
            return None
        self._known[key] = found
        date, _, url = found.decode().partition(" ")
        return Original(url, date)

    def add(self, key: bytes, original: Original) -> None:
        """Remember the payload of *key*; what was not used for longest is forgotten."""
        if len(self._known) >= self._most:
            del self._known[next(iter(self._known))]
        self._known[key] = f"{original.date} {original.url}".encode()


def key_of(digest: bytes, *, chunked: bool, coding: bytes) -> bytes:
    """Return what a payload is found by.

    Players read the body of the original by the head of the revisit, so both must be framed and
    coded alike.
    """
    return b"%b%b%b" % (digest, b"c" if chunked else b"-", coding)

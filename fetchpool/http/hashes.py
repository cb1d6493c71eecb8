"""The hashes of a body while it comes: that of the record, and that of the list's checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import TYPE_CHECKING

from fetchpool.model.asking import read_checksum
from fetchpool.model.values import Failure, FailureKind

if TYPE_CHECKING:
    from fetchpool.model.bodies import Chunk

RECORDED = "sha256"
"""The function whose hash `--hash` puts into records."""


class Hashes:
    """One body under some hash functions."""

    __slots__ = ("_by_function",)

    def __init__(self, functions: Collection[str]) -> None:
        # FIPS builds refuse MD5 for security; here it finds what broke on the way.
        self._by_function = {name: hashlib.new(name, usedforsecurity=False) for name in functions}

    def update(self, piece: Chunk) -> None:
        """Take the body's next bytes."""
        for each in self._by_function.values():
            each.update(piece)

    def hexdigest(self, function: str) -> str:
        """Return the hash by *function*, one of those given."""
        return self._by_function[function].hexdigest()


def functions_for(checksum: str | None, *, recorded: bool) -> frozenset[str]:
    """Return the hash functions that a body needs; *recorded*: the record has its hash."""
    wanted = {RECORDED} if recorded else set()
    if checksum is not None and (found := read_checksum(checksum)) is not None:
        wanted.add(found[0])
    return frozenset(wanted)


def mismatch(hashes: Hashes, checksum: str) -> Failure | None:
    """Return how a body with *hashes* fails its *checksum*; None if it doesn't."""
    found = read_checksum(checksum)
    if found is None:
        return None
    function, promised = found
    digest = hashes.hexdigest(function)
    if digest == promised:
        return None
    what = f"the body's {function} is {digest}, the list promised {promised}"
    return Failure(FailureKind.CHECKSUM, what)

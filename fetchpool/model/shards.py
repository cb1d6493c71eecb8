"""`Shard`: one part of a list that several machines work on, and the name of its directory."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_SHARDS = 100_000
"""As many as names of five digits go round; AWS Batch has arrays of 10,000 at most."""

_NAME = re.compile(r"shard-([0-9]{5})-of-([0-9]{5,6})")


@dataclass(frozen=True, slots=True, order=True)
class Shard:
    """One part of a list: number *index*, from 0, of *count*."""

    index: int
    count: int

    def __str__(self) -> str:
        """Return it as on a command line: `3/64`."""
        return f"{self.index}/{self.count}"

    @property
    def directory(self) -> str:
        """What its directory is called: `shard-00003-of-00064`."""
        return f"shard-{self.index:05}-of-{self.count:05}"


def shard_named(name: str) -> Shard | None:
    """Return the shard whose directory is called *name*; None: it is no such name."""
    found = _NAME.fullmatch(name)
    return None if found is None else Shard(int(found[1]), int(found[2]))

"""Bodies dropped: for runs that only want to know whether and how fast a URL answers."""

from __future__ import annotations

from fetchpool.model.bodies import Chunk, Representation, Sink, Stored
from fetchpool.model.values import Head, Target

_DROPPED = Stored()


class _NullWriter:
    __slots__ = ()

    def write(self, chunk: Chunk) -> None: ...

    def commit(self) -> Stored:
        return _DROPPED

    def discard(self) -> None: ...

    def suspend(self) -> None: ...


_WRITER = _NullWriter()


class NullStore(Sink):
    """Takes every body and keeps none: `Stored.path` and `Stored.body` are None."""

    def put(self, target: Target, head: Head, body: Chunk) -> Stored:
        """Drop *body*."""
        return _DROPPED

    def open(self, target: Target, head: Head, about: Representation | None = None) -> _NullWriter:
        """Begin a body whose chunks are dropped."""
        return _WRITER

    def reopen(self, target: Target, url: str) -> None:
        """Return None: nothing was kept."""

    def sync(self) -> None:
        """Do nothing: nothing was kept."""

    def close(self) -> None:
        """Do nothing: nothing is held."""

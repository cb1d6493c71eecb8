"""Bodies returned to the program: what a user of the library gets without a store."""

from __future__ import annotations

from io import BytesIO

from fetchpool.model.bodies import Chunk, Representation, Sink, Stored
from fetchpool.model.values import Head, Target


class _MemoryWriter:
    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        # BytesIO hands its buffer over without a copy, where a list of chunks would be joined and
        # a bytearray be turned into bytes: either holds a body twice for a moment.
        self._buffer = BytesIO()

    def write(self, chunk: Chunk) -> None:
        self._buffer.write(chunk)

    def commit(self) -> Stored:
        stored = Stored(body=self._buffer.getvalue())
        self._buffer.close()
        return stored

    def discard(self) -> None:
        self._buffer.close()

    suspend = discard


class MemoryStore(Sink):
    """Returns each body as `Stored.body` and forgets it."""

    def put(self, target: Target, head: Head, body: Chunk) -> Stored:
        """Return *body*; bytes are passed on without a copy."""
        return Stored(body=bytes(body))

    def open(
        self, target: Target, head: Head, about: Representation | None = None
    ) -> _MemoryWriter:
        """Begin a body that is collected chunk by chunk, in one buffer."""
        return _MemoryWriter()

    def reopen(self, target: Target, url: str) -> None:
        """Return None: what broke off is not kept."""

    def sync(self) -> None:
        """Do nothing: memory promises nothing."""

    def close(self) -> None:
        """Do nothing: nothing is held."""

"""Bodies that only the run itself reads: files that have no place in DEST, deleted once read."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from fetchpool.model.bodies import Chunk, Representation, Sink, Stored, StoreError
from fetchpool.model.values import Head, Target


class ScratchStore(Sink):
    """Keeps each body as a file of its own in *directory*; `Stored.path` is an absolute path.

    Whoever reads the file deletes it. What a killed process leaves behind in the private directory
    of a run is deleted by the next one, as all that ends with `.new`.
    """

    def __init__(self, directory: str | None) -> None:
        """Use *directory*; None: the system's own for temporary files."""
        self._directory = directory

    def put(self, target: Target, head: Head, body: Chunk) -> Stored:
        """Store a complete body."""
        writer = self.open(target, head)
        try:
            writer.write(body)
            return writer.commit()
        except BaseException:
            writer.discard()
            raise

    def open(
        self, target: Target, head: Head, about: Representation | None = None
    ) -> _ScratchWriter:
        """Begin a body that comes in chunks."""
        try:
            descriptor, path = tempfile.mkstemp(".new", "sitemap-", self._directory)
        except OSError as error:
            where = self._directory or tempfile.gettempdir()
            raise StoreError("cannot write to", where, error.errno or 0) from error
        return _ScratchWriter(descriptor, os.path.abspath(path))  # noqa: PTH100

    def reopen(self, target: Target, url: str) -> None:
        """Return None: what broke off is not kept."""

    def sync(self) -> None:
        """Do nothing: no record names these bodies."""

    def close(self) -> None:
        """Do nothing: nothing is held."""


class _ScratchWriter:
    __slots__ = ("_descriptor", "_path")

    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self._path = path

    def write(self, chunk: Chunk) -> None:
        left = memoryview(chunk)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            self.discard()
            raise StoreError("cannot write", self._path, error.errno or 0) from error

    def commit(self) -> Stored:
        os.close(self._descriptor)
        self._descriptor = -1
        return Stored(path=self._path)

    def discard(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            with suppress(OSError):
                Path(self._path).unlink()

    suspend = discard

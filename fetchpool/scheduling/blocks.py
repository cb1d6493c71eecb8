"""A temporary file without a name, divided into blocks that are used again."""

from __future__ import annotations

import errno
import os
import tempfile
from io import FileIO

MAX_BLOCK = 64 * 1024
"""Longest block in bytes."""

MIN_BLOCK = 128


class Block:
    """A piece of the file, written from its start and read from its start."""

    __slots__ = ("offset", "read", "size", "written")

    def __init__(self, offset: int, size: int) -> None:
        self.offset = offset
        self.size = size
        self.written = 0
        self.read = 0

    @property
    def room(self) -> int:
        """Bytes that can still be written."""
        return self.size - self.written


class BlockFile:
    """A temporary file made when needed, divided into blocks whose lengths are powers of two."""

    def __init__(self, directory: str | os.PathLike[str] | None) -> None:
        self._directory = directory
        self._file: FileIO | None = None
        self._free: dict[int, list[int]] = {}
        self.length = 0

    def allocate(self, size: int) -> Block:
        """Return a block of at least *size* bytes, or of `MAX_BLOCK`."""
        size = min(max(MIN_BLOCK, 1 << (size - 1).bit_length()), MAX_BLOCK)
        free = self._free.get(size)
        if free:
            return Block(free.pop(), size)
        offset = self.length
        self.length += size
        return Block(offset, size)

    def free(self, block: Block) -> None:
        """Allow the room of *block* to be used again."""
        self._free.setdefault(block.size, []).append(block.offset)

    def write(self, offset: int, data: bytes | bytearray) -> None:
        """Write all of *data*; OSError where that fails."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(  # noqa: SIM115 - until `close`
                buffering=0, dir=self._directory
            )
        self._file.seek(offset)
        with memoryview(data) as rest:
            done = 0
            while done < len(rest):
                done += self._file.write(rest[done:])

    def read(self, offset: int, count: int) -> bytes:
        """Return *count* bytes that were written at *offset*."""
        if count == 0 or self._file is None:
            return b""
        self._file.seek(offset)
        data = self._file.read(count)
        if len(data) != count:
            raise OSError(errno.EIO, "the spill file is shorter than what was written to it")
        return data

    def close(self) -> None:
        """Delete the file; the next write makes another."""
        self._free.clear()
        self.length = 0
        if self._file is not None:
            self._file.close()
            self._file = None

"""Messages that wait for their container: the short ones in memory, what is more in one file.

    Recordings ──begin, write──▶ in memory ──(long, or much waits)──▶ blocks of a file

The file has no name, so whatever kills the process leaves nothing of it, and however many messages
wait, it is one descriptor. Its blocks are used again; once none is in use, the file is emptied.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from fetchpool.model.bodies import StoreError

MEMORY_BYTES = 256 * 1024
"""The longest message that is kept in memory."""

ROOM_BYTES = 24 * 1024 * 1024
"""How much all messages in memory may have: beyond that, short ones go to the file, too."""

BLOCK_BYTES = 256 * 1024
"""The last block of a message is a hole in the file but for what is written to it."""


class Recordings:
    """Keeps the messages of one process. Written by one thread, read and freed by any."""

    def __init__(self, directory: Path, *, room: int = ROOM_BYTES) -> None:
        """Make the file in *directory* when it is first needed."""
        self._directory = directory
        self._room = room
        self._returned: deque[int] = deque()  # bytes of memory, by whatever thread
        self._free: deque[int] = deque()  # numbers of blocks, the same
        self._blocks = 0
        self._fd = -1

    def begin(self) -> SpooledRecording:
        """Return a new, empty message."""
        return SpooledRecording(self)

    def take_memory(self, size: int) -> bool:
        """Take *size* bytes of the room in memory, if there are so many."""
        while self._returned:
            self._room += self._returned.popleft()
        if size > self._room:
            return False
        self._room -= size
        return True

    def give_back(self, memory: int, blocks: list[int]) -> None:
        """Take back what a message had of memory and file."""
        if memory:
            self._returned.append(memory)
        self._free.extend(blocks)

    def take_block(self) -> int:
        """Return the number of a block that is free; raises OSError."""
        if self._fd < 0:
            self._fd = _open_unnamed(self._directory)
        if self._blocks and len(self._free) == self._blocks:
            os.ftruncate(self._fd, 0)
            self._free.clear()
            self._blocks = 0
        if self._free:
            return self._free.popleft()
        self._blocks += 1
        return self._blocks - 1

    def write(self, data: memoryview, at: int) -> None:
        """Write *data* to the file; raises OSError."""
        while data:
            written = os.pwrite(self._fd, data, at)
            data, at = data[written:], at + written

    def read(self, size: int, at: int) -> bytes:
        """Return *size* bytes that were written; raises OSError."""
        parts = []
        while size:
            part = os.pread(self._fd, size, at)
            if not part:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            parts.append(part)
            size, at = size - len(part), at + len(part)
        return b"".join(parts)

    def error(self, error: OSError) -> StoreError:
        """Return the trouble *error* with the file."""
        return StoreError("cannot write to", str(self._directory), error.errno or errno.EIO)

    def close(self) -> None:
        """Forget all messages; may be called again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class SpooledRecording:
    """One message, see `Recording`."""

    __slots__ = ("_all", "_blocks", "_in_memory", "_size")

    def __init__(self, recordings: Recordings) -> None:
        self._all = recordings
        self._in_memory: list[bytes] = []
        self._size = 0
        self._blocks: list[int] = []

    def write(self, data: bytes | memoryview) -> None:
        """Take the next bytes; raises StoreError."""
        size = len(data)
        if not self._blocks:
            if self._size + size <= MEMORY_BYTES and self._all.take_memory(size):
                self._in_memory.append(bytes(data))
                self._size += size
                return
            early, self._in_memory = self._in_memory, []
            freed, self._size = self._size, 0
            self._all.give_back(freed, [])
            for piece in early:
                self._write(memoryview(piece))
        self._write(memoryview(data))

    def _write(self, data: memoryview) -> None:
        try:
            while data:
                within = self._size % BLOCK_BYTES
                if not within:
                    self._blocks.append(self._all.take_block())
                piece = data[: BLOCK_BYTES - within]
                self._all.write(piece, self._blocks[-1] * BLOCK_BYTES + within)
                self._size += len(piece)
                data = data[len(piece) :]
        except OSError as error:
            raise self._all.error(error) from error

    def pieces(self) -> Iterator[bytes]:
        """Yield all bytes; raises OSError."""
        if not self._blocks:
            yield from self._in_memory
            return
        left = self._size
        for block in self._blocks:
            yield self._all.read(min(left, BLOCK_BYTES), block * BLOCK_BYTES)
            left -= BLOCK_BYTES

    def close(self) -> None:
        """Forget the bytes."""
        memory = 0 if self._blocks else self._size
        blocks, self._blocks, self._in_memory, self._size = self._blocks, [], [], 0
        self._all.give_back(memory, blocks)

    def __del__(self) -> None:
        if self._size:
            self.close()


def _open_unnamed(directory: Path) -> int:
    """Return the descriptor of a new file in *directory* without a name; raises OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    if hasattr(os, "O_TMPFILE"):
        try:
            return os.open(directory, os.O_RDWR | os.O_CLOEXEC | os.O_TMPFILE, 0o600)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
                raise
    fd, path = tempfile.mkstemp(dir=directory)
    Path(path).unlink()
    return fd

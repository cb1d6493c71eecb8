"""What a list can come from: a regular file, a stream, an argument; each knows how it is read.

Everything here blocks and belongs in a thread.
"""

from __future__ import annotations

import os
import selectors
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from fetchpool.model.urls import display, redact
from fetchpool.sources.errors import InputError, SourceReadError
from fetchpool.sources.lines import BLANKS, BLOCK

_FORMS = "a source is a file, - for standard input, or a URL that begins with http:// or https://"


class Source(Protocol):
    """One list."""

    name: str
    """As in `Request.source`: valid Unicode, userinfo redacted."""
    seekable: bool
    """Whether it can be read again from its start: all but a stream."""

    def blocks(self) -> Iterator[bytes]:
        """Read the list from its start, `BLOCK` bytes at most at a time; raises OSError."""

    def descriptor(self) -> int | None:
        """Return a descriptor of the whole file that the caller closes; None if it is no file."""

    def close(self) -> None:
        """Give descriptors back; a thread that is reading keeps its own until it is done."""


class ArgumentSource:
    """A URL given in place of a list: one line."""

    seekable = True

    def __init__(self, text: str) -> None:
        if "\n" in text:
            raise InputError("an argument holds several lines; give the list as a file or on -")
        self._line = os.fsencode(text)
        self.name = redact(valid_text(text))

    def blocks(self) -> Iterator[bytes]:
        """Yield the one line."""
        return (self._line[at : at + BLOCK] for at in range(0, len(self._line), BLOCK))

    def descriptor(self) -> None:
        """Return None."""

    def close(self) -> None:
        """Do nothing."""


class FileSource:
    """A regular file, read from its start any number of times, by several threads at once.

    Of a file with *keep_open* the descriptor stays: should it be renamed, replaced or removed
    meanwhile, it is what was opened that is read again. Another is opened by name each time, and a
    file that was put in its place is noticed.
    """

    seekable = True

    def __init__(self, name: str, path: Path | int, *, keep_open: bool) -> None:
        """Open *path*, or take a copy of a descriptor; raises OSError."""
        self.name = name
        self._path = path
        descriptor = _opened(path)
        try:
            self.start = os.lseek(descriptor, 0, os.SEEK_CUR)
            """Where the list begins in the file, in bytes."""
            self._status = os.fstat(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        self._lock = threading.Lock()
        self._kept = descriptor if keep_open else None
        if not keep_open:
            os.close(descriptor)

    def blocks(self) -> Iterator[bytes]:
        """Read from where the file stood when it was opened: for standard input not always 0."""
        descriptor = self.descriptor()
        position = self.start
        try:
            while block := os.pread(descriptor, BLOCK, position):
                position += len(block)
                yield block
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Give the descriptor back."""
        with self._lock:
            if self._kept is not None:
                os.close(self._kept)
                self._kept = None

    def descriptor(self) -> int:
        """Return a descriptor of the file that the caller closes."""
        with self._lock:  # a copy of a number that `close` frees could be one of another file
            if self._kept is not None:
                return os.dup(self._kept)
        descriptor = _opened(self._path)
        if os.path.samestat(os.fstat(descriptor), self._status):
            return descriptor
        os.close(descriptor)
        raise SourceReadError(f"{display(self.name)} was replaced while it was read")


class StreamSource:
    """A pipe, terminal, socket or device: read once, as it comes."""

    seekable = False

    def __init__(self, name: str, origin: Path | int | BinaryIO) -> None:
        """Take a path to open when its turn comes, a descriptor that stays open, or a file."""
        self.name = name
        self._origin = origin

    def blocks(self) -> Iterator[bytes]:
        """Read to the end; what was read is never held back for more to come."""
        origin = self._origin
        if isinstance(origin, int):
            yield from _blocks(lambda: _read_when_ready(origin, BLOCK))
        elif isinstance(origin, Path):
            # Opening a named pipe waits for its writer, which is why it is not done earlier.
            descriptor = os.open(origin, os.O_RDONLY)
            try:
                yield from _blocks(lambda: _read_when_ready(descriptor, BLOCK))
            finally:
                os.close(descriptor)
        else:
            yield from _blocks(lambda: origin.read(BLOCK))

    def descriptor(self) -> None:
        """Return None."""

    def close(self) -> None:
        """Do nothing: the thread that reads closes what it opened."""


def _blocks(read: Callable[[], bytes]) -> Iterator[bytes]:
    while block := read():
        yield block


def source_of(name: str, stdin: BinaryIO | None, *, keep_open: bool) -> Source:
    """Return the source that *name* means, checked as far as that can be done without waiting.

    Raises `InputError` if it is not there or can't be read.
    """
    if not name:
        raise InputError(f"the name of a list is empty; {_FORMS}")
    shown = "standard input" if name == "-" else display(valid_text(name))
    try:
        if name == "-":
            return _standard_input(stdin)
        if name.lstrip(BLANKS).lower().startswith(("http://", "https://")):
            return ArgumentSource(name)
        return _named(name, keep_open=keep_open)
    except FileNotFoundError:
        # Who mistypes a URL may have written a password here.
        raise InputError(f"no file {redact(shown)!r}; {_FORMS}") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InputError(f"{shown} can't be read: {why}; {_FORMS}") from None


def valid_text(name: str) -> str:
    """Return a file name as text that can be written as JSON; its odd bytes show as `\\xff`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _named(name: str, *, keep_open: bool) -> Source:
    path = Path(name)
    shown = valid_text(name)
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{display(shown)} is a directory; name the lists in it")
    if stat.S_ISREG(status.st_mode):
        return FileSource(shown, path, keep_open=keep_open)
    if not os.access(path, os.R_OK):
        raise PermissionError(None, "Permission denied")
    return StreamSource(shown, path)


def _standard_input(stdin: BinaryIO | None) -> Source:
    if stdin is None or stdin.closed:
        raise InputError("standard input is closed; name a file or give URLs")
    try:
        descriptor = stdin.fileno()
    except OSError:  # in memory: io.UnsupportedOperation
        return StreamSource("-", stdin)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        raise InputError("standard input is a directory; name the lists in it")
    if stat.S_ISREG(mode):
        return FileSource("-", descriptor, keep_open=True)
    return StreamSource("-", descriptor)


def _opened(path: Path | int) -> int:
    return os.dup(path) if isinstance(path, int) else os.open(path, os.O_RDONLY)


def _read_when_ready(descriptor: int, size: int) -> bytes:
    """Return what `os.read` does, also where another program made the pipe non-blocking."""
    while True:
        try:
            return os.read(descriptor, size)
        except BlockingIOError:
            with selectors.DefaultSelector() as selector:
                selector.register(descriptor, selectors.EVENT_READ)
                selector.select()

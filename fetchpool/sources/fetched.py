"""Sitemaps that a run fetches for its lists: asked for in the reader's thread, given by the loop.

thread:  ask(url) ─▶ a request of the list ─▶ … ─▶ wait(url) ──▶ its body, a file
loop:                     fetched like any other ─▶ give(url, path) ─┘
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

MOST_BYTES = 128 << 20
"""Longest sitemap that is read, packed or unpacked: sitemaps.org allows 50 MB unpacked."""


class RunEndedError(Exception):
    """Nothing is fetched any more."""


class FetchedSitemaps:
    """What was asked for and has not been read yet; `ask` and `wait` are the thread's, one for all.

    A URL may be asked for again once it was read.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._asked: set[str] = set()
        self._given: dict[str, str | None] = {}
        self._is_closed = False
        self.any_asked = False
        """Whether there was ever one, so that outcomes have to be looked through."""

    def ask(self, url: str) -> None:
        """Expect *url*, whose request goes out next."""
        with self._changed:
            self.any_asked = True
            self._asked.add(url)

    def give(self, url: str, path: str | None) -> None:
        """Say that the body of *url* is the file *path*; None: it can't be had.

        The file is deleted when it is opened, or where nobody waits for it.
        """
        with self._changed:
            if url in self._asked and not self._is_closed:
                self._asked.remove(url)
                self._given[url] = path
                self._changed.notify()
                return
        _delete(path)

    def wait(self, url: str) -> int | None:
        """Wait for what was asked for; return a descriptor that the caller closes, or None.

        Raises OSError, and `RunEndedError` once nothing will come any more.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or url in self._given)
            if self._is_closed:
                raise RunEndedError
            path = self._given.pop(url)
        if path is None:
            return None
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            _delete(path)

    def close(self) -> None:
        """Let who waits go, and delete what nobody has read; may be called again."""
        with self._changed:
            self._is_closed = True
            left, self._given = self._given, {}
            self._changed.notify()
        for path in left.values():
            _delete(path)


def _delete(path: str | None) -> None:
    if path is not None:
        with suppress(OSError):
            Path(path).unlink()

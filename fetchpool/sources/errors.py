"""What can go wrong with a list as a whole."""

from __future__ import annotations

from collections.abc import Sequence


class InputError(Exception):
    """A list can't be read, and nothing was fetched yet; the message says what to do."""

    def __init__(self, message: str, samples: Sequence[str] = ()) -> None:
        """*samples* are lines of the list that show what is meant, each for a line of its own."""
        super().__init__(message)
        self.samples = tuple(samples)


class SourceReadError(Exception):
    """A list can't be read on."""

"""What the user's stream can show: whether it is a terminal, how wide, which characters."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final, TextIO

from msgspec import Struct

_FALLBACK_COLUMNS: Final = 80
_FALLBACK_LINES: Final = 24


class Glyphs(Struct, frozen=True):
    """The characters that the display uses beside letters and digits."""

    arrow: str
    separator: str
    ellipsis: str
    full: str
    half: str
    """The right end of a bar whose last cell is half full."""
    rest: str
    """The part still to come: differs from *full* without colour, too."""


UNICODE: Final = Glyphs("→", "·", "…", "━", "╸", "─")
ASCII: Final = Glyphs("->", "|", "...", "#", "#", "-")


def glyphs_for(stream: TextIO | None, environ: Mapping[str, str]) -> Glyphs:
    """Return the characters that *stream* and the user's locale can show.

    Python turns a C locale into UTF-8 by itself (PEP 538, PEP 540), so the stream's encoding alone
    doesn't show a user's `LANG=C`.
    """
    try:
        "".join((UNICODE.arrow, UNICODE.separator, UNICODE.full, UNICODE.half)).encode(
            getattr(stream, "encoding", None) or "ascii"
        )
    except (UnicodeError, LookupError):
        return ASCII
    locale = environ.get("LC_ALL")
    if not locale:
        # PEP 538 sets LC_CTYPE=C.UTF-8 in the environment: then LANG holds the user's choice.
        coerced = environ.get("LC_CTYPE") in {None, "", "C.UTF-8", "C.utf8", "UTF-8"}
        locale = environ.get("LANG" if coerced else "LC_CTYPE")
    return ASCII if locale in {"C", "POSIX"} else UNICODE


def is_terminal(stream: TextIO) -> bool:
    """Return whether *stream* goes to a terminal; a closed stream doesn't."""
    try:
        return stream.isatty()
    except (ValueError, OSError):
        return False


def can_repaint(environ: Mapping[str, str]) -> bool:
    """Return whether the terminal can move its cursor."""
    return environ.get("TERM", "").lower() not in {"dumb", "unknown"}


def terminal_size(stream: TextIO) -> tuple[int, int]:
    """Return the present columns and lines of *stream*'s terminal; 80 by 24 if unknown."""
    try:
        columns, lines = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError, AttributeError):
        return _FALLBACK_COLUMNS, _FALLBACK_LINES
    return columns or _FALLBACK_COLUMNS, lines or _FALLBACK_LINES


class Writer:
    """Writes to a stream that may be slow, limited in characters or gone, and never raises."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write *text* at once; characters outside the stream's encoding are escaped."""
        stream = self._stream
        if stream is None:
            return
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            stream.flush()
        except BlockingIOError:
            pass  # a full pipe or a stopped terminal: this text is lost, the next may be written
        except (OSError, ValueError):
            self._stream = None  # closed, hung up or broken

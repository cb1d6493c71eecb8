"""Content-Disposition → the file name that a server suggests (`--content-disposition`).

Read as browsers do rather than by the letter: aiohttp's parser gives up the whole header for one
parameter that is no token, `email`'s prefers `filename` to `filename*`; servers write such headers.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from fetchpool.model.values import Head

# A value is a quoted string, whose end may be missing, or whatever stands before the next `;`.
_PARAMETER = re.compile(
    r"(?:\A|;)\s*+([!#$%&'*+.^`|~\w-]++)\s*+=\s*+"
    r"(?:\"((?:[^\"\\]|\\.)*+)|([^;]*+))",
    re.ASCII | re.DOTALL,
)
# Only these two: a backslash before anything else is one of a path on Windows.
_QUOTED = re.compile(r"\\([\"\\])")
# RFC 8187 §3.2: UTF-8 is all that may be asked of anybody; RFC 5987 had ISO-8859-1 too.
_CHARSETS = {"utf-8": "utf-8", "utf8": "utf-8", "iso-8859-1": "latin-1", "us-ascii": "ascii"}


def suggested_filename(head: Head) -> str | None:
    """Return the file name in *head*'s Content-Disposition (RFC 6266), None where there is none.

    `filename*` (RFC 8187) wins over `filename` wherever the two stand, unless it can't be decoded.
    Raw bytes are UTF-8, or else Latin-1. Of two parameters with one name the first counts. Nothing
    about the result can be trusted: `names.body_path` makes it safe.
    """
    value = head.get("content-disposition")
    if value is None:
        return None
    plain = extended = None
    for found in _PARAMETER.finditer(value):
        name, quoted, bare = found.groups()
        text = bare.strip() if quoted is None else _QUOTED.sub(r"\1", quoted)
        match name.lower():
            case "filename*" if extended is None:
                extended = _decoded(text)
            case "filename" if plain is None:
                plain = _text(text)
    return extended or plain or None


def _decoded(value: str) -> str | None:
    """Return what *value* stands for, an `UTF-8''na%C3%AFve`; None where it isn't well-formed."""
    charset, _, rest = value.partition("'")
    _, apostrophe, escaped = rest.partition("'")
    encoding = _CHARSETS.get(charset.strip().lower())
    if not apostrophe or encoding is None:
        return None
    try:
        return unquote_to_bytes(escaped.encode("latin-1")).decode(encoding)
    except UnicodeError:
        return None


def _text(value: str) -> str:
    """Return *value*, bytes read as Latin-1, as the UTF-8 it most likely is."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value

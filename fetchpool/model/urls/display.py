"""Text from a list or a server on a terminal."""

from __future__ import annotations


def display(text: str, limit: int | None = None) -> str:
    r"""Return *text* in a form that has no effect on a terminal.

    What has no printable form (`str.isprintable`: controls, bidi and zero-width marks, line and
    paragraph separators, lone surrogates, all blanks but the space) becomes a visible escape such
    as `\x1b` or `\u202e`. A result longer than *limit* characters (>= 1) loses its middle to a `…`.
    """
    if not text.isprintable():
        text = "".join(
            char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
        )
    if limit is None or len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return text[: limit - 1 - tail] + "…" + text[len(text) - tail :]

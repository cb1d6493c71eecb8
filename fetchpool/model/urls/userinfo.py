"""Where credentials stand in a line that is no URL: a row, a note, a URL that is broken.

    www.v.example/@chan/x                nothing: there is no `@` before the first slash
    user:pw@host/@chan                   ***@host/@chan
    user:pa/ss@host/x                    ***@host/x: `user:pa` is no host, so no slash ends it
    a row, https://user:pw@host/@chan    a row, https://***@host/@chan

A line is cut where URLs begin in it (a known scheme, two slashes). What stands in a piece before
its first `/`, `?`, `#` or backslash is its authority, and what stands there before the last `@` is
userinfo. Where what is left can't be a host, nobody can tell where a password ends: everything up
to the last `@` of the line is taken for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

Span: TypeAlias = tuple[int, int]

# What may stand for the `@`: also escaped, fullwidth and small.
_ATS = ("@", "\uff20", "\ufe6b", "%40")
# Only the name of a known scheme is left: in `token:pw@host` or `token://pw@host` the first word
# may itself be the secret.
_KNOWN = "(?:https?|wss?|s?ftps?|socks[45]?[ah]?|s3[an]?|gs|file|git|ssh|rsync|mailto|magnet)"
_PREFIX = re.compile(rf"\s*+(?:{_KNOWN}:)?+[/\\]*+", re.IGNORECASE)
_UNKNOWN_SCHEME = re.compile(r"\s*+([a-z][a-z0-9+.-]*+:[/\\]{2,}+)", re.IGNORECASE)
_URL_INSIDE = re.compile(rf"(?:(?<![a-z0-9+.-]){_KNOWN}:)?+[/\\]{{2,}}+", re.IGNORECASE)
_PROSE_BEFORE_URL = re.compile(r"[\s,;|\"'<(\[=]https?:", re.IGNORECASE)
_DELIMITER = re.compile(r"[/\\?#]")
_HOST = re.compile(
    r"\s*+(?:[\w.~*\x00-\x1f-]*+|\[[0-9a-f:.]*\])(?::[0-9]{1,5})?\s*+", re.IGNORECASE
)
_WORD = re.compile(r"\s([^\s/\\?#&;]+)")


def userinfo_of_line(text: str) -> list[Span]:
    """Return where userinfo stands in *text*, which is no URL, each with the `@` behind it."""
    spans: list[Span] = []
    for piece in _pieces(text):
        at = _last_at(text, piece.authority, piece.stop)
        host = text[max(at, piece.authority) : piece.stop]
        if not _HOST.fullmatch(host) and (at > 0 or _may_be_cut(text, host, piece.end)):
            spans.append((piece.first, _last_at(text, piece.authority, len(text))))
            break
        spans += [(piece.first, at), *_in_words(text, piece.stop, piece.end)]
    return [(first, at) for first, at in spans if at > first]


class _Piece(NamedTuple):
    """A part of a line that may be a URL: positions in the line."""

    first: int
    """Where userinfo would begin."""
    authority: int
    stop: int
    """The end of the authority."""
    end: int


def _pieces(text: str) -> Iterator[_Piece]:
    opening = _PREFIX.match(text)
    unknown = _UNKNOWN_SCHEME.match(text)
    authority = max(found.end() for found in (opening, unknown) if found)
    inside = [found.start() for found in _URL_INSIDE.finditer(text, authority)]
    starts = [0, *inside]
    for start, end in zip(starts, [*inside, len(text)], strict=True):
        if start:
            found = _PREFIX.match(text, start)
            first = authority = found.end() if found else start
        elif unknown is not None and (opening is None or opening.end() < unknown.end()):
            first = unknown.start(1)
        else:
            first = authority
        delimiter = _DELIMITER.search(text, authority, end)
        yield _Piece(first, authority, delimiter.start() if delimiter else end, end)


def _may_be_cut(text: str, authority: str, end: int) -> bool:
    """Tell whether *authority*, which is no host, may be a user and the beginning of a password."""
    return ":" in authority and not (end < len(text) and _PROSE_BEFORE_URL.match(text, end - 1))


def _in_words(text: str, start: int, end: int) -> Iterator[Span]:
    """Yield where a word behind an authority has the form of `user:password@host`."""
    for word in _WORD.finditer(text, start, end):
        at = _last_at(text, word.start(1), word.end())
        if ":" in text[word.start(1) : max(at, 0)]:
            yield word.start(1), at


def _last_at(text: str, start: int, end: int) -> int:
    """Return the end of the last `@` in a part of *text* that isn't the first there; -1 = none."""
    found = ((text.rfind(at, start + 1, end), at) for at in _ATS)
    return max((place + len(at) if place >= 0 else -1) for place, at in found)

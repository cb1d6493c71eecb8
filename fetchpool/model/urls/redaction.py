"""What of a URL, or of a line that is none, is secret: hidden wherever it is written or shown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

from fetchpool.model.urls.parsing import InvalidURLError, parse_url

REDACTED = "***"
"""What stands in the place of a URL's userinfo, and of a value that `hiding` marks."""

_OTHER_AT = re.compile("[\uff20\ufe6b]")
_URL_USERINFO = re.compile(r" *https?:[/\\]*+([^/\\?#]+)@", re.IGNORECASE)

_LOOKS = 5

_marked: list[tuple[str, ...]] = []
"""The names of query parameters that are secret, an entry for each `hiding` that is on.

Of the process and not handed around: whatever hides userinfo (records, ledger, log file, screens,
messages, in a dozen rooms) hides these values by the same functions, so no way out can be forgotten
and none needs a parameter more. Where two runs go on at once, both hide what either one marked.
"""


@contextmanager
def hiding(names: Iterable[str]) -> Iterator[None]:
    """Meanwhile, let `redact` and its like hide the values of query parameters with these *names*.

    In every thread of the process. A name is compared without case and however it is escaped.
    """
    marked = tuple(names)
    if not marked:
        yield
        return
    _marked.append(marked)
    try:
        yield
    finally:
        _marked.remove(marked)


def is_hiding() -> bool:
    """Tell whether any parameter is marked."""
    return bool(_marked)


def redact(text: str) -> str:
    """Return *text*, the text of a line or any URL, with what is secret replaced by `***`.

    In a URL that `parse_url` accepts, userinfo is what stands before the host; an `@` in its path
    or query stays. What stands before the host of any other text goes too (see `userinfo`). Then
    the values of parameters that `hiding` marks, wherever one begins: after `?`, `&`, `;` or `#`,
    also in a URL that is itself, escaped, another parameter's value. Text without
    secrets comes back as it is; to redact twice changes nothing more.
    """
    if not _marked and "@" not in text and text.isascii() and "%40" not in text:
        return text  # as nearly all are
    # What is hidden may join what stood around it: a second look then, or rarely a third.
    for _ in range(_LOOKS):
        spans = _userinfo_in(text)
        if _marked:
            spans += _values_in(text, _patterns(tuple(_marked)).of_urls)
        shown = _blotted(text, spans) if spans else text
        if shown == text:
            break
        text = shown
    return text


def redact_in(sentence: str) -> str:
    """Return *sentence*, the message of an exception perhaps, with every URL in it redacted.

    A URL with userinfo ends at a blank here. One in quotes or brackets loses everything up to its
    last `@`. A value that `hiding` marks ends with its line, or where another parameter begins.
    """
    if "@" not in sentence and not _marked:
        return sentence
    return _redact_words(sentence, _WORD, "@")


def redact_urls_in(sentence: str) -> str:
    """Do the same where the userinfo of whole URLs counts only: `me@home` may be a directory."""
    return _redact_words(sentence, _WORD_OR_CONTROLS, "://")


def conceals(text: str) -> bool:
    """Tell whether something is hidden in *text*, a URL, or would be if it were redacted now."""
    return _BLOT.search(text) is not None or (bool(_marked) and redact(text) != text)


_Span = tuple[int, int, str]  # from where to where, and what stands there instead

_WORD = re.compile(r"\S+")
_WORD_OR_CONTROLS = re.compile(r"[^ ]+")
# What is left of userinfo or of a value, which may be escaped within another one.
_BLOT = re.compile(r"\*\*\*@|(?:=|%(?:25)*3D)\*\*\*", re.IGNORECASE)


def _redact_words(sentence: str, word: re.Pattern[str], sign: str) -> str:
    spans: list[_Span] = []
    # Words with the sign are not what is searched for: in a long one without, such a search would
    # begin anew at every character (16 KB took 0.3 s).
    if sign in sentence:
        for found in word.finditer(sentence):
            if sign in found[0]:
                at = found.start()
                spans += [(at + a, at + b, instead) for a, b, instead in _userinfo_in(found[0])]
    if _marked:
        spans += _values_in(sentence, _patterns(tuple(_marked)).of_sentences)
    return _blotted(sentence, spans) if spans else sentence


def _userinfo_in(text: str) -> list[_Span]:
    """Return where the userinfo of *text*, a URL or a line that is none, stands."""
    if "@" not in text and "%40" not in text and (text.isascii() or not _OTHER_AT.search(text)):
        return []
    try:
        parse_url(text)
    except InvalidURLError:
        from fetchpool.model.urls.userinfo import userinfo_of_line  # 1 ms, which few lists need

        places = userinfo_of_line(text)
    else:
        found = _URL_USERINFO.match(text)
        places = [(found.start(1), found.end())] if found else []
    return [(first, at, f"{REDACTED}@") for first, at in places]


def _values_in(text: str, pattern: re.Pattern[str]) -> list[_Span]:
    """Return where the values of marked parameters stand."""
    return [(*found.span(1), REDACTED) for found in pattern.finditer(text)]


def _blotted(text: str, spans: list[_Span]) -> str:
    """Return *text* with something else in the place of each of *spans*, which may overlap."""
    pieces = []
    at = 0
    for start, end, instead in sorted(spans):
        if end <= at and start < at:
            continue
        pieces += [text[at:start], instead]
        at = end
    return "".join((*pieces, text[at:]))


class _Patterns(NamedTuple):
    """Each finds marked parameters, with the value as its group."""

    of_urls: re.Pattern[str]
    of_sentences: re.Pattern[str]


# An escape, which within an escaped URL is escaped itself: `%3D`, `%253D`.
_ESCAPE = "%(?:25)*"
_SEPARATOR = f"[?&;#]|{_ESCAPE}(?:3F|26|3B|23)"
_EQUALS = f"(?:=|{_ESCAPE}3D)"


@lru_cache(maxsize=16)
def _patterns(marked: tuple[tuple[str, ...], ...]) -> _Patterns:
    """Return the patterns for the names in *marked*."""
    names = "|".join(_spellings(name) for names in marked for name in names)

    def compiled(begin: str, value: str) -> re.Pattern[str]:
        return re.compile(f"(?:{begin})(?:{names}){_EQUALS}{value}", re.IGNORECASE)

    # Most servers no longer take a `;` for a separator, some do: it ends a value if something of
    # the form of a parameter follows, else it may be part of the secret.
    def up_to(beyond: str) -> str:
        return f"((?:[^&;#{beyond}]|;(?![^&;#={beyond}]*+=))*+)"

    # In a sentence a query may stand alone, and a value that is hidden already before more words.
    hidden = r"(?!\*\*\*(?:[\s'\"),;\]]|\Z))"
    return _Patterns(
        compiled(rf"\A *|{_SEPARATOR}", up_to("")),
        compiled(rf"{_SEPARATOR}|(?<![\w.%+~-])", hidden + up_to(r"\n")),
    )


def _spellings(name: str) -> str:
    """Return a pattern for *name* in a query, application/x-www-form-urlencoded or nearly so."""
    return "".join(map(_spellings_of, name))


def _spellings_of(char: str) -> str:
    if char in " +":
        return f"(?:[ +]|{_escaped(' ')}|{_escaped('+')})"
    # Of escapes, `re.IGNORECASE` sees the hex digits only, not the letter they stand for.
    escaped = sorted({_escaped(form) for form in (char, char.lower(), char.upper())})
    return f"(?:{'|'.join((re.escape(char), *escaped))})"


def _escaped(text: str) -> str:
    return "".join(f"{_ESCAPE}{byte:02X}" for byte in text.encode())

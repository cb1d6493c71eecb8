r"""Text of a line → a URL that keeps its bytes; what counts as one host; what people may see of it.

    b"HTTP://u:pw@Example.org:80/a%2Fb?x#f"
        │ text_of_line, parse_url
        ▼
    Target(url="http://example.org/a%2Fb?x", host_key="example.org", authorization="Basic dTpwdw==")

The rules are those of browsers (https://url.spec.whatwg.org/), applied by ada: percent escapes stay
as written, so signed URLs stay valid. Where the rules would silently mend what is more likely a
broken line (a tab inside, no host between slashes), the line is refused instead.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from fetchpool.models import Target

DEFAULT_PORTS = {"http": 80, "https": 443}

MAX_HOST = 253
"""Longest host name in characters (RFC 1035 §2.3.4: 255 bytes on the wire)."""
MAX_LABEL = 63
"""Longest label of a host name in characters (RFC 1035 §2.3.4)."""

REDACTED = "***"
"""What stands in the place of a URL's userinfo, and of a value that `hiding` marks."""


class InvalidURLError(ValueError):
    """The text is no http(s) URL; the message says why, and repeats nothing of the text."""


class BlockedSchemeError(InvalidURLError):
    """A redirect leads to a scheme that is never followed: `file:`, `data:`, `ftp:` and so on."""


# A URL that `_resolve` would hand back unchanged: what most lines of most lists are. A host's last
# label starts with a letter, as one that is a number makes the whole an IPv4 address (`1.2.3`,
# `a.0x7`). Characters left out need not be wrong: they take the longer way.
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_NORMAL_URL = re.compile(
    r"(https?)://"
    rf"((?:[a-z0-9_-]++\.)*+[a-z][a-z0-9_-]*+|(?:{_BYTE}\.){{3}}{_BYTE})"
    r"(?::([1-9][0-9]{0,4}))?"
    r"(/[A-Za-z0-9/._~%!$&'()*+,;=:@-]*+(?:\?[A-Za-z0-9/._~%!$&'()*+,;=:@?{}|^\[\]-]*+)?)"
)
# What ada makes of any URL: userinfo holds no `@` or `:` but the separators.
_ADA_HREF = re.compile(
    r"(https?)://(?:([^/?#@]*)@)?(\[[^\]]*\]|[^:/?#]*)(?::([0-9]+))?(/[^#]*)(?:#.*)?", re.DOTALL
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r" *([A-Za-z][A-Za-z0-9+.-]*):")
_EMPTY_AUTHORITY = re.compile(r" *(?:https?:)?[/\\]{2}(?:[/\\?#]|\Z)", re.IGNORECASE)
_QUOTE = re.compile("'|%27")
_ESCAPED_QUOTE = re.compile("%27")
_UNDECODED_BYTE = re.compile(r"[\udc80-\udcff]")


def text_of_line(line: bytes) -> str:
    """Return *line* as text; bytes that are no UTF-8 become percent escapes (`%FF`).

    The result never holds a lone surrogate, so it can be written as JSON.
    """
    try:
        return line.decode()
    except UnicodeDecodeError:
        text = line.decode("utf-8", "surrogateescape")
        return _UNDECODED_BYTE.sub(lambda match: f"%{ord(match[0]) - 0xDC00:02X}", text)


def parse_url(text: str) -> Target:
    """Return the target that *text* names, normalised as browsers do.

    Scheme and host become lower-case ASCII, dot segments are resolved, characters a URL can't hold
    are percent-encoded; escapes that are there stay as written (`%2f`, `%41`, `%zz`). So does a
    `'` in a query, other than in browsers: RFC 3986 allows it, and a signature may cover it. Blanks
    at the ends and the fragment are dropped. Userinfo becomes `Target.authorization` (RFC 7617).

    Raises `InvalidURLError` for everything that is no http(s) URL, and for what browsers would mend
    but a list hardly means: control characters, no host (`http:///x`), names DNS can't hold.
    """
    return _parse_normal(text) or _parse_any(text)


def _parse_normal(text: str) -> Target | None:
    """Return the target of a URL that is normal already (0.7 µs instead of 5), or None."""
    match = _NORMAL_URL.fullmatch(text)
    if match is None:
        return None
    scheme, host, port_text, path = match.groups()
    # A host within the limit of a label has no label beyond it; `xn--` labels are ada's to judge;
    # a slash before a dot, also an escaped one, may be a dot segment.
    if len(host) > MAX_LABEL or "xn--" in host or "/." in path or "/%2" in path:
        return None
    default_port = DEFAULT_PORTS[scheme]
    if port_text is None:
        return Target(text, scheme, host, default_port, path, host)
    port = int(port_text)
    if port > 65535 or port == default_port:
        return None
    return Target(text, scheme, host, port, path, f"{host}:{port_text}")


def _parse_any(text: str) -> Target:
    """Return the target of *text* by the whole set of rules."""
    if _CONTROL.search(text):
        raise InvalidURLError("a URL holds no control characters (tab, newline, NUL and so on)")
    scheme = _SCHEME.match(text)
    if scheme is None:
        raise InvalidURLError("a URL starts with http:// or https://")
    if scheme[1].lower() not in DEFAULT_PORTS:
        raise InvalidURLError("only http:// and https:// URLs can be fetched")
    if _EMPTY_AUTHORITY.match(text):
        raise InvalidURLError("the URL has no host")
    return _resolve(text, base=None, keep_userinfo=True)


def join_url(base: Target, location: bytes | str) -> Target:
    """Return where *location*, the value of a Location header in an answer from *base*, leads.

    Resolved as browsers do: relative, `//host`, `?query`, `../`, blanks, also `///host` and
    `http:///host`. Bytes that are no UTF-8 are percent-encoded one by one. A str is the header's
    bytes read as Latin-1 (RFC 9110 §5.5).
    Userinfo is dropped: a server does not choose our credentials.

    Raises `BlockedSchemeError` where it leads to a scheme other than http and https, and
    `InvalidURLError` where it leads nowhere (`http://`, port 99999).
    """
    if isinstance(location, str):
        try:
            location = location.encode("latin-1")
        except UnicodeEncodeError:
            raise InvalidURLError("the Location holds characters that are no bytes") from None
    # The spec's first two steps, done here so that the checks see what ada will see.
    text = text_of_line(location.translate(None, b"\t\r\n").strip(bytes(range(0x21))))
    scheme = _SCHEME.match(text)
    if scheme is not None and scheme[1].lower() not in DEFAULT_PORTS:
        raise BlockedSchemeError("the redirect leads to a scheme other than http and https")
    return _resolve(text, base=base.url, keep_userinfo=False)


def _resolve(text: str, *, base: str | None, keep_userinfo: bool) -> Target:
    """Return the target of *text*, relative to *base* if there is one, as ada understands it."""
    import ada_url  # 4 ms, which most lists don't need

    try:
        href = ada_url.URL(text, base).href
    except UnicodeEncodeError:
        raise InvalidURLError("the URL holds half a character (a lone surrogate)") from None
    except ValueError:
        raise InvalidURLError("the host or port of the URL is not valid") from None
    match = _ADA_HREF.fullmatch(href)
    if match is None:
        raise InvalidURLError("only http:// and https:// URLs can be fetched")
    scheme, userinfo, host, port_text, path = match.groups()
    _check_host(host)
    if "%27" in path:
        path = _with_quotes(path, text, base)
    authority = host if port_text is None else f"{host}:{port_text}"
    # A name with a dot at its end is the same name (RFC 1034 §3.1), so it shares the host's limits.
    key = host.removesuffix(".")
    return Target(
        url=f"{scheme}://{authority}{path}",
        scheme=scheme,
        host=host.strip("[]"),
        port=DEFAULT_PORTS[scheme] if port_text is None else int(port_text),
        path=path,
        host_key=key if port_text is None else f"{key}:{port_text}",
        authorization=_basic(userinfo) if userinfo and keep_userinfo else None,
    )


def _with_quotes(path: str, text: str, base: str | None) -> str:
    """Return *path*, what ada made of *text*, with every `'` of its query as it was written.

    Escapes that were there already (`%27`) stay: nothing changes the order of the two.
    """
    before, mark, query = path.partition("?")
    _, has_query, written = text.partition("#")[0].partition("?")
    if not has_query and base is not None:
        written = base.partition("?")[2]
    given = iter(_QUOTE.findall(written))
    return before + mark + _ESCAPED_QUOTE.sub(lambda _: next(given), query)


def _check_host(host: str) -> None:
    """Raise `InvalidURLError` if DNS can't hold the name *host*, which browsers don't look at."""
    if host.startswith("["):
        return
    name = host.removesuffix(".")
    labels = name.split(".")
    if len(name) > MAX_HOST:
        raise InvalidURLError(f"the host name is longer than {MAX_HOST} characters")
    if len(max(labels, key=len)) > MAX_LABEL:
        raise InvalidURLError(f"a label of the host name is longer than {MAX_LABEL} characters")
    if "" in labels:
        raise InvalidURLError("the host name has an empty label (two dots in a row)")


def _basic(userinfo: str) -> str:
    """Return the Authorization value for *userinfo* as it stands in a URL (RFC 7617 §2)."""
    user, _, password = userinfo.partition(":")
    return "Basic " + b64encode(unquote_to_bytes(user) + b":" + unquote_to_bytes(password)).decode()


# What may stand for the `@` in a line that is no URL: also escaped, fullwidth and small.
_AT = r"(?:@|\uff20|\ufe6b|%40)"
_ANY_AT = re.compile(_AT)
_URL_USERINFO = re.compile(r" *https?:[/\\]*+([^/\\?#]+)@", re.IGNORECASE)
# Only the name of a known scheme is left: in `token:pw@host` or `token://pw@host` the first word
# may itself be the secret.
_LINE_USERINFO = re.compile(
    rf" *(?:(?:https?|wss?|s?ftps?|socks[45]?[ah]?):)?+[/\\]*+(.+){_AT}", re.IGNORECASE | re.DOTALL
)

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
    or query stays. In any other text everything up to the last `@` may be secret and goes, but for
    the scheme. Then the values of parameters that `hiding` marks, wherever one begins: after `?`,
    `&`, `;` or `#`, also in a URL that is itself, escaped, another parameter's value. Text without
    secrets comes back as it is; to redact twice changes nothing more.
    """
    spans = _userinfo_in(text)
    if _marked:
        spans += _values_in(text, _patterns(tuple(_marked)).of_urls)
    return _blotted(text, spans) if spans else text


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
    """Return where the userinfo of *text*, a URL or a line that is none, stands: one place."""
    if "@" not in text and "%40" not in text and (text.isascii() or not _ANY_AT.search(text)):
        return []
    try:
        parse_url(text)
    except InvalidURLError:
        userinfo = _LINE_USERINFO.match(text)
    else:
        userinfo = _URL_USERINFO.match(text)
    if userinfo is None:
        return []
    return [(userinfo.start(1), userinfo.end(), f"{REDACTED}@")]


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


def display(text: str, limit: int | None = None) -> str:
    r"""Return *text* from a stranger in a form that does nothing to a terminal.

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

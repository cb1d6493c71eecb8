r"""Makes a URL of a line without changing its bytes, and says which URLs share a host.

    b"HTTP://u:pw@Example.org:80/a%2Fb?x#f"
        │ text_of_line, parse_url
        ▼
    Target(url="http://example.org/a%2Fb?x", host_key="example.org", authorization="Basic dTpwdw==")

The rules are those of browsers (https://url.spec.whatwg.org/), applied by ada: percent escapes stay
unchanged, so signed URLs stay valid. Where the rules would silently repair what is more likely a
broken line (a tab inside, no host between slashes, a note or a second URL behind), the line is
refused (`mistakes.mistake_in`).
"""

from __future__ import annotations

import re
from base64 import b64encode
from urllib.parse import unquote_to_bytes

from fetchpool.model.values import Target

DEFAULT_PORTS = {"http": 80, "https": 443}

MAX_HOST = 253
"""Longest host name in characters (RFC 1035 §2.3.4: 255 bytes on the wire)."""
MAX_LABEL = 63
"""Longest label of a host name in characters (RFC 1035 §2.3.4)."""


class InvalidURLError(ValueError):
    """The text is no http(s) URL; the message says why, and repeats nothing of the text."""


class BlockedSchemeError(InvalidURLError):
    """A redirect leads to a scheme that is never followed, such as `file:`, `data:` or `ftp:`."""


# A URL that `_resolve` would return unchanged, as it would most. A host's last label starts with a
# letter here, as one that is a number makes the whole an IPv4 address (`1.2.3`, `a.0x7`). URLs with
# other characters may be valid, too: `_parse_any` reads them.
_BYTE = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_NORMAL_ORIGIN = re.compile(
    r"(https?)://"
    rf"((?:[a-z0-9_-]++\.)*+[a-z][a-z0-9_-]*+|(?:{_BYTE}\.){{3}}{_BYTE})"
    r"(?::([1-9][0-9]{0,4}))?"
)
_NORMAL_PATH = re.compile(
    r"/[A-Za-z0-9/._~%!$&'()*+,;=:@-]*+(?:\?[A-Za-z0-9/._~%!$&'()*+,;=:@?{}|^\[\]-]*+)?"
)
MAX_ORIGINS = 4096
"""Origins that are remembered: neighbours in a list share theirs."""

# What ada makes of any URL: userinfo holds no `@` or `:` but the separators.
_ADA_HREF = re.compile(
    r"(https?)://(?:([^/?#@]*)@)?(\[[^\]]*\]|[^:/?#]*)(?::([0-9]+))?(/[^#]*)(?:#.*)?", re.DOTALL
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r" *([A-Za-z][A-Za-z0-9+.-]*):")
_EMPTY_AUTHORITY = re.compile(r" *(?:https?:)?[/\\]{2}(?:[/\\?#]|\Z)", re.IGNORECASE)
_AUTHORITY = re.compile(r" *(?:https?:)?[/\\]*(?:[^/\\?#]*@)?([^/\\?#]*)", re.IGNORECASE)
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

    Scheme and host become lower-case ASCII, dot segments are resolved, characters that no URL can
    hold are percent-encoded; escapes stay unchanged (`%2f`, `%41`, `%zz`). So does a `'` in a
    query, unlike in browsers: RFC 3986 allows it, and a signature may cover it. Blanks at the ends
    and the fragment are dropped. Userinfo becomes `Target.authorization` (RFC 7617).

    Raises `InvalidURLError` for everything that is no http(s) URL, and for what browsers would
    repair but a list hardly means: control characters, no host (`http:///x`), names too long for
    DNS.
    """
    return _parse_normal(text) or _parse_any(text)


def _parse_normal(text: str) -> Target | None:
    """Return the target of a URL that is already normal (0.7 µs instead of 5), or None."""
    at = text.find("/", 8)  # a host has a character at least
    origin = None if at < 0 else (_origins.get(text[:at]) or _normal_origin(text[:at]))
    if origin is None or _NORMAL_PATH.fullmatch(text, at) is None:
        return None
    path = text[at:]
    # A slash before a dot, also an escaped one, may be a dot segment; a URL inside, a second one.
    if "/." in path or "/%2" in path or "://" in path:
        return None
    scheme, host, port, host_key = origin
    return Target(text, scheme, host, port, path, host_key)


_origins: dict[str, tuple[str, str, int, str]] = {}


def _normal_origin(text: str) -> tuple[str, str, int, str] | None:
    """Return, and remember, scheme, host, port and host key of an origin that is normal."""
    match = _NORMAL_ORIGIN.fullmatch(text)
    if match is None:
        return None
    scheme, host, port_text = match.groups()
    # A host within the limit of a label has no label beyond it; `xn--` labels are ada's to judge.
    if len(host) > MAX_LABEL or "xn--" in host:
        return None
    default_port = DEFAULT_PORTS[scheme]
    port = default_port if port_text is None else int(port_text)
    if port > 65535 or (port_text is not None and port == default_port):
        return None
    if len(_origins) >= MAX_ORIGINS:
        _origins.clear()
    host_key = host if port_text is None else f"{host}:{port_text}"
    origin = _origins[text] = (scheme, host, port, host_key)
    return origin


def _parse_any(text: str) -> Target:
    """Return the target of *text* by all rules."""
    if _CONTROL.search(text):
        raise InvalidURLError("a URL holds no control characters (tab, newline, NUL and so on)")
    from fetchpool.model.urls.mistakes import mistake_in  # 1 ms, which many lists don't need

    mistake = mistake_in(text.strip(" "))
    if mistake is not None:
        raise InvalidURLError(mistake)
    if _EMPTY_AUTHORITY.match(text):
        raise InvalidURLError("no host behind the scheme; write it out, as in https://HOST/PATH")
    return _resolve(text, base=None, keep_userinfo=True)


def join_url(base: Target, location: bytes | str) -> Target:
    """Return where *location*, a Location header field in a response from *base*, leads.

    It is resolved as browsers do: relative, `//host`, `?query`, `../`, blanks, also `///host` and
    `http:///host`. Bytes that aren't UTF-8 are percent-encoded one by one. A str holds the field's
    bytes read as Latin-1 (RFC 9110 §5.5). Userinfo is dropped: a server must not choose
    credentials.

    Raises `BlockedSchemeError` where it leads to a scheme other than http and https, and
    `InvalidURLError` where it leads nowhere (`http://`, port 99999).
    """
    if isinstance(location, str):
        try:
            location = location.encode("latin-1")
        except UnicodeEncodeError:
            raise InvalidURLError("the Location holds characters that are no bytes") from None
    # The first two steps of the standard, done here so that the checks see what ada sees.
    text = text_of_line(location.translate(None, b"\t\r\n").strip(bytes(range(0x21))))
    scheme = _SCHEME.match(text)
    if scheme is not None and scheme[1].lower() not in DEFAULT_PORTS:
        raise BlockedSchemeError("the redirect leads to a scheme other than http and https")
    return _resolve(text, base=base.url, keep_userinfo=False)


def _resolve(text: str, *, base: str | None, keep_userinfo: bool) -> Target:
    """Return the target of *text*, relative to *base* if there is one, as ada reads it."""
    import ada_url  # 4 ms, which most lists don't need

    try:
        href = ada_url.URL(text, base).href
    except UnicodeEncodeError:
        raise InvalidURLError("the URL holds half a character (a lone surrogate)") from None
    except ValueError:
        raise InvalidURLError(_of_host_or_port(text)) from None
    match = _ADA_HREF.fullmatch(href)
    if match is None:
        raise InvalidURLError("only http:// and https:// URLs can be fetched")
    scheme, userinfo, host, port_text, path = match.groups()
    _check_host(host)
    if "%27" in path:
        path = _with_quotes(path, text, base)
    authority = host if port_text is None else f"{host}:{port_text}"
    # A name with a dot at its end is the same name (RFC 1034 §3.1): it shares the host's limits.
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


def _of_host_or_port(text: str) -> str:
    """Return what is wrong with the host or port of *text*, which ada refused."""
    authority = _AUTHORITY.match(text)
    _, colon, port = (authority[1] if authority else "").rpartition(":")
    if colon and "]" not in port and (not port.isdecimal() or int(port[:6]) > 65535):
        return "the port of the URL is no number from 0 to 65535"
    return "the host name of the URL is not valid"


def _with_quotes(path: str, text: str, base: str | None) -> str:
    """Return *path*, which ada made of *text*, with every `'` of its query as in *text*.

    Escapes that were there already (`%27`) stay: nothing changes the order of the two.
    """
    before, mark, query = path.partition("?")
    _, has_query, written = text.partition("#")[0].partition("?")
    if not has_query and base is not None:
        written = base.partition("?")[2]
    given = iter(_QUOTE.findall(written))
    return before + mark + _ESCAPED_QUOTE.sub(lambda _: next(given), query)


def _check_host(host: str) -> None:
    """Raise `InvalidURLError` if DNS can't hold the name *host*; browsers don't check that."""
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
    """Return the Authorization value for *userinfo* as it is in a URL (RFC 7617 §2)."""
    user, _, password = userinfo.partition(":")
    return "Basic " + b64encode(unquote_to_bytes(user) + b":" + unquote_to_bytes(password)).decode()

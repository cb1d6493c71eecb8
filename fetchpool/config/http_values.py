"""Kinds of value that go into HTTP: header fields, the proxy's address, names of parameters."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fetchpool.config.values import Kind, Pairs, Unfit, is_header_text, lines_of, plain, quoted

_MAX_NAME = 128
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")  # RFC 9110 §5.6.2

_PIECES = (
    "a part would be stored as the whole body; interrupted bodies are resumed without it",
    "drop it",
)


_HOST = re.compile(r"(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
"""A host and its port in the URL of a proxy."""

_REFUSED = {
    "host": ("it is made from the URL", "put the host into the URL"),
    "content-length": ("it follows from the body", "give that with --data"),
    "transfer-encoding": ("it follows from the body", "give that with --data"),
    "expect": ("a body is sent at once", "drop it"),
    "trailer": ("nothing is sent behind a body", "drop it"),
    "connection": ("fetchpool manages connections", "see --force-close and --keepalive"),
    "keep-alive": ("fetchpool manages connections", "see --force-close and --keepalive"),
    "proxy-connection": ("fetchpool manages connections", "see --force-close and --keepalive"),
    "te": ("it concerns one connection only", "drop it"),
    "upgrade": ("it concerns one connection only", "drop it"),
    "http2-settings": ("it concerns one connection only", "drop it"),
    "range": _PIECES,
    "request-range": _PIECES,
    "if-range": _PIECES,
    "a-im": ("the response would be no whole body (RFC 3229)", "drop it"),
    "proxy-authorization": (
        "it would be sent to the servers too",
        "use --proxy http://USER:PASSWORD@HOST:PORT",
    ),
}


class Headers(Pairs):
    """Header fields for every request: pairs of name and value, in the order given."""

    accepts = "'Name: value'"
    metavar = "'NAME: VALUE'"
    mark = ":"
    secret = True

    def check(self, value: object) -> tuple[tuple[str, str], ...]:
        """Accept a mapping, pairs, or lines `Name: value`; refuse fields made here."""
        return tuple(
            self._pair(item, number) for number, item in enumerate(self.items_of(value), 1)
        )

    def _pair(self, item: object, number: int) -> tuple[str, str]:
        # It may be a secret in the wrong place until it is known to be a name: give its number.
        pair = self.pair_of(item)
        if pair is None:
            raise Unfit(f"takes {self.accepts}: number {number} is not of that form")
        name, text = pair
        if not _TOKEN.fullmatch(name):
            raise Unfit(
                f"takes {self.accepts}: the name in number {number} has a character that is not "
                "allowed there (RFC 9110)"
            )
        if not is_header_text(text):
            raise Unfit(
                f"takes a value without line breaks and control characters: {name} has one",
                "give each header on its own",
            )
        if refusal := _REFUSED.get(name.lower()):
            raise Unfit(f"can't set {name}: {refusal[0]}", refusal[1])
        return (str(name), text.strip(" \t"))

    def show(self, value: tuple[tuple[str, str], ...]) -> str:
        return ", ".join(f"{name}: ***" for name, _ in value)


class ParameterNames(Kind):
    """Names of query parameters, as they are or escaped as in a URL."""

    accepts = "the name of a query parameter: at most 128 characters, no = & ; # among them"
    metavar = "NAME"
    repeatable = True

    def read(self, text: str) -> object:
        return lines_of(text)

    def check(self, value: object) -> tuple[str, ...]:
        """Return the names without escapes, each once whatever its case."""
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, Sequence):
            raise self.unfit(value)
        names = [self._name(item) for item in items]
        return tuple({name.casefold(): name for name in reversed(names)}.values())[::-1]

    def _name(self, item: object) -> str:
        from urllib.parse import unquote  # 9 ms that most starts don't need

        if not isinstance(item, str) or not is_header_text(item):
            raise self._refused(item)
        name = unquote(item.strip())
        # It may hold a secret, as in `token=…`, so it is not shown.
        if not 0 < len(name) <= _MAX_NAME or not name.isprintable() or set("=&;#") & set(item):
            raise self._refused(item)
        return name

    def _refused(self, item: object) -> Unfit:
        shown = item.partition("=")[0] + "=***" if isinstance(item, str) and "=" in item else item
        return Unfit(f"takes {self.accepts}, not {quoted(shown)}")

    def show(self, value: tuple[str, ...]) -> str:
        return ", ".join(plain(name) for name in value)


class ProxyUrl(Kind):
    """The URL of an HTTP proxy; empty for none at all."""

    accepts = "http://HOST:PORT or https://HOST:PORT, or '' for no proxy"
    metavar = "URL"
    secret = True
    keeps_empty = True

    def check(self, value: object) -> str:
        if value == "":
            return ""
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise self.unfit(value)
        scheme = value.partition(":")[0].lower()
        if scheme.startswith("socks"):
            raise Unfit(
                f"takes {self.accepts}: {quoted(scheme)} is not supported", "use an HTTP proxy"
            )
        if not _is_proxy_url(value):
            raise self.unfit(value)
        return value

    def show(self, value: str) -> str:
        if not value:
            return "''"
        scheme, _, rest = value.partition("://")
        userinfo, at, host = rest.rpartition("@")
        return f"{scheme}://***@{host}" if at and userinfo else f"{scheme}://{host}"


def _is_proxy_url(text: str) -> bool:
    """Tell whether *text* is an http(s) URL of a host and a usable port, and no more."""
    from urllib.parse import urlsplit  # 9 ms that most starts don't need

    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    host = parts.netloc.rpartition("@")[2]
    return (
        parts.scheme in {"http", "https"}
        and _HOST.fullmatch(host) is not None
        and port != 0
        and parts.path in {"", "/"}
        and not set(' \\<>"#?') & set(text)
    )

"""Kinds of value that go into HTTP: header fields and the proxy's address. Both hold secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from fetchpool.config.values import Kind, Unfit, is_header_text, quoted

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")  # RFC 9110 §5.6.2

_REFUSED = {
    "host": ("it is made from the URL", "put the host into the URL"),
    "content-length": ("requests have no body", "drop it"),
    "transfer-encoding": ("requests have no body", "drop it"),
    "expect": ("requests have no body", "drop it"),
    "trailer": ("requests have no body", "drop it"),
    "connection": ("connections are looked after here", "see --force-close and --keepalive"),
    "keep-alive": ("connections are looked after here", "see --force-close and --keepalive"),
    "proxy-connection": ("connections are looked after here", "see --force-close and --keepalive"),
    "te": ("it speaks of one connection only", "drop it"),
    "upgrade": ("it speaks of one connection only", "drop it"),
    "proxy-authorization": (
        "it would be sent to the servers too",
        "use --proxy http://USER:PASSWORD@HOST:PORT",
    ),
}


class Headers(Kind):
    """Header fields for every request: pairs of name and value, in the order given."""

    accepts = "'Name: value'"
    metavar = "'NAME: VALUE'"
    secret = True

    def read(self, text: str) -> object:
        """Return the lines of *text*, one header each: so an environment variable holds several."""
        return [line for line in re.split(r"\r?\n", text) if line.strip()]

    def check(self, value: object) -> tuple[tuple[str, str], ...]:
        """Accept a mapping, pairs, or lines `Name: value`; refuse what HTTP or a URL decides."""
        if isinstance(value, Mapping):
            items: Iterable[object] = value.items()
        elif isinstance(value, list | tuple):
            items = value
        else:
            raise self.unfit(value)
        return tuple(self._pair(item, number) for number, item in enumerate(items, 1))

    def _pair(self, item: object, number: int) -> tuple[str, str]:
        # What is not yet known to be a name may be a secret in the wrong place: it is counted, not
        # quoted.
        if isinstance(item, str) and ":" in item:
            item = tuple(item.split(":", 1))
        match item:
            case (str(name), str(text)):
                pass
            case _:
                raise Unfit(f"takes {self.accepts}: number {number} is not of that form")
        if not _TOKEN.fullmatch(name):
            raise Unfit(
                f"takes {self.accepts}: the name in number {number} holds a character that no "
                "header name may (RFC 9110)"
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
    """Tell whether *text* is an http(s) URL with a host, a usable port, and nothing behind them."""
    from urllib.parse import urlsplit  # 9 ms that most starts don't need

    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in {"http", "https"}
        and bool(parts.hostname)
        and port != 0
        and parts.path in {"", "/"}
        and not parts.query
        and not parts.fragment
        and not set(' \\<>"') & set(text)
    )

"""Kinds of value that go into HTTP: header fields, the proxy's address, names of parameters."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fetchpool.config.values import (
    Kind,
    Pairs,
    Unfit,
    is_header_text,
    lines_of,
    plain,
    quoted,
)

if TYPE_CHECKING:
    from fetchpool.model.asking import Fields

_MAX_NAME = 128
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")  # RFC 9110 §5.6.2

_PIECES = (
    "a part would be stored as the whole body; interrupted bodies are resumed without it",
    "drop it",
)


_HOST = re.compile(r"(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")
"""A host and its port in the URL of a proxy."""

MAX_FILE_BYTES = 16 << 20
"""The longest file of header fields or user agents: every process holds them in memory."""

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


def lines_of_file(path: str) -> list[tuple[int, str]]:
    """Return the lines of a file with their numbers, but for blank ones and comments (`#`).

    Raises `Unfit`.
    """
    try:
        with open(os.path.expanduser(path), "rb") as file:  # noqa: PTH111, PTH123 - as written
            data = file.read(MAX_FILE_BYTES + 1)
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Unfit(f"takes a file in UTF-8, and {quoted(path)} is none", "convert it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no possible file name"
        raise Unfit(f"can't read {quoted(path)} ({reason})", "name a file of lines") from None
    if len(data) > MAX_FILE_BYTES:
        raise Unfit(f"takes a file of {MAX_FILE_BYTES >> 20} MiB at most", "name a shorter one")
    lines = enumerate((line.strip() for line in text.split("\n")), 1)
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


class HeaderFields(tuple[tuple[str, str], ...]):  # noqa: SLOT001 - a tuple has no room for one
    """Fields for every request, and sets of fields of which each host gets one."""

    sets: tuple[Fields, ...]

    def __new__(cls, fields: Iterable[tuple[str, str]], sets: tuple[Fields, ...]) -> HeaderFields:
        self = super().__new__(cls, fields)
        self.sets = sets
        return self

    def __eq__(self, other: object) -> bool:
        sets = other.sets if isinstance(other, HeaderFields) else ()
        return super().__eq__(other) and self.sets == sets

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((tuple(self), self.sets))

    def __reduce__(self) -> tuple[Any, ...]:
        return HeaderFields, (tuple(self), self.sets)


def has_sets(header: Fields) -> bool:
    """Tell whether *header* has sets of which each host gets one."""
    return isinstance(header, HeaderFields)


def every_field(header: Fields) -> Iterator[tuple[str, str]]:
    """Yield the fields that some request may have."""
    yield from header
    for fields in header.sets if isinstance(header, HeaderFields) else ():
        yield from fields


class UserAgents(Kind):
    """What a client calls itself: a text, or several, of which each host gets one."""

    accepts = "one line of text without control characters, or @FILE for one a line"
    keeps_empty = True

    def check(self, value: object) -> str | tuple[str, ...]:
        """Accept a text, `@FILE`, or texts; one alone is kept as a text."""
        if isinstance(value, str) and value.startswith("@"):
            value = [line for _, line in lines_of_file(value[1:])]
            if not value:
                raise Unfit("takes a file of user agents, and this has none", "put one on a line")
        agents = [value] if isinstance(value, str) else value
        if not isinstance(agents, Sequence) or not agents:
            raise self.unfit(value)
        for agent in agents:
            if not isinstance(agent, str) or not is_header_text(agent):
                raise self.unfit(agent)
        return tuple(agents) if len(agents) > 1 else str(agents[0])

    def show(self, value: str | tuple[str, ...]) -> str:
        return plain(value) if isinstance(value, str) else f"{len(value)}, one for each host"


class Headers(Pairs):
    """Header fields for every request: pairs of name and value, in the order given."""

    accepts = "'Name: value', or @FILE for one a line"
    metavar = "'NAME: VALUE'"
    mark = ":"
    secret = True

    def check(self, value: object) -> tuple[tuple[str, str], ...]:
        """Accept a mapping, pairs, lines `Name: value`, or `@FILE`; refuse fields made here."""
        fields: list[tuple[str, str]] = []
        sets: tuple[Fields, ...] = value.sets if isinstance(value, HeaderFields) else ()
        for number, item in enumerate(self.items_of(value), 1):
            if not isinstance(item, str) or not item.startswith("@"):
                fields.append(self._pair(item, number))
                continue
            lines = lines_of_file(item[1:])
            if not lines:
                raise Unfit("takes a file of header fields, and this has none", "drop it")
            if not lines[0][1].startswith("{"):
                fields += (self._pair(line, at, " of the file") for at, line in lines)
            elif sets:
                raise Unfit("takes one file of JSON lines, not two", "make one file of both")
            else:
                sets = tuple(self._set(line, at) for at, line in lines)
        return HeaderFields(fields, sets) if sets else tuple(fields)

    def _set(self, line: str, number: int) -> Fields:
        """Return the fields of a JSON object, the line *number* of a file."""
        import json  # 5 ms that most starts don't need

        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Unfit(
                f"takes JSON lines: line {number} of the file is no object",
                """write {"Accept-Language": "de"} on each line""",
            )
        return tuple(self._pair(item, number, " of the file") for item in found.items())

    def _pair(self, item: object, number: int, where: str = "") -> tuple[str, str]:
        # It may be a secret in the wrong place until it is known to be a name: give its number.
        pair = self.pair_of(item)
        if pair is None:
            what = f"line {number}{where}" if where else f"number {number}"
            raise Unfit(f"takes {self.accepts}: {what} is not of that form")
        name, text = pair
        if not _TOKEN.fullmatch(name):
            raise Unfit(
                f"takes {self.accepts}: the name in number {number}{where} has a character that is "
                "not allowed there (RFC 9110)"
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
        said = [f"{name}: ***" for name, _ in value]
        if isinstance(value, HeaderFields):
            said.append(f"{len(value.sets)} sets, one for each host")
        return ", ".join(said)


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


PROXY_SCHEMES = frozenset({"http", "https", "socks5", "socks5h", "socks4a"})


class ProxyUrl(Kind):
    """The URL of a proxy; empty for none at all. Several are a tuple."""

    accepts = (
        "http://HOST:PORT, https:, socks5:, socks5h: or socks4a://HOST:PORT, or '' for no proxy"
    )
    metavar = "URL"
    secret = True
    keeps_empty = True
    repeatable = True

    def read(self, text: str) -> object:
        return lines_of(text)

    def check(self, value: object) -> str | tuple[str, ...]:
        """Return one URL as it is, several as a tuple, each once."""
        if not isinstance(value, list | tuple):
            return self.check_one(value)
        urls = tuple(dict.fromkeys(map(self.check_one, value)))
        if len(urls) > 1 and "" in urls:
            raise Unfit("takes '' for no proxy, and so no other beside it", "drop one of them")
        return "" if not urls else urls[0] if len(urls) == 1 else urls

    def check_one(self, value: object) -> str:
        """Return *value* if it is one URL, or empty."""
        if value == "":
            return ""
        if not isinstance(value, str) or not value.isascii() or not value.isprintable():
            raise self.unfit(value)
        scheme = value.partition(":")[0].lower()
        if scheme in {"socks", "socks4"}:
            raise Unfit(f"takes {self.accepts}: {quoted(scheme)} is not spoken", "try socks4a")
        if not _is_proxy_url(value):
            raise self.unfit(value)
        if scheme.startswith("socks") and (problem := _why_not_for_socks(value)):
            raise Unfit(f"takes {self.accepts}: {problem}", "mend what stands before the @")
        return value

    def show(self, value: str | tuple[str, ...]) -> str:
        if isinstance(value, tuple):
            return ", ".join(map(self.show, value))
        if not value:
            return "''"
        scheme, _, rest = value.partition("://")
        userinfo, at, host = rest.rpartition("@")
        return f"{scheme}://***@{host}" if at and userinfo else f"{scheme}://{host}"


def looks_names_up_itself(proxy: str) -> bool:
    """Return True if *proxy*, a URL, is told names: for SOCKS5 they are looked up here."""
    return not proxy.lower().startswith("socks5:")


def _why_not_for_socks(text: str) -> str | None:
    """Return what is wrong with user and password in *text* for SOCKS; None if nothing is."""
    from urllib.parse import unquote, urlsplit

    parts = urlsplit(text)
    pair = [unquote(part or "") for part in (parts.username, parts.password)]
    if not all(part.isascii() and len(part) < 256 for part in pair) or ":" in pair[0]:
        return "user and password of SOCKS are ASCII, 255 characters at most, the user without ':'"
    if pair == ["", ""]:
        return None
    if text.lower().startswith("socks4a:"):
        return "SOCKS4 knows a user, and no password" if pair[1] else None
    return None if all(pair) else "SOCKS5 wants a user and a password, or neither"


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
        parts.scheme in PROXY_SCHEMES
        and _HOST.fullmatch(host) is not None
        and port != 0
        and parts.path in {"", "/"}
        and not set(' \\<>"#?') & set(text)
    )

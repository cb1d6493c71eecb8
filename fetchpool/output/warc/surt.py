"""The key that a web archive's index is sorted by: `com,example)/path?a=1&b=2`.

Many URLs share one key: those that an archive takes for the same page. What is dropped or put in
order is what the Wayback Machine drops: `www.`, the scheme and its port, case, the order of the
parameters, session ids. https://iipc.github.io/warc-specifications/specifications/cdx-format/
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

_PORTS = {"http": "80", "https": "443"}
_WWW = re.compile(r"www\d*\.")
_KEPT = "!\"$&'()*+,-./:;<=>?@[\\]^_`{|}~"
"""Printable ASCII that is never escaped; a blank, `#` and `%` are."""

_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*+)++")
"""One in which nothing is to be done but for its case."""

_PATH_SESSIONS = tuple(
    re.compile(rf"(.*/)\({inner}\)/([^?]+\.aspx.*)", re.DOTALL)
    for inner in (r"(?:[a-z]\([0-9a-z]{24}\))+", "[0-9a-z]{24}")
)
_QUERY_SESSIONS = tuple(
    re.compile(rf"(.*)(?:{name})(?:&(.*))?", re.DOTALL)
    for name in (
        "jsessionid=[0-9a-z]{32}",
        "phpsessid=[0-9a-z]{32}",
        "sid=[0-9a-z]{32}",
        "aspsessionid[a-z]{8}=[a-z]{24}",
        "cfid=[^&]+&cftoken=[^&]+",
    )
)


def surt(url: str) -> str:
    """Return the key of *url*, an absolute http(s) URL as `parse_url` makes them."""
    scheme, _, rest = url.partition("://")
    end = next((at for at, char in enumerate(rest) if char in "/?"), len(rest))
    authority, rest = rest[:end], rest[end:]
    path, _, query = rest.partition("?")
    key = f"{_place(scheme, authority)}){_path(path)}"
    query = _query(query)
    return f"{key}?{query}" if query else key


@lru_cache(maxsize=1024)
def _place(scheme: str, authority: str) -> str:
    """Return the host, its labels the other way round, with a port that isn't the scheme's."""
    host, colon, port = authority.rpartition("@")[2].rpartition(":")
    if not colon or "]" in port:
        host, port = f"{host}{colon}{port}", ""
    host = host.strip("[]").replace("..", ".").strip(".").lower()
    host = _WWW.sub("", host, count=1) if _WWW.match(host) else host
    place = ",".join(reversed(host.split(".")))
    if port in ("", _PORTS.get(scheme)) or not int(port):
        return place
    return f"{place}:{int(port)}"


def _path(path: str) -> str:
    if _PLAIN_PATH.fullmatch(path):
        return path.lower()
    kept: list[str] = []
    text = _unescaped(path)
    steps = text.split(b"/")[1:]
    for step in steps:
        if step == b"..":
            if kept:
                kept.pop()
            else:
                kept.append("..")
        elif step != b".":
            kept.append(step.decode("latin-1"))
    last = kept.pop() if kept else ""
    whole = "/" + "".join(f"{step}/" for step in kept if step) + last
    path = _escaped(whole.encode("latin-1")).lower()
    if "aspx" in path:
        for pattern in _PATH_SESSIONS:
            found = pattern.fullmatch(path)
            path = found[1] + found[2] if found else path
    return path[:-1] if len(path) > 1 and path.endswith("/") else path


def _query(query: str) -> str:
    if not query:
        return ""
    query = _escaped(_unescaped(query)).lower()
    for pattern in _QUERY_SESSIONS:
        found = pattern.fullmatch(query)
        if found:
            query = found[1] + (found[2] or "")
    if len(query) < 2:
        return query
    pairs = sorted(tuple(part.split("=", 1)) for part in query.split("&"))
    return "&".join("=".join(pair) for pair in pairs)


def _unescaped(text: str) -> bytes:
    """Return the bytes of *text* without any escape, however often it was escaped."""
    data = text.encode()
    while b"%" in data:
        plain = unquote_to_bytes(data)
        if plain == data:
            break
        data = plain
    return data


def _escaped(data: bytes) -> str:
    return quote_from_bytes(data, safe=_KEPT)

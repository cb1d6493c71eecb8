"""Cookies as values, and as lines of a cookies.txt: Netscape's format, that of curl and wget.

.example.org  TRUE   /  TRUE   1798761600  theme  dark      seven fields between tabs
#HttpOnly_a.example.org  FALSE  /login  TRUE  0  id  5f2c   0: until the session ends
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from fetchpool.model.sites import is_address, is_public_suffix
from fetchpool.model.urls import InvalidURLError, parse_url

HEADING = "# Netscape HTTP Cookie File"
"""The first line; Python's `MozillaCookieJar` and others insist on it."""

_HTTP_ONLY = "#HttpOnly_"
_TRUTH = {"TRUE": True, "FALSE": False}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_TIME = re.compile(r"(?:-?[0-9]{1,15}(?:\.[0-9]*)?)?")


class Cookie(msgspec.Struct, frozen=True, array_like=True):
    """One cookie, and which requests it goes to."""

    domain: str
    """In lower-case ASCII, without a dot before it; of an address without brackets."""
    host_only: bool
    """Whether hosts below *domain* don't get it."""
    path: str
    secure: bool
    """Whether it goes over https only."""
    http_only: bool
    """Kept for who reads the file: scripts of a page must not see it."""
    expires: float | None
    """Seconds since the epoch; None: when the session ends."""
    name: str
    """May be empty: then the value alone is sent."""
    value: str

    def __repr__(self) -> str:
        """Show whose it is; name and value are secret."""
        return f"Cookie({self.domain!r}, {self.path!r})"

    @property
    def key(self) -> tuple[str, bool, str, str]:
        """What tells it from others: one with the same key takes its place (RFC 6265bis §5.7)."""
        return self.domain, self.host_only, self.path, self.name


class BrokenLineError(ValueError):
    """A line that holds no cookie: the message has its number and nothing of what it says."""


def read_cookies(text: str) -> Iterator[Cookie]:
    """Yield the cookies of a cookies.txt; raises `BrokenLineError`."""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        http_only = line.startswith(_HTTP_ONLY)
        if not line.strip() or (line.startswith("#") and not http_only):
            continue
        cookie = _cookie(line.removeprefix(_HTTP_ONLY), http_only=http_only)
        if cookie is None:
            raise BrokenLineError(f"line {number} is none of seven fields between tabs")
        yield cookie


def write_cookies(cookies: Iterable[Cookie]) -> str:
    """Return the cookies.txt of *cookies*."""
    lines = [HEADING, "# Written by fetchpool; whoever reads this can log in as you.", ""]
    for each in cookies:
        domain = each.domain if each.host_only else f".{each.domain}"
        fields = (
            f"{_HTTP_ONLY if each.http_only else ''}{domain}",
            "FALSE" if each.host_only else "TRUE",
            each.path,
            "TRUE" if each.secure else "FALSE",
            "0" if each.expires is None else str(int(each.expires)),
            each.name,
            each.value,
        )
        lines.append("\t".join(fields))
    return "\n".join(lines) + "\n"


def _cookie(line: str, *, http_only: bool) -> Cookie | None:
    """Return the cookie of *line*, None if it is broken."""
    fields = line.split("\t")
    if len(fields) == 6:
        fields.append("")  # an empty value whose tab an editor has removed
    if len(fields) != 7 or any(map(_CONTROL.search, fields)):
        return None
    place, below, path, secure, expires, name, value = fields
    domain = _host(place.removeprefix("."))
    if domain is None or below.upper() not in _TRUTH or secure.upper() not in _TRUTH:
        return None
    if not path.startswith("/") or not _TIME.fullmatch(expires) or not (name or value):
        return None
    # For all of a public suffix nobody could have set it.
    only = not _TRUTH[below.upper()] or is_address(domain) or is_public_suffix(domain)
    ends = float(expires or 0)  # Python leaves it out where others write 0
    return Cookie(
        domain,
        only,
        path,
        _TRUTH[secure.upper()],
        http_only,
        ends if ends > 0 else None,
        name,
        value,
    )


def _host(text: str) -> str | None:
    """Return *text* as URLs have it, None if it is no host."""
    authority = f"[{text}]" if text.count(":") > 1 else text
    try:
        target = parse_url(f"http://{authority}/")
    except InvalidURLError:
        return None
    alone = target.path == "/" and target.port == 80 and target.authorization is None
    return target.host.removesuffix(".") if alone else None

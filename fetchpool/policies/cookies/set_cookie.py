"""What a Set-Cookie field says, by RFC 6265bis §5.6 and §5.7: a cookie, or nothing."""

from __future__ import annotations

import re
from calendar import timegm
from email.utils import parsedate_tz

from fetchpool.model.cookies import Cookie
from fetchpool.model.sites import is_address, is_public_suffix
from fetchpool.model.values import Target

MAX_BYTES = 4096
"""Name and value together (§5.6)."""

MAX_ATTRIBUTE_BYTES = 1024
"""A longer value of an attribute is passed over (§5.6)."""

MAX_AGE_S = 400 * 86_400
"""The longest life of a cookie (§5.5)."""

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NUMBER = re.compile(r"-?[0-9]+")
_BLANKS = " \t"


def parse_set_cookie(target: Target, line: str, now: float) -> Cookie | None:
    """Return the cookie that *line*, from *target* at *now* (epoch), sets; None: it is refused.

    One that has expired already is to be deleted. *line* has bytes as Latin-1. What is no UTF-8 is
    refused, as it could not be sent again, and what has a tab in it, as no file could hold it.
    """
    pair, *rest = line.split(";")
    text = _as_utf8(pair)
    if text is None or _CONTROL.search(line):
        return None
    name, equals, value = text.partition("=")
    if not equals:
        name, value = "", text
    name, value = name.strip(_BLANKS), value.strip(_BLANKS)
    if not (name or value) or len(name.encode()) + len(value.encode()) > MAX_BYTES:
        return None
    attributes = _attributes(rest)
    is_secure = "secure" in attributes
    if is_secure and target.scheme != "https":
        return None
    place = _place(target.host.removesuffix("."), attributes.get("domain", ""))
    if place is None:
        return None
    domain, host_only = place
    path = attributes.get("path", "")
    if not path.startswith("/"):
        path = _default_path(target)
    if "\t" in name + value + path:
        return None
    if not _keeps_prefix(name, value, attributes, host_only=host_only):
        return None
    ends = _end(attributes, now)
    return Cookie(domain, host_only, path, is_secure, "httponly" in attributes, ends, name, value)


def _attributes(parts: list[str]) -> dict[str, str]:
    """Return values by name in lower case; of several the last counts."""
    found = {}
    for part in parts:
        name, _, value = part.partition("=")
        value = value.strip(_BLANKS)
        if len(value) <= MAX_ATTRIBUTE_BYTES:
            found[name.strip(_BLANKS).lower()] = value
    return found


def _place(host: str, attribute: str) -> tuple[str, bool] | None:
    """Return the domain of a cookie from *host* and whether it is that host's alone; None: refused.

    Nobody may set one for a public suffix, or for hosts that aren't below their own domain.
    """
    domain = attribute.removeprefix(".").lower()
    if not domain:
        return host, True
    if domain == host:
        return host, is_address(host) or is_public_suffix(host)
    if is_address(host) or not host.endswith(f".{domain}") or is_public_suffix(domain):
        return None
    return domain, False


def _default_path(target: Target) -> str:
    """Return the directory of *target*'s path (§5.1.4)."""
    return path_of(target).rpartition("/")[0] or "/"


def path_of(target: Target) -> str:
    """Return the path of *target* without its query."""
    return target.path.partition("?")[0]


def _keeps_prefix(name: str, value: str, attributes: dict[str, str], *, host_only: bool) -> bool:
    """Tell whether a cookie is what the prefix of its name promises (§5.7, any case)."""
    promise = (name or value).lower()
    if promise.startswith(("__secure-", "__host-")):
        if not name or "secure" not in attributes:
            return False
        return promise.startswith("__secure-") or (host_only and attributes.get("path") == "/")
    return True


def _end(attributes: dict[str, str], now: float) -> float | None:
    """Return when a cookie expires; None: with the session. Max-Age wins over Expires (§5.7)."""
    age = attributes.get("max-age", "")
    if age.startswith("-") and _NUMBER.fullmatch(age):
        return 0.0
    if _NUMBER.fullmatch(age):  # Python reads no number of thousands of digits
        return now + (min(int(age), MAX_AGE_S) if len(age) < 20 else MAX_AGE_S)
    if (date := _date(attributes.get("expires", ""))) is not None:
        return min(date, now + MAX_AGE_S)
    return None


def _date(text: str) -> float | None:
    """Return the time that *text* names, always UTC (§5.1.1); None: none."""
    parsed = parsedate_tz(text)
    if parsed is None:
        return None
    try:
        return float(timegm((*parsed[:6], 0, 0, 0)))
    except (ValueError, OverflowError):
        return None


def _as_utf8(text: str) -> str | None:
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return None

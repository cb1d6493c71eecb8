"""Which cookies are kept, in bounded memory, and which request gets which (RFC 6265bis §5.7, §5.8).

They lie by site, as no cookie leaves its registrable domain: a request looks at those of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from sys import getsizeof
from time import time

from fetchpool.model.cookies import Cookie
from fetchpool.model.sites import is_address, site_of
from fetchpool.model.values import Target
from fetchpool.policies.cookies.set_cookie import parse_set_cookie, path_of

PER_DOMAIN = 50
"""Cookies of one domain at most (RFC 6265 §6.1 asks for at least 50)."""

PER_SITE = 200
"""Cookies of all domains below one registrable domain."""

TOTAL = 10_000
"""Cookies of all sites (§6.1: at least 3,000), each counted once and once more for every KiB it
takes: some 5 MB, 20 MB whatever servers send."""


class _Kept:
    """A cookie in the jar."""

    __slots__ = ("cookie", "given", "number", "weight")

    def __init__(self, cookie: Cookie, number: int, *, given: bool) -> None:
        self.cookie = cookie
        size = sum(map(getsizeof, (cookie.domain, cookie.path, cookie.name, cookie.value)))
        self.weight = 0 if given else 1 + size // 1024
        self.number = number
        """In the order in which they were first set."""
        self.given = given
        """Whether the user gave it: then no other takes its room."""


_Shelf = dict[tuple[str, bool, str, str], _Kept]
"""The cookies of a site by their keys, the one that was used last at the end."""


class Jar:
    """The cookies of one process.

    Where there are too many, first those of the domain go that were not sent for longest, then
    those of the site, then all of the site that was asked least lately; never those of the user.
    """

    def __init__(self, given: Iterable[Cookie] = (), clock: Callable[[], float] = time) -> None:
        """Begin with the cookies *given* by the user; *clock* returns seconds since the epoch."""
        self._clock = clock
        self._sites: OrderedDict[str, _Shelf] = OrderedDict()
        self._number = 0
        self._weight = 0
        now = clock()
        for cookie in given:
            if not _is_over(cookie, now):
                self._keep(cookie, given=True)

    def cookies(self) -> list[Cookie]:
        """Return those that have not expired, in the order in which they were first set."""
        now = self._clock()
        kept = [each for shelf in self._sites.values() for each in shelf.values()]
        kept.sort(key=lambda each: each.number)
        return [each.cookie for each in kept if not _is_over(each.cookie, now)]

    def field_for(self, target: Target) -> str:
        """Return the `Cookie` field of a request for *target*; empty: it has none."""
        site = site_of(target.host)
        shelf = self._sites.get(site)
        if shelf is None:
            return ""
        self._sites.move_to_end(site)
        now, host = self._clock(), target.host.removesuffix(".")
        is_tls, path = target.scheme == "https", path_of(target)
        chosen = []
        for key, kept in list(shelf.items()):
            cookie = kept.cookie
            if _is_over(cookie, now):
                self._drop(site, key)
            elif _is_for(cookie, host, path) and (is_tls or not cookie.secure):
                chosen.append(kept)
                shelf[key] = shelf.pop(key)
        chosen.sort(key=lambda kept: (-len(kept.cookie.path), kept.number))
        cookies = (kept.cookie for kept in chosen)
        return "; ".join(
            f"{each.name}={each.value}" if each.name else each.value for each in cookies
        )

    def receive(self, target: Target, line: str) -> None:
        """Do what *line*, the value of a Set-Cookie in a response from *target*, says."""
        now = self._clock()
        cookie = parse_set_cookie(target, line, now)
        if cookie is None:
            return
        site = site_of(cookie.domain)
        if target.scheme != "https" and self._hides_secure(site, cookie):
            return
        if _is_over(cookie, now):
            if cookie.key in self._sites.get(site, ()):
                self._drop(site, cookie.key)
            return
        self._keep(cookie, given=False)
        self._make_room(site, cookie, now)

    def _hides_secure(self, site: str, new: Cookie) -> bool:
        """Tell whether *new*, which came in plain text, would hide one set over TLS."""
        for kept in self._sites.get(site, {}).values():
            old = kept.cookie
            if old.secure and old.name == new.name and _path_matches(new.path, old.path):
                domains = (old.domain, new.domain)
                if _is_below(*domains) or _is_below(*reversed(domains)):
                    return True
        return False

    def _keep(self, cookie: Cookie, *, given: bool) -> None:
        site = site_of(cookie.domain)
        shelf = self._sites.setdefault(site, {})
        self._sites.move_to_end(site)
        old = shelf.pop(cookie.key, None)
        if old is None:
            self._number += 1
            kept = _Kept(cookie, self._number, given=given)
        else:
            self._weight -= old.weight
            kept = _Kept(cookie, old.number, given=given or old.given)
        self._weight += kept.weight
        shelf[cookie.key] = kept

    def _make_room(self, site: str, new: Cookie, now: float) -> None:
        shelf = self._sites[site]
        for key, kept in list(shelf.items()):
            if _is_over(kept.cookie, now):
                self._drop(site, key)
        of_domain = [key for key, kept in shelf.items() if kept.cookie.domain == new.domain]
        self._drop_oldest(site, of_domain, len(of_domain) - PER_DOMAIN)
        self._drop_oldest(site, list(shelf), len(shelf) - PER_SITE)
        if self._weight > TOTAL:
            for other in list(self._sites)[:-1]:
                keys = list(self._sites[other])
                self._drop_oldest(other, keys, len(keys))
                if self._weight <= TOTAL * 9 // 10:
                    break

    def _drop_oldest(self, site: str, keys: list[tuple[str, bool, str, str]], count: int) -> None:
        """Drop *count* of *keys*, the first ones, but for those of the user."""
        shelf = self._sites[site]
        for key in [key for key in keys if not shelf[key].given][: max(count, 0)]:
            self._drop(site, key)

    def _drop(self, site: str, key: tuple[str, bool, str, str]) -> None:
        shelf = self._sites[site]
        self._weight -= shelf.pop(key).weight
        if not shelf:
            del self._sites[site]


def _is_over(cookie: Cookie, now: float) -> bool:
    return cookie.expires is not None and cookie.expires <= now


def _is_for(cookie: Cookie, host: str, path: str) -> bool:
    if not (host == cookie.domain if cookie.host_only else _is_below(host, cookie.domain)):
        return False
    return _path_matches(path, cookie.path)


def _is_below(host: str, domain: str) -> bool:
    """Tell whether *host* is *domain* or below it (§5.1.3)."""
    return host == domain or (host.endswith(f".{domain}") and not is_address(host))


def _path_matches(path: str, of_cookie: str) -> bool:
    """Tell whether a cookie with the path *of_cookie* goes to *path* (§5.1.4)."""
    if not path.startswith(of_cookie):
        return False
    return len(path) == len(of_cookie) or of_cookie.endswith("/") or path[len(of_cookie)] == "/"

"""Chooses the proxy of a URL; the environment is read once.

aiohttp's `trust_env` reads it for each request, in a thread: 1,262 µs instead of 233.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import NamedTuple

from fetchpool.config import Config, ConfigError
from fetchpool.config.http_values import ProxyUrl, looks_names_up_itself
from fetchpool.config.values import Unfit
from fetchpool.model.attempts import Proxy, without_credentials
from fetchpool.model.values import Target

Choose = Callable[[Target], Proxy | None]
"""From a target to its proxy; None = straight to the host."""

SCHEMES = ("http", "https")


class Named(NamedTuple):
    """A proxy as the environment names it."""

    variable: str
    """As found: `HTTP_PROXY`, `https_proxy`, …"""
    url: str


def environment_proxies(environment: Mapping[str, str] | None = None) -> dict[str, Named]:
    """Return the proxy that *environment* (None: ours) names for each scheme.

    `HTTP_PROXY` and `HTTPS_PROXY`, else `ALL_PROXY`. The lower-case names win, even if empty. With
    `NO_PROXY=*` there is none. The values are unchecked.
    """
    variables = os.environ if environment is None else environment
    if Exceptions(_exceptions(variables)).everything:
        return {}
    found = {}
    for scheme in SCHEMES:
        named = _named(variables, f"{scheme}_proxy") or _named(variables, "all_proxy")
        if named is not None:
            found[scheme] = named
    return found


def _named(variables: Mapping[str, str], name: str) -> Named | None:
    read = _read(variables, name)
    if read is None or not read[1]:
        return None
    variable, value = read
    return Named(variable, value if "://" in value else f"http://{value}")


def _read(variables: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """Return the name and value of the variable *name* (given in lower case)."""
    if name in variables:
        return name, variables[name]
    # In a CGI program HTTP_PROXY comes from a client's header field "Proxy" (CVE-2016-5385).
    if name == "http_proxy" and "REQUEST_METHOD" in variables:
        return None
    upper = name.upper()
    return (upper, variables[upper]) if upper in variables else None


def _exceptions(variables: Mapping[str, str]) -> str:
    read = _read(variables, "no_proxy")
    return "" if read is None else read[1]


def why_no_socks(url: str) -> str | None:
    """Return what *url*, a proxy's, needs that isn't installed; None if there is no such thing."""
    if not url.lower().startswith("socks"):
        return None
    from importlib import metadata  # 20 ms that most starts don't need

    try:
        # The first that is given its connection by the caller (`connector.socks`).
        if int(metadata.version("python-socks").partition(".")[0]) >= 3:
            return None
    except (metadata.PackageNotFoundError, ValueError):
        pass
    return "takes a SOCKS proxy only with python-socks 3: pip install 'fetchpool[socks]'"


def given_proxies(config: Config) -> list[str] | None:
    """Return the URLs of `--proxy` and `--proxy-file`, each once; None if neither is given.

    Raises `ConfigError` for a file that can't be read, or a line of it that is no proxy's URL.
    """
    if config.proxy is None and config.proxy_file is None:
        return None
    urls = [config.proxy or ""] if not isinstance(config.proxy, tuple) else [*config.proxy]
    if config.proxy_file is not None:
        urls += _read_file(config.proxy_file, public_only=config.public_only)
    return [url for url in dict.fromkeys(urls) if url]


def _read_file(path: str, *, public_only: bool) -> list[str]:
    try:
        place = Path(os.path.expanduser(path))  # noqa: PTH111 - stays as it is without a home
        lines = place.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise ConfigError(f"--proxy-file {path} can't be read: {why}") from None
    kind, found = ProxyUrl(), []
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        url = line if "://" in line else f"http://{line}"
        try:
            found.append(kind.check_one(url))
        except Unfit as mistake:
            remedy = mistake.remedy or "mend it, or put # before it"
            raise ConfigError(
                f"--proxy-file {path}, line {number}: --proxy {mistake.problem}: {remedy}"
            ) from None
        if public_only and looks_names_up_itself(url):
            raise ConfigError(
                f"--public-only can't be combined with line {number} of --proxy-file {path}: a "
                "proxy resolves names itself, but for socks5://"
            )
    if not found:
        raise ConfigError(f"--proxy-file {path} names no proxy: put a URL on each line of it")
    return found


def named(urls: Sequence[str]) -> list[Proxy]:
    """Return the proxies of a pool, each with a name that tells it from the others."""
    seen: Counter[str] = Counter()
    proxies = []
    for url in urls:
        name = without_credentials(url)
        seen[name] += 1
        proxies.append(Proxy(url, f"{name} ({seen[name]})" if seen[name] > 1 else name))
    return proxies


def proxy_chooser(given: Sequence[str] | None) -> Choose | None:
    """Return how a target's proxy is chosen; None if all hosts are connected to directly.

    *given* is what `given_proxies` returns, one at most: none, one for all requests, or None for
    what `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say (either case, as curl reads
    them).
    """
    if given is not None:
        ours = [Proxy(url) for url in given]
        return (lambda target: ours[0]) if ours else None
    proxies = {scheme: Proxy(named.url) for scheme, named in environment_proxies().items()}
    if not proxies:
        return None
    excepted = Exceptions(_exceptions(os.environ))

    @lru_cache(maxsize=4096)
    def choose(scheme: str, host: str, port: int) -> Proxy | None:
        return None if excepted.holds(host, port) else proxies.get(scheme)

    return lambda target: choose(target.scheme, target.host, target.port)


_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:]*)(?::([0-9]{1,5}))?")


class Exceptions:
    """The hosts of `NO_PROXY`, which are connected to directly.

    Entries are separated by commas or blanks, in any case. A name means that host and all below it;
    `.` or `*.` before it and `.` behind it change nothing. An entry may be an address or a network
    such as `10.0.0.0/8` or `fd00::/8`. `*` alone means all. Unlike curl, and like others, a `:PORT`
    behind a name or an address restricts it to that port.
    """

    def __init__(self, text: str) -> None:
        self.everything = text.strip() == "*"
        self._names: dict[str, set[int | None]] = {}
        self._networks: list[tuple[IPv4Network | IPv6Network, int | None]] = []
        for entry in re.split(r"[,\s]+", text):
            self._add(entry.lower())

    def _add(self, entry: str) -> None:
        if entry and not self._add_network(entry, None):
            match = _HOST_AND_PORT.fullmatch(entry)
            if match is None:
                return  # not the name of a host
            host, port = match[1], int(match[2]) if match[2] else None
            if not self._add_network(host.strip("[]"), port):
                name = host.removeprefix("*").strip(".")
                if name:
                    self._names.setdefault(name, set()).add(port)

    def _add_network(self, text: str, port: int | None) -> bool:
        try:
            self._networks.append((ip_network(text.strip("[]"), strict=False), port))
        except ValueError:
            return False
        return True

    def holds(self, host: str, port: int) -> bool:
        """Return whether *host*, a name or an address without brackets, needs no proxy."""
        if self.everything:
            return True
        try:
            address = ip_address(host)
        except ValueError:
            return self._holds_name(host.lower().rstrip("."), port)
        return any(_lies_in(address, network) and only in (None, port)
                   for network, only in self._networks)  # fmt: skip

    def _holds_name(self, name: str, port: int) -> bool:
        labels = name.split(".")
        above = (".".join(labels[at:]) for at in range(len(labels)))
        return any({None, port} & self._names.get(each, set()) for each in above)


def _lies_in(address: IPv4Address | IPv6Address, network: IPv4Network | IPv6Network) -> bool:
    return address.version == network.version and address in network

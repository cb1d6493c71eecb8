"""Settings that hold for some hosts only: `[host."*.example.org"]` in the file.

    tables ──host_rules──▶ HostRules ──ConfigAt──▶ the Config in force for a host

A table is found by its host's name, without a look at the others. `Config(host={…})` takes the same
from a program.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fetchpool.config.http_values import HeaderFields
from fetchpool.config.values import ConfigError, Unfit, plain, quoted
from fetchpool.model.asking import Fields, over

if TYPE_CHECKING:
    from fetchpool.config.options import Option
    from fetchpool.config.settings import Config

HOST_KEYS = (
    *("per_host", "host_rate"),
    *("connect_timeout", "read_timeout", "timeout", "min_speed"),
    *("retries", "retry_on", "no_retry_on", "retry_delay"),
    *("header", "user_agent", "user", "proxy", "robots"),
)
"""Options that may stand in a host's table. What asks for one of them asks `ConfigAt`."""

_PLAIN = frozenset({"accept", "user-agent", "dnt", "save-data"})

REMEMBERED = 4096
"""Hosts whose settings are kept at hand; finding them again takes 5 µs."""

_WRITTEN = re.compile(r"(\*\.?)?(.*?)(?::([0-9]{1,5}))?", re.DOTALL)
_PORTS_OF_SCHEMES = ("80", "443")
_ACCEPTS = "a host such as example.org, *.example.org, example.org:8080, [2001:db8::1] or *"


@dataclass(frozen=True, slots=True)
class HostTable:
    """One table: which hosts it holds for, and what it sets."""

    pattern: str
    """A host key, or `*` and the end of host keys: `*.example.org`, `*:8080`, `*`."""
    values: Mapping[str, Any] = field(hash=False)
    """By the names of options; checked."""
    name: str
    """The pattern as written."""

    @property
    def holds_for_all(self) -> bool:
        """Whether it names no host: then it says no more of hosts that redirects lead to."""
        return self.pattern.startswith("*") and not self.pattern.startswith("*.")

    def __repr__(self) -> str:
        """Show no value: some are secret."""
        return f"HostTable({self.name!r})"

    def __str__(self) -> str:
        return f'[host."{self.name}"]'


@dataclass(frozen=True, slots=True)
class HostRules:
    """The tables of a run; false if there are none."""

    tables: tuple[HostTable, ...] = ()
    _found: dict[str, HostTable] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_found", {table.pattern: table for table in self.tables})

    def __bool__(self) -> bool:
        return bool(self.tables)

    def matching(self, host_key: str) -> tuple[HostTable, ...]:
        """Return the tables that hold for *host_key*, the most specific one first.

        That is the host itself, then the longest end of its name, then `*`; of one name, that with
        the port first.
        """
        found = self._found
        return tuple(found[each] for each in _patterns_of(host_key) if each in found)

    def all_of(self, name: str, of_run: Any) -> list[Any]:
        """Return every value that some host has for the option *name*, *of_run* among them."""
        return [of_run, *(table.values[name] for table in self.tables if name in table.values)]


NO_RULES = HostRules()


def split_port(host_key: str) -> tuple[str, str]:
    """Return host and port of *host_key*; the port with its colon, empty where there is none."""
    host, colon, port = host_key.rpartition(":")
    return (host, colon + port) if colon and not port.endswith("]") else (host_key, "")


def _patterns_of(host_key: str) -> Iterator[str]:
    """Yield the patterns that hold for *host_key*, the most specific one first."""
    host, port = split_port(host_key)
    names = [host]
    at = host.find(".")
    while at >= 0:
        names.append(f"*{host[at:]}")
        at = host.find(".", at + 1)
    for name in (*names, "*"):
        if port:
            yield name + port
        yield name


class HostConfigs:
    """The settings in force for a host; an object is equal to itself alone."""

    __slots__ = ("here", "on_hop")

    def __init__(self, here: Config, on_hop: Config) -> None:
        self.here = here
        """Those for requests of the list."""
        self.on_hop = on_hop
        """Those where a redirect from another origin leads to the host: `header` and `user` are
        only what tables say that name the host."""


class ConfigAt:
    """Finds the settings in force for a host. Hosts that have the same share one object."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._sizes = _sizes_of(config)
        self.configs = lru_cache(REMEMBERED)(self._find)
        """Returns the settings for a host by its key."""
        self._made = lru_cache(REMEMBERED)(self._make)

    def __call__(self, host_key: str) -> Config:
        """Return the settings for requests of the list to *host_key*."""
        return self.configs(host_key).here

    def _find(self, host_key: str) -> HostConfigs:
        picks: tuple[int, ...] = ()
        if self._sizes:
            number = number_of(host_key)
            picks = tuple(number % size for size in self._sizes)
        return self._made(self._config.host.matching(host_key), picks)

    def _make(self, tables: tuple[HostTable, ...], picks: tuple[int, ...]) -> HostConfigs:
        run = {name: getattr(self._config, name) for name in HOST_KEYS}
        here: list[dict[str, Any]] = []
        hop: list[dict[str, Any]] = []
        at = dict(zip(self._sizes, picks, strict=True))
        for values, names_host in (
            (run, False),
            *((table.values, not table.holds_for_all) for table in reversed(tables)),
        ):
            here.append({name: _picked(name, value, at) for name, value in values.items()})
            header = values.get("header", ())
            bare = {"header": tuple(filter(_is_plain, _picked_set(header, at))), "user": None}
            hop.append(here[-1] if names_host else bare)
        settings = _merged(here)
        of_hop = _merged(hop)
        told = {name: of_hop[name] for name in ("header", "user")}
        return HostConfigs(altered(self._config, settings), altered(self._config, settings | told))


def number_of(host_key: str) -> int:
    """Return a number that is the host's own, the same in every run and process."""
    from hashlib import sha256  # which most runs don't need

    return int.from_bytes(sha256(host_key.encode()).digest()[:8])


def _sizes_of(config: Config) -> tuple[int, ...]:
    """Return how many lines the files have of which each host gets one."""
    sizes = set()
    for agents in config.host.all_of("user_agent", config.user_agent):
        sizes |= {len(agents)} if isinstance(agents, tuple) else set()
    for header in config.host.all_of("header", config.header):
        sizes |= {len(header.sets)} if isinstance(header, HeaderFields) else set()
    return tuple(sorted(sizes))


def _picked(name: str, value: Any, at: Mapping[int, int]) -> Any:
    """Return a setting's *value* for a host: of several identities one, that *at* their number."""
    if name == "user_agent" and isinstance(value, tuple):
        return value[at[len(value)]]
    if isinstance(value, HeaderFields):
        return over(tuple(value), _picked_set(value, at))
    return value


def _picked_set(header: Fields, at: Mapping[int, int]) -> Fields:
    return header.sets[at[len(header.sets)]] if isinstance(header, HeaderFields) else ()


def _is_plain(field: tuple[str, str]) -> bool:
    """Tell whether a field of an identity may go wherever a redirect leads: it is no secret."""
    name = field[0].lower()
    return name in _PLAIN or name.startswith(("accept-", "sec-"))


def _merged(layers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what *layers* of settings, the weakest first, come to.

    Header fields are added up by name. What says the same as a setting of a weaker layer drops it
    there: a user the field Authorization, for one.
    """
    values: dict[str, Any] = {}
    header: Fields = ()
    for number, given in enumerate(layers):
        for name, other in (("retry_on", "no_retry_on"), ("no_retry_on", "retry_on")):
            if number and name in given:
                weaker = values.get(other, ())
                values[other] = tuple(each for each in weaker if each not in given[name])
        for name, said in (("user", "authorization"), ("user_agent", "user-agent")):
            if name in given:
                header = tuple(each for each in header if each[0].lower() != said)
        values.update(given)
        header = over(header, given.get("header", ()))
    return {**values, "header": header}


def altered(config: Config, values: Mapping[str, Any]) -> Config:
    """Return *config* with other *values*, which are checked already."""
    new = copy.copy(config)
    for name, value in values.items():
        object.__setattr__(new, name, value)
    return new


# -- reading -------------------------------------------------------------------------------------


def host_rules(given: object, place: str = "") -> HostRules:
    """Return the rules in *given*, a table of tables; raises `ConfigError`, which names *place*."""
    if isinstance(given, HostRules):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError(
            f'{place}host takes a table for each host: try [host."*.example.org"] per-host = 2'
        )
    tables: dict[str, HostTable] = {}
    for name, values in given.items():
        label = f"{place}[host.{_quoted(name)}]"
        pattern = _pattern(name, label)
        if pattern in tables:
            raise ConfigError(f"{label} is there twice: make one table of both")
        tables[pattern] = HostTable(pattern, _checked(values, label), name.strip())
    return HostRules(tuple(tables.values()))


def _checked(values: object, label: str) -> dict[str, Any]:
    """Return the *values* of a table by names of options; raises `ConfigError`."""
    from fetchpool.config.settings import Config, fields

    if not isinstance(values, Mapping):
        raise ConfigError(f"{label} takes settings, not {quoted(values)}: try per-host = 2")
    known = {option.key: option for option in fields() if option.name in HOST_KEYS}
    checked: dict[str, Any] = {}
    for key, raw in values.items():
        option = known.get(str(key).replace("_", "-"))
        if option is None:
            raise ConfigError(f"{label} can't have {plain(str(key))}: {_remedy(key, raw, known)}")
        if option.name in checked:
            raise ConfigError(f"{label} {option.key} is there twice: drop one of them")
        checked[option.name] = _value(option, raw, f"{label} {option.key}")
    try:
        Config(**checked)
    except ConfigError as mistake:
        raise ConfigError(f"{label}: {mistake}") from None
    return checked


def _value(option: Option, raw: object, label: str) -> Any:
    try:
        return option.kind.check(raw)
    except Unfit as unfit:
        example = option.example if option.kind.bare else f'"{option.example}"'
        message = f"{label} {unfit.problem}: {unfit.remedy or f'try {option.key} = {example}'}"
    raise ConfigError(message)


def _remedy(key: object, raw: object, known: Mapping[str, Option]) -> str:
    from fetchpool.config.nearness import nearest

    if isinstance(raw, Mapping):
        return 'quote the host\'s name, as in [host."example.org"]'
    near = nearest(str(key).replace("_", "-"), known)
    return f"did you mean {near}?" if near else f"choose from {', '.join(known)}"


def _quoted(name: object) -> str:
    text = str(name)
    return f'"{text}"' if text.isprintable() and len(text) <= 80 else quoted(text)


def _pattern(name: object, label: str) -> str:
    """Return *name* as it stands in host keys; raises `ConfigError`."""
    found = _WRITTEN.fullmatch(name.strip()) if isinstance(name, str) else None
    star, host, port = found.groups() if found else ("*", "", None)
    if port in _PORTS_OF_SCHEMES:
        raise ConfigError(f"{label}: a table holds for http and https alike: leave :{port} away")
    key = None if found is None else _host_key(host) if host else ""
    is_address = key is not None and (key.startswith("[") or key.replace(".", "").isdecimal())
    has_host = bool(host) == (star != "*")
    if key is None or not has_host or (star and is_address) or not _is_port(port):
        raise ConfigError(f"{label}: name {_ACCEPTS}")
    return f"{star or ''}{key}{f':{int(port)}' if port else ''}"


def host_key_of(text: str) -> str:
    """Return the key of the host that *text* names, a URL too; raises `ConfigError`."""
    from fetchpool.model.urls import InvalidURLError, parse_url

    try:
        if "://" in text:
            return parse_url(text).host_key
    except InvalidURLError as error:
        raise ConfigError(
            f"--host takes a host such as example.org:8080, or a URL: {error}"
        ) from None
    found = _WRITTEN.fullmatch(text.strip())
    star, host, port = found.groups() if found else ("*", "", None)
    key = None if star or not _is_port(port) else _host_key(host)
    if key is None:
        raise ConfigError("--host takes a host such as example.org or example.org:8080, or a URL")
    return key if port is None or port in _PORTS_OF_SCHEMES else f"{key}:{int(port)}"


def _host_key(host: str) -> str | None:
    """Return *host*, without a port, as in a URL: in lower case and ASCII; None: it is none."""
    from fetchpool.model.urls import InvalidURLError, parse_url

    if set("/\\@?#*%") & set(host) or (":" in host and not host.startswith("[")):
        return None
    try:
        return parse_url(f"http://{host}/").host_key
    except InvalidURLError:
        return None


def _is_port(port: str | None) -> bool:
    return port is None or 0 < int(port) < 65536

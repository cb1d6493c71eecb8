"""Where the values of settings come from, and which of them wins.

command line  >  environment  >  TOML file  >  default

load_settings ──▶ Settings(config, output, origins, …)
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

from fetchpool.config.host_rules import ConfigAt, host_rules
from fetchpool.config.nearness import nearest
from fetchpool.config.options import Option, is_set
from fetchpool.config.rules import NEED_A_DIRECTORY, RIVALS, check_has_directory
from fetchpool.config.settings import Config, options
from fetchpool.config.values import ConfigError, FilePath, Unfit, plain

MAX_FILE_BYTES = 1 << 20
_ENV_PREFIX = "FETCHPOOL_"
_ENV_FILE = "FETCHPOOL_CONFIG"


class Rank(IntEnum):
    """Where a value was given; the higher one wins."""

    FILE = 1
    ENVIRONMENT = 2
    COMMAND_LINE = 3


@dataclass(frozen=True, slots=True)
class Given:
    """A checked value and where it came from."""

    value: Any
    rank: Rank
    origin: str


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force and where each came from."""

    config: Config
    output: str | None
    origins: Mapping[str, str]
    """By name of the option: `default`, `--limit`, `environment FETCHPOOL_LIMIT` or a file."""
    file: Path | None
    """The TOML file that was read."""
    dry_run: bool
    """Whether the list is to be shown instead of fetched."""
    unknown: tuple[str, ...]
    """Environment variables that begin like ours but name no option: ignored, with a note."""
    tables: tuple[str, ...] | None = None
    """The tables of the file that hold for the host whose settings these are, the most specific
    first; None: they are those of the run."""

    def value(self, option: Option) -> Any:
        """Return the value of *option* in force."""
        return getattr(self if option.name in ("output", "dry_run") else self.config, option.name)

    def for_host(self, host_key: str) -> Settings:
        """Return what holds for a host, and which tables say so."""
        tables = self.config.host.matching(host_key)
        origins = dict(self.origins)
        for table in reversed(tables):
            for name in table.values:
                told = f"{_named(self.file)} {table}"
                # Header fields of several tables, and those of the run, are added up.
                is_more = name == "header" and origins[name] != "default"
                origins[name] = f"{told}, {origins[name]}" if is_more else told
        config = ConfigAt(self.config)(host_key)
        return replace(self, config=config, origins=origins, tables=tuple(map(str, tables)))


def load_settings(
    given: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    file: str | None = None,
    only: Collection[str] = (),
) -> Settings:
    """Combine the settings of a command, and check each and all together.

    *given* is the command line: for each option's name a text (a list of texts for headers, a bool
    for a switch); None counts as not given. *file* is `--config`: a path, an empty string for no
    file, None for `FETCHPOOL_CONFIG`, else the user's own file if it exists. With *only*, names of
    options, all others are ignored.

    Of settings that exclude each other, one given in a stronger place overrides the others:
    `--fresh` on the command line wins over `once = true` in the file.

    Raises:
        ConfigError: a value is not accepted, a key is unknown, or the file can't be read.
    """
    path, table = _read_file(file, environ)
    hosts = table.get("host", {}) if not only else {}
    table = {key: raw for key, raw in table.items() if key != "host"}
    if only:
        table = {key: raw for key, raw in table.items() if key.replace("-", "_") in only}
        given = {name: raw for name, raw in given.items() if name in only}
        names = {option.env for option in options() if option.name in only}
        environ = {name: raw for name, raw in environ.items() if name in names}
    chosen = _from_file(path, table) | _from_environment(environ) | _from_command_line(given)
    _silence_weaker_rivals(chosen)
    _silence_what_needs_a_directory(chosen)
    _refuse_idle(chosen)
    values = {name: item.value for name, item in chosen.items()}
    output, dry_run = values.pop("output", None), values.pop("dry_run", False)
    config = Config(**values, host=host_rules(hosts, f"{_named(path)}: "))
    check_has_directory(config, output)
    return Settings(
        config=config,
        output=output,
        origins={
            o.name: chosen[o.name].origin if o.name in chosen else "default" for o in options()
        },
        file=path,
        dry_run=dry_run,
        unknown=_unknown(environ),
    )


def user_file() -> Path | None:
    """Return where the user's own TOML file would be, or None if there is no such place."""
    from platformdirs import user_config_path  # 18 ms

    try:
        path = user_config_path("fetchpool", appauthor=False) / "config.toml"
    except RuntimeError:  # of newer platformdirs: there is no home
        return None
    # Of older ones the path may be relative ("~/.config"), as may an invalid XDG_CONFIG_HOME; a
    # file in the current directory is never read.
    return path if path.is_absolute() else None


def _from_command_line(given: Mapping[str, object]) -> dict[str, Given]:
    chosen = {}
    for option in options():
        raw = given.get(option.name)
        if raw is None:
            continue
        sample = f"{option.flag} {_shell_quoted(option.example)}"
        value = _checked(option, raw, option.flag, sample, is_text=True)
        flag = f"--no-{option.key}" if value is False else option.flag
        chosen[option.name] = Given(value, Rank.COMMAND_LINE, flag)
    return chosen


def _from_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    chosen = {}
    for option in options():
        raw = environ.get(option.env)
        if raw is None or (raw == "" and not option.kind.keeps_empty):
            continue
        sample = f"{option.env}={_shell_quoted(option.example)}"
        value = _checked(option, _at_home(option, raw), option.env, sample, is_text=True)
        chosen[option.name] = Given(value, Rank.ENVIRONMENT, f"environment {option.env}")
    return chosen


def _from_file(path: Path | None, table: Mapping[str, object]) -> dict[str, Given]:
    by_key = {option.key: option for option in options()}
    chosen: dict[str, Given] = {}
    for key, raw in table.items():
        option = by_key.get(key.replace("_", "-"))
        if option is None:
            near = nearest(key.replace("_", "-"), [*by_key, "host"])
            remedy = f"did you mean {near}?" if near else "see fetchpool get --help for the keys"
            raise ConfigError(f"{_named(path)}: there is no setting {plain(key)}: {remedy}")
        if option.name in chosen:
            raise ConfigError(f"{_named(path)}: {option.key} is there twice: drop one of them")
        example = option.example if option.kind.bare else f'"{option.example}"'
        sample = f"{option.key} = {example}"
        # TOML has types of its own: a text in it is never read as a number or a switch.
        value = _checked(option, _at_home(option, raw), f"{_named(path)}: {option.key}", sample)
        chosen[option.name] = Given(value, Rank.FILE, _named(path))
    return chosen


def _checked(option: Option, raw: object, label: str, sample: str, *, is_text: bool = False) -> Any:
    """Return *raw* checked, and read before where *is_text*; raises `ConfigError`."""
    try:
        return option.kind.check(option.kind.read(raw) if is_text and isinstance(raw, str) else raw)
    except Unfit as unfit:
        message = f"{label} {unfit.problem}: {unfit.remedy or f'try {sample}'}"
    raise ConfigError(message)


def _at_home(option: Option, raw: object) -> object:
    """Expand `~` in a path, which no shell has done."""
    if isinstance(option.kind, FilePath) and isinstance(raw, str):
        return os.path.expanduser(raw)  # noqa: PTH111 - Path would fold "./" and a last slash
    return raw


def _silence_weaker_rivals(chosen: dict[str, Given]) -> None:
    for names, _ in RIVALS:
        claims = {
            name: chosen[name] for name in names if name in chosen and is_set(chosen[name].value)
        }
        strongest = max((claim.rank for claim in claims.values()), default=Rank.FILE)
        for name, claim in claims.items():
            if claim.rank < strongest:
                del chosen[name]


def _refuse_idle(chosen: dict[str, Given]) -> None:
    """Raise `ConfigError` for an option on the command line that the others make useless.

    In the file and the environment it may be meant for other commands.
    """
    given = {
        name
        for name, item in chosen.items()
        if item.rank is Rank.COMMAND_LINE and item.value not in (False, "auto")
    }
    if "records_format" in given and "records" not in chosen:
        raise ConfigError("--records-format is the form of --records: add --records, or drop it")
    retries = chosen.get("retries")
    for name in ("retry_on", "retry_delay"):
        if name in given and retries is not None and not retries.value:
            flag = f"--{name}".replace("_", "-")
            raise ConfigError(f"{flag} is about further attempts, and --retries 0 makes none")
    for name in ("keep_errors", "content_disposition"):
        for other in ("no_body", "head"):
            if {name, other} <= given:
                flag, none = (f"--{each}".replace("_", "-") for each in (name, other))
                raise ConfigError(
                    f"{flag} is about stored bodies, and {none} stores none: drop one of them"
                )


def _silence_what_needs_a_directory(chosen: dict[str, Given]) -> None:
    """Let `--no-body` without a destination override weaker settings about earlier runs."""
    no_body = chosen.get("no_body")
    if no_body is None or not no_body.value or "output" in chosen:
        return
    for name in (*NEED_A_DIRECTORY, "retry_kinds"):
        if name in chosen and chosen[name].rank < no_body.rank:
            del chosen[name]


def _read_file(
    file: str | None, environ: Mapping[str, str]
) -> tuple[Path | None, Mapping[str, object]]:
    """Return the TOML file to read and its keys; None and nothing where there is none."""
    wanted = file if file is not None else environ.get(_ENV_FILE)
    if wanted is not None:
        return _read_named(wanted, "--config" if file is not None else _ENV_FILE)
    path = user_file()
    try:
        if path is None or not path.exists():
            return None, {}
    except OSError:
        # A home that can't be entered, as under a service manager, has no settings.
        return None, {}
    return _read_named(str(path), "the user's configuration")


def _read_named(text: str, label: str) -> tuple[Path | None, Mapping[str, object]]:
    if not text:
        return None, {}
    path = Path(os.path.expanduser(text))  # noqa: PTH111 - stays as it is where there is no home
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no possible file name"
        raise ConfigError(
            f"{label}: {_named(path)} can't be read ({reason}): name a TOML file, or '' for none"
        ) from None
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{label}: {_named(path)} is over 1 MiB: name a TOML file of settings")
    return path, _parse_toml(path, data)


def _parse_toml(path: Path, data: bytes) -> Mapping[str, object]:
    import tomllib  # 13 ms that a start without a file doesn't need

    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        reason = "not UTF-8"
    except RecursionError:
        reason = "nested too deep"
    except tomllib.TOMLDecodeError as error:
        reason = str(error)
    raise ConfigError(
        f"{_named(path)} is no TOML: {reason}: one setting a line, such as per-host = 5"
    )


def _named(path: Path | None) -> str:
    return plain(str(path))


def _shell_quoted(text: str) -> str:
    import shlex

    return shlex.quote(text)


def _unknown(environ: Mapping[str, str]) -> tuple[str, ...]:
    # Not refused, as Kubernetes gives every container FETCHPOOL_SERVICE_HOST and the like once
    # a service is named fetchpool.
    ours = {option.env for option in options()} | {_ENV_FILE}
    return tuple(sorted(n for n in environ if n.startswith(_ENV_PREFIX) and n not in ours))

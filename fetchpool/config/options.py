"""An option: one setting under all its names, with the sentence that explains it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fetchpool.config.values import ConfigError, Kind, Switch, Unfit


class Panel(StrEnum):
    """The groups of options, in the order of the help."""

    IO = "Input and output"
    REQUESTS = "Requests"
    LIMITS = "Limits"
    CONNECTIONS = "Connections"
    TIMEOUTS = "Time-outs"
    RESPONSES = "Responses"
    RETRIES = "Retries"
    CREDENTIALS = "Credentials and cookies"
    TRUST = "Network and trust"
    AGAIN = "Running again"
    SHARDS = "Several machines"
    REPORTING = "Reporting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Also:
    """What an option has beside panel, kind and help."""

    short: str | None = None
    """The one-letter flag."""
    default: str | None = None
    """Shown as the default in help and reference in place of the value."""
    example: str | None = None
    """A good value, for the end of an error message; else the default."""
    more: str = ""
    """More sentences, for the reference only."""


@dataclass(frozen=True, slots=True)
class Option:
    """One setting under all its names."""

    name: str
    """The field of `Config`: `per_host`."""
    default: Any
    panel: Panel
    kind: Kind
    help: str
    also: Also

    @property
    def flag(self) -> str:
        """The long option: `--per-host`."""
        return f"--{self.key}"

    @property
    def flags(self) -> tuple[str, ...]:
        """Every way to write it on the command line, the short one first."""
        return (self.also.short, self.flag) if self.also.short else (self.flag,)

    @property
    def key(self) -> str:
        """The key in a TOML file: `per-host`."""
        return self.name.replace("_", "-")

    @property
    def env(self) -> str:
        """The environment variable: `FETCHPOOL_PER_HOST`."""
        return f"FETCHPOOL_{self.name.upper()}"

    @property
    def is_switch(self) -> bool:
        """True for an option that takes no value."""
        return isinstance(self.kind, Switch)

    @property
    def default_text(self) -> str:
        """The default for a person to read; empty where there is none."""
        if self.also.default is not None:
            return self.also.default
        if self.is_switch:
            return "off"
        return "" if self.default in (None, ()) else self.kind.show(self.default)

    @property
    def example(self) -> str:
        """A value that would be accepted, as text."""
        if self.also.example is not None:
            return self.also.example
        return "true" if self.is_switch else self.default_text

    def show(self, value: Any) -> str:
        """Return *value* of this setting for a person, without its secrets."""
        if value is None or value == ():
            return self.also.default or "none"
        return self.kind.show(value)


def is_set(value: object) -> bool:
    """Tell whether *value* sets something: not None, off or empty; 0 does."""
    return value is not None and value is not False and value not in ("", ())


def checked_value(option: Option, value: object) -> Any:
    """Return *value*, given by a program, as `Config` keeps it, or raise `ConfigError`."""
    if value is None and option.default is None:
        return None
    try:
        return option.kind.check(value)
    except Unfit as unfit:
        example = option.example if option.kind.bare else repr(option.example)
        example = "True" if option.is_switch else example
        remedy = unfit.remedy or f"try {option.name}={example}"
        message = f"{option.name} ({option.flag}) {unfit.problem}: {remedy}"
    raise ConfigError(message)

"""What `fetchpool plan` is told beside the limits of a run: how much to read, what to assume."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from fetchpool.config.options import Also, Option, Panel
from fetchpool.config.values import ConfigError, Kind, Real, Unfit

_PERCENT = re.compile(r"\s*([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*%\s*")


class Share(Kind):
    """A part of a whole, in percent."""

    accepts = "a part in percent, above 0% and up to 100%"
    metavar = "SHARE"

    def check(self, value: object) -> float:
        """Return the part, above 0 and up to 1."""
        found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
        share = float(found[1]) / 100 if found else 0.0
        if not 0 < share <= 1:
            raise self.unfit(value)
        return share

    def show(self, value: float) -> str:
        """Return it in percent."""
        return f"{100 * value:g}%"


class AboveZero(Real):
    """A finite number within bounds; 0 is none."""

    def check(self, value: object) -> float:
        """Return it, or raise `Unfit`."""
        number = super().check(value)
        if not number:
            raise self.unfit(value)
        return number


SAMPLE = Option(
    "sample",
    None,
    Panel.IO,
    Share(),
    "Read about so much of each plain file, from places spread over it; other lists whole",
    Also(default="all", example="1%"),
)
RATE_PER_MACHINE = Option(
    "rate_per_machine",
    2000.0,
    Panel.LIMITS,
    AboveZero("R", "requests per second from 0.01 to 1000000", 0.01, 1e6),
    "What one machine does at most, in requests per second",
    Also(),
)
REQUEST_TIME = Option(
    "request_time",
    0.5,
    Panel.LIMITS,
    AboveZero("SECONDS", "seconds from 0.001 to 3600", 0.001, 3600),
    "Seconds that a request takes, assumed; a run's last screen has them (whole URL)",
    Also(),
)
PLAN_OPTIONS = (SAMPLE, RATE_PER_MACHINE, REQUEST_TIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """What a plan assumes, and how much of the lists it reads."""

    sample: float | None = None
    """The part of each plain file that is read, above 0 and up to 1; None = all."""
    rate_per_machine: float = 2000.0
    """Requests per second."""
    request_time: float = 0.5
    """Seconds."""


def plan_settings(given: Mapping[str, object]) -> PlanSettings:
    """Return the settings in *given*, texts by names of options; raises `ConfigError`."""
    values = {}
    for option in PLAN_OPTIONS:
        raw = given.get(option.name)
        if raw is None:
            continue
        try:
            value = option.kind.read(raw) if isinstance(raw, str) else raw
            values[option.name] = option.kind.check(value)
        except Unfit as unfit:
            message = f"{option.flag} {unfit.problem}: try {option.flag} {option.example}"
            raise ConfigError(message) from None
    return PlanSettings(**values)

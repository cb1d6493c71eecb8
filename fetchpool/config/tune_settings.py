"""What `fetchpool tune` is told beside the settings of a run."""

from __future__ import annotations

from fetchpool.config.options import Also, Option, Panel
from fetchpool.config.values import ConfigError, Unfit, Whole

LEAST_BUDGET = 40

BUDGET = Option(
    "budget",
    2000,
    Panel.LIMITS,
    Whole(LEAST_BUDGET, 100_000),
    "Requests made at most, to all hosts together",
    Also(),
)
TUNE_OPTIONS = (BUDGET,)


def read_budget(raw: object) -> int:
    """Return the budget that *raw*, a text or None, stands for; raises `ConfigError`."""
    if raw is None:
        return 2000
    try:
        value = BUDGET.kind.read(raw) if isinstance(raw, str) else raw
        return int(BUDGET.kind.check(value))
    except Unfit as unfit:
        raise ConfigError(f"{BUDGET.flag} {unfit.problem}: try {BUDGET.flag} 500") from None

"""Small expressions among the settings: which runs count as failed, which failures to retry."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from fetchpool.config.values import Kind, Unfit, quoted

CHANGES = ("new", "changed", "gone", "left")
"""What `--fail-if` may count beside errors, with `--refresh`."""

_BOUND = re.compile(
    rf"(errors|{'|'.join(CHANGES)})\s*>\s*([0-9]{{1,18}})(\.[0-9]{{1,9}})?\s*(%?)", re.IGNORECASE
)
_STATUS = re.compile(r"status:([1-9]xx|[1-9][0-9]{2})")


class FailIf(Kind):
    """`errors>N`, `errors>P%`, `changed>N` or `never`; several with commas: any of them."""

    accepts = "'errors>N', 'errors>P%' (P from 0 to 100), 'changed>N', 'gone>N' or 'never'"
    metavar = "EXPR"

    def check(self, value: object) -> str:
        if not isinstance(value, str):
            raise self.unfit(value)
        if value.strip().lower() == "never":
            return "never"
        return ",".join(self._bound(value, each) for each in value.split(","))

    def _bound(self, value: str, each: str) -> str:
        match = _BOUND.fullmatch(each.strip())
        if match is None:
            raise Unfit(self.unfit(value).problem, "quote it for the shell: 'errors>5%'")
        what, number, fraction, percent = match.groups()
        if percent:
            if int(number) > 100 or (int(number) == 100 and (fraction or ".0").strip(".0")):
                raise self.unfit(value)
        elif fraction:
            raise self.unfit(value)
        return f"{what.lower()}>{int(number)}{fraction or ''}{percent}"

    def show(self, value: str) -> str:
        return value


def exceeds(
    expression: str, errors: int, lines: int, changes: Mapping[str, int] | None = None
) -> bool:
    """Tell whether *errors* among *lines*, or *changes*, fail a run under a checked `--fail-if`."""
    counts = {**(changes or {}), "errors": errors}
    bounds = (each.partition(">") for each in expression.split(",") if each != "never")
    return any(_exceeds(counts.get(what, 0), bound, lines) for what, _, bound in bounds)


def _exceeds(count: int, bound: str, lines: int) -> bool:
    if not bound.endswith("%"):
        return count > int(bound)
    # Exact: 0.29 * 100 is 28.999999999999996 in floating point.
    whole, _, fraction = bound[:-1].partition(".")
    scale: int = 10 ** len(fraction)
    return count * 100 * scale > int(whole + fraction) * lines


def counts_changes(expression: str) -> bool:
    """Tell whether a checked `--fail-if` counts what only `--refresh` finds out."""
    return any(each.partition(">")[0] in CHANGES for each in expression.split(","))


class FailureKinds(Kind):
    """Kinds of error, comma-separated; `status:404` and `status:5xx` say which statuses."""

    accepts = "kinds of error such as timeout,connect,status:5xx"
    metavar = "KINDS"

    def read(self, text: str) -> object:
        return text.split(",")

    def check(self, value: object) -> tuple[str, ...]:
        """Return the kinds in lower case, each once; `all` alone is the empty tuple."""
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, Sequence):
            raise self.unfit(value)
        kinds = dict.fromkeys(self._kind(item) for item in items)
        if "all" in kinds:
            return ()
        return tuple(kinds)

    def _kind(self, item: object) -> str:
        from fetchpool.model.values import (
            FailureKind,  # imports msgspec, which most starts don't need
        )

        kind = item.strip().lower() if isinstance(item, str) else ""
        known = [member.value for member in FailureKind]
        if kind in known or kind == "all" or _STATUS.fullmatch(kind):
            return kind
        raise Unfit(
            f"takes {self.accepts}, not {quoted(item)}",
            f"choose from all, {', '.join(known)}, status:NNN, status:Nxx",
        )

    def show(self, value: tuple[str, ...]) -> str:
        return ",".join(value) or "all"


def matches(kinds: tuple[str, ...], error: str, status: int | None) -> bool:
    """Tell whether a failure is among checked *kinds*; an empty tuple means all."""
    if not kinds or error in kinds:
        return True
    if error != "status" or status is None:
        return False
    return f"status:{status}" in kinds or f"status:{status // 100}xx" in kinds

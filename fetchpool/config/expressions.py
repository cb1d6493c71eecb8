"""Small expressions among the settings: which runs count as failed, what is tried again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from fetchpool.config.values import Kind, Unfit, lines_of, quoted
from fetchpool.model.again import FAILED_STATUSES, statuses_in

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


class WhatToRetry(Kind):
    """Statuses and kinds of error that are tried again, or not; each text may hold several."""

    accepts = "statuses and kinds of error such as 404,5xx,520-527,tls"
    metavar = "WHAT"
    repeatable = True

    def read(self, text: str) -> object:
        return lines_of(text)

    def check(self, value: object) -> tuple[str, ...]:
        """Return the items in lower case, each once; numbers are statuses."""
        items = [value] if isinstance(value, str | int) else value
        if not isinstance(items, Sequence):
            raise self.unfit(value)
        words = [word for item in items for word in self._words(item)]
        return tuple(dict.fromkeys(words))

    def _words(self, item: object) -> list[str]:
        if isinstance(item, bool) or not isinstance(item, str | int):
            raise self.unfit(item)
        return [self._word(word) for word in str(item).split(",")]

    def _word(self, text: str) -> str:
        from fetchpool.model.values import FailureKind  # imports msgspec

        word = text.strip().lower()
        statuses = statuses_in(word)
        if statuses is not None and word != "status":
            if statuses.start in FAILED_STATUSES or statuses == range(202, 203):
                return word.removeprefix("status:")
            raise Unfit(
                f"takes no {quoted(text)}: of statuses below 300 only 202 is ever tried again",
                "drop it",
            )
        kinds = [kind.value for kind in FailureKind if kind not in _NOT_FROM_OUTSIDE]
        if word in _NOT_FROM_OUTSIDE:
            raise Unfit(f"takes no {word}: {_NOT_FROM_OUTSIDE[word]}", "drop it")
        if word not in kinds:
            raise Unfit(
                f"takes {self.accepts}, not {quoted(text)}",
                f"choose from 202, 300 to 999, 3xx to 9xx, {', '.join(kinds)} (any status)",
            )
        return word

    def show(self, value: tuple[str, ...]) -> str:
        return ",".join(value)


_NOT_FROM_OUTSIDE = {
    "input": "a line that is no URL stays one",
    "blocked": "what the settings refuse is refused again",
    "internal": "a bug of fetchpool stays one",
}
"""Kinds of error that come about without a word from outside, and why they aren't tried again."""


def matches(kinds: tuple[str, ...], error: str, status: int | None) -> bool:
    """Tell whether a failure is among checked *kinds*; an empty tuple means all."""
    if not kinds or error in kinds:
        return True
    if error != "status" or status is None:
        return False
    return f"status:{status}" in kinds or f"status:{status // 100}xx" in kinds

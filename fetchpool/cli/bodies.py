"""A request's body from standard input: `get LIST -d @-`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from fetchpool.config import ConfigError
from fetchpool.config.request_values import MAX_BODY_BYTES

STANDARD_INPUT = "@-"


def with_standard_input(given: Mapping[str, Any], sources: Sequence[str]) -> dict[str, Any]:
    """Return *given*, the options of a command line, with what `@-` in them stands for.

    Raises `ConfigError` where the list of *sources* is to come from standard input as well.
    """
    wanted = [name for name in ("data", "json") if given.get(name) == STANDARD_INPUT]
    if not wanted:
        return dict(given)
    option = f"--{wanted[0]} {STANDARD_INPUT}"
    if len(wanted) > 1:
        raise ConfigError("--data can't be combined with --json: a request has one body")
    if not sources or "-" in sources:
        raise ConfigError(
            f"{option} and the list can't both come from standard input: put one into a file"
        )
    if sys.stdin is None:
        raise ConfigError(f"{option} needs a standard input; it is closed: name a file")
    return {**given, wanted[0]: sys.stdin.buffer.read(MAX_BODY_BYTES + 1)}

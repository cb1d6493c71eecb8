"""Writes the exit status of a refused command to the file of `--metrics-file`.

A misspelt option or a bad value ends a command before there is a `Config`. So the file's name is
looked for in the words of the command line, whatever is wrong with the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import product
from time import time

from fetchpool.config import Config, ConfigError, load_settings

FETCHING = "get"
"""The command that has metrics."""

_FILE, _LABEL = "metrics_file", "metrics_label"


def tell_refusal(argv: Sequence[str], environ: Mapping[str, str], exit_status: int) -> None:
    """Write metrics of the command line *argv*, which ends with *exit_status* before its run."""
    config = _metrics_of(argv, environ)
    if config is not None:
        with suppress(OSError):  # the user needs the reason for the refusal, not this one
            write_for(config, exit_status, time())


def write_for(config: Config, exit_status: int, began_at: float) -> None:
    """Write metrics of a run under *config* that began at *began_at* and could not start.

    Raises `OSError`.
    """
    if config.metrics_file is None:
        return
    from fetchpool.reporting.metrics import write_refusal

    write_refusal(config.metrics_file, exit_status, began_at, config.metrics_label)


def _metrics_of(argv: Sequence[str], environ: Mapping[str, str]) -> Config | None:
    """Return the settings about metrics that can be read; None: there is no file."""
    if not argv or argv[0] != FETCHING or "--dry-run" in argv:
        return None
    said, others = _said(argv)
    given: dict[str, object] = {}
    if _FILE in said:
        given[_FILE] = said[_FILE][-1]
    if _LABEL in said:
        given[_LABEL] = said[_LABEL]
    settings = said["config"][-1] if "config" in said else None
    # The labels, or the file of settings, may be the mistake.
    for only, file in product(((_FILE, _LABEL), (_FILE,)), (settings, "")):
        with suppress(ConfigError):
            config = load_settings(given, environ, file=file, only=only).config
            return None if config.metrics_file in others else config
    return None


def _said(argv: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the values in *argv* for the options about metrics, and the other words."""
    found: dict[str, list[str]] = {}
    others: list[str] = []
    words = iter(argv[1:])
    for word in words:
        if word == "--":
            others += words
            break
        flag, equals, value = word.partition("=")
        name = flag.removeprefix("--").replace("-", "_")
        if flag.startswith("--") and name in (_FILE, _LABEL, "config"):
            found.setdefault(name, []).append(value if equals else next(words, ""))
        else:
            others.append(word)
    return found, others

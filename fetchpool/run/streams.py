"""What the standard streams are: closed from the start, or one terminal for several writers."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fetchpool.config import Config

STDIN, STDOUT = 0, 1


def occupy_closed_streams() -> frozenset[int]:
    """Put the null device in the place of closed standard streams; return which were closed.

    Else the next file opened takes the number: what a library writes to standard error would land
    in the ledger, and libuv aborts the process when it is to close a descriptor below 3.
    """
    closed = set()
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                null = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
                os.set_inheritable(null, True)
                closed.add(number)
    return frozenset(closed)


def others_write_to_the_terminal(config: Config, sources: Sequence[str]) -> bool:
    """Tell whether what the run writes elsewhere may land among the lines of a display.

    So it is where records or events go to a terminal, or to a pipe: who reads that (jq, cat)
    writes to the terminal as a rule, at moments nobody here knows. A regular file harms nothing.
    A list that is typed is echoed where the display would be.
    """
    if "-" in sources and _may_be_typed():
        return True
    places = [STDOUT if config.records == "-" else config.records, config.log_file]
    return any(_may_be_shown(place) for place in places if place is not None)


def _may_be_shown(place: int | str) -> bool:
    try:
        mode = os.stat(place).st_mode  # noqa: PTH116 - descriptors too
    except (OSError, ValueError):
        return False  # not there yet: it will be a regular file, or an error
    if stat.S_ISCHR(mode):
        return _is_terminal(place)
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _may_be_typed() -> bool:
    try:
        return os.isatty(STDIN)
    except OSError:
        return False


def _is_terminal(place: int | str) -> bool:
    if isinstance(place, int):
        return os.isatty(place)
    try:
        opened = os.open(place, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return os.isatty(opened)
    finally:
        os.close(opened)

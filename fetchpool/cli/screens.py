"""What the commands that show something to a person share."""

from __future__ import annotations

import os
import sys
from typing import NamedTuple

from fetchpool.model.exits import ExitStatus
from fetchpool.reporting.terminal.plain import shown
from fetchpool.reporting.terminal.terminal import (
    Glyphs,
    Writer,
    can_repaint,
    glyphs_for,
    is_terminal,
    terminal_size,
)

_LONGEST_NAME = 200


class Screen(NamedTuple):
    """What standard output can show."""

    columns: int
    glyphs: Glyphs
    colour: bool
    longest_name: int


def screen_of_stdout() -> Screen:
    """Return what standard output can show: 80 columns where it is no terminal."""
    stdout = sys.stdout
    terminal = stdout is not None and is_terminal(stdout)
    columns = terminal_size(stdout)[0] if terminal else 80
    return Screen(
        columns,
        glyphs_for(stdout, os.environ),
        # https://no-color.org: any value but the empty one.
        colour=terminal and can_repaint(os.environ) and not os.environ.get("NO_COLOR"),
        longest_name=max(12, columns - 3) if terminal else _LONGEST_NAME,
    )


def write_text(text: str) -> ExitStatus:
    """Write *text* to standard output; return 0, or 74 with a line on standard error.

    Raises BrokenPipeError if its reader has gone.
    """
    stdout = sys.stdout
    if stdout is None:  # closed by whoever started us: nobody wants to know
        return ExitStatus.OK
    encoding = stdout.encoding or "utf-8"
    try:
        stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        complain(f"cannot write to standard output: {error.strerror}")
        return ExitStatus.IO_ERROR
    return ExitStatus.OK


def complain(message: str, status: ExitStatus = ExitStatus.USAGE) -> ExitStatus:
    """Write *message* as a line to standard error; return *status*."""
    line = shown(message, glyphs_for(sys.stderr, os.environ))
    Writer(sys.stderr).write(f"fetchpool: {line}\n")
    return status

"""The program: `fetchpool`, which is also `python -m fetchpool`."""

import gc
import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn

IMPORTS_MAKE = 200_000
"""More objects than importing everything makes: looking for garbage among them takes 40 ms of 400,
and finds none."""


def main() -> NoReturn:
    """Run the command line and end the process with its exit status.

    What there is to close is closed by then. Python would go on to take itself apart, piece by
    piece: 60 ms for what the system does at once.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(
            signal.SIGINT, signal.SIG_DFL
        )  # a run listens itself; before it, no traceback
    gc.set_threshold(IMPORTS_MAKE, *gc.get_threshold()[1:])
    try:
        from fetchpool.cli.app import main as run
    except ImportError as missing:
        _leave(f"this installation is not complete: {missing}. Install fetchpool again")
    status = run()
    with suppress(OSError, ValueError, AttributeError):  # nobody there to hear it, or closed
        sys.stderr.flush()
    os._exit(status)


def _leave(why: str) -> NoReturn:
    """End with the status of a wrong configuration, and a line for a person."""
    line = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in why)
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"fetchpool: {line}\n")
        sys.stderr.flush()
    os._exit(2)


if __name__ == "__main__":
    main()

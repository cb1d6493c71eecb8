"""The exit statuses of the `fetchpool` command."""

from enum import IntEnum


class ExitStatus(IntEnum):
    """The exit statuses for shells, service managers and workflow engines.

    70 and 73-75 are those of BSD's sysexits.h (EX_SOFTWARE, EX_CANTCREAT, EX_IOERR, EX_TEMPFAIL);
    from 128 on, a signal's number is added, as shells do.
    """

    OK = 0
    """Finished; every URL ok, or within `--fail-if`."""
    URLS_FAILED = 1
    """Finished; URLs failed."""
    USAGE = 2
    """Bad usage, bad configuration, or an input that cannot be read; nothing was fetched."""
    BUG = 70
    """A bug in fetchpool, shown with its traceback."""
    CANNOT_CREATE = 73
    """The output cannot be created; nothing was fetched."""
    IO_ERROR = 74
    """Writing the output or reading the list failed midway; the same command goes on."""
    STOPPED_EARLY = 75
    """`--max-time`, our network is down, or another run holds the directory."""
    HANGUP = 129
    INTERRUPTED = 130
    PIPE_CLOSED = 141
    """Standard output was closed by its reader."""
    TERMINATED = 143

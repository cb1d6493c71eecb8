"""What commands share that read a run and write a file: its ledger, and where the result goes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import TypeAlias

from fetchpool.cli.screens import complain
from fetchpool.config.values import ConfigError
from fetchpool.model.exits import ExitStatus
from fetchpool.output.export.files import (
    STDOUT,
    Replacement,
    descriptor_written,
    is_stream,
    open_stream,
    write_whole,
)
from fetchpool.output.ledger.layout import Layout

Copy: TypeAlias = Callable[[Callable[[bytes], object]], None]
"""Gives what is to be written to its argument."""


def open_ledger(dest: str, layout: Layout | None = None) -> FileIO | ExitStatus:
    """Return the ledger of the run in *dest*, or the status where there is none to be read."""
    ledger_path = (layout or Layout(Path(dest))).ledger
    try:
        return FileIO(ledger_path)
    except (FileNotFoundError, NotADirectoryError):
        return complain(
            f"{dest} holds no run: there is no {ledger_path.name}. Name the directory that "
            "fetchpool get wrote to.",
            ExitStatus.USAGE,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return complain(f"cannot read {dest}: {reason}", ExitStatus.USAGE)


def write_out(copy: Copy, output: str, ledger: FileIO) -> ExitStatus:
    """Write what *copy* gives to *output*, a path or `-`; return the exit status.

    A file is replaced in one step. 73, with one line on standard error, where *output* can't be
    made, 74 where it can't be written on. Raises BrokenPipeError if the reader has gone,
    `ConfigError` if *output* is *ledger* itself.
    """
    if not is_stream(output):
        return _to_file(ledger, copy, output)
    return _to_stream(copy, output)


def _to_file(ledger: FileIO, copy: Copy, output: str) -> ExitStatus:
    try:
        if os.path.exists(output) and os.path.samestat(  # noqa: PTH110
            os.fstat(ledger.fileno()),
            os.stat(output),  # noqa: PTH116
        ):
            raise ConfigError(f"--output {output} is the ledger itself: name another file")
        replacement = Replacement(output)
    except OSError as error:
        return complain(f"cannot write {output}: {error.strerror}", ExitStatus.CANNOT_CREATE)
    return _copied(output, lambda: replacement.write(copy))


def _to_stream(copy: Copy, output: str) -> ExitStatus:
    name = "standard output" if output == "-" else output
    # If it was closed at the start, its number may now be another file's.
    if descriptor_written(output) == STDOUT and sys.stdout is None:
        return complain("standard output is closed: name a file with -o", ExitStatus.CANNOT_CREATE)
    try:
        fd = open_stream(output)
    except OSError as error:
        return complain(f"cannot write {name}: {error.strerror}", ExitStatus.CANNOT_CREATE)
    try:
        return _copied(name, lambda: copy(lambda data: write_whole(fd, data)))
    finally:
        os.close(fd)


def _copied(name: str, copy: Callable[[], None]) -> ExitStatus:
    try:
        copy()
    except BrokenPipeError:
        raise
    except OSError as error:
        return complain(f"cannot write {name}: {error.strerror}", ExitStatus.IO_ERROR)
    return ExitStatus.OK

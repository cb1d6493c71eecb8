"""`fetchpool export DEST`: the records of a run directory for other programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import TypeAlias

from fetchpool.config.values import ConfigError
from fetchpool.model.bodies import StoreError
from fetchpool.model.exits import ExitStatus
from fetchpool.output.export.copy import copy_records
from fetchpool.output.export.files import (
    STDOUT,
    Replacement,
    descriptor_written,
    is_stream,
    open_stream,
    write_whole,
)
from fetchpool.output.export.forms import form_of
from fetchpool.output.export.rows import Dialect, Table
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.state import read_state
from fetchpool.reporting.terminal.plain import shown
from fetchpool.reporting.terminal.terminal import Writer, glyphs_for

Copy: TypeAlias = Callable[[Callable[[bytes], object]], None]
"""Gives what is to be written to its argument."""


def export(dest: str, output: str, wanted: str, place: Path | None = None) -> int:
    """Write the records in *dest* to *output*, a path or `-`; return the exit status.

    *wanted* is `jsonl`, `csv` or `auto`; CSV is written as the list was, where that is a
    spreadsheet's table. *place* is where the records are, if not in *dest*. A run that is on is
    not disturbed: what it had recorded at this moment is written. 2, with one line on standard
    error, where there is no run; 73 where *output* can't be made, 74 where it can't be
    written on. Raises BrokenPipeError if the reader has gone, `ConfigError` if *output* is the
    ledger itself.
    """
    layout = Layout(place or Path(dest))
    opened = _open_ledger(dest, layout)
    if isinstance(opened, ExitStatus):
        return opened
    with opened as ledger:
        form = form_of(wanted, output)
        state = read_state(layout.state)
        table = Table(dialect=Dialect.of(None if state is None else state.sheet))

        def copy(write: Callable[[bytes], object]) -> None:
            copy_records(ledger, form, write, table)

        if not is_stream(output):
            return _to_file(ledger, copy, output)
        return _to_stream(copy, output)


def export_store(dest: str, output: str, store: str) -> int:
    """Write the records and bodies in *dest* to a new directory *output*; return the exit status.

    The bodies lie there as `--store` *store* would have put them. 2 where there is no run in
    *dest*, 73 where *output* is there already, 74 where a body can't be read or written.
    """
    opened = _open_ledger(dest)
    if isinstance(opened, ExitStatus):
        return opened
    from fetchpool.output.export.bodies import BodyMissingError, export_bodies

    with opened as ledger:
        try:
            export_bodies(ledger, Path(dest), Path(output), store)
        except FileExistsError:
            message = f"{output} is there already: name a directory that isn't"
            return _complain(message, ExitStatus.CANNOT_CREATE)
        except BodyMissingError as missing:
            reason = f"{missing.reason}. {output} was not made"
            return _complain(
                f"cannot read {missing.where} in {dest}: {reason}", ExitStatus.IO_ERROR
            )
        except (OSError, StoreError) as error:
            trouble = str(error.strerror if isinstance(error, OSError) else error)
            return _complain(f"cannot write {output}: {trouble}", ExitStatus.IO_ERROR)
    return ExitStatus.OK


def export_wacz(dest: str, output: str) -> int:
    """Write the WARCs in *dest* to *output*, one file of the form WACZ; return the exit status.

    2 where there is no run in *dest* or none of WARCs, 74 where they can't be read, or *output*
    can't be written.
    """
    opened = _open_ledger(dest)
    if isinstance(opened, ExitStatus):
        return opened
    opened.close()
    from fetchpool.output.export.wacz import NoArchiveError, write_wacz

    try:
        write_wacz(Path(dest), Path(output))
    except NoArchiveError:
        return _complain(
            f"{dest} has no complete WARC: that takes --store warc, and the end of the run.",
            ExitStatus.USAGE,
        )
    except OSError as error:
        return _complain(f"cannot write {output}: {error.strerror or error}", ExitStatus.IO_ERROR)
    return ExitStatus.OK


def _open_ledger(dest: str, layout: Layout | None = None) -> FileIO | ExitStatus:
    """Return the ledger of the run in *dest*, or the status where there is none to be read."""
    ledger_path = (layout or Layout(Path(dest))).ledger
    try:
        return FileIO(ledger_path)
    except (FileNotFoundError, NotADirectoryError):
        return _complain(
            f"{dest} holds no run: there is no {ledger_path.name}. Name the directory that "
            "fetchpool get wrote to.",
            ExitStatus.USAGE,
        )
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return _complain(f"cannot read {dest}: {reason}", ExitStatus.USAGE)


def _to_file(ledger: FileIO, copy: Copy, output: str) -> int:
    try:
        if os.path.exists(output) and os.path.samestat(  # noqa: PTH110
            os.fstat(ledger.fileno()),
            os.stat(output),  # noqa: PTH116
        ):
            raise ConfigError(f"--output {output} is the ledger itself: name another file")
        replacement = Replacement(output)
    except OSError as error:
        return _complain(f"cannot write {output}: {error.strerror}", ExitStatus.CANNOT_CREATE)
    return _copied(output, lambda: replacement.write(copy))


def _to_stream(copy: Copy, output: str) -> int:
    name = "standard output" if output == "-" else output
    # If it was closed at the start, its number may now be another file's.
    if descriptor_written(output) == STDOUT and sys.stdout is None:
        return _complain("standard output is closed: name a file with -o", ExitStatus.CANNOT_CREATE)
    try:
        fd = open_stream(output)
    except OSError as error:
        return _complain(f"cannot write {name}: {error.strerror}", ExitStatus.CANNOT_CREATE)
    try:
        return _copied(name, lambda: copy(lambda data: write_whole(fd, data)))
    finally:
        os.close(fd)


def _copied(name: str, copy: Callable[[], None]) -> int:
    try:
        copy()
    except BrokenPipeError:
        raise
    except OSError as error:
        return _complain(f"cannot write {name}: {error.strerror}", ExitStatus.IO_ERROR)
    return ExitStatus.OK


def _complain(message: str, status: ExitStatus) -> ExitStatus:
    line = shown(message, glyphs_for(sys.stderr, os.environ))
    Writer(sys.stderr).write(f"fetchpool: {line}\n")
    return status

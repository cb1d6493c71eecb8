"""`fetchpool export DEST`: the records of a run directory for other programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fetchpool.cli.screens import complain
from fetchpool.cli.writing import open_ledger, write_out
from fetchpool.model.bodies import StoreError
from fetchpool.model.exits import ExitStatus
from fetchpool.output.export.copy import copy_records
from fetchpool.output.export.forms import form_of
from fetchpool.output.export.rows import Dialect, Table
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.state import read_state


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
    opened = open_ledger(dest, layout)
    if isinstance(opened, ExitStatus):
        return opened
    with opened as ledger:
        form = form_of(wanted, output)
        state = read_state(layout.state)
        table = Table(dialect=Dialect.of(None if state is None else state.sheet))

        def copy(write: Callable[[bytes], object]) -> None:
            copy_records(ledger, form, write, table)

        return write_out(copy, output, ledger)


def export_store(dest: str, output: str, store: str, place: Path | None = None) -> int:
    """Write the records and bodies in *dest* to a new directory *output*; return the exit status.

    The bodies lie there as `--store` *store* would have put them. *place* is as in `export`. 2
    where there is no run in *dest*, 73 where *output* is there already, 74 where a body can't be
    read or written.
    """
    source = place or Path(dest)
    opened = open_ledger(dest, Layout(source))
    if isinstance(opened, ExitStatus):
        return opened
    from fetchpool.output.export.bodies import BodyMissingError, export_bodies

    with opened as ledger:
        try:
            export_bodies(ledger, source, Path(output), store)
        except FileExistsError:
            message = f"{output} is there already: name a directory that isn't"
            return complain(message, ExitStatus.CANNOT_CREATE)
        except BodyMissingError as missing:
            reason = f"{missing.reason}. {output} was not made"
            return complain(f"cannot read {missing.where} in {dest}: {reason}", ExitStatus.IO_ERROR)
        except (OSError, StoreError) as error:
            trouble = str(error.strerror if isinstance(error, OSError) else error)
            return complain(f"cannot write {output}: {trouble}", ExitStatus.IO_ERROR)
    return ExitStatus.OK


def export_wacz(dest: str, output: str, place: Path | None = None) -> int:
    """Write the WARCs in *dest* to *output*, one file of the form WACZ; return the exit status.

    *place* is as in `export`. 2 where there is no run in *dest* or none of WARCs, 74 where they
    can't be read, or *output* can't be written.
    """
    source = place or Path(dest)
    opened = open_ledger(dest, Layout(source))
    if isinstance(opened, ExitStatus):
        return opened
    opened.close()
    from fetchpool.output.export.wacz import NoArchiveError, write_wacz

    try:
        write_wacz(source, Path(output))
    except NoArchiveError:
        return complain(
            f"{dest} has no complete WARC: that takes --store warc, and the end of the run.",
            ExitStatus.USAGE,
        )
    except (OSError, StoreError) as error:
        trouble = str((isinstance(error, OSError) and error.strerror) or error)
        return complain(f"cannot write {output}: {trouble}", ExitStatus.IO_ERROR)
    return ExitStatus.OK

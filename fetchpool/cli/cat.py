"""`fetchpool cat DEST URL|SEQ`: one body to standard output, from any store."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from fetchpool.cli.screens import complain
from fetchpool.model.bodies import NoSuchBodyError, StoreError
from fetchpool.model.exits import ExitStatus
from fetchpool.output.export.files import STDOUT, write_whole
from fetchpool.output.ledger.finding import Found, find
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.sinks.reading import read_body, read_head

_LINE_ENDS = "\n\r\t"


def cat(dest: str, wanted: str, place: Path | None = None, *, head: bool = False) -> int:
    """Write the body of the URL or line *wanted* in *dest* to standard output; return the status.

    *place* is where its records are, if not there. With *head*, it is the head of the response. To
    a terminal, what could command it is written as escapes. 1 where that line has no body, 2 where
    there is no run or no such line, 74 where the body can't be read. Raises BrokenPipeError.
    """
    place = place or Path(dest)
    try:
        found = find(Layout(place).ledger, wanted)
    except (FileNotFoundError, NotADirectoryError):
        message = f"{dest} holds no run: name the directory that fetchpool get wrote to."
        return complain(message, ExitStatus.USAGE)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return complain(f"cannot read {dest}: {reason}", ExitStatus.USAGE)
    if found is None:
        message = f"no record in {dest} is of {wanted}: give a URL as it stands there, or its seq."
        return complain(message, ExitStatus.USAGE)
    if sys.stdout is None:
        return complain("standard output is closed.", ExitStatus.CANNOT_CREATE)
    try:
        if head:
            return _write(read_head(place, found.place))
        return _write(read_body(place, found.path, found.place))
    except NoSuchBodyError:
        if head:
            message = f"no head of {found.url} is kept: only --store warc keeps them."
            return complain(message, ExitStatus.URLS_FAILED)
        return complain(f"{found.url} has no body: {_why(found)}.", ExitStatus.URLS_FAILED)
    except BrokenPipeError:
        raise
    except StoreError as error:
        return complain(f"{error}.", ExitStatus.IO_ERROR)
    except OSError as error:
        name = found.path or found.container
        return complain(
            f"cannot read {name} in {dest}: {error.strerror or error}.", ExitStatus.IO_ERROR
        )


def _write(pieces: Iterator[bytes]) -> ExitStatus:
    write = _to_terminal() if sys.stdout.isatty() else _to_file()
    for piece in pieces:
        try:
            write(piece)
        except BrokenPipeError:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            return complain(f"cannot write to standard output: {reason}.", ExitStatus.IO_ERROR)
    return ExitStatus.OK


def _to_file() -> Callable[[bytes], object]:
    return lambda piece: write_whole(STDOUT, piece)


def _to_terminal() -> Callable[[bytes], object]:
    decode = codecs.getincrementaldecoder("utf-8")("backslashreplace").decode
    return lambda piece: write_whole(STDOUT, _printable(decode(piece)).encode("utf-8", "replace"))


def _printable(text: str) -> str:
    return "".join(
        char if char.isprintable() or char in _LINE_ENDS else ascii(char)[1:-1] for char in text
    )


def _why(found: Found) -> str:
    if found.label is not None:
        return found.label if found.detail is None else f"{found.label}, {found.detail}"
    return "none was stored"

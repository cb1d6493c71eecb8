"""The log file of a run (`--log-file`): one line an event, for grep and for log collectors.

    2026-11-22T21:01:55.123Z host-parked host=api.example.com seconds=14.0 why=429

The form is logfmt: `key=value`, the value in double quotes unless its characters are plain. An
event is always one line, whatever a server sent, and secrets in URLs are hidden.
"""

from __future__ import annotations

import os
import re
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from io import TextIOWrapper
from logging import LogRecord, makeLogRecord
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from fetchpool.model.descriptors import descriptor_of
from fetchpool.model.urls import display, redact, redact_in

Value: TypeAlias = str | int | float | bool | None
"""What a field may hold; None leaves the field out."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9._:/@%+,~?&;!*()#$^|\[\]{}<>'-]+")
_LONGEST: Final = 8_000
"""Characters of one value: a line stays below 64 KB, where collectors cut."""


class EventSink(Protocol):
    """Takes the events of a run."""

    trouble: OSError | None
    """The first error because of which an event was not written."""

    def event(self, name: str, **fields: Value) -> None:
        """Log that *name* happened."""

    def crash(self, name: str, error: BaseException, **fields: Value) -> None:
        """Log that *name* happened because of *error*, with its traceback."""

    def close(self) -> None:
        """Close; further events are ignored."""


class NullLog:
    """Ignores every event: a run without `--log-file`."""

    trouble: OSError | None = None

    def event(self, name: str, **fields: Value) -> None:
        """Do nothing."""

    def crash(self, name: str, error: BaseException, **fields: Value) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class EventLog:
    """Appends events to the file *path*, each written through at once (about 20 µs).

    When the file is renamed or removed (logrotate), the next event goes to a new one of that name.
    Making a log raises `OSError` where the file can't be opened. Later errors are not raised, as a
    full disk is no reason to stop fetching: the first one is in `trouble`.
    """

    def __init__(self, path: str | Path, clock: Callable[[], float] = time.time) -> None:
        self._appender = _Appender(path, encoding="utf-8", errors="backslashreplace")
        self._clock = clock
        self._closed = False
        self.trouble: OSError | None = None

    def event(self, name: str, **fields: Value) -> None:
        """Append one line: time, *name* (`host-parked`), and the fields that are not None."""
        if self._closed:
            return
        pairs = "".join(
            f" {key}={_written(key, value)}" for key, value in fields.items() if value is not None
        )
        line = f"{timestamp(self._clock())} {name}{pairs}"
        try:
            self._appender.emit(makeLogRecord({"msg": line}))
        except OSError as error:
            self.trouble = self.trouble or error

    def crash(self, name: str, error: BaseException, **fields: Value) -> None:
        """Append one line, as `event` does, with the traceback of *error*."""
        text = "".join(traceback.format_exception(error)).rstrip()
        self.event(name, **fields, traceback=text)

    def close(self) -> None:
        """Close the file; further events are ignored."""
        self._closed = True
        try:
            self._appender.close()
        except OSError as error:
            self.trouble = self.trouble or error


class _Appender(WatchedFileHandler):
    """Raises the error that `emit` is handling; its parent prints it to standard error."""

    def handleError(self, record: LogRecord) -> None:
        raise

    def _open(self) -> TextIOWrapper:
        number = descriptor_of(self.baseFilename)
        if number is None:
            return super()._open()
        # "w" cuts nothing, as the descriptor is open already; "a" would seek, which a pipe refuses.
        return open(  # noqa: PTH123
            os.dup(number), "w", encoding=self.encoding, errors=self.errors
        )


def open_event_log(path: str | Path | None) -> EventSink:
    """Return the log at *path*, or one that ignores events for None; raises `OSError`."""
    return NullLog() if path is None else EventLog(path)


def timestamp(seconds: float) -> str:
    """Return *seconds* since the epoch as RFC 3339 in UTC: `2026-11-22T21:01:55.123Z`."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _written(key: str, value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(round(value, 6))
    if not isinstance(value, str):
        return str(value)
    text = redact(value) if key.endswith("url") else redact_in(value)
    if _PLAIN.fullmatch(text) and len(text) <= _LONGEST:
        return text
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"
    # Cut before quoting, so that no quote loses its backslash. Quoted before `display` escapes.
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{display(text)}"'

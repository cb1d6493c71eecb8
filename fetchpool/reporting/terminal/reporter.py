"""`Reporter`: everything that a run tells a person goes through it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal, TextIO, TypeAlias

from fetchpool.model.urls import redact_in
from fetchpool.reporting.terminal.failures import end_details
from fetchpool.reporting.terminal.plain import Heading, end_line, shown, start_line
from fetchpool.reporting.terminal.terminal import (
    Writer,
    can_repaint,
    glyphs_for,
    is_terminal,
    terminal_size,
)

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from fetchpool.reporting.stats import FailureGroup, Snapshot, Summary
    from fetchpool.reporting.terminal.live import ProgressDisplay, Screen

Mode: TypeAlias = Literal["auto", "always", "never"]
"""When progress is displayed; `auto` = on a terminal."""

_LONGEST_MESSAGE: Final = 2_000
_AT_ONCE: Final = 500
"""Lines written at a time: a list of failures may have millions."""


class Reporter:
    """Tells a person on *stream* (standard error) how a run goes.

    On a terminal: a live display, then the last screen. Elsewhere, and with *mode* `never`: a line
    at the start, a line at the end, and no escape sequence. With *quiet*: nothing if the exit
    status is 0, else one line. The URLs that failed are listed at the end.

    *stream* may be None, closed or broken: that raises nothing.

    As a context manager it removes the display, however the run ends.
    """

    def __init__(
        self,
        stream: TextIO | None,
        mode: Mode = "auto",
        quiet: bool = False,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._stream = stream
        self._writer = Writer(stream)
        self._quiet = quiet
        self._said_why = False
        self._glyphs = glyphs_for(stream, environ)
        self._screen: Screen | None = None
        self._live: ProgressDisplay | None = None
        if stream is not None and not quiet and _wants_display(stream, mode, environ):
            # rich takes 50 ms to import, so only for a terminal.
            from fetchpool.reporting.terminal.live import ProgressDisplay, Screen

            self._screen = Screen()
            self._live = ProgressDisplay(stream, self._writer, self._screen, self._glyphs)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    @property
    def wants_updates(self) -> bool:
        """Whether snapshots are shown; if not, they need not be made."""
        return self._live is not None

    def start(self, heading: Heading) -> None:
        """Announce the run."""
        if self._live is not None:
            self._live.start(heading)
        elif not self._quiet:
            self._line(start_line(heading, self._glyphs))

    def update(self, snapshot: Snapshot) -> None:
        """Show *snapshot*; more than four a second are ignored."""
        if self._live is not None:
            self._live.update(snapshot)

    def warn(self, text: str) -> None:
        """Print *text* in one line, above the display; nothing with quiet."""
        if not self._quiet:
            self._message(text)

    def error(self, text: str, samples: Sequence[str] = ()) -> None:
        """Print why the exit status won't be 0, in one line, the only one with quiet.

        Without quiet, *samples* of the list stand below, one a line.
        """
        if not (self._quiet and self._said_why):
            self._message(text)
        for sample in () if self._quiet else samples:
            self._line(f"  {shown(redact_in(sample), self._glyphs, _LONGEST_MESSAGE)}")
        self._said_why = True

    def finish(self, summary: Summary, failures: Sequence[FailureGroup] = ()) -> None:
        """Print how the run ended, and list *failures*."""
        if self._live is not None and self._screen is not None and self._stream is not None:
            from fetchpool.reporting.terminal.summary import render_summary

            self._live.stop()
            columns, _ = terminal_size(self._stream)
            lines = render_summary(summary, columns, self._glyphs, failures)
            while some := list(islice(lines, _AT_ONCE)):
                self._writer.write(self._screen.encode(some))
        elif not self._quiet or summary.exit_status != 0:
            if not (self._quiet and self._said_why):
                self._line(end_line(summary, self._glyphs))
            details = end_details(summary, failures, self._glyphs)
            while text := "".join(f"  {line}\n" for line in islice(details, _AT_ONCE)):
                self._writer.write(text)

    def _message(self, text: str) -> None:
        safe = shown(redact_in(text), self._glyphs, _LONGEST_MESSAGE)
        if self._live is not None:
            self._live.print_above(f"fetchpool: {safe}\n")
        else:
            self._line(f"fetchpool: {safe}")

    def _line(self, text: str) -> None:
        self._writer.write(f"{text}\n")


def _wants_display(stream: TextIO, mode: Mode, environ: Mapping[str, str]) -> bool:
    if mode == "never" or not can_repaint(environ):
        return False
    return mode == "always" or is_terminal(stream)

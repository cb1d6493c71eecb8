"""Lines at the bottom of a terminal, repainted in place, also after its size has changed."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from fetchpool.reporting.stats import Snapshot
from fetchpool.reporting.terminal.plain import Heading
from fetchpool.reporting.terminal.progress import render
from fetchpool.reporting.terminal.terminal import Glyphs, Writer, terminal_size

INTERVAL_S: Final = 0.25
_UP: Final = "\x1b[{}A"
_CLEAR: Final = "\x1b[2K"


class Screen:
    """Turns `Text` into terminal output, with colours only where the terminal has them."""

    def __init__(self) -> None:
        # Not the stream itself: rich writes to its file even while it captures, and fails if
        # that is closed. A Screen is made only where there is a terminal.
        self._console = Console(file=StringIO(), force_terminal=True, highlight=False, markup=False)

    def encode(self, lines: Sequence[Text]) -> str:
        """Return *lines* with their line ends, never wrapped or cut."""
        console = self._console
        with console.capture() as captured:
            for line in lines:
                console.print(line, soft_wrap=True, emoji=False)
        return captured.get()


class ProgressDisplay:
    """The progress of a run at the bottom of a terminal.

    Each repaint is one write: it goes up over the lines painted before, clears them and writes new
    ones. The cursor stays below them and visible, so a killed process leaves nothing to repair.
    `rich.live.Live` is not used: after the terminal became narrower it moves up by the lines it
    wrote, not by the rows they now take, and leaves the rest on the screen.
    """

    def __init__(self, stream: TextIO, writer: Writer, screen: Screen, glyphs: Glyphs) -> None:
        self._stream = stream
        self._writer = writer
        self._screen = screen
        self._glyphs = glyphs
        self._heading: Heading | None = None
        self._snapshot: Snapshot | None = None
        self._painted_at: float | None = None
        self._painted: list[int] = []
        """Cells of each line now on the screen."""

    def start(self, heading: Heading) -> None:
        """Show *heading* from the first update on."""
        self._heading = heading

    def update(self, snapshot: Snapshot) -> None:
        """Show *snapshot*, unless the last one was shown less than a quarter of a second ago."""
        painted_at = self._painted_at
        if painted_at is not None and 0 <= snapshot.elapsed_s - painted_at < INTERVAL_S:
            return
        self._snapshot = snapshot
        self._painted_at = snapshot.elapsed_s
        self._repaint("")

    def print_above(self, text: str) -> None:
        """Write *text*, whole lines that stay, above the display."""
        self._repaint(text)

    def stop(self) -> None:
        """Remove the display from the screen."""
        self._snapshot = None
        self._repaint("")

    def _repaint(self, above: str) -> None:
        columns, rows = terminal_size(self._stream)
        # Terminals such as tmux, VTE, kitty and iTerm fold lines that have become too long.
        old_rows = sum(max(1, -(-cells // columns)) for cells in self._painted)
        old_rows = min(old_rows, rows - 1)
        lines: list[Text] = []
        if self._snapshot is not None and self._heading is not None:
            lines = render(self._snapshot, self._heading, columns, self._glyphs)
            # Without the last row, where the cursor is: a display that scrolls can't be erased.
            lines = lines[: max(0, rows - 1)]
        self._painted = [line.cell_len for line in lines]
        text = above + self._screen.encode(lines)
        if text or old_rows:
            text = _erase(old_rows) + text
            self._writer.write(text)


def _erase(rows: int) -> str:
    """Return what erases the *rows* above the cursor and moves it to the first of them."""
    if not rows:
        return f"\r{_CLEAR}"
    up = _UP.format(rows)
    # Line by line: if the first row is the top of the screen, tmux takes "clear to the end of the
    # screen" for "clear the screen" and adds a copy to its history each time. The cursor's own row
    # too, where the terminal has echoed ^C.
    return "".join(("\r", _CLEAR, up, f"{_CLEAR}\n" * rows, up))

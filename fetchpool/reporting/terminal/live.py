"""Lines at the bottom of a terminal, painted again in their place, whatever its size has become."""

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
    """Turns `Text` into what a terminal is sent: colours only where it has them."""

    def __init__(self) -> None:
        # Not the stream itself: rich writes to its file even while it captures, and fails when
        # that is closed. Whoever makes a Screen has found that there is a terminal.
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

    Each repaint is one write that goes up over the lines painted before, clears them and writes
    new ones. The cursor rests below them and stays visible, so nothing has to be repaired when
    the process is killed. `rich.live.Live` is not used because after the terminal became narrower
    it moves up by the lines it wrote, not by the rows these take now, and leaves the rest standing.
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
        """Show *snapshot*, unless the one on the screen is younger than a quarter of a second."""
        painted_at = self._painted_at
        if painted_at is not None and 0 <= snapshot.elapsed_s - painted_at < INTERVAL_S:
            return
        self._snapshot = snapshot
        self._painted_at = snapshot.elapsed_s
        self._repaint("")

    def print_above(self, text: str) -> None:
        """Write *text*, whole lines, where it stays, above the display."""
        self._repaint(text)

    def stop(self) -> None:
        """Take the display off the screen."""
        self._snapshot = None
        self._repaint("")

    def _repaint(self, above: str) -> None:
        columns, rows = terminal_size(self._stream)
        # Terminals fold lines that have become too long (tmux, VTE, kitty, iTerm do).
        old_rows = sum(max(1, -(-cells // columns)) for cells in self._painted)
        old_rows = min(old_rows, rows - 1)
        lines: list[Text] = []
        if self._snapshot is not None and self._heading is not None:
            lines = render(self._snapshot, self._heading, columns, self._glyphs)
            # Without the last row, where the cursor rests: a display that scrolls can't be undone.
            lines = lines[: max(0, rows - 1)]
        self._painted = [line.cell_len for line in lines]
        text = above + self._screen.encode(lines)
        if text or old_rows:
            text = _erase(old_rows) + text
            self._writer.write(text)


def _erase(rows: int) -> str:
    """Return what empties the *rows* above the cursor and leaves it in the first of them."""
    if not rows:
        return f"\r{_CLEAR}"
    up = _UP.format(rows)
    # Line by line: where the first row is the screen's, tmux takes "clear to the end of the
    # screen" for "clear the screen" and keeps a copy of what it clears in its history each time.
    # The cursor's own row too: there the terminal has echoed ^C.
    return "".join(("\r", _CLEAR, up, f"{_CLEAR}\n" * rows, up))

"""Puts pieces of text on lines of a given width.

Everything is a rich `Text`, never markup: `[/red]` in a URL is shown unchanged. Texts are joined
with `Text.assemble`, as `+` would give the first one's style to all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len, chop_cells
from rich.text import Text

from fetchpool.reporting.terminal.terminal import Glyphs


def join(pieces: Iterable[Text], gap: str) -> Text:
    """Return *pieces* in a line, *gap* between them."""
    return Text(gap).join(pieces)


def cut(text: str, width: int, glyphs: Glyphs) -> str:
    """Return *text* in at most *width* cells, its end replaced by an ellipsis if it is longer."""
    if cell_len(text) <= width:
        return text
    room = width - cell_len(glyphs.ellipsis)
    if room <= 0:
        return chop_cells(text, width)[0] if width > 0 else ""
    return chop_cells(text, room)[0] + glyphs.ellipsis


def fit(pieces: Sequence[tuple[int, Text]], width: int, gap: str) -> list[Text]:
    """Return those of *pieces* that fit on a line, in their order.

    Each has a rank: rank 0 always stays, the highest is dropped first.
    """
    kept = list(pieces)
    while len(kept) > 1 and _line_width([text for _, text in kept], gap) > width:
        worst = max(range(len(kept)), key=lambda index: (kept[index][0], index))
        if kept[worst][0] == 0:
            break
        del kept[worst]
    return [text for _, text in kept]


def wrap(pieces: Sequence[Text], width: int, gap: str, indent: int = 0) -> list[Text]:
    """Return *pieces* on lines of *width*, later lines indented; no piece is broken."""
    lines: list[list[Text]] = [[]]
    for piece in pieces:
        line = lines[-1]
        room = width - (indent if len(lines) > 1 else 0)
        if line and _line_width([*line, piece], gap) > room:
            lines.append([piece])
        else:
            line.append(piece)
    first, *others = (join(line, gap) for line in lines)
    return [first, *(Text.assemble(" " * indent, line) for line in others)]


def pad(text: Text, width: int) -> Text:
    """Return *text* padded with blanks to *width* cells."""
    return Text.assemble(text, " " * max(0, width - text.cell_len))


def _line_width(pieces: Sequence[Text], gap: str) -> int:
    return sum(piece.cell_len for piece in pieces) + cell_len(gap) * (len(pieces) - 1)

"""The payload of a response: its body without chunks, still in its content coding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_SIZE = re.compile(rb"0*([0-9a-fA-F]{1,16})[ \t]*(?:;[^\n]*)?\r?\n")
_LONGEST_LINE = 70_000


def behind_head(pieces: Iterable[bytes], head_length: int) -> Iterator[bytes]:
    """Yield what of *pieces*, a message, comes behind its head."""
    left = head_length
    for piece in pieces:
        if left >= len(piece):
            left -= len(piece)
        else:
            yield piece[left:] if left else piece
            left = 0


def payload_of(pieces: Iterable[bytes], head_length: int, *, chunked: bool) -> Iterator[bytes]:
    """Yield the payload of the response that consists of *pieces*."""
    body = behind_head(pieces, head_length)
    return dechunked(body) if chunked else body


def dechunked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the data of the chunks in *pieces*, up to the last one, or to where that is no chunk.

    What comes here has been read as HTTP before: this is lenient, and stops rather than raise.
    """
    held, left = b"", 0  # `left` of the chunk; with `held` an incomplete line
    ends = False  # whether a line end is due behind a chunk
    for piece in pieces:
        data, at = held + piece if held else piece, 0
        held = b""
        while at < len(data):
            if left:
                part = data[at : at + left]
                yield part
                at += len(part)
                left -= len(part)
                ends = not left
                continue
            line_end = data.find(b"\n", at) + 1
            if not line_end:
                held = data[at:]
                break
            line, at = data[at:line_end], line_end
            if ends:
                if line not in (b"\r\n", b"\n"):
                    return
                ends = False
                continue
            found = _SIZE.fullmatch(line)
            left = int(found[1], 16) if found else 0
            if not left:
                return
        if len(held) > _LONGEST_LINE:
            return

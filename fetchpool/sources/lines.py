"""Blocks of bytes → lines → requests, numbered, holding no more than one block and one line.

    blocks ──stretches()──▶ whole lines ──batches()──▶ Batch of Request(url, seq, …)

What a line is: bytes up to a line feed. Blanks around it are stripped (space, tab, the carriage
return of CRLF, a no-break space pasted along, a byte order mark of whichever file was concatenated
here, marks without width from a page it was copied from); what is then empty or begins with `#` is
skipped, but keeps its number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fetchpool.model.asking import PLAIN, Ask
from fetchpool.model.urls import redact, text_of_line
from fetchpool.model.values import Request
from fetchpool.sources.codec import asked

if TYPE_CHECKING:
    from fetchpool.model.split import Split

BLOCK = 64 * 1024
"""Bytes read at a time."""

MAX_LINE = BLOCK
"""Longest line taken for a URL, in bytes: eight times what RFC 9110 §4.1 asks servers to accept.

Not less than `BLOCK`: so only a line that spans blocks can be too long, and the lines within a
block need no check.
"""

SHOWN = 200
"""Characters kept of a line that is too long."""

BATCH = 512
"""Lines in a batch: 0.1 ms of reading, long enough to make the way to the event loop cheap."""

BLANKS = (
    " \t\r\u00a0\ufeff"
    "\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
    "\u200b\u200c\u200d\u2060\u180e\u00ad"  # without width: spaces, joiners, the soft hyphen
    "\u200e\u200f\u061c\u202a\u202b\u202c\u2066\u2067\u2068\u2069"  # directions
    "\u0085\u2028\u2029"  # ends of lines elsewhere
)
"""What is stripped from a line's ends: blanks, and marks that nobody sees.

Not U+202D and U+202E: who overrides the direction of a URL wants it to look like another one.
"""

_PLAIN = bytes(range(0x20, 0x7F)).translate(None, b'"<') + b"\r\n"
_QUOTED = re.compile(rb"(?:\A|\n)[ \r]*'")
_WRAPS = {'"': '"', "'": "'", "<": ">"}
"""What may stand around a whole line."""
_CONTROLS = {
    "\t": "a tab in the line, as in a row of a table; keep the URL alone on its line (cut -f)",
    "\r": "a carriage return in the line; if it ends one, convert the list (tr '\\r' '\\n')",
    "\n": "a line feed in the URL; give each URL a line of its own",
    "\0": "a NUL in the line; if it ends one, convert the list (tr '\\0' '\\n')",
}
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_BLANK = b"|".join(re.escape(char.encode()) for char in BLANKS)
# Most lines begin with none of these bytes, which is seen in one step.
_LEAD = re.escape(bytes(sorted({char.encode()[0] for char in BLANKS})))
_SKIPPED = re.compile(rb"\n(?=[" + _LEAD + rb"#\n])(?:" + _BLANK + rb")*+(?=[#\n])")


class Batch(msgspec.Struct, gc=False):
    """Some requests of a list; none if the lines read were all comments and blanks.

    "Lines" are rows, or what else has a number, where a list has no lines.
    """

    requests: list[Request]
    skipped: int
    """Blank lines and comments among the lines of this batch."""
    lines: int
    """Lines read so far, from the beginning, skipped ones included."""
    weight: int = 0
    """Bytes that the requests bring along; 0 = not worth counting."""
    foreign: int = 0
    """Requests among these lines that are other shards', and not in `requests`."""


class Stretch(NamedTuple):
    """Whole lines that lie together, without the last one's line feed."""

    data: bytes
    too_long: int = 0
    """If not 0: `data` is the beginning of a single line this many bytes long."""


class Origin(NamedTuple):
    """What the requests of one source have in common."""

    seq: int
    """Of its first line."""
    name: str | None
    """What goes into `Request.source`; None where there is only this one."""
    ask: Ask = PLAIN
    """How its lines are asked for."""
    split: Split | None = None
    """Whose lines are wanted, where they are not all; others may be among them."""


def stretches(blocks: Iterable[bytes], longest: int = MAX_LINE) -> Iterator[Stretch]:
    """Cut *blocks* (of at most `BLOCK` bytes) at line feeds.

    A line comes out as soon as its end was read; a last line without line feed at the end. Of a
    line longer than *longest* bytes only the beginning is kept while its end is looked for.
    """
    held = b""  # the beginning of a line whose end was not read yet
    dropped = 0  # bytes of that line beyond *held*
    for block in blocks:
        first = block.find(b"\n")
        if first < 0:
            held += block
            dropped += max(0, len(held) - longest)
            held = held[:longest]
            continue
        length = len(held) + dropped + first
        if length > longest:
            yield Stretch((held + block[:first])[:longest], length)
            held, dropped, block = b"", 0, block[first + 1 :]
        last = block.rfind(b"\n")
        if last >= 0:
            yield Stretch(held + block[:last])
            held = b""
        held += block[last + 1 :]
    if held:
        yield Stretch(held, len(held) + dropped if dropped else 0)


def batches(pieces: Iterable[Stretch], origin: Origin, max_lines: int = BATCH) -> Iterator[Batch]:
    """Yield the requests of *pieces* in batches of up to *max_lines* lines.

    A batch never waits for more than its stretch holds. Measured: 0.2 µs a line of plain ASCII,
    0.6 of other UTF-8, 2.2 of anything else.
    """
    seq = origin.seq
    for piece in pieces:
        if piece.too_long:
            request = _too_long(piece, seq, origin)
            yield _asked(Batch([request] if request else [], 0 if request else 1, seq), origin)
            seq += 1
            continue
        parse = _parse_plain if _is_plain(piece.data) else _parse_any
        lines = piece.data.split(b"\n")
        split = origin.split if parse is _parse_plain else None
        maybe = None if split is None else split.maybe_own(piece.data)
        if maybe is not None:
            yield _asked(_own_batch(lines, maybe, seq, origin), origin)
            seq += len(lines)
            continue
        for at in range(0, len(lines), max_lines):
            some = lines[at : at + max_lines]
            requests = parse(some, seq, origin)
            seq += len(some)
            yield _asked(Batch(requests, len(some) - len(requests), seq - 1), origin)


def _own_batch(lines: list[bytes], numbers: list[int], seq: int, origin: Origin) -> Batch:
    """Return the requests of those of plain *lines* that have *numbers*, from 0."""
    requests = []
    for number in numbers:
        requests += _parse_plain([lines[number]], seq + number, origin)
    foreign = len(lines) - len(numbers)
    skipped = len(numbers) - len(requests)
    return Batch(requests, skipped, seq + len(lines) - 1, foreign=foreign)


def _asked(batch: Batch, origin: Origin) -> Batch:
    """Return *batch*, its requests asked for as *origin* says; nothing to do for a plain GET."""
    if origin.ask is not PLAIN:
        batch.requests = [asked(request, origin.ask) for request in batch.requests]
    return batch


def count_requests(piece: Stretch) -> int:
    """Return how many requests `batches` makes of *piece*, in a fifth of the time."""
    if piece.too_long:
        return 1 if _too_long(piece, 1, Origin(1, None)) else 0
    lines = b"\n" + piece.data + b"\n"
    return lines.count(b"\n") - 1 - len(_SKIPPED.findall(lines))


def problem_in(url: str) -> str | None:
    """Say which character can't stand in a URL raw and what to do, or return None.

    Browsers drop tabs and line ends inside a URL (WHATWG, basic URL parser, step 3): in a list
    they are a second column or old Mac line ends rather than part of the address. What differs from
    line to line stands behind the colon, as in `fetchpool.model.urls.mistakes`.
    """
    found = _CONTROL.search(url)
    if found is None:
        return None
    what = _CONTROLS.get(found[0]) or (
        f"the control character U+{ord(found[0]):04X} in the line; a URL has it percent-encoded"
    )
    return f"{what}: character {found.start() + 1}"


def _is_plain(data: bytes) -> bool:
    """Tell whether *data* is printable ASCII, nothing wrapped, carriage returns at line ends."""
    if data.translate(None, _PLAIN) or (b"'" in data and _QUOTED.search(data)):
        return False
    returns = data.count(b"\r")
    return returns == 0 or returns == data.count(b"\r\n") + data.endswith(b"\r")


def _parse_plain(lines: list[bytes], seq: int, origin: Origin) -> list[Request]:
    """Do what `_parse_any` does for lines of which `_is_plain` holds, in half the time."""
    first_seq, name = origin.seq, origin.name
    requests = []
    for text in b"\n".join(lines).decode("ascii").split("\n"):
        url = text.strip(" \r")
        if url and url[0] != "#":
            line = None if name is None else seq - first_seq + 1
            requests.append(Request(url, seq, name, line))
        seq += 1
    return requests


def _parse_any(lines: list[bytes], seq: int, origin: Origin) -> list[Request]:
    """Return the requests in *lines*, of which the first has number *seq*."""
    first_seq, name = origin.seq, origin.name
    requests = []
    for raw in lines:
        url = text_of_line(raw).strip(BLANKS)
        if url and url[0] != "#":
            if url[0] in _WRAPS:
                url = unwrapped(url)
            line = None if name is None else seq - first_seq + 1
            requests.append(Request(url, seq, name, line, problem_in(url)))
        seq += 1
    return requests


def unwrapped(text: str) -> str:
    """Return what of *text*, stripped, is a URL in quotes or pointed brackets, else *text*."""
    inner = text[1:-1].strip(BLANKS)
    if _WRAPS.get(text[0]) != text[-1] or len(text) < 3 or text[-1] in inner:
        return text
    return inner


def _too_long(piece: Stretch, seq: int, origin: Origin) -> Request | None:
    """Return the request of a line that is too long, or None if it is a comment."""
    text = text_of_line(piece.data).strip(BLANKS)
    if text.startswith("#"):
        return None
    problem = (
        f"the line is longer than a URL may be, {MAX_LINE:,} bytes; perhaps line ends are missing: "
        f"{piece.too_long:,} bytes long"
    )
    line = None if origin.name is None else seq - origin.seq + 1
    # Redacted before it is cut: of userinfo cut in the middle nobody could tell what it is.
    return Request(redact(text)[:SHOWN], seq, origin.name, line, problem)

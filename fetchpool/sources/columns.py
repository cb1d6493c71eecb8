"""Which column of a table holds the URLs, which give other fields, and which come along."""

from __future__ import annotations

import re
from collections.abc import Sequence
from shlex import quote
from typing import NamedTuple

from fetchpool.model.reading import Reading
from fetchpool.model.urls import display, redact_urls_in
from fetchpool.sources.errors import InputError
from fetchpool.sources.head import Head
from fetchpool.sources.lines import BLANKS

_URL = re.compile(r"https?://\S+", re.IGNORECASE)
_OTHER_URL = re.compile(r"(?:[a-z][a-z0-9+.-]*://|magnet:)\S+", re.IGNORECASE)
_PATH = re.compile(r"(?!\d+(?:/\d+)+\Z)[^\s:]*/\S+")
_SIGN = re.compile(r"[\s;,|]")
"""Stands between several URLs in a cell."""
_EXACT = re.compile(r"urls?|uri|links?|href", re.IGNORECASE)
_ENDING = re.compile(r".*(?:urls?|uri|links?|href)", re.IGNORECASE)

MOST_COLUMNS = 16_384
"""As many as a spreadsheet has."""
_UNTOLD = ("url", "headers", "body")
"""Fields whose columns don't come along by themselves: one is told already, two may be secret."""


class Columns(NamedTuple):
    """What is where in a row."""

    names: tuple[str, ...]
    """Of all columns, each once; a column without a name has its number."""
    url: int
    fields: tuple[tuple[str, int], ...]
    """Other fields of a request, and their columns."""
    carried: tuple[int, ...]

    @property
    def mark(self) -> str:
        """What decides which request a row becomes."""
        return repr((self.url, self.fields))


def is_url(cell: str) -> bool:
    """Tell whether *cell* is an http(s) URL without blanks."""
    return _URL.fullmatch(cell.strip(BLANKS)) is not None


def named_columns(header: Sequence[str]) -> tuple[str, ...]:
    """Return a name for each column: its own, its number if it has none, `_2` if it is taken."""
    names: dict[str, None] = {}
    for number, cell in enumerate(header, 1):
        name = plain = cell.strip(BLANKS) or str(number)
        again = 2
        while name in names:
            name, again = f"{plain}_{again}", again + 1
        names[name] = None
    return tuple(names)


def find_candidates(rows: Sequence[Sequence[str]], width: int, reading: Reading) -> list[int]:
    """Return the columns in which over half of the filled cells are URLs without blanks.

    Of http(s) where there are any, else of other schemes, which have their own answer; with
    `--default-scheme` or `--base` bare hosts or paths are as good.
    """
    for pattern in (_URL, _OTHER_URL):
        found = [at for at in range(width) if _mostly(pattern, _cells(rows, at))]
        if found:
            return found
    if reading.scheme is not None:
        return [at for at in range(width) if _are_hosts(_cells(rows, at))]
    if reading.base is not None:
        return [at for at in range(width) if _mostly(_PATH, _cells(rows, at))]
    return []


def holds_urls(cell: str) -> bool:
    """Tell whether *cell* is a URL, or several URLs, hosts or paths."""
    from fetchpool.model.urls.mistakes import several_in  # 1 ms, which many lists don't need

    return is_url(cell) or several_in(cell.strip(BLANKS)) is not None


def why_several(
    rows: Sequence[Sequence[str]], at: int, names: Sequence[str] | None, delimiter: str
) -> str | None:
    """Return what to say where most of the filled cells of the column *at* hold several URLs.

    If columns have *names*, that has a command which gives each URL a row of its own.
    """
    from fetchpool.model.urls.mistakes import several_in  # 1 ms, which many lists don't need

    cells = _cells(rows, at)
    signs = [sign for cell in cells if _SIGN.search(cell) and (sign := several_in(cell))]
    if len(signs) * 2 <= len(cells):
        return None
    sign = max(signs, key=signs.count)
    which, command = f"column {at + 1}", ""
    if names is not None:
        which = f"column {quoted(names[at])}"
        kind = {",": "--csv", "\t": "--tsv"}.get(delimiter, f"--csv --fs {quote(delimiter)}")
        made = f"mlr {kind} nest --evar {quote(sign)} -f {quote(redact_urls_in(names[at]))}"
        command = f", as this does: {made}" if made.isprintable() else ""
    return f"{which} holds several URLs in a cell; give each a row of its own{command}"


def bare_hosts(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return the columns of bare hosts."""
    return [at for at in range(width) if _are_hosts(_cells(rows, at))]


def best_named(names: Sequence[str], candidates: Sequence[int]) -> list[int]:
    """Return those of *candidates* whose names say most clearly that they hold URLs."""
    for pattern in (_EXACT, _ENDING):
        found = [at for at in candidates if pattern.fullmatch(names[at].strip(BLANKS))]
        if found:
            return found
    return list(candidates)


def settle(
    names: tuple[str, ...],
    candidates: Sequence[int],
    reading: Reading,
    head: Head,
    *,
    has_names: bool,
) -> Columns | None:
    """Return what is where, as *reading* says, else by the one of *candidates*; None: no column.

    Raises `InputError`, with lines of *head* and the option that settles it, where there are
    several, or where *reading* names a column that isn't there.
    """
    chosen = reading.column("url")
    if chosen is not None:
        url = _place(chosen, names, head, "--column url")
    else:
        if has_names:
            candidates = best_named(names, candidates)
        if not candidates:
            return None
        if len(candidates) > 1:
            raise _ask(names, candidates, head, has_names=has_names)
        url = candidates[0]
    fields = tuple(
        (field, _place(name, names, head, f"--column {field}"))
        for field, name in reading.columns
        if field != "url"
    )
    untold = {url, *(at for field, at in fields if field in _UNTOLD)}
    return Columns(names, url, fields, _carried(names, reading, head, untold))


def _carried(
    names: tuple[str, ...], reading: Reading, head: Head, untold: set[int]
) -> tuple[int, ...]:
    if reading.carry == "none":
        return ()
    if reading.carry == "all":
        return tuple(at for at in range(len(names)) if at not in untold)
    wanted = [name.strip() for name in reading.carry.split(",") if name.strip()]
    return tuple(dict.fromkeys(_place(name, names, head, "--carry") for name in wanted))


def _place(name: str, names: tuple[str, ...], head: Head, option: str) -> int:
    """Return the column that *option* calls *name*."""
    if name in names:
        return names.index(name)
    lower = [each.lower() for each in names]
    if lower.count(name.lower()) == 1:
        return lower.index(name.lower())
    if name.isascii() and name.isdecimal() and 1 <= int(name[:6]) <= len(names):
        return int(name) - 1
    raise InputError(
        f"{head.name} has no column {quoted(name)} for {option}; it has {listed(names)}",
        head.samples(),
    )


def _ask(
    names: Sequence[str], candidates: Sequence[int], head: Head, *, has_names: bool
) -> InputError:
    some = [names[at] if has_names else str(at + 1) for at in candidates]
    example = some[0] if some[0].isalnum() else quoted(some[0])
    return InputError(
        f"{head.name}: URLs stand in several columns ({listed(some)}); say which with "
        f"--column url={example}",
        head.samples(),
    )


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return *names* for a message, the first *most* of them."""
    more = f", … ({len(names):,} in all)" if len(names) > most else ""
    return ", ".join(map(quoted, names[:most])) + more


def quoted(name: str) -> str:
    """Return the *name* of a column for a message."""
    return f'"{display(redact_urls_in(name), 60)}"'


def _cells(rows: Sequence[Sequence[str]], at: int) -> list[str]:
    """Return the filled cells of a column."""
    return [cell for row in rows if at < len(row) and (cell := row[at].strip(BLANKS))]


def _mostly(pattern: re.Pattern[str], cells: Sequence[str]) -> bool:
    return sum(pattern.fullmatch(cell) is not None for cell in cells) * 2 > len(cells)


def _are_hosts(cells: Sequence[str]) -> bool:
    from fetchpool.model.urls.mistakes import would_be  # 1 ms, which many lists don't need

    return sum(would_be(cell) is not None for cell in cells) * 2 > len(cells)

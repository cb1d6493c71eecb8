"""What is no list at all, or one in a form that another program has to make readable first."""

from __future__ import annotations

import shlex

from fetchpool.model.urls import display
from fetchpool.sources.errors import InputError

_WIDE = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_POINTER = b"version https://git-lfs.github.com/spec/"


def check_readable(head: bytes, name: str) -> None:
    """Raise `InputError` with what helps if *head* begins something that can't be read here."""
    found = _wide(head)
    if found is not None:
        raise InputError(_advice(name, f"{found} text", f"iconv -f {found} -t UTF-8"))
    if head.startswith(b"SQLite format 3\0"):
        raise InputError(
            f"{_shown(name)} is an SQLite database; pipe in what sqlite3 -csv -header makes of it"
        )
    if head.startswith(b"PK\x03\x04"):
        if b"[Content_Types].xml" in head[:4096] or b"xl/" in head[:4096]:
            raise InputError(f"{_shown(name)} is an Excel workbook; save the sheet as CSV")
        raise InputError(_advice(name, "a zip archive", "unzip -p"))
    if head.startswith(_POINTER):
        raise InputError(
            f"{_shown(name)} is a Git LFS pointer, not the list itself; get that with: git lfs pull"
        )


def _wide(head: bytes) -> str | None:
    """Return the encoding of *head*, where it is text in UTF-16 or UTF-32.

    Without a byte order mark, UTF-16 is known by the NULs at every other byte that URLs have there.
    """
    for mark, name in _WIDE.items():
        if head.startswith(mark):
            return name
    even, odd = head[:4096:2], head[1:4096:2]
    if len(head) >= 8:
        for nuls, others, name in ((odd, even, "UTF-16LE"), (even, odd, "UTF-16BE")):
            if nuls.count(0) * 4 > len(nuls) * 3 and others.count(0) * 4 < len(others):
                return name
    return None


def _advice(name: str, what: str, command: str) -> str:
    if name == "-":
        return f"standard input is {what}; try: … | {command} | fetchpool get -"
    file = shlex.quote(display(name))
    return f"{display(name)} is {what}; try: {command} {file} | fetchpool get -"


def _shown(name: str) -> str:
    return "standard input" if name == "-" else display(name)

"""A ledger in pieces: whole lines that lie together, each an object that is put once.

    results.jsonl ──from where the last one ended──▶ results-SESSION-000017.jsonl   (put if absent)
    run.json says which count ──────in their order─▶ results.jsonl on another machine

Sessions tell runs apart that don't know of each other: each puts pieces under its own name, so one
that believes itself alive puts nothing among the pieces of the one that took over.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from fetchpool.output.ledger.errors import LeaseLostError
from fetchpool.output.ledger.files import LineWriter
from fetchpool.output.remote.bucket import Bucket
from fetchpool.output.remote.published import Part

MOST = 4 << 20
"""Bytes of a piece, unless a single line has more."""


def new_session() -> str:
    """Return a name that no other session has."""
    return secrets.token_hex(4)


def whole_lines(path: Path, start: int, end: int | None = None) -> Iterator[bytes]:
    """Yield the whole lines of *path* from byte *start* on, before *end*, in pieces of `MOST`.

    A ledger may grow meanwhile. Raises OSError.
    """
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        held = b""
        while data := file.read(MOST if end is None else max(0, min(MOST, end - file.tell()))):
            whole = (held + data).rfind(b"\n") + 1
            held += data
            if whole and len(held) >= MOST:
                yield held[:whole]
                held = held[whole:]
        if whole := held.rfind(b"\n") + 1:
            yield held[:whole]


def put_piece(bucket: Bucket, part: Part, number: int, data: bytes) -> None:
    """Put *data* as piece *number*. Raises `RemoteStoreError`, `LeaseLostError`."""
    if bucket.create(part.name(number), data) is None:
        raise LeaseLostError(f"another run has put {part.name(number)} to {bucket.remote}")


def put_file(bucket: Bucket, path: Path) -> tuple[Part, int]:
    """Put all whole lines of *path* in a session of its own; return it, and how many bytes.

    The part says how many pieces it has. Raises what `put_piece` does, OSError.
    """
    part, number, size = Part(new_session()), 0, 0
    for data in whole_lines(path, 0):
        put_piece(bucket, part, number, data)
        number, size = number + 1, size + len(data)
    return Part(part.session, number), size


def read_parts(bucket: Bucket, parts: tuple[Part, ...], path: Path) -> tuple[int, int]:
    """Write the records in *parts* to *path*; return its length, and the pieces of the last part.

    Raises `RemoteStoreError`, OSError.
    """
    number = size = 0
    with LineWriter(path, fsync=False) as writer:
        for part in parts:
            number = 0
            while number != part.pieces:
                found = bucket.read(part.name(number))
                if found is None:
                    if part.pieces is not None:
                        raise FileNotFoundError(
                            2, "a piece of the ledger is missing", part.name(number)
                        )
                    break
                writer.write(found.data)
                number, size = number + 1, size + len(found.data)
    return size, number


def is_at(path: Path, offset: int, data: bytes) -> bool:
    """Tell whether *path* has *data* at byte *offset*. Raises OSError."""
    with path.open("rb", buffering=0) as file:
        return os.pread(file.fileno(), len(data), offset) == data

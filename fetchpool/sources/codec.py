"""A request as bytes, for the time it waits on disk: its text, or where its line stands.

b"T" + MessagePack of its fields                    for a pipe, an iterable
b"@" + seq, offset, check                           21 bytes, for a line of a file
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import msgspec

from fetchpool.models import Request

_TEXT = b"T"
_PLACE = b"@"
_PLACE_FORMAT = struct.Struct("<cQQI")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, int, str | None, int | None, str | None, int]).decode


class Place(NamedTuple):
    """Where the line of a request stands."""

    seq: int
    offset: int
    check: int
    """`check_of` its URL: tells whether the line read again is still the one that was meant."""


def check_of(url: str) -> int:
    """Return 32 bits of *url*'s hash: the same within this process only, and all but free."""
    return hash(url) & 0xFFFFFFFF


def pack_text(request: Request) -> bytes:
    """Return *request* as bytes that hold all of it."""
    url, seq, source, line = request.url, request.seq, request.source, request.line
    return _TEXT + _encode((url, seq, source, line, request.problem, request.locator))


def pack_place(request: Request) -> bytes:
    """Return where *request*, whose `locator` is known, can be read again."""
    return _PLACE_FORMAT.pack(_PLACE, request.seq, request.locator, check_of(request.url))


def unpack(data: bytes) -> Request | Place:
    """Return what `pack_text` or `pack_place` was given, as far as *data* holds it."""
    if data[:1] == _PLACE:
        _, seq, offset, check = _PLACE_FORMAT.unpack(data)
        return Place(seq, offset, check)
    return Request(*_decode(memoryview(data)[1:]))


def unpack_text(data: bytes) -> Request:
    """Return the request that `pack_text` made *data* of."""
    return Request(*_decode(memoryview(data)[1:]))

"""A request as bytes, for the time it waits on disk: MessagePack of its fields."""

from __future__ import annotations

import msgspec

from fetchpool.model.values import Request

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[str, int, str | None, int | None, str | None]).decode


def pack_text(request: Request) -> bytes:
    """Return *request* as bytes that hold all of it: some 11 and its URL (0.13 µs)."""
    return _encode((request.url, request.seq, request.source, request.line, request.problem))


def unpack_text(data: bytes) -> Request:
    """Return the request that `pack_text` made *data* of (0.15 µs)."""
    return Request(*_decode(data))

"""A request as bytes, for the time it waits on disk or goes to another process.

    [url, seq, source, line, problem]                          a plain GET
    [url, seq, source, line, problem, ""]                      as the run asks (`-X`, `-d`)
    [url, seq, source, line, problem, method, headers, body]   as its line asks
    [url, …, body, name, checksum, row, earlier, is_sitemap]   with what its line brings along,
                                                               what an earlier run got, and
                                                               whether it is a list itself

MessagePack of the fields of `Request`. What all lines share is not repeated with each: whoever
reads has it from the settings.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec
from msgspec.structs import replace

from fetchpool.model.asking import PLAIN, Ask
from fetchpool.model.values import Request

_AS_THE_RUN = ""
"""Stands for a method; no request has it."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Request).decode
_decode_all = msgspec.msgpack.Decoder(list[Request]).decode
_cut = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


class Codec:
    """Packs the requests of a run whose lines ask as *ask* says, where they don't say it."""

    def __init__(self, ask: Ask = PLAIN) -> None:
        self._ask = ask
        self.is_plain = ask == PLAIN
        """Whether `lean` and `full` return what they get."""

    def pack(self, request: Request) -> bytes:
        """Return *request* as bytes that hold all of it: some 11 and its URL (0.15 µs)."""
        if (
            request.row is None
            and request.name is None
            and request.checksum is None
            and request.earlier is None
            and not request.is_sitemap
        ):
            if request.body is None and request.method == "GET" and not request.headers:
                return _encode(
                    (request.url, request.seq, request.source, request.line, request.problem)
                )
            slim = self.lean(request)
            if slim.method == _AS_THE_RUN:
                return _encode(
                    (slim.url, slim.seq, slim.source, slim.line, slim.problem, _AS_THE_RUN)
                )
            return _encode(slim)
        return _encode(self.lean(request))

    def unpack(self, data: bytes) -> Request:
        """Return the request that `pack` made *data* of (0.15 µs)."""
        return self.full(_decode(data))

    def unpack_all(self, data: bytes) -> list[Request]:
        """Return the requests of an `array_of` packed ones."""
        requests = _decode_all(data)
        return requests if self.is_plain else [self.full(each) for each in requests]

    def lean(self, request: Request) -> Request:
        """Return *request* without what all lines of the run share, for `full` to put back."""
        ask = self._ask
        if (
            self.is_plain
            or request.method != ask.method
            or request.body != ask.body
            or request.headers != ask.headers
        ):
            return request
        return replace(request, method=_AS_THE_RUN, headers=(), body=None)

    def full(self, request: Request) -> Request:
        """Return the request that `lean` was given."""
        return request if request.method else asked(request, self._ask)


def asked(request: Request, ask: Ask) -> Request:
    """Return *request*, asked for as *ask* says."""
    return replace(request, method=ask.method, headers=ask.headers, body=ask.body)


def array_of(packed: Collection[bytes]) -> bytes:
    """Return *packed* requests as one MessagePack array (its `array 32`)."""
    return b"".join((b"\xdd", len(packed).to_bytes(4, "big"), *packed))


def items_of(data: bytes) -> list[tuple[int, bytes]]:
    """Return the number and the bytes of each request in an `array_of` them."""
    seqs = [request.seq for request in _decode_all(data)]
    return list(zip(seqs, map(bytes, _cut(data)), strict=True))

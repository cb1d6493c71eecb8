"""Undo Content-Encoding while a body streams: every byte of it within the caps, or an error.

    wire chunk ──▶ br layer ──▶ gzip layer ──▶ pieces of at most 256 KiB
                   (Content-Encoding: gzip, br)

A body is complete only when the decoder says so: a cut gzip inside a complete Content-Length is
an error here, never a shorter file. Memory stays flat whatever is sent, because each layer is
asked for at most one piece at a time.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Set

from fetchpool.model.decoding.labels import codings_in, unregistered
from fetchpool.model.decoding.layers import (
    LAYERS,
    MAX_RATIO,
    PIECE_BYTES,
    BodyError,
    Chunk,
    Layer,
    too_big,
    undecodable,
)
from fetchpool.model.decoding.own import MARKS, OwnLayer, own_codings

__all__ = [
    "ACCEPT_ENCODING",
    "MAX_LAYERS",
    "MAX_RATIO",
    "PIECE_BYTES",
    "RATIO_FLOOR_BYTES",
    "BodyError",
    "Chunk",
    "Decoder",
    "make_decoder",
    "own_codings",
    "unregistered",
]

ACCEPT_ENCODING = "gzip, deflate, br, zstd"
"""What to ask for: all that `make_decoder` can undo."""

MAX_LAYERS = 2
"""Codings undone on top of each other; one more and the body is refused."""

RATIO_FLOOR_BYTES = 1 << 30
"""Beyond 1 GiB decoded, more than this many bytes for each wire byte is a bomb.

Below a `--max-size` of 1 GiB (the default) the byte cap alone bounds time and disk. Without a cap
it takes a kilobyte of brotli or zstd, or gzip within gzip, to fill any disk. 1032:1 is the most
that deflate itself can reach (zlib's technical details: 258 bytes for 2 bits), so a single gzip of
zeros, honest or not, stays what `--max-size 0` asked for.
"""


class Decoder(ABC):
    """Turns the wire bytes of one body into the body. One decoder a body; spent after an error."""

    wire_bytes: int = 0
    """Bytes fed so far."""

    @property
    def has_own_end(self) -> bool:
        """Whether a coding marks the end of what was fed, so that `finish` finds a cut."""
        return False

    @abstractmethod
    def feed(self, chunk: Chunk) -> Iterable[bytes]:
        """Decode *chunk* into pieces of the body.

        Decoding happens while the result is iterated, in any thread, and every piece is about the
        same work: where there is much to undo and nothing comes of it, pieces are empty. Take all
        of them before the next `feed` or before *chunk*'s memory is used again, or leave the body.
        Raises `BodyError`, from the plan or between two pieces.
        """

    @abstractmethod
    def finish(self) -> Iterable[bytes]:
        """Return what is left of the body, if something was held back.

        Raises `BodyError` (TRUNCATED) unless the body is complete. Without a single byte it is
        complete whatever its coding: servers label empty answers too.
        """


def make_decoder(
    content_encoding: list[str] | str | None, max_bytes: int, own: Set[str] = frozenset()
) -> Decoder:
    """Return the decoder for a body labelled *content_encoding*.

    The label is one value of the header or all of them: comma lists, any case (RFC 9110 §8.4.1).
    `identity`, empty elements, and names that no one has registered mean nothing. *max_bytes*
    bounds the body as received, as decoded, and between two layers; 0 = no cap. Never raises: a
    label that can't be undone is refused at the body's first byte, as an empty body needs no
    decoding.

    *own* are the codings that a file may have itself (see `own_codings`): the innermost layer, if
    it is one of them, stays on, unless what is in it turns out to be of that coding again.
    """
    limit = max_bytes or sys.maxsize
    codings = codings_in(content_encoding)
    if len(codings) > MAX_LAYERS:
        return _Refusal(f"{len(codings)} content codings on top of each other")
    stays = codings[:1] if codings and codings[0] in own else []
    if stays and stays[0] not in MARKS:
        codings = codings[1:]  # nothing in what it holds would tell
        stays = []
    for name in codings:
        if name not in LAYERS:
            return _Refusal(
                f"Content-Encoding {name!r} can't be undone here; --as-received stores it as it is"
            )
    # Codings are listed in the order they were applied: the last one is undone first.
    layers = [LAYERS[name]() for name in reversed(codings)]
    if stays:
        layers[-1] = OwnLayer(layers[-1], MARKS[stays[0]])
    return _Layered(layers, limit) if layers else _Identity(limit)


class _Identity(Decoder):
    """No coding: what comes is the body."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def feed(self, chunk: Chunk) -> Iterable[bytes]:
        self.wire_bytes += len(chunk)
        if self.wire_bytes > self._limit:
            raise too_big(self._limit, "")
        return (bytes(chunk),) if chunk else ()  # no copy of what is bytes already

    def finish(self) -> Iterable[bytes]:
        return ()


class _Refusal(Decoder):
    """A coding that can't be undone: fails at the first byte."""

    def __init__(self, detail: str) -> None:
        self._detail = detail

    def feed(self, chunk: Chunk) -> Iterable[bytes]:
        self.wire_bytes += len(chunk)
        if chunk:
            raise undecodable(self._detail)
        return ()

    def finish(self) -> Iterable[bytes]:
        return ()


class _Layered(Decoder):
    """One or two codings, outermost first."""

    def __init__(self, layers: list[Layer], limit: int) -> None:
        self._layers = layers
        self._limit = limit

    def feed(self, chunk: Chunk) -> Iterable[bytes]:
        self.wire_bytes += len(chunk)
        if self.wire_bytes > self._limit:
            raise too_big(self._limit, " on the wire")
        allowance = max(RATIO_FLOOR_BYTES, MAX_RATIO * self.wire_bytes)
        pieces = self._layers[0].decode((chunk,), self._limit, allowance)
        for layer in self._layers[1:]:
            pieces = layer.decode(pieces, self._limit, allowance)
        return pieces

    @property
    def has_own_end(self) -> bool:
        return self.wire_bytes > 0 and any(layer.has_own_end for layer in self._layers)

    def finish(self) -> Iterable[bytes]:
        for layer in self._layers:
            layer.finish()
        return self._layers[-1].rest()

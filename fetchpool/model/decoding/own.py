"""Codings that a file has itself: `x.tar.gz` is gzip whether it travels or lies on a disk.

Servers label such a file `Content-Encoding: gzip` although nobody packed it for the way, and some
pack it for the way all the same. Which of the two it is shows inside: a layer that holds a file of
the same coding again was put on for the way, and is undone; any other is the file's own, and stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from urllib.parse import unquote

from fetchpool.model.decoding.layers import CODEC_ERRORS, BodyError, Chunk, Layer
from fetchpool.model.values import FailureKind

_MARK_BYTES = 4
"""So much of what a layer holds tells its coding."""

_HELD_BYTES = 64 * 1024
"""A layer that begins with more bytes that come to nothing is not looked into any further."""


def _is_gzip(data: bytes) -> bool:
    return data[:3] == b"\x1f\x8b\x08"  # RFC 1952 §2.3: with the one method there is


def _is_zstd(data: bytes) -> bool:
    is_skippable = data[1:4] == b"\x2a\x4d\x18" and data[0] >> 4 == 5
    return data == b"\x28\xb5\x2f\xfd" or is_skippable  # RFC 8878 §3.1


def _is_zlib(data: bytes) -> bool:
    return data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0  # RFC 1950 §2.2


MARKS: dict[str, Callable[[bytes], bool]] = {
    "gzip": _is_gzip,
    "zstd": _is_zstd,
    "deflate": _is_zlib,
}
"""How the first `_MARK_BYTES` of a body tell its coding. Brotli has no such mark; what the codings
that can't be undone here hold is not known."""

_EXTENSIONS = {
    "gzip": "gz gzip tgz svgz emz wmz vgz bgz mgz cpgz",
    "br": "br tbr",
    "zstd": "zst zstd tzst",
    "deflate": "zz zlib",
    "compress": "z taz",
    "exi": "exi",
    "pack200-gzip": "pack",
}
_TYPES = {
    "gzip": "application/gzip application/x-gzip application/x-gunzip application/gzipped"
    " application/gzip-compressed application/x-gzip-compressed application/x-tgz"
    " application/x-gtar-compressed application/x-compressed-tar application/x-compressed"
    " application/x-tar-gz application/tar+gzip application/x-tar+gzip gzip/document"
    " image/svg+xml-compressed multipart/x-gzip",
    "br": "application/brotli application/x-brotli application/x-br",
    "zstd": "application/zstd application/x-zstd application/x-zstd-compressed-tar",
    "deflate": "application/zlib application/x-deflate",
    "compress": "application/compress application/x-compress",
    "exi": "application/exi",
    "pack200-gzip": "application/x-java-pack200",
}
_SUFFIXES = {"gzip": "gzip", "zstd": "zstd"}
"""RFC 6839 and its kin: `application/x+gzip`."""

_BY_EXTENSION = {each: coding for coding, all_of in _EXTENSIONS.items() for each in all_of.split()}
_BY_TYPE = {each: coding for coding, all_of in _TYPES.items() for each in all_of.split()}


def own_codings(content_type: str | None, names: Iterable[str | None]) -> frozenset[str]:
    """Return the codings that a file has itself, by its type or by one of its *names*.

    A name is the path of a URL or what a server suggests; None says nothing.
    """
    media_type = (content_type or "").partition(";")[0].strip(" \t").lower()
    _, plus, suffix = media_type.rpartition("+")
    found = {_BY_TYPE.get(media_type), _SUFFIXES.get(suffix) if plus else None}
    for name in names:
        leaf = unquote(name or "").rpartition("/")[2]
        found.add(_BY_EXTENSION.get(leaf.rpartition(".")[2].lower()) if "." in leaf else None)
    return frozenset(coding for coding in found if coding is not None)


class OwnLayer(Layer):
    """A layer that stays on, unless what it holds is of the same coding again."""

    def __init__(self, layer: Layer, is_again: Callable[[bytes], bool]) -> None:
        super().__init__()
        self.coding = layer.coding
        self._layer = layer
        self._is_again = is_again
        self._undone: bool | None = None  # None: not known yet
        self._held = b""
        self._seen = b""

    def inflate(self, data: Chunk) -> Iterator[bytes]:
        if self._undone is None:
            yield from self._look_into(data)
        elif self._undone:
            yield from self._layer.inflate(data)
        else:
            yield bytes(data)

    def _look_into(self, data: Chunk) -> Iterator[bytes]:
        """Undo the layer until it is known what it holds; then yield that, or what came."""
        self._held += bytes(data)
        outputs = self._layer.inflate(data)
        try:
            for output in outputs:
                self._seen += output
                if len(self._seen) >= _MARK_BYTES:
                    self._undone = self._is_again(self._seen[:_MARK_BYTES])
                    break
        except CODEC_ERRORS:
            self._undone = False
        except BodyError as error:
            if error.failure.kind is not FailureKind.DECODE:
                raise
            self._undone = False
        if self._undone is None and len(self._held) > _HELD_BYTES:
            self._undone = False
        if self._undone is None:
            return
        yield self._seen if self._undone else self._held
        self._held = self._seen = b""
        if self._undone:
            yield from outputs

    @property
    def has_own_end(self) -> bool:
        return self._undone is True

    def is_complete(self) -> bool:
        return not self._undone or self._layer.is_complete()

    def rest(self) -> Iterable[bytes]:
        held, self._held = self._held, b""
        return (held,) if held else ()

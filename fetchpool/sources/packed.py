"""A packed list, by its first bytes: gzip, bzip2, xz or zstd → what is in it, a block at a time."""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from fetchpool.sources.errors import InputError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BLOCK = 64 * 1024
"""Bytes unpacked at a time, whatever they were packed to."""

_XZ_MEMORY = 96 << 20
"""More than `xz -9` needs (65 MiB), less than a list made to take all memory would."""
_MOST_LAYERS = 3


class _Unpacker(Protocol):
    """What bz2, lzma and zstd have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Gzip:
    """zlib's decompressor with the interface of the others."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        made = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.needs_input = not self._zlib.unconsumed_tail and len(made) < max_length
        return made


_PACKED: dict[bytes, tuple[str, Callable[[], _Unpacker]]] = {
    b"\x1f\x8b": ("gzip", _Gzip),
    b"BZh": ("bzip2", bz2.BZ2Decompressor),
    b"\xfd7zXZ\0": ("xz", lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)),
    b"\x28\xb5\x2f\xfd": ("zstd", zstd.ZstdDecompressor),
}
_ERRORS = (zlib.error, lzma.LZMAError, zstd.ZstdError, OSError, EOFError, MemoryError)
_LONGEST_MAGIC = max(map(len, _PACKED))


def is_packed(data: bytes) -> bool:
    """Tell whether a list that begins with *data* is packed."""
    return data.startswith(tuple(_PACKED))


def unpacked(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Yield what is packed in *blocks*, or the same blocks where nothing is.

    Looked at again once unpacked, for a packed list that was packed again. Raises `InputError`
    where the data of the list *name* is damaged or ends early.
    """
    for _ in range(_MOST_LAYERS):
        first = next(blocks, b"")
        # A stream's first bytes may come one by one; what no magic begins with waits for no more.
        while first and _may_begin_packed(first) and (more := next(blocks, b"")):
            first += more
        blocks = _joined(first, blocks)
        found = next((each for magic, each in _PACKED.items() if first.startswith(magic)), None)
        if found is None:
            break
        blocks = _unpacked(blocks, *found, name)
    return blocks


def _may_begin_packed(data: bytes) -> bool:
    return len(data) < _LONGEST_MAGIC and any(
        magic != data and magic.startswith(data) for magic in _PACKED
    )


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


def _unpacked(
    blocks: Iterator[bytes], coding: str, make: Callable[[], _Unpacker], name: str
) -> Iterator[bytes]:
    unpacker = make()
    is_begun = False
    for block in blocks:
        data = block
        while data or not unpacker.needs_input:
            if unpacker.eof:  # another member follows, as `cat a.gz b.gz` makes them
                data = data.lstrip(b"\0")
                if not data:
                    break
                unpacker, is_begun = make(), False
            try:
                made = unpacker.decompress(data, BLOCK)
            except _ERRORS:
                raise InputError(f"{name}: its {coding} data is damaged; pack it anew") from None
            is_begun = True
            data = unpacker.unused_data if unpacker.eof else b""
            if made:
                yield made
    if is_begun and not unpacker.eof:
        raise InputError(f"{name}: its {coding} data ends early; get the whole file")

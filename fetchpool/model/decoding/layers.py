"""Content codings, each a layer that is undone: small pieces, bounded work, its own end."""

from __future__ import annotations

import sys
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar, Protocol, TypeAlias

import brotli  # type: ignore[import-untyped]

from fetchpool.model.values import Failure, FailureKind

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Chunk: TypeAlias = bytes | memoryview

PIECE_BYTES = 256 * 1024
"""Most decoded bytes handed on at once."""

MAX_RATIO = 1032
"""What deflate can reach (zlib's technical details: 258 bytes for 2 bits); see the limits of
`fetchpool.model.decoding`."""

# A decoder copies the input that lies behind a member's end, once for every member: with slices
# that cost stays linear in the size of a chunk.
_SLICE_BYTES = 16 * 1024

# brotli 1.2.1 rounds its output limit up to the buffers it has: asked for 128 KiB it gives
# 229,328 bytes, asked for 256 KiB it gives 491,456 (google/brotli#1396).
_BROTLI_LIMIT = 128 * 1024

# RFC 9659 §3: a zstd content coding must not need a window above 8 MiB.
_ZSTD_OPTIONS: dict[int, int] = {zstd.DecompressionParameter.window_log_max: 23}

# Opening a member costs 0.4 µs (gzip) or 10 µs (zstd), and an empty one is 8 to 20 bytes on the
# wire: without an end to them, a body of nothing would cost its sender little and us everything.
_FREE_MEMBERS = 1000

CODEC_ERRORS = (zlib.error, brotli.error, zstd.ZstdError)


class BodyError(Exception):
    """A body that can't be had whole: `failure` says why (TRUNCATED, DECODE or TOO_BIG)."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


class Layer(ABC):
    """One content coding being undone."""

    coding: str

    @property
    def has_own_end(self) -> bool:
        """Whether the end of what is undone is marked, so that `finish` finds a cut."""
        return True

    def __init__(self) -> None:
        self.produced = 0
        self._begun = False

    def decode(self, chunks: Iterable[Chunk], limit: int, allowance: int) -> Iterator[bytes]:
        """Yield what *chunks* decode to, small outputs joined, each piece at most 256 KiB.

        No more than twice that is taken in between two pieces, but for a chunk that is longer.
        Raises `BodyError`: DECODE for what can't be undone, TOO_BIG when this layer has given more
        than *limit* bytes (the cap) or *allowance* bytes (the ratio) in its life.
        """
        held: list[bytes] = []
        held_bytes = taken = 0
        for chunk in chunks:
            for output in self._outputs(chunk):
                self.produced += len(output)
                if self.produced > limit:
                    raise too_big(limit, " once decoded")
                if self.produced > allowance:
                    detail = f"the body expands more than {MAX_RATIO}-fold when decoded"
                    raise BodyError(Failure(FailureKind.TOO_BIG, detail))
                if held_bytes + len(output) > PIECE_BYTES:
                    yield b"".join(held)
                    held.clear()
                    held_bytes = taken = 0
                held.append(output)
                held_bytes += len(output)
            taken += len(chunk)
            if taken >= PIECE_BYTES:
                yield b"".join(held)
                held.clear()
                held_bytes = taken = 0
        if held:
            yield b"".join(held)

    def finish(self) -> None:
        """Raise `BodyError` (TRUNCATED) if the coding's own end has not been seen."""
        if self._begun and not self.is_complete():
            detail = f"the {self.coding} stream ended early"
            raise BodyError(Failure(FailureKind.TRUNCATED, detail))

    def rest(self) -> Iterable[bytes]:
        """Return what was held back until the end."""
        return ()

    def _outputs(self, chunk: Chunk) -> Iterator[bytes]:
        """Yield the non-empty outputs of *chunk*; the codecs' own errors become `BodyError`."""
        if not chunk:
            return
        self._begun = True
        view = memoryview(chunk)
        try:
            for start in range(0, len(view), _SLICE_BYTES):
                yield from self.inflate(view[start : start + _SLICE_BYTES])
        except CODEC_ERRORS as error:
            raise undecodable(f"bad {self.coding} data: {error}") from error

    def _junk(self) -> BodyError:
        return undecodable(f"bytes after the end of the {self.coding} stream")

    @abstractmethod
    def inflate(self, data: Chunk) -> Iterator[bytes]:
        """Yield what *data* decodes to; raises `BodyError` and the codec's own errors."""

    @abstractmethod
    def is_complete(self) -> bool:
        """Tell whether the coding's own end has been seen."""


class _Member(Protocol):
    """What zlib's and zstd's decompressors have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: Chunk, max_length: int, /) -> bytes: ...


class _MemberLayer(Layer):
    """A coding made of self-contained members, one after another (zstd calls them frames).

    Many members are legal; many that hold next to nothing are not work but an attack. Past the
    first thousand, members must hold `least_mean_bytes` each on average.
    """

    least_mean_bytes: ClassVar[int]

    def __init__(self) -> None:
        super().__init__()
        self._member: _Member | None = None
        self._members = 0

    def inflate(self, data: Chunk) -> Iterator[bytes]:
        more = bool(data)
        while more:
            member = self._member
            if member is None:
                self._count_member()
                member = self._member = self._open(data)
            output = member.decompress(data, PIECE_BYTES)
            if output:
                yield output
            if member.eof:
                data = self._behind(member.unused_data)
                self._member = None
                more = bool(data)
            else:
                data = self._unread(member)
                # A full output may hide more of it inside the codec, its input all consumed.
                more = bool(data) or len(output) == PIECE_BYTES

    def _count_member(self) -> None:
        self._members += 1
        if self._members > _FREE_MEMBERS + self.produced // self.least_mean_bytes:
            raise undecodable(
                f"{self._members:,} {self.coding} members hold only {self.produced:,} bytes"
            )

    def is_complete(self) -> bool:
        return self._member is None

    @abstractmethod
    def _open(self, data: Chunk) -> _Member:
        """Return the decompressor for the member that *data* begins."""

    def _behind(self, data: bytes) -> Chunk:
        """Return what of *data*, found behind a member's end, begins another."""
        return data

    @staticmethod
    @abstractmethod
    def _unread(member: _Member) -> bytes:
        """Return the input that *member* has given back for the next plan."""


class _ZlibLayer(_MemberLayer):
    least_mean_bytes = 64

    @staticmethod
    def _unread(member: _Member) -> bytes:
        tail: bytes = member.unconsumed_tail  # type: ignore[attr-defined]
        return tail


class _Gzip(_ZlibLayer):
    """RFC 1952: members in sequence (§2.2), each with the CRC and length that zlib checks.

    Zero bytes behind the last member are padding, as gzip(1) and Python hold it; what came before
    is proven whole. Anything else there is an error.
    """

    coding = "gzip"

    def __init__(self) -> None:
        super().__init__()
        self._padded = False

    def inflate(self, data: Chunk) -> Iterator[bytes]:
        if self._members and self._member is None:
            data = self._behind(bytes(data))
        return super().inflate(data)

    def _behind(self, data: bytes) -> Chunk:
        member = data.lstrip(b"\0")
        self._padded = self._padded or len(member) < len(data)
        if self._padded and member:
            raise self._junk()
        return member

    def _open(self, data: Chunk) -> _Member:
        # zlib waits for a second byte before it judges the first.
        if data[0] != 0x1F:
            raise self._junk() if self._members > 1 else undecodable("the body is not gzip")
        return zlib.decompressobj(wbits=31)


class _Deflate(_ZlibLayer):
    """RFC 9110 §8.4.1.2: a zlib stream; raw deflate, which many servers send, is taken as well.

    The first byte tells them apart. Of a zlib stream its low half is 8 and its high half at most 7
    (RFC 1950 §2.2). Raw deflate could only look so with a stored block whose padding bits are set,
    and encoders write zeros there. Raw deflate has no checksum.
    """

    coding = "deflate"

    def _open(self, data: Chunk) -> _Member:
        if self._members > 1:
            raise self._junk()
        is_zlib = data[0] & 0x0F == 8 and data[0] >> 4 <= 7
        return zlib.decompressobj(wbits=zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)


class _Zstd(_MemberLayer):
    """RFC 8878: frames in sequence, skippable ones among them; checksums checked where present."""

    coding = "zstd"
    least_mean_bytes = 1024

    def _open(self, data: Chunk) -> _Member:
        return zstd.ZstdDecompressor(options=_ZSTD_OPTIONS)

    @staticmethod
    def _unread(member: _Member) -> bytes:
        return b""  # kept inside


class _Brotli(Layer):
    """RFC 7932: one stream, without a checksum; the codec itself refuses bytes behind its end."""

    coding = "br"

    def __init__(self) -> None:
        super().__init__()
        self._codec = brotli.Decompressor()

    def inflate(self, data: Chunk) -> Iterator[bytes]:
        while True:
            output = self._codec.process(data, output_buffer_limit=_BROTLI_LIMIT)
            if output:
                yield output
            # Only an output below the limit means that nothing is left inside:
            # can_accept_more_data() turns true with the last 25,600 bytes still to come.
            if len(output) < _BROTLI_LIMIT:
                return
            data = b""

    def is_complete(self) -> bool:
        return bool(self._codec.is_finished())


LAYERS: dict[str, type[Layer]] = {
    "gzip": _Gzip,
    "deflate": _Deflate,
    "br": _Brotli,
    "zstd": _Zstd,
}


def too_big(limit: int, where: str) -> BodyError:
    detail = f"the body has more than {limit:,} bytes{where}"
    return BodyError(Failure(FailureKind.TOO_BIG, detail))


def undecodable(detail: str) -> BodyError:
    return BodyError(Failure(FailureKind.DECODE, detail))

"""Bodies come out whole or not at all, in flat memory and bounded work."""

from __future__ import annotations

import gzip
import random
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise, repeat

import brotli  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchpool.model import decoding
from fetchpool.model.decoding import (
    ACCEPT_ENCODING,
    PIECE_BYTES,
    BodyError,
    make_decoder,
    own_codings,
    unregistered,
)
from fetchpool.model.decoding.labels import codings_in
from fetchpool.model.values import FailureKind

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b"".join(b"line %d of a text that compresses well\n" % number for number in range(500))
EMPTY_SKIPPABLE_FRAME = b"\x50\x2a\x4d\x18\0\0\0\0"


def raw_deflate(data: bytes) -> bytes:
    codec = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return codec.compress(data) + codec.flush()


def checked_zstd(data: bytes, window_log: int = 20) -> bytes:
    options: dict[int, int] = {
        zstd.CompressionParameter.checksum_flag: 1,
        zstd.CompressionParameter.window_log: window_log,
    }
    codec = zstd.ZstdCompressor(options=options)
    return codec.compress(data) + codec.flush()


ENCODE: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": partial(gzip.compress, mtime=0),
    "x-gzip": partial(gzip.compress, mtime=0),
    "deflate": zlib.compress,
    "br": partial(brotli.compress, quality=5),
    "zstd": checked_zstd,
}
CODINGS = [name for name in ENCODE if name != "identity"]


def decoded(label: list[str] | str | None, chunks: Iterable[bytes], max_bytes: int = 0) -> bytes:
    decoder = make_decoder(label, max_bytes)
    pieces = [piece for chunk in chunks for piece in decoder.feed(chunk)]
    pieces += decoder.finish()
    assert all(len(piece) <= PIECE_BYTES for piece in pieces)
    return b"".join(pieces)


def result_of(
    label: list[str] | str | None, chunks: Iterable[bytes], max_bytes: int = 0
) -> bytes | FailureKind:
    try:
        return decoded(label, chunks, max_bytes)
    except BodyError as error:
        return error.failure.kind


def kind_of(label: list[str] | str | None, chunks: Iterable[bytes], max_bytes: int = 0) -> str:
    with pytest.raises(BodyError) as caught:
        decoded(label, chunks, max_bytes)
    return caught.value.failure.kind.value


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    bounds = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


# --- what is asked for and what is understood


def test_everything_asked_for_is_understood() -> None:
    for coding in ACCEPT_ENCODING.split(", "):
        assert decoded(coding, [ENCODE[coding](TEXT)]) == TEXT


@pytest.mark.parametrize(
    "label",
    [None, "", [], [""], "identity", " , ,", ["Identity", "\tidentity , "], [",", ""]],
)
def test_without_a_coding_the_bytes_are_the_body(label: list[str] | str | None) -> None:
    assert decoded(label, [b"as", b"", b" it is"]) == b"as it is"


@pytest.mark.parametrize(
    "label",
    ["gzip", "GZip", "x-gzip", "X-GZIP", " gzip\t", ["gzip", ""], ",gzip,", "identity, gzip"],
)
def test_spellings_of_gzip_are_understood(label: list[str] | str) -> None:
    assert decoded(label, [gzip.compress(TEXT)]) == TEXT


def test_two_layers_are_undone_last_first() -> None:
    wire = brotli.compress(gzip.compress(TEXT))
    assert decoded("gzip, br", [wire]) == TEXT
    assert decoded(["gzip", "identity", "br"], [wire]) == TEXT
    assert kind_of("br, gzip", [wire]) == "decode"


def test_three_layers_are_refused() -> None:
    wire = gzip.compress(gzip.compress(gzip.compress(TEXT)))
    assert kind_of("gzip, gzip, gzip", [wire]) == "decode"
    assert kind_of(["gzip"] * 3, [wire]) == "decode"


@pytest.mark.parametrize("label", ["compress", "X-Compress", "dcz", "exi, gzip", "gzip, dcb, é"])
def test_codings_that_are_lacking_are_refused_in_printable_words(label: str) -> None:
    with pytest.raises(BodyError) as caught:
        decoded(label, [b"x"])
    assert caught.value.failure.kind is FailureKind.DECODE
    assert caught.value.failure.detail.isprintable()


@pytest.mark.parametrize(
    "label", ["none", "utf-8", "gzip;q=1", "gzip br", "\x1b[31m", "é", "snappy"]
)
def test_names_that_nobody_registered_mean_nothing(label: str) -> None:
    assert decoded(label, [b"as it is"]) == b"as it is"
    assert decoded([label, "gzip", label], [gzip.compress(TEXT)]) == TEXT
    assert decoded([label] * 100, [b"as it is"]) == b"as it is"
    assert unregistered([label, "gzip", "identity", label]) == [label]


def test_every_coding_that_is_undone_is_registered() -> None:
    assert unregistered(CODINGS) == []
    assert codings_in("identity") == []


@pytest.mark.parametrize("label", [*CODINGS, "gzip, br", "compress", "gzip, gzip, gzip"])
def test_an_empty_body_is_complete_whatever_its_label(label: str) -> None:
    assert decoded(label, []) == b""
    assert decoded(label, [b"", b""]) == b""


@pytest.mark.parametrize("coding", CODINGS)
def test_an_encoded_empty_body_is_complete(coding: str) -> None:
    assert decoded(coding, [ENCODE[coding](b"")]) == b""


def test_raw_deflate_is_taken_for_deflate() -> None:
    for data in (b"", b"a", TEXT, random.Random(1).randbytes(300)):
        assert decoded("deflate", [raw_deflate(data)]) == data
        assert decoded("deflate", cut(raw_deflate(data), range(20))) == data


def test_stored_raw_deflate_is_not_mistaken_for_zlib() -> None:
    codec = zlib.compressobj(level=0, wbits=-zlib.MAX_WBITS)
    wire = codec.compress(b"x" * 100_000) + codec.flush()
    assert wire[0] == 0
    assert decoded("deflate", [wire]) == b"x" * 100_000


def test_memory_lent_for_a_feed_may_be_used_again_after_it() -> None:
    for coding, encode in ENCODE.items():
        wire = bytearray(encode(TEXT))
        decoder = make_decoder(coding, 0)
        pieces = list(decoder.feed(memoryview(wire)))
        wire[:] = bytes(len(wire))
        assert b"".join([*pieces, *decoder.finish()]) == TEXT


# --- laws


# A unit and how often it is repeated: up to 2.5 pieces.
recipes = st.tuples(st.binary(max_size=640), st.sampled_from([1, 2, 100, 1000]))
labels = st.lists(st.sampled_from(list(ENCODE)), max_size=2)
places = st.lists(st.integers(0, 1 << 20), max_size=12)


def encoded(label: list[str], payload: bytes) -> bytes:
    for coding in label:
        payload = ENCODE[coding](payload)
    return payload


@given(recipes, labels, places)
def test_any_body_survives_any_codings_and_chunks(
    recipe: tuple[bytes, int], label: list[str], at: list[int]
) -> None:
    payload = recipe[0] * recipe[1]
    assert decoded(label, cut(encoded(label, payload), at)) == payload


@given(st.binary(max_size=300), st.sampled_from(list(ENCODE)))
def test_any_body_survives_byte_by_byte(payload: bytes, coding: str) -> None:
    wire = ENCODE[coding](payload)
    assert decoded(coding, [wire[at : at + 1] for at in range(len(wire))]) == payload


@given(recipes, st.lists(st.sampled_from(CODINGS), min_size=1, max_size=2), st.data())
def test_no_truncated_body_ends_cleanly(
    recipe: tuple[bytes, int], label: list[str], data: st.DataObject
) -> None:
    wire = encoded(label, recipe[0] * recipe[1])
    end = data.draw(st.integers(1, len(wire) - 1)) if len(wire) > 1 else 1
    if end < len(wire):
        assert kind_of(label, [wire[:end]]) == "truncated"


@given(st.binary(max_size=400), st.sampled_from(["gzip", "zstd"]), st.integers(0), places)
def test_a_flipped_bit_is_an_error_or_changes_nothing(
    payload: bytes, coding: str, bit: int, at: list[int]
) -> None:
    wire = bytearray(ENCODE[coding](payload))
    bit %= 8 * len(wire)
    wire[bit // 8] ^= 1 << (bit % 8)
    result = result_of(coding, cut(bytes(wire), at))
    assert result in {payload, FailureKind.DECODE, FailureKind.TRUNCATED}


@given(
    st.lists(st.sampled_from(CODINGS), min_size=1, max_size=2), st.binary(max_size=200), st.data()
)
def test_garbage_raises_nothing_but_body_errors(
    label: list[str], garbage: bytes, data: st.DataObject
) -> None:
    wire = encoded(label, TEXT)
    start = data.draw(st.integers(0, len(wire)))
    for chunks in ([garbage], [wire[:start], garbage], [wire[:start] + garbage + wire[start:]]):
        result = result_of(label, chunks, max_bytes=1 << 20)
        assert isinstance(result, bytes) or result in {
            FailureKind.DECODE,
            FailureKind.TRUNCATED,
            FailureKind.TOO_BIG,
        }


# --- what follows the end


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("junk", [b"x", b"\x00x", b"junk", b"\xff" * 100_000])
def test_junk_behind_the_end_is_an_error(coding: str, junk: bytes) -> None:
    wire = ENCODE[coding](TEXT)
    assert kind_of(coding, [wire + junk]) == "decode"
    assert kind_of(coding, [wire, junk]) == "decode"


def test_zero_padding_is_tolerated_behind_gzip_alone() -> None:
    wire = gzip.compress(TEXT)
    assert decoded("gzip", [wire + bytes(70_000)]) == TEXT
    assert decoded("gzip", [wire, b"\0", bytes(511)]) == TEXT
    assert kind_of("gzip", [wire, b"\0", wire]) == "decode"
    assert kind_of("gzip", [wire + b"\0" + wire]) == "decode"
    assert kind_of("gzip", [b"\0" + wire]) == "decode"
    for coding in ("deflate", "br"):
        assert kind_of(coding, [ENCODE[coding](TEXT) + b"\0"]) == "decode"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_members_in_sequence_are_one_body(coding: str) -> None:
    wire = b"".join(ENCODE[coding](part) for part in (b"one ", b"", TEXT, b"", b"three"))
    for chunks in ([wire], cut(wire, range(0, len(wire), 7))):
        assert decoded(coding, chunks) == b"one " + TEXT + b"three"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_body_of_many_honest_members_is_taken(coding: str) -> None:
    wire = ENCODE[coding](TEXT[:1500]) * 3000
    assert decoded(coding, cut(wire, range(0, len(wire), 40_000))) == TEXT[:1500] * 3000


def test_a_member_cut_short_after_a_whole_one_is_truncated() -> None:
    for coding in ("gzip", "zstd"):
        wire = ENCODE[coding](TEXT)
        for length in (1, 2, 5, len(wire) - 1):
            assert kind_of(coding, [wire + wire[:length]]) == "truncated"


def test_skippable_frames_are_skipped() -> None:
    wire = EMPTY_SKIPPABLE_FRAME + checked_zstd(TEXT) + b"\x5f\x2a\x4d\x18\x03\0\0\0abc"
    assert decoded("zstd", cut(wire, range(0, len(wire), 3))) == TEXT


def test_plain_text_labelled_as_coded_is_an_error() -> None:
    for coding in CODINGS:
        assert kind_of(coding, [b"<!doctype html><p>not compressed at all, sorry"]) == "decode"


def test_a_bad_checksum_is_an_error() -> None:
    for coding, back in (("gzip", 8), ("gzip", 1), ("deflate", 1), ("zstd", 1)):
        wire = bytearray(ENCODE[coding](TEXT))
        wire[-back] ^= 1
        assert kind_of(coding, [bytes(wire)]) == "decode"


# --- caps and attacks


@pytest.mark.parametrize("coding", ENCODE)
def test_the_cap_allows_its_last_byte_and_not_one_more(coding: str) -> None:
    wire = ENCODE[coding](TEXT)
    assert decoded(coding, [wire], max_bytes=len(TEXT)) == TEXT
    assert kind_of(coding, [wire], max_bytes=len(TEXT) - 1) == "too_big"


def test_wire_bytes_count_against_the_cap_too() -> None:
    wire = b"\x50\x2a\x4d\x18\xff\xff\xff\x7f"  # a skippable frame of 2 GiB decodes to nothing
    assert kind_of("zstd", [wire, *[bytes(10_000)] * 11], max_bytes=100_000) == "too_big"


def test_bytes_between_two_layers_count_against_the_cap_too() -> None:
    nothing = b"\x50\x2a\x4d\x18" + (5_000_000).to_bytes(4, "little") + bytes(5_000_000)
    assert decoded("zstd, gzip", [gzip.compress(nothing)]) == b""
    assert kind_of("zstd, gzip", [gzip.compress(nothing)], max_bytes=1_000_000) == "too_big"


def test_work_between_two_pieces_is_bounded_where_nothing_comes_of_it() -> None:
    nothing = b"\x50\x2a\x4d\x18" + (16 << 20).to_bytes(4, "little") + bytes(16 << 20)
    pieces = list(make_decoder("zstd, gzip", 0).feed(gzip.compress(nothing)))
    assert set(pieces) == {b""}
    assert len(pieces) >= (16 << 20) // (2 * PIECE_BYTES)


@pytest.mark.parametrize("label", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "gzip, zstd"])
def test_a_bomb_is_stopped_in_flat_memory(label: str) -> None:
    wire = encoded(label.split(", "), bytes(64 << 20))
    sizes: list[int] = []
    pieces = make_decoder(label, 40 << 20).feed(wire)
    tracemalloc.start()
    try:
        with pytest.raises(BodyError) as caught:
            sizes.extend(map(len, pieces))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.failure.kind is FailureKind.TOO_BIG
    assert (40 << 20) - 2 * PIECE_BYTES <= sum(sizes) <= 40 << 20
    assert peak < 12 * PIECE_BYTES


def test_without_a_cap_the_ratio_stops_a_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "RATIO_FLOOR_BYTES", 1 << 20)
    zeros = bytes(16 << 20)
    for label in ("br", "zstd", "gzip, gzip"):
        assert kind_of(label, [encoded(label.split(", "), zeros)]) == "too_big"
    assert decoded("gzip", [gzip.compress(zeros, 9)]) == zeros
    assert decoded("br", [brotli.compress(zeros[: 1 << 20])]) == zeros[: 1 << 20]


@pytest.mark.parametrize(
    "member",
    [ENCODE["gzip"](b""), ENCODE["gzip"](b"x"), checked_zstd(b""), EMPTY_SKIPPABLE_FRAME],
    ids=["empty gzip", "one byte", "empty zstd", "skippable frame"],
)
def test_a_body_of_empty_members_ends_after_a_thousand_of_them(member: bytes) -> None:
    coding = "gzip" if member[:1] == b"\x1f" else "zstd"
    assert kind_of(coding, repeat(member * 100, 30)) == "decode"
    assert kind_of(coding, repeat(member, 3000)) == "decode"
    outer = ENCODE["br"](member * 3000)
    assert kind_of(f"{coding}, br", [outer]) == "decode"


def test_a_window_beyond_8_mib_is_refused() -> None:
    assert decoded("zstd", [checked_zstd(TEXT, window_log=23)]) == TEXT
    assert kind_of("zstd", [checked_zstd(TEXT, window_log=24)]) == "decode"


@settings(max_examples=20)
@given(st.integers(PIECE_BYTES - 2, PIECE_BYTES + 2), st.integers(1, 4), st.sampled_from(CODINGS))
def test_nothing_stays_inside_when_an_output_fills_a_piece(
    size: int, times: int, coding: str
) -> None:
    payload = bytes(size * times)
    decoder = make_decoder(coding, 0)
    assert sum(map(len, decoder.feed(ENCODE[coding](payload)))) == len(payload)
    assert list(decoder.finish()) == []


# --- codings that a file has itself


def left_on(label: list[str] | str, chunks: Iterable[bytes], own: str, max_bytes: int = 0) -> bytes:
    decoder = make_decoder(label, max_bytes, frozenset({own}))
    pieces = [piece for chunk in chunks for piece in decoder.feed(chunk)]
    pieces += decoder.finish()
    return b"".join(pieces)


AGAIN = [coding for coding in CODINGS if coding not in ("br", "x-gzip")]


@given(recipes, st.sampled_from(AGAIN), places)
def test_a_files_own_coding_stays_on_in_any_chunks(
    recipe: tuple[bytes, int], coding: str, at: list[int]
) -> None:
    file = ENCODE[coding](b"plain " + recipe[0] * recipe[1])
    assert left_on(coding, cut(file, at), coding) == file
    again = ENCODE[coding](file)
    assert left_on(coding, cut(again, at), coding) == file
    assert left_on([coding, coding], cut(again, at), coding) == file
    assert left_on([coding, "br"], cut(ENCODE["br"](file), at), coding) == file


@given(st.binary(max_size=300), st.sampled_from(AGAIN))
def test_a_files_own_coding_stays_on_byte_by_byte(payload: bytes, coding: str) -> None:
    file = ENCODE[coding](b"plain " + payload)
    for wire in (file, ENCODE[coding](file)):
        assert left_on(coding, [wire[at : at + 1] for at in range(len(wire))], coding) == file


def test_a_layer_for_the_way_is_complete_or_an_error() -> None:
    again = gzip.compress(gzip.compress(random.Random(1).randbytes(5000)))
    with pytest.raises(BodyError) as caught:
        left_on("gzip", [again[:-5]], "gzip")
    assert caught.value.failure.kind is FailureKind.TRUNCATED


def test_what_is_labelled_in_vain_is_the_body_as_it_is() -> None:
    assert left_on("gzip", [b"x", b"yz"], "gzip") == b"xyz"
    assert left_on("gzip", [b"\x1f\x8b\x08", b"then nothing that makes sense" * 9], "gzip")[:2] == (
        b"\x1f\x8b"
    )
    assert left_on("gzip", [], "gzip") == b""


def test_an_endless_beginning_is_not_held_for_ever() -> None:
    name = b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 1_000_000  # a gzip file's name, without an end
    decoder = make_decoder("gzip", 0, frozenset({"gzip"}))
    assert sum(len(piece) for piece in decoder.feed(name)) > len(name) - 128 * 1024


def test_what_stays_on_counts_against_the_cap() -> None:
    wire = gzip.compress(random.Random(1).randbytes(5000))
    with pytest.raises(BodyError) as caught:
        left_on("gzip", [wire], "gzip", 4000)
    assert caught.value.failure.kind is FailureKind.TOO_BIG
    bomb = gzip.compress(gzip.compress(bytes(50_000_000), 1))
    with pytest.raises(BodyError) as caught:
        left_on("gzip", [bomb], "gzip", 10_000)
    assert caught.value.failure.kind is FailureKind.TOO_BIG


@pytest.mark.parametrize(
    ("content_type", "name", "coding"),
    [
        ("application/gzip", "", "gzip"),
        ("APPLICATION/X-GZIP ; a=b", None, "gzip"),
        ("application/x+gzip", None, "gzip"),
        ("image/svg+xml", "/a/b.SVGZ", "gzip"),
        (None, "x.tar.gz", "gzip"),
        ("application/x-zstd", None, "zstd"),
        (None, "/a.js.br", "br"),
        ("application/x-compress", None, "compress"),
        ("text/html", "/gz", None),
        ("gzip", "/.gz/", None),
        (None, None, None),
    ],
)
def test_type_or_name_tells_a_files_own_coding(
    content_type: str | None, name: str | None, coding: str | None
) -> None:
    expected = frozenset() if coding is None else frozenset({coding})
    assert own_codings(content_type, [None, name]) == expected

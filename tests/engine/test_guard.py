"""The guard tells aiohttp's parser the one way to read an answer, however that arrives."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchpool.http.exchange import ExchangeError
from fetchpool.http.framing import (
    CHUNK_FRAMING_BYTES,
    MAX_HEAD_BYTES,
    MAX_INTERIM,
    MAX_LINE_BYTES,
)
from fetchpool.http.guard import Guard
from fetchpool.model.values import FailureKind

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"

ENDING = [
    OK + b"Content-Length: 3\r\n\r\nabc",
    OK + b"Content-Length: 0\r\n\r\n",
    OK + b"X:\r\n folded\r\n \r\nContent-Length:\r\n 3\r\n\r\nabc",
    b"HTTP/1.0 404 No\nContent-Length: 2\n\nno",
    b"HTTP/1.1 200\r\ncOnTeNt-LeNgTh:2\r\n\r\nok",
    b"\r\n\n\r\n" + OK + b"Content-Length: 1\r\n\r\n1",
    b"HTTP/1.1 204 None\r\n\r\n",
    b"HTTP/1.1 204 None\r\nContent-Length: 3\r\n\r\n",
    b"HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\n",
    HINTS * MAX_INTERIM + OK + b"Content-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 100 C\r\n\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\n1",
    CHUNKED + b"0\r\n\r\n",
    CHUNKED + b"3\r\nabc\r\n00A;x=\"y\";z\r\n0123456789\r\n0\r\nX-Sum: 1\r\nY: \r\n\r\n",
    CHUNKED + b"2\r\na\n\n0\r\nX: y\n\n",
    CHUNKED.replace(b" chunked", b"\r\n\t ChunKed \t\r\n ") + b"1 \r\n\n\r\n0\t;x\r\n\r\n",
    b"HTTP/1.1 100 C\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    + OK + b"X Y: 1\r\n\tgoes on\r\nContent-Length: 1, 1\r\ncontent-length: 01\r\n\r\n1",
]  # fmt: skip
"""Answers that say where they end."""

ENDLESS = [
    OK + b"\r\nuntil the connection ends",
    b"HTTP/1.0 200 \r\nX: y\n\nso does this",
    OK + b"Transfer-Encoding: identity\r\n\r\nand this",
]


class Followed(NamedTuple):
    """What aiohttp's parser had of an answer."""

    head: bytes
    body: bytes
    surplus: bool


def follow(parts: list[bytes]) -> Followed | None:
    """Return what is passed on of *parts*; None if they are refused."""
    guard = Guard()
    try:
        passed = b"".join(guard.feed(part) for part in parts if guard.refusal is None)
    except ExchangeError as error:
        if error.failure.kind is FailureKind.PROTOCOL and not error.transient:
            return None
        raise
    if guard.refusal is not None:
        return None
    head, _, body = passed.partition(b"\r\n\r\n")
    return Followed(head, unchunked(body) if b"chunked" in head else body, guard.surplus)


def unchunked(data: bytes) -> bytes:
    """Return the body in chunks made to the letter, its end included."""
    body = b""
    while data:
        line, _, data = data.partition(b"\r\n")
        size = int(line, 16)
        body += data[:size]
        assert line == b"%x" % size
        assert data[size : size + 2] == b"\r\n"
        data = data[size + 2 :]
        if not size:
            assert data == b""
            return body + b" whole"
    return body


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """Return *data* cut at the offsets *at*."""
    cuts = sorted({n % (len(data) + 1) for n in at})
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True) if data[a:b]]


@pytest.mark.parametrize(
    "surplus", [b"", b"x", b"\r\n", b"\n", b"0\r\n\r\n", ENDING[0], b"\0" * 99]
)
@pytest.mark.parametrize("answer", ENDING)
def test_what_follows_an_answer_is_not_its_own(answer: bytes, surplus: bytes) -> None:
    alone = follow([answer])
    assert alone is not None
    assert not alone.surplus
    expected = alone._replace(surplus=bool(surplus))
    data = answer + surplus
    assert follow([data]) == expected
    assert follow([data[n : n + 1] for n in range(len(data))]) == expected
    assert follow([answer, surplus, surplus]) in (expected, alone._replace(surplus=True))


@pytest.mark.parametrize("answer", ENDLESS)
def test_body_without_length_lasts_as_long_as_its_connection(answer: bytes) -> None:
    followed = follow([answer, ENDING[0], b"\0"])
    assert followed is not None
    assert followed.body.endswith(ENDING[0] + b"\0")
    assert b"close" in followed.head


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """An answer, and what follows it, with a few bytes lost, doubled, replaced or put in."""
    data = b"".join(draw(st.lists(st.sampled_from(ENDING + ENDLESS), min_size=1, max_size=2)))
    pieces = st.sampled_from(
        [b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b";", b"0", b"\0", b"chunked"]
    )
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        data = data[:start] + draw(st.one_of(pieces, st.binary(max_size=3))) + data[end:]
    return data


@given(broken(), st.lists(st.integers(0, 1000), max_size=6))
@settings(max_examples=500)
def test_any_split_is_followed_alike(data: bytes, at: list[int]) -> None:
    whole = follow([data])
    assert follow(cut(data, at)) == whole
    assert follow([data[n : n + 1] for n in range(len(data))]) == whole


@given(st.lists(st.binary(max_size=300), max_size=20), st.lists(st.integers(0, 9999), max_size=20))
def test_chunks_of_any_size_end_where_they_say(chunks: list[bytes], at: list[int]) -> None:
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk)
    data = CHUNKED + framed + b"0\r\n\r\n"
    followed = follow(cut(data + b"surplus", at))
    assert followed is not None
    assert followed.body == b"".join(chunks) + b" whole"
    assert followed.surplus


def _fields(*lines: bytes) -> bytes:
    return OK + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


REFUSED = {
    "length-twice": _fields(b"Content-Length: 3", b"Content-Length: 4"),
    "length-list": _fields(b"Content-Length: 3, 4"),
    "length-none": _fields(b"Content-Length:"),
    "length-vertical-tab": _fields(b"Content-Length: \x0b3"),
    "length-folded": _fields(b"Content-Length: 3", b" 4"),
    "length-and-chunked": _fields(b"Content-Length: 3", b"Transfer-Encoding: chunked"),
    "coding-twice": _fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "coding-other": _fields(b"Transfer-Encoding: br"),
    "coding-none-and-length": _fields(b"Transfer-Encoding: identity", b"Content-Length: 3"),
    "coding-list": _fields(b"Transfer-Encoding: gzip, chunked"),
    "coding-vertical-tab": _fields(b"Transfer-Encoding: chunked\x0b"),
    "coding-folded-other": _fields(b"Transfer-Encoding: chunked", b" gzip"),
    "interim-endless": b"HTTP/1.1 199 Odd\r\n\r\n" * (MAX_INTERIM + 1),
    "switched": b"HTTP/1.1 101 Up\r\n\r\n",
    "status-099": b"HTTP/1.1 099 Low\r\n\r\n",
    "status-1000": b"HTTP/1.1 1000 High\r\n",
    "status-minus": b"HTTP/1.1 -20 OK\r\n",
    "status-superscript": b"HTTP/1.1 2\xb20 OK\r\n",
    "version-0.9": b"HTTP/0.9",
    "version-2": b"HTTP/2 200",
    "version-1.2": b"HTTP/1.2",
    "version-1.10": b"HTTP/1.10",
    "rtsp": b"RTSP",
    "other": b"220 mail.example ESMTP",
    "one-byte": b"\xff",
    "after-line-ends": b"\r\n\r\nSSH-2.0",
    "second-status-line-after-interim": HINTS + b"HTTP/2",
    "bare-return": _fields(b"X: a", b"\rX: b"),
    "bare-return-behind-the-colon": _fields(b"X:\r", b"Content-Length: 3"),
    "bare-return-in-a-name": _fields(b"X\r: a"),
    "bare-return-in-a-reason": b"HTTP/1.1 200 O\rK\r\n\r\n",
    "bare-return-behind-a-code": b"HTTP/1.1 200\r \r\n\r\n",
    "bare-return-before-all": b"\r" + OK + b"\r\n",
    "bare-return-for-an-end": OK + b"X: a\r\n\rx",
    "bare-returns-alone": b"HTTP/1.1 200 OK\rContent-Length: 3\r\rabc",
    "bare-return-in-an-interim-head": b"HTTP/1.1 103 H\r\nX:\r\r\n\r\n" + OK + b"\r\n",
    "nul-in-a-reason": b"HTTP/1.1 200 O\0K\r\n\r\n",
    "nul-in-a-value": _fields(b"X: a\0"),
    "nul-in-what-is-no-field": _fields(b"X Y: \0"),
    "no-colon": _fields(b"Nonsense"),
    "blank-first": _fields(b" X: a"),
    "blank-first-that-frames": _fields(b"\tContent-Length: 3"),
    "blank-first-and-alone": _fields(b" "),
    "blank-before-colon": _fields(b"Content-Length : 3"),
    "tab-before-colon": _fields(b"Transfer-Encoding\t: chunked"),
    "framing-behind-a-word": _fields(b"X Content-Length: 3"),
    "framing-in-two-words": _fields(b"Content Length: 3"),
    "framing-with-a-high-byte": _fields(b"Content-Length\xa0: 3"),
    "framing-behind-what-is-no-field": _fields(b"X Y: 1", b" Content-Length: 3"),
    "decoding-with-a-blank": _fields(b"Content-Encoding : gzip"),
    "line-ends-endless": b"\r\n" * MAX_HEAD_BYTES,
    "line-endless": OK + b"x" * (MAX_LINE_BYTES + 1),
    "status-line-endless": b"HTTP/1.1 200 " + b"x" * MAX_LINE_BYTES,
    "fields-endless": OK + b"X: y\r\n" * (MAX_HEAD_BYTES // 6),
    "head-too-long": OK + (b"X: " + b"y" * 60_000 + b"\r\n") * 6 + b"Content-Length: 0\r\n\r\n",
    "hints-too-long": (HINTS[:-2] + b"X: " + b"y" * 60_000 + b"\r\n\r\n") * 6,
    "size-none": CHUNKED + b"\r\n",
    "size-negative": CHUNKED + b"-1\r\n",
    "size-over-63-bits": CHUNKED + b"8000000000000000\r\n",
    "size-over-64-bits": CHUNKED + b"10000000000000001\r\n",
    "size-then-nul": CHUNKED + b"1\0\r\n",
    "size-of-zeros": CHUNKED + b"0" * (CHUNK_FRAMING_BYTES + 1),
    "extension-with-a-return": CHUNKED + b"1;a\rb\r\n",
    "extension-endless": CHUNKED + b"1;" + b"x" * CHUNK_FRAMING_BYTES,
    "extensions-endless": CHUNKED + (b"1;" + b"x" * 1000 + b"\r\nx\r\n") * 70,
    "size-blank-first": CHUNKED + b" 1\r\n",
    "size-then-a-bare-line-feed": CHUNKED + b"1\n",
    "size-then-a-return": CHUNKED + b"1\r\r\n",
    "extension-with-a-nul": CHUNKED + b"1;a\0\r\n",
    "return-behind-a-chunk": CHUNKED + b"1\r\nx\r\r\n",
    "bare-return-behind-a-chunk": CHUNKED + b"1\r\nx\r0\r\n",
    "trailer-with-a-return": CHUNKED + b"0\r\nX:\r\r\n\r\n",
    "trailer-with-a-nul": CHUNKED + b"0\r\nX: \0\r\n\r\n",
    "trailer-without-a-colon": CHUNKED + b"0\r\nX\r\n\r\n",
    "trailer-blank-first": CHUNKED + b"0\r\n X: a\r\n\r\n",
    "trailer-that-frames": CHUNKED + b"0\r\nContent-Length: 3\r\n\r\n",
    "trailer-that-could-frame": CHUNKED + b"0\r\nContent-Length : 3\r\n\r\n",
    "trailer-ended-by-a-return": CHUNKED + b"0\r\n\rx",
    "chunk-too-long": CHUNKED + b"1\r\nxy\r\n",
    "trailer-endless": CHUNKED + b"0\r\nX: " + b"y" * (CHUNK_FRAMING_BYTES + 99),
    "trailers-endless": CHUNKED + b"0\r\n" + b"X: y\r\n" * (CHUNK_FRAMING_BYTES // 6 + 99),
}


@pytest.mark.parametrize("name", list(REFUSED))
def test_answer_that_can_be_read_in_two_ways_or_never_ends_is_refused(name: str) -> None:
    data = REFUSED[name]
    assert follow([data]) is None
    assert follow(cut(data, list(range(0, len(data), 1021)))) is None
    assert follow([data[n : n + 1] for n in range(len(data))]) is None


@pytest.mark.parametrize(
    "data",
    [
        OK + (b"X: " + b"y" * 60_000 + b"\r\n") * 4 + b"Content-Length: 0\r\n\r\n",
        CHUNKED + b"1;" + b"x" * 60_000 + b"\r\ny\r\n0\r\n\r\n",
        CHUNKED + b"1\r\nx\r\n" * 50_000 + b"0\r\n\r\n",
        CHUNKED + (b"400;sig=0123456789\r\n" + b"x" * 1024 + b"\r\n") * 2000 + b"0\r\n\r\n",
        CHUNKED + b"0000000000000000000000001\r\nx\r\n0\r\n\r\n",
    ],
    ids=["long-fields", "long-extension", "tiny-chunks", "small-extensions", "zeros"],
)
def test_what_is_long_but_ends_is_taken(data: bytes) -> None:
    followed = follow([data])
    assert followed is not None
    assert followed.body.endswith(b" whole") or b"Content-Length: 0" in followed.head
    assert follow(cut(data, list(range(0, len(data), 4093)))) == followed


def test_aiohttp_is_told_nothing_of_a_head_but_what_was_read_of_it() -> None:
    head = (
        b"HTTP/1.0 200 Fine\nX Y: 1\nSet-Cookie: a=b\nUpgrade: h2c\nCONTENT-length: 3, 3\n"
        b"X: a\n b\nConnection: keep-alive\n\n"
    )
    guard = Guard()
    assert guard.feed(head) == b"HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\n"
    assert guard.head is not None
    assert guard.head.get("x") == "a b"
    assert guard.head.get("set-cookie") == "a=b"


@pytest.mark.parametrize(
    ("start", "keeps"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: upgrade, CLOSE\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: x\r\nConnection: close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n", False),
    ],
)
def test_connection_serves_again_where_the_head_says_so(start: bytes, keeps: bool) -> None:
    passed = Guard().feed(start + b"Content-Length: 0\r\n\r\n")
    assert (b"Connection: close" not in passed) is keeps

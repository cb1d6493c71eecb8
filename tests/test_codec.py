"""A request on its way to disk or to another process: all of it comes back, and little is said."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool import Config, FetchPool, Outcome, Request
from fetchpool.model.asking import METHODS, PLAIN, Ask, read_checksum
from fetchpool.model.urls import parse_url
from fetchpool.output.names import alternate_path, body_path
from fetchpool.output.sinks.parts import part_key
from fetchpool.scaling.messages import JobState, Outcomes, encode, from_worker
from fetchpool.scaling.outbox import Outbox, Shelf
from fetchpool.scheduling.job import Job, target_of
from fetchpool.sources import Codec
from fetchpool.sources.codec import array_of

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
fields = st.lists(st.tuples(texts, texts), max_size=2).map(tuple)
asks = st.builds(
    Ask, st.sampled_from(METHODS), fields, st.none() | st.binary(max_size=20)
) | st.just(PLAIN)


@st.composite
def requests(draw: st.DrawFn, ask: Ask) -> Request:
    """A request that asks as its run does, or otherwise."""
    own = draw(st.just(ask) | st.just(PLAIN) | asks)
    return Request(
        draw(texts),
        draw(st.integers(0, 2**60)),
        draw(st.none() | texts),
        draw(st.none() | st.integers(1, 2**40)),
        draw(st.none() | texts),
        *own,
        draw(st.none() | texts),
        draw(st.none() | st.just("a" * 64)),
        draw(st.none() | st.dictionaries(texts, texts).map(msgspec.json.encode)),
    )


@given(st.data(), asks)
def test_whatever_is_asked_comes_back_from_disk_and_from_other_processes(
    data: st.DataObject, ask: Ask
) -> None:
    codec = Codec(ask)
    some = data.draw(st.lists(requests(ask), max_size=5))
    packed = [codec.pack(each) for each in some]
    assert [codec.unpack(each) for each in packed] == some
    assert codec.unpack_all(array_of(packed)) == some
    assert [codec.full(codec.lean(each)) for each in some] == some
    for each in some:
        state = JobState.of(Job(each, parse_url("http://a/")), 0.0, 0.0, codec)
        back = msgspec.msgpack.decode(encode(state), type=JobState).job(0.0, codec)
        assert (back.request, back.method, back.body) == (each, each.method, each.body)


def test_plain_line_takes_no_more_than_its_url_and_number() -> None:
    request = Request("http://a.example/1", 1000)
    size = len(request.url) + 8
    assert len(Codec().pack(request)) == size
    posts = Codec(Ask("POST", (("A", "b"),), b"x" * 1_000_000))
    assert len(posts.pack(request)) == size  # a plain GET of its own
    asked = posts.full(Request(request.url, request.seq, method=""))
    assert asked.body == b"x" * 1_000_000
    assert len(posts.pack(asked)) == size + 1


def test_line_that_brings_something_along_is_as_long_as_that() -> None:
    codec = Codec(Ask("POST", (("A", "b"),), b"x" * 1_000_000))
    row = b'{"cat":"NEWS","note":"some words"}'
    request = codec.full(Request("http://a.example/1", 1000, method="", row=row))
    assert len(codec.pack(request)) < len(request.url) + len(row) + 20
    assert codec.unpack(codec.pack(request)) == request


def test_outcomes_go_home_without_what_all_share() -> None:
    codec = Codec(Ask("POST", (), b"x" * 100_000))
    request = codec.full(Request("http://a/", 1, method=""))
    outcome = Outcome(
        request, False, None, None, None, None, 0, 1, 0, 0, None, None, None, None, 0.0
    )
    data = encode(Outcomes.of([outcome], codec))
    assert len(data) < 200
    message = from_worker(data)
    assert isinstance(message, Outcomes)
    assert message.full(codec) == [outcome]


def test_outbox_sends_again_what_each_asks() -> None:
    codec = Codec(Ask("PUT", (), b"all"))
    settled = {2}
    outbox = Outbox(Shelf(None), settled.__contains__, codec)
    some = [
        Request("http://a/", 1, method="PUT", body=b"all"),
        Request("http://a/", 2),
        Request("http://a/", 3, method="POST", body=b"own"),
    ]
    for each in some:
        outbox.add(each)
    assert outbox.next_batch() is not None
    outbox.settle(2)
    outbox.rewind()
    batch = outbox.next_batch()
    assert batch is not None
    assert codec.unpack_all(batch[0]) == [some[0], some[2]]


# --- what a request is known by


@given(asks, asks)
def test_requests_have_one_key_only_if_method_and_body_are_alike(one: Ask, other: Ask) -> None:
    same = (one.method, one.body) == (other.method, other.body)
    first, second = (Request("http://a/b.txt", 0, None, None, None, *ask) for ask in (one, other))
    assert (first.key == second.key) is same
    targets = [target_of(each) for each in (first, second)]
    assert not any(isinstance(each, Outcome) for each in targets)
    for name in (body_path, alternate_path, part_key):
        names: list[Any] = [name(target) for target in targets]  # type: ignore[arg-type]
        assert (names[0] == names[1]) is same, name


def test_plain_get_is_known_by_its_url() -> None:
    assert Request("http://a/", headers=(("A", "b"),)).key == "http://a/"
    assert body_path(parse_url("https://a.example/b.txt")) == "a.example/b.txt"


@pytest.mark.parametrize(
    ("text", "function"),
    [
        ("a" * 32, "md5"),
        ("A" * 40, "sha1"),
        ("a" * 64, "sha256"),
        ("a" * 128, "sha512"),
        ("sha256:" + "a" * 64, "sha256"),
        ("SHA256:" + "A" * 64, "sha256"),
        ("sha-1=" + "a" * 40, "sha1"),
        ("md5:" + "a" * 32, "md5"),
    ],
)
def test_checksum_is_read_as_lists_write_it(text: str, function: str) -> None:
    digits = re.split("[:=]", text)[-1].lower()
    assert read_checksum(text) == (function, digits)


# --- what a program asks


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"method": "BREW"}, "the request's method is none of GET"),
        ({"body": "text"}, "the request's body is no bytes"),
        ({"headers": (("A", "b\r\nC: d"),)}, "no name and value as HTTP has them"),
        ({"headers": (("A b", "c"),)}, "no name and value as HTTP has them"),
        ({"headers": (("Content-Length", "1"),)}, "can't set the header field Content-Length"),
        ({"headers": "A: b"}, "no pairs of name and value"),
        ({"headers": 5}, "no pairs of name and value"),
        ({"name": b"a"}, "name is no text"),
        ({"row": "{}"}, "row is no JSON object in bytes"),
        ({"row": b"[1]"}, "row is no JSON object in bytes"),
        ({"row": b'{"a":\n1}'}, "row is no JSON object in bytes"),
        ({"row": b'{"a":"\xff"}'}, "row is no JSON object in bytes"),
        ({"row": b'{"a":1}{}'}, "row is no JSON object in bytes"),
        ({"checksum": b"a"}, "sha256:HEX is one"),
        ({"checksum": ""}, "sha256:HEX is one"),
        ({"checksum": "a" * 63}, "sha256:HEX is one"),
        ({"checksum": "md5:" + "a" * 64}, "sha256:HEX is one"),
        ({"checksum": "crc32:" + "a" * 8}, "sha256:HEX is one"),
    ],
)
def test_request_that_cannot_be_sent_is_an_outcome(more: dict[str, Any], problem: str) -> None:
    async def work() -> None:
        async with FetchPool() as pool:
            (outcome,) = [each async for each in pool.fetch([Request("http://a.test/", **more)])]
        assert outcome.error == "input"
        assert problem in (outcome.detail or "")

    asyncio.run(work())


def test_setting_of_the_run_is_for_texts_and_a_request_says_itself() -> None:
    async def asked() -> list[tuple[str, bytes | None]]:
        config = Config(data="x", retries=0, connect_timeout=0.2)
        url = "http://127.0.0.1:1/"
        loose: Any = {"method": "patch", "headers": {"A": "b"}}
        urls: list[str | Request] = [url, Request(url), Request(url, **loose)]
        async with FetchPool(config) as pool:
            found = [each.request async for each in pool.fetch(urls)]
        return [(each.method, each.body) for each in sorted(found, key=lambda each: each.seq)]

    assert asyncio.run(asked()) == [("POST", b"x"), ("GET", None), ("PATCH", None)]


def test_what_is_secret_is_in_no_representation() -> None:
    request = Request(
        "http://a/", 0, None, None, None, "POST", (("X", "canary"),), b"canary",
        name="canary", row=b'{"a":"canary"}',
    )  # fmt: skip
    config = Config(user="me:canary", data="canary", json=None)
    assert "canary" not in repr(request) + repr(config)

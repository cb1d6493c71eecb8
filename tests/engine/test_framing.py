"""What a head may say about the body after it: a table."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.http.exchange import ExchangeError
from fetchpool.http.framing import body_length
from fetchpool.model.attempts import Fault
from fetchpool.model.values import FailureKind, Head

Fields = tuple[tuple[str, str], ...]


def length(*values: str) -> Fields:
    return tuple(("content-length", value) for value in values)


def coding(*values: str) -> Fields:
    return tuple(("transfer-encoding", value) for value in values)


def location(*values: str) -> Fields:
    return tuple(("location", value) for value in values)


def refusal(status: int, fields: Fields) -> ExchangeError:
    with pytest.raises(ExchangeError) as caught:
        body_length(Head(status, fields))
    return caught.value


@pytest.mark.parametrize("status", [200, 204, 206, 301, 304, 404, 500, 599, 600, 999])
def test_final_statuses_are_taken(status: int) -> None:
    body_length(Head(status, ()))


@pytest.mark.parametrize("status", [-1, 0, 20, 99, 100, 101, 103, 199, 1000, 2000])
def test_other_statuses_are_no_http(status: int) -> None:
    assert refusal(status, ()).failure.detail == f"not HTTP: a final status can't be {status}"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((), None),
        (length("0"), 0),
        (length("5"), 5),
        (length("005"), 5),
        (length(" 5\t"), 5),
        (length("5, 5"), 5),
        (length("5,5 ,\t5"), 5),
        (length("5", "5"), 5),
        (length("5, 5", "5"), 5),
        (length("9223372036854775807"), 2**63 - 1),
        (coding("chunked"), None),
        (coding("Chunked"), None),
        (coding(" CHUNKED "), None),
        (coding("identity"), None),
        (coding("\tIdentity"), None),
        (location("/a"), None),
        (location("/a", "/a"), None),
        ((("x", "1"), ("x", "2"), *length("7")), 7),
    ],
)
def test_unambiguous_heads_are_taken(fields: Fields, expected: int | None) -> None:
    assert body_length(Head(200, fields)) == expected


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("fields", [(), length("5"), coding("chunked")])
def test_some_answers_have_no_body_whatever_their_head_says(status: int, fields: Fields) -> None:
    assert body_length(Head(status, fields)) == 0


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (length("-1"), "no number"),
        (length("+5"), "no number"),
        (length(""), "no number"),
        (length("abc"), "no number"),
        (length("0x10"), "no number"),
        (length("5.0"), "no number"),
        (length("1_000"), "no number"),
        (length("5 5"), "no number"),
        (length("\u0665"), "no number"),  # a digit, but no ASCII one
        (length("\u00b2"), "no number"),
        (length("5\n"), "no number"),
        (length("9223372036854775808"), "impossible"),
        (length("9" * 5000), "impossible"),
        (length("5", "6"), "several different"),
        (length("5, 6"), "several different"),
        (length("5,"), "several different"),
        (length("5", "5, 6"), "several different"),
        (length("5") + coding("chunked"), "both"),
        (coding("chunked") + length("5"), "both"),
        (length("5", "5") + coding("chunked"), "both"),
        (length("0") + coding("identity"), "both"),
        (coding(""), "other than chunked"),
        (coding("identity", "identity"), "other than chunked"),
        (coding("identity, chunked"), "other than chunked"),
        (coding("gzip"), "other than chunked"),
        (coding("gzip, chunked"), "other than chunked"),
        (coding("chunked, gzip"), "other than chunked"),
        (coding("chunked", "chunked"), "other than chunked"),
        (coding("chunked, chunked"), "other than chunked"),
        (coding("xchunked"), "other than chunked"),
        (coding("\x0bchunked"), "other than chunked"),
        (location("/a", "/b"), "two different Locations"),
        (location("/a", ""), "two different Locations"),
    ],
)
def test_ambiguous_or_impossible_heads_are_no_http(fields: Fields, why: str) -> None:
    error = refusal(200, fields)
    assert error.failure.kind is FailureKind.PROTOCOL
    assert error.failure.detail.startswith("not HTTP: ")
    assert why in error.failure.detail
    assert (error.transient, error.fault, error.stale) == (False, Fault.URL, False)


@given(
    status=st.integers(0, 1100),
    fields=st.lists(
        st.tuples(
            st.sampled_from(["content-length", "transfer-encoding", "location", "x"]),
            st.one_of(
                st.text(max_size=8),
                st.sampled_from(["5", "6", "0", "5, 5", "chunked", "gzip", "-1", "/a"]),
            ),
        ),
        max_size=5,
    ),
)
def test_any_head_has_one_length_or_is_refused_in_words(
    status: int, fields: list[tuple[str, str]]
) -> None:
    head = Head(status, tuple(fields))
    expected, refused = None, None
    try:
        expected = body_length(head)
    except ExchangeError as error:
        refused = error.failure
    if refused is not None:
        assert refused.kind is FailureKind.PROTOCOL
        assert refused.detail.isprintable()
        return
    lengths = {int(part) for value in head.get_all("content-length") for part in value.split(",")}
    assert 200 <= status <= 999
    assert len(lengths) <= 1
    assert not (lengths and head.get_all("transfer-encoding"))
    if expected:
        assert lengths == {expected}

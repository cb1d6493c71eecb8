"""One line of the ledger: keys, forms, and that nothing makes it fail."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.urls import hiding
from fetchpool.model.values import FailureKind, Request
from fetchpool.output.ledger import Record, encode, recorded_url
from fetchpool.output.ledger.record import SOURCE_KEYS, rfc3339
from tests.ledger.runs import outcome

KEYS = [
    *("seq", "url", "ok", "status", "error", "detail", "final_url", "redirects", "attempts"),
    *("bytes", "wire_bytes", "content_type", "path", "sha256", "started_at", "elapsed_s"),
]

ANY_TEXT = st.text(st.characters() | st.characters(categories=["Cs"]), max_size=30)


def encoded(request: Request, keys: frozenset[str] = frozenset(), **changes: object) -> bytes:
    return encode(Record.of(outcome(request, **changes), keys))  # type: ignore[arg-type]


def test_keys_stand_in_the_promised_order() -> None:
    assert list(json.loads(encoded(Request("http://h/", seq=1)))) == KEYS


def test_source_line_and_insecure_stand_at_the_end_and_only_where_they_say_something() -> None:
    request = Request("http://h/", seq=9, source="b.txt", line=2)
    assert list(json.loads(encoded(request))) == KEYS
    record = json.loads(encoded(request, SOURCE_KEYS, insecure=True))
    assert list(record) == [*KEYS, "source", "line", "insecure"]
    assert (record["source"], record["line"], record["insecure"]) == ("b.txt", 2, True)


def test_error_is_the_kind_by_name() -> None:
    record = json.loads(encoded(Request("http://h/"), ok=False, error=FailureKind.TOO_BIG))
    assert record["error"] == "too_big"


def test_marked_values_are_redacted_in_urls_and_detail() -> None:
    url = "http://h/x?a=1&token=canary"
    answer = outcome(Request(url, 1), final_url=url, detail=f"ValueError({url!r})")
    with hiding(["token"]):
        line = encode(Record.of(answer))
        assert recorded_url(url) == "http://h/x?a=1&token=***"
    assert b"canary" not in line
    assert line.count(b"http://h/x?a=1&token=***") == 3


def test_userinfo_is_redacted_in_both_urls() -> None:
    url = "http://user:canary@h/x"
    line = encoded(Request(url), final_url=url)
    assert b"canary" not in line
    assert json.loads(line)["url"] == "http://***@h/x" == recorded_url(url)


@given(ANY_TEXT, ANY_TEXT, st.floats(), st.floats())
def test_any_outcome_becomes_one_line_that_reads_back(
    url: str, detail: str, started_at: float, elapsed_s: float
) -> None:
    line = encoded(
        Request(url, seq=1), detail=detail, path=detail, started_at=started_at, elapsed_s=elapsed_s
    )
    assert line.endswith(b"\n")
    assert len(line.decode().splitlines()) == 1
    record = json.loads(line)
    assert record["url"] == recorded_url(url)
    assert record["detail"] == detail.encode("utf-8", "replace").decode()
    assert isinstance(record["elapsed_s"], float)


@given(st.text(st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Lo"])))
def test_nothing_in_a_line_commands_a_terminal(detail: str) -> None:
    text = encoded(Request("http://h/"), detail=detail).decode().rstrip("\n")
    bidi = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    assert not [char for char in text if char in bidi or ord(char) < 32 or 127 <= ord(char) < 160]
    assert json.loads(text)["detail"] == detail


@given(st.integers(0, 253402300799999))
def test_times_are_rfc_3339_in_utc_with_milliseconds(milliseconds: int) -> None:
    second, rest = divmod(milliseconds, 1000)
    expected = datetime.fromtimestamp(second, UTC).strftime("%m-%dT%H:%M:%S")
    # A quarter of a millisecond stays above what a float of this size rounds to.
    text = rfc3339(second + rest / 1000 + 0.00025)
    assert text is not None
    assert text[5:] == f"{expected}.{rest:03}Z"
    assert datetime.fromisoformat(text).timestamp() == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize("epoch_s", [-1.0, 1e300, float("nan"), float("inf")])
def test_time_without_a_date_is_none(epoch_s: float) -> None:
    assert rfc3339(epoch_s) is None


def test_elapsed_is_rounded_to_microseconds() -> None:
    assert b'"elapsed_s":0.123457}' in encoded(Request("http://h/"), elapsed_s=0.1234567)

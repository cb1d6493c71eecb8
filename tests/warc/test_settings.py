"""What is asked of web archives, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from fetchpool.config import Config, ConfigError


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"exchange": "session"}, "it doesn't show what goes over the wire"),
        ({"no_body": True}, "--no-body can't be combined with --store warc"),
        ({"warc_prefix": "../x"}, "(--warc-prefix) takes a name of letters"),
        ({"warc_prefix": ".x"}, "(--warc-prefix) takes a name of letters"),
        ({"warc_header": ["operator"]}, "(--warc-header) takes 'Name: value'"),
        ({"warc_header": [("a b", "c")]}, "(--warc-header) takes 'Name: value'"),
        ({"warc_header": [("operator", "a\r\nb: c")]}, "without control characters"),
        ({"warc_header": {"Software": "mine"}}, "can't set Software: it is written by itself"),
        ({"store": "tar", "warc_header": ["a: b"]}, "--warc-header is about WARCs"),
        ({"store": "files", "warc_prefix": "x"}, "--warc-prefix is about WARCs"),
        ({"samples": 3}, "--samples is about tars"),
    ],
)
def test_what_makes_no_archive_is_refused_with_a_reason(
    settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        Config(**{"store": "warc", **settings})
    assert said in str(refused.value)


def test_fields_come_as_mapping_pairs_or_lines() -> None:
    expected = (("operator", "me: myself"), ("isPartOf", "2026"))
    given: list[Any] = [dict(expected), list(expected)]
    given.append(["operator: me: myself", "isPartOf:2026"])
    for each in given:
        assert Config(store="warc", warc_header=each).warc_header == expected

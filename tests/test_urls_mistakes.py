"""Lines that are no URL: told apart from real ones, with what is wrong and what to do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.urls import InvalidURLError, hiding, parse_url
from fetchpool.model.values import Outcome, Request, Target
from fetchpool.scheduling.job import target_of
from fetchpool.sources.lines import BLANKS, problem_in

SEVERAL = "several URLs on one line"
NOTE = "a note behind the URL"
TEXT = "text behind the URL"
TAB = "a tab in the line"
BLANK_IN_HOST = "a blank in the host name"


def detail(line: str) -> str:
    """Return why *line* is refused, "" if it isn't."""
    found = target_of(Request(line, problem=problem_in(line)))
    if isinstance(found, Target):
        return ""
    assert isinstance(found, Outcome)
    assert found.error == "input"
    assert found.detail
    return found.detail


NO_SCHEME = "the scheme is missing; write https:// before the host, or add --default-scheme https"


@pytest.mark.parametrize(
    "line",
    [
        "https://h.example/c d.pdf",
        "https://h.example/a, b (2017)/x.pdf",
        "https://h.example/a - b.pdf",
        "https://h.example/Rock 'n' Roll & so on.mp3",
        "https://h.example/x?q=two words",
        "https://h.example/s.json?p=310,Town-26",
        "https://h.example/a|b;c,d/e",
        "https://h.example/a#b c",
        "https://h.example/a#b",
        "https://h.example/p-1.conda#0123456789abcdef0123456789abcdef",
        "https://h.example/x?a=1&amp;b=2",
        "https://web.example/web/2020/http://h.example/",
        "https://web.example/w_100,h_100/https://h.example/x.jpg",
        "https://h.example/?url=http://a.example/",
        "https://h.example/?urls=http://a.example/,http://b.example/",
        "https://h.example/?u=http%3A%2F%2Fa,http%3A%2F%2Fb",
        "https://h.example/#/https://a.example/",
        "https://h.example/https",
        "https://user:p w@h.example/c d",
        "https://h.example/100%25 #".rstrip(" #"),
    ],
)
def test_real_urls_with_odd_characters_are_urls(line: str) -> None:
    assert detail(line) == ""


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("https://h.example/a # a note", NOTE),
        ("https://h.example/a #note", NOTE),
        ("https://h.example/a\u00a0# note", NOTE),
        ("https://h.example/c d.pdf # note", NOTE),
        ("https://h.example # note", NOTE),
        ("https://h.example/a https://h.example/b", SEVERAL),
        ("https://h.example/a  HTTP://h.example/b", SEVERAL),
        ("https://h.example https://h.example/b", SEVERAL),
        ("https://h.example/a\u3000https://h.example/b", SEVERAL),
        ("https://h.example/a, https://h.example/b", SEVERAL),
        ("https://h.example/a | https://h.example/b", SEVERAL),
        ("https://h.example/a,https://h.example/b?x=1", SEVERAL),
        ("https://h.example/a|https://h.example/b", SEVERAL),
        ("https://h.example/a;https://h.example/b", SEVERAL),
        ("h.example/a;i.example/b", SEVERAL),
        ("vol1/a.gz, vol1/b.gz", SEVERAL),
        ("https://h.example/a,note,https://h.example/b", SEVERAL),
        ("https://h.example/a?x=1,https://h.example/b", SEVERAL),
        ("https://h.example/a?x=1 https://h.example/b", SEVERAL),
        ('https://h.example/a,"https://h.example/b"', SEVERAL),
        ("https://h.example/a <https://h.example/b>", SEVERAL),
        ("https://h.example/a#b https://h.example/b", SEVERAL),
        ("https://h.example/a\thttps://h.example/b", TAB),
        ("https://h.example/a\t# note", TAB),
        ("https://h.example/a\tnote", TAB),
        ('https://h.example/rss "~Name" tag', TEXT),
        ("https://h.example/ | Land", TEXT),
        ("https://h.example/ |Land", TEXT),
        ("https://h.example some words", BLANK_IN_HOST),
        ("https:// h.example/", BLANK_IN_HOST),
    ],
)
def test_what_stands_behind_a_url_is_said_and_never_sent(line: str, reason: str) -> None:
    assert detail(line).startswith(reason)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("www.h.example", f"{NO_SCHEME}: https://www.h.example"),
        ("h.example:8080/a", f"{NO_SCHEME}: https://h.example:8080/a"),
        ("localhost:8080", f"{NO_SCHEME}: https://localhost:8080"),
        ("127.0.0.1/x?a=b", f"{NO_SCHEME}: https://127.0.0.1/x?a=b"),
        ("//h.example/a", f"{NO_SCHEME}: https://h.example/a"),
        ("user:pw@h.example/a", NO_SCHEME),
        ("www.v.example/@chan/x", NO_SCHEME),
        ("/a/b.pdf", "a path without a host"),
        ("../a/b.pdf", "a path without a host"),
        ("\\\\server\\share", "a path without a host"),
        ("crawl-data/x/y.warc.gz", "no URL; one begins with http:// or https://"),
        ("url", "no URL; one begins with http:// or https://"),
        ("url,category,note", "no URL; one begins with http:// or https://"),
        ("Part 1 - https://h.example/", "text before the URL, or a row of a table"),
        ("name7,https://h.example/", "text before the URL, or a row of a table"),
        ("Part 1: https://h.example/", "text before the URL, or a row of a table"),
        ("https//h.example/", "the colon behind http or https is missing"),
        ("http;//h.example/", "the colon behind http or https is missing"),
        ('"https://h.example/"', "the URL stands in quotes or brackets; take them off"),
        ("'https://h.example/x' x 3 MD5:1", "the URL stands in quotes or brackets; take them off"),
        ("<https://h.example/>", "the URL stands in quotes or brackets; take them off"),
        ("[a](https://h.example/)", "the URL stands in quotes or brackets; take them off"),
        ('{"company": "X", "url": "https://h.example"}', "a row of JSON"),
        ("<opml version='2'>", "a line of HTML or XML"),
        ("ftp://ftp.h.example/E_1.fastq.gz", "ftp is not fetched here; curl or wget can"),
        ("FTP://ftp.h.example/", "ftp is not fetched here; curl or wget can"),
        ("s3://bucket/key", "s3 is not fetched here; aws s3 cp can"),
        ("gs://bucket/key", "gs is not fetched here; gcloud storage cp can"),
        ("magnet:?xt=urn:btih:1", "magnet is not fetched here; a client such as aria2c can"),
        ("drs://h.example/1", "drs is not fetched here"),
        ("mailto:a@h.example", "mailto is not fetched here"),
        ("file:///etc/passwd", "file is not fetched here"),
        ("data:,x", "data is not fetched here"),
        ("htp://h.example/", "the scheme is misspelt"),
        ("hxxps://h.example/", "the scheme is misspelt"),
        ("ttps://h.example/", "the scheme is misspelt"),
        ("foo://h.example/", "only http:// and https:// URLs can be fetched"),
        ("http:///x", "no host behind the scheme"),
        ("http://", "no host behind the scheme"),
        ("http://h.example:99999/", "the port of the URL is no number from 0 to 65535"),
        ("http://u:p@h.example:8o/", "the port of the URL is no number from 0 to 65535"),
        ("http://h<x>/", "the host name of the URL is not valid"),
        ("http://[::1/", "the host name of the URL is not valid"),
        ("http://h\x00/", "a NUL in the line"),
        ("http://a/\rhttp://b/", "a carriage return in the line"),
    ],
)  # fmt: skip
def test_refusal_says_what_is_wrong_and_what_to_do(line: str, told: str) -> None:
    assert detail(line).startswith(told)


def test_lines_of_a_kind_have_one_reason_before_the_colon() -> None:
    for lines in (
        ["www.h.example", "//other.example/x", "user:pw@h.example", "h.example:80"],
        ["http://h/a\tb", "http://h/longer\tb\tc"],
        ["Part 1: http://h/", "name,http://h/"],
    ):
        assert len({detail(line).partition(": ")[0] for line in lines}) == 1


def test_guess_at_a_url_tells_no_marked_value() -> None:
    with hiding(["token"]):
        assert detail("h.example/?token=Canary7").endswith(": https://h.example/?token=***")


@given(st.text() | st.text(st.sampled_from("https:/@#|, \"'<>a.ftp")))
def test_any_refusal_is_a_sentence_that_tells_nothing_of_the_line(line: str) -> None:
    try:
        parse_url(f"{line}Canary7")
    except InvalidURLError as error:
        reason, colon, _ = str(error).partition(": ")
        assert reason
        assert not colon, "what differs is added by who knows that it may be told"
        assert "Canary7" not in reason


@pytest.mark.parametrize("blank", BLANKS)
def test_blanks_are_invisible(blank: str) -> None:
    assert blank.isspace() or not blank.isprintable()


def test_the_rules_look_at_no_character_of_a_long_line_twice() -> None:
    """Milliseconds each; a search that begins anew at every character would take minutes."""
    for piece in (" ", ",", ".a", "a.", "-", ":", "a:", "/", "://", ' "', "@", "x ", ",http", "%"):
        for start in ("", "http://h/", "http://h/?", "h.example/"):
            detail(start + piece * 60_000)

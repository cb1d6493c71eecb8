"""Cookies: which are taken from a response, and which request gets them, by RFC 6265bis."""

from __future__ import annotations

import re
from http.cookiejar import MozillaCookieJar
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from fetchpool.model.attempts import FailedAttempt, Fault, Plan
from fetchpool.model.cookies import BrokenLineError, Cookie, read_cookies, write_cookies
from fetchpool.model.sites import site_of
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Failure, FailureKind, Head, Request
from fetchpool.policies.cookies import Cookies, jar
from fetchpool.policies.cookies.jar import PER_DOMAIN, PER_SITE, TOTAL, Jar
from fetchpool.scheduling.job import Job
from tests.judging import response

NOW = 1_700_000_000.0
DAY = 86_400


class Clock:
    """A clock that is set by hand."""

    now = NOW

    def __call__(self) -> float:
        return self.now


def sent(url: str, *lines: str, to: str) -> str:
    """Return the Cookie field of a request for *to*, once *url* has set *lines*."""
    kept = Jar(clock=Clock())
    for line in lines:
        kept.receive(parse_url(url), line)
    return kept.field_for(parse_url(to))


S = "https://a.example.org/dir/page"
P = "https://a.github.io/"
IP = "http://127.0.0.1/"
X = "xn--55qx5d.cn"

CASES: dict[str, tuple[str, list[str], str, str]] = {
    # what stands in the line
    "name and value": (S, ["a=b"], S, "a=b"),
    "several": (S, ["a=b", "c=d"], S, "a=b; c=d"),
    "blanks around": (S, [" a \t=  b\t; Secure"], S, "a=b"),
    "value with =": (S, ["a=b=c=="], S, "a=b=c=="),
    "quotes are the value's": (S, ['a="b c"'], S, 'a="b c"'),
    "commas are no end": (S, ["a=1, b=2"], S, "a=1, b=2"),
    "empty value": (S, ["a="], S, "a="),
    "no name": (S, ["=b"], S, "b"),
    "no equals sign": (S, ["b"], S, "b"),
    "neither name nor value": (S, ["=", "", ";x"], S, ""),
    "value in UTF-8": (S, ["a=\u00c3\u00bc"], S, "a=\u00fc"),
    "value that is no UTF-8": (S, ["a=\u00fc"], S, ""),
    "NUL": (S, ["a=b\0c"], S, ""),
    "control character in an attribute": (S, ["a=b; Path=/\x01"], S, ""),
    "tab in the value": (S, ["a=b\tc"], S, ""),
    "tab in the path": (S, ["a=b; Path=/\t/"], S, ""),
    "4,096 bytes": (S, ["a=" + "b" * 4095], S, "a=" + "b" * 4095),
    "4,097 bytes": (S, ["a=" + "b" * 4096], S, ""),
    "same name again": (S, ["a=1", "b=2", "a=3"], S, "a=3; b=2"),
    "same name, other path": (S, ["a=1; Path=/", "a=2; Path=/dir"], S, "a=2; a=1"),
    "unknown attributes": (S, ["a=b; SameSite=None; Partitioned; Priority=High"], S, "a=b"),
    # Domain
    "host alone gets it": (S, ["a=b"], "https://b.a.example.org/dir/", ""),
    "parent doesn't": (S, ["a=b"], "https://example.org/dir/", ""),
    "domain": (S, ["a=b; Domain=example.org"], "https://x.y.example.org/dir/", "a=b"),
    "domain with a dot": (S, ["a=b; Domain=.example.org"], "https://example.org/dir/", "a=b"),
    "domain in capitals": (S, ["a=b; DOMAIN=Example.ORG"], "https://example.org/dir/", "a=b"),
    "own domain": (S, ["a=b; Domain=a.example.org"], "https://b.a.example.org/dir/", "a=b"),
    "last domain counts": (S, ["a=b; Domain=x.test; Domain=example.org"], S, "a=b"),
    "empty domain": (S, ["a=b; Domain=x.test; Domain="], "https://b.a.example.org/dir/", ""),
    "sibling's domain": (S, ["a=b; Domain=b.example.org"], "https://b.example.org/dir/", ""),
    "subdomain's domain": (S, ["a=b; Domain=b.a.example.org"], S, ""),
    "foreign domain": (S, ["a=b; Domain=evil.test"], "https://evil.test/dir/", ""),
    "end of a name is no domain": (S, ["a=b; Domain=ample.org"], S, ""),
    "domain with a dot behind it": (S, ["a=b; Domain=example.org."], S, ""),
    "end of another name": (S, ["a=b; Domain=example.org"], "https://xexample.org/", ""),
    "port is no matter": (S, ["a=b"], "https://a.example.org:8443/dir/", "a=b"),
    "dot behind the host": (S, ["a=b"], "https://a.example.org./dir/", "a=b"),
    # public suffixes
    "top level": (S, ["a=b; Domain=org"], S, ""),
    "two labels": ("https://a.co.uk/", ["a=b; Domain=co.uk"], "https://b.co.uk/", ""),
    "private suffix": (P, ["a=b; Domain=github.io"], "https://b.github.io/", ""),
    "its own host": ("https://github.io/", ["a=b; Domain=github.io"], "https://github.io/", "a=b"),
    "its own host alone": (
        *("https://github.io/", ["a=b; Domain=github.io"], "https://x.github.io/", ""),
    ),
    "unknown top level": ("https://a.test/", ["a=b; Domain=test"], "https://b.test/", ""),
    "below it": ("https://a.b.test/", ["a=b; Domain=b.test"], "https://c.b.test/", "a=b"),
    "suffix in punycode": (
        *(f"https://a.{X}/", [f"a=b; Domain={X}"], f"https://b.{X}/", ""),
    ),
    "one label": ("http://intranet/", ["a=b; Domain=intranet"], "http://intranet/", "a=b"),
    "address": (IP, ["a=b"], IP, "a=b"),
    "address as domain": (IP, ["a=b; Domain=127.0.0.1"], IP, "a=b"),
    "part of an address": (IP, ["a=b; Domain=0.0.1"], IP, ""),
    "IPv6": ("http://[::1]:81/", ["a=b"], "http://[::1]/", "a=b"),
    # Path
    "default path": (S, ["a=b"], "https://a.example.org/dir/x/y?z", "a=b"),
    "default path elsewhere": (S, ["a=b"], "https://a.example.org/", ""),
    "path": (S, ["a=b; Path=/x"], "https://a.example.org/x?q", "a=b"),
    "path and below": (S, ["a=b; Path=/x"], "https://a.example.org/x/y", "a=b"),
    "path is no prefix of a name": (S, ["a=b; Path=/x"], "https://a.example.org/xy", ""),
    "path with a slash": (S, ["a=b; Path=/x/"], "https://a.example.org/x", ""),
    "path in its case": (S, ["a=b; Path=/X"], "https://a.example.org/x", ""),
    "path without a slash": (S, ["a=b; Path=x"], S, "a=b"),
    "query is no path": ("http://a.test/x?y=/z/", ["a=b"], "http://a.test/", "a=b"),
    "path too long": (S, [f"a=b; Path=/{'x' * 1024}"], S, "a=b"),
    # Secure
    "secure": (S, ["a=b; Secure; Path=/"], "https://a.example.org/", "a=b"),
    "secure, plain": (S, ["a=b; Secure; Path=/"], "http://a.example.org/", ""),
    "not secure, plain": (S, ["a=b; Path=/"], "http://a.example.org/", "a=b"),
    "secure from plain": ("http://a.test/", ["a=b; Secure"], "https://a.test/", ""),
    # Max-Age and Expires
    "max-age": (S, ["a=b; Max-Age=1"], S, "a=b"),
    "max-age 0 deletes": (S, ["a=b", "a=x; Max-Age=0"], S, ""),
    "max-age below 0": (S, ["a=b", "a=x; Max-Age=-1"], S, ""),
    "max-age that is none": (S, ["a=b; Max-Age=1d"], S, "a=b"),
    "max-age without end": (S, [f"a=b; Max-Age={'9' * 900}"], S, "a=b"),
    "max-age wins": (S, ["a=b; Max-Age=9; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], S, "a=b"),
    "expired": (S, ["a=b; Expires=Thu, 01 Jan 1970 00:00:00 GMT"], S, ""),
    "expired, with dashes": (S, ["a=b", "a=; expires=Thu, 01-Jan-1970 00:00:01 GMT"], S, ""),
    "expired, two digits": (S, ["a=b", "a=; expires=Thursday, 01-Jan-70 00:00:01 GMT"], S, ""),
    "expired, asctime": (S, ["a=b", "a=; expires=Thu Jan  1 00:00:01 1970"], S, ""),
    "expires later": (S, ["a=b; Expires=Wed, 01 Jan 2031 00:00:00 GMT"], S, "a=b"),
    "expires no date": (S, ["a=b; Expires=tomorrow"], S, "a=b"),
    "deleted by another key": (S, ["a=b; Domain=example.org", "a=; Max-Age=0"], S, "a=b"),
    # prefixes
    "__Secure-": (S, ["__Secure-a=b; Secure"], S, "__Secure-a=b"),
    "__Secure- without": (S, ["__Secure-a=b", "__SECURE-a=b"], S, ""),
    "__Host-": (S, ["__Host-a=b; Secure; Path=/"], S, "__Host-a=b"),
    "__Host- without secure": (S, ["__Host-a=b; Path=/"], S, ""),
    "__Host- without path": (S, ["__Host-a=b; Secure"], S, ""),
    "__Host- below": (S, ["__Host-a=b; Secure; Path=/dir"], S, ""),
    "__Host- with a domain": (S, ["__host-a=b; Secure; Path=/; Domain=a.example.org"], S, ""),
    "prefix in a value without name": (S, ["=__Host-a=b; Secure; Path=/"], S, ""),
}  # fmt: skip


@pytest.mark.parametrize(("url", "lines", "to", "expected"), CASES.values(), ids=CASES)
def test_cookie_goes_where_its_own_rules_allow(
    url: str, lines: list[str], to: str, expected: str
) -> None:
    assert sent(url, *lines, to=to) == expected


PIECES = st.sampled_from(
    [*"=;, \t", "a", "Domain=", "Path=/", "Secure", "Max-Age=", "Expires=", "Wed, 01-Jan-", "0",
     "-1", "2031 00:00:00 GMT", "example.org", "__Host-", "\u00c3\u00bc", "\x85", '"', "\0", "\n"]
)  # fmt: skip


@given(st.lists(PIECES | st.text(st.characters(max_codepoint=255), max_size=3)).map("".join))
def test_whatever_a_server_sets_can_be_sent_and_is_read_from_a_file_as_it_was(line: str) -> None:
    kept = Jar(clock=Clock())
    for host in ("a.example.org", "127.0.0.1", "localhost"):
        target = parse_url(f"https://{host}/dir/page")
        kept.receive(target, line)
        field = kept.field_for(target)
        assert not re.search(r"[\x00-\x1f\x7f]", field)
        field.encode()
    cookies = [replace(each, expires=each.expires and float(int(each.expires)))
               for each in kept.cookies()]  # fmt: skip
    assert list(read_cookies(write_cookies(cookies))) == cookies


def test_plain_response_replaces_and_hides_no_secure_cookie() -> None:
    kept = Jar(clock=Clock())
    kept.receive(parse_url("https://a.example.org/"), "id=good; Secure; Domain=example.org")
    kept.receive(parse_url("https://a.example.org/x/"), "other=good; Secure; Path=/x")
    plain = parse_url("http://b.example.org/x/y")
    for line in ("id=bad", "id=bad; Domain=example.org; Path=/", "id=; Max-Age=0; Path=/x"):
        kept.receive(plain, line)
    kept.receive(plain, "other=mine")  # the other one's host is neither above nor below
    assert kept.field_for(parse_url("https://b.example.org/x/y")) == "other=mine; id=good"
    kept.receive(parse_url("https://b.example.org/"), "id=new; Domain=example.org")
    assert kept.field_for(parse_url("http://c.example.org/")) == "id=new"


def test_cookies_end_in_time_and_in_400_days_at_most() -> None:
    clock = Clock()
    kept = Jar(clock=clock)
    for name, end in (("short", 10), ("long", 1000 * DAY)):
        kept.receive(parse_url(S), f"{name}=1; Max-Age={end}; Path=/")
    kept.receive(parse_url(S), "date=1; Expires=Sun, 01 Jan 2090 00:00:00 GMT; Path=/")
    kept.receive(parse_url(S), "session=1; Path=/")
    assert {each.name: each.expires for each in kept.cookies()} == {
        "short": NOW + 10, "long": NOW + 400 * DAY, "date": NOW + 400 * DAY, "session": None,
    }  # fmt: skip
    clock.now += 10
    assert "short" not in kept.field_for(parse_url(S))
    clock.now += 400 * DAY
    assert [each.name for each in kept.cookies()] == ["session"]


def test_memory_is_bounded_and_the_users_own_cookies_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    given = [Cookie(f"{n}.mine.test", False, "/", False, False, None, "n", "v") for n in range(300)]
    kept = Jar(given, Clock())
    for number in range(2 * PER_DOMAIN):
        kept.receive(parse_url("http://a.test/"), f"c{number}=1")
        kept.field_for(parse_url("http://a.test/"))
    names = {each.name for each in kept.cookies() if each.domain == "a.test"}
    assert names == {f"c{number}" for number in range(PER_DOMAIN, 2 * PER_DOMAIN)}
    for number in range(2 * PER_SITE):
        kept.receive(parse_url(f"http://h{number}.many.test/"), "a=1")
    assert sum(each.domain.endswith("many.test") for each in kept.cookies()) == PER_SITE
    monkeypatch.setattr(jar, "TOTAL", 1000)
    for number in range(2000):
        kept.receive(parse_url(f"http://site-{number}.test/"), "a=1")
        kept.field_for(parse_url("http://a.test/"))  # asked all the time, so it keeps its own
    cookies = kept.cookies()
    assert 900 <= len(cookies) - len(given) <= 1000
    assert {each for each in cookies if each in given} == set(given)
    assert sum(each.domain == "a.test" for each in cookies) == PER_DOMAIN
    assert "site-1999.test" in {each.domain for each in cookies}
    assert TOTAL >= 3000  # RFC 6265 §6.1


def test_long_cookies_take_the_room_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Characters beyond Latin-1 take Python two or four bytes each."""
    monkeypatch.setattr(jar, "TOTAL", 1000)
    kept = Jar(clock=Clock())
    wide = "\u00f0\u009f\u008d\u00aa"  # a cookie, as its bytes come in a head
    for number in range(3 * PER_DOMAIN):
        kept.receive(parse_url(f"http://site-{number}.test/"), f"{'a' * 4000}{wide}=1")
    assert sum(len(each.name) * 4 for each in kept.cookies()) <= 1000 * 1024
    assert kept.cookies()[-1].domain == f"site-{3 * PER_DOMAIN - 1}.test"
    for number in range(3 * PER_DOMAIN):  # what is replaced or deleted gives its room back
        kept.receive(parse_url(f"http://site-{number}.test/"), f"{'a' * 4000}{wide}=; Max-Age=0")
    assert kept.cookies() == []
    for number in range(999):
        kept.receive(parse_url(f"http://site-{number}.test/"), "a=1")
        kept.receive(parse_url(f"http://site-{number}.test/"), "a=2")
    assert len(kept.cookies()) == 999


def test_policy_sends_what_a_failed_attempts_head_set_unless_the_user_sets_the_field() -> None:
    policy = Cookies(Jar(clock=Clock()))
    job = Job(Request("http://a.test/"), parse_url("http://a.test/"))
    measures = response(200).measures
    failure = Failure(FailureKind.TRUNCATED, "")
    head = Head(200, (("set-cookie", "a=1"), ("x", "y"), ("set-cookie", "b=2")))
    policy.after(job, FailedAttempt(failure, False, Fault.URL, None, measures))
    policy.after(job, FailedAttempt(failure, False, Fault.URL, head, measures))

    def fields(*given: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        plan = Plan(job.target, given)
        policy.before(job, plan)
        return plan.headers

    assert fields(("X", "1")) == (("X", "1"), ("Cookie", "a=1; b=2"))
    assert fields() is fields()  # an exchange keeps its bytes
    assert fields(("cookie", "mine")) == (("cookie", "mine"),)


FILE = """\
# Netscape HTTP Cookie File
# a comment

.example.org\tTRUE\t/\tFALSE\t1900000000\ttheme\tdark
#HttpOnly_a.example.org\tFALSE\t/login\tTRUE\t0\tid\t5f=2c
example.net\ttrue\t/\tfalse\t1900000000.25\tempty\t
Example.COM\tFALSE\t/\tFALSE\t1900000000\tno-tab
.co.uk\tTRUE\t/\tFALSE\t0\tsuffix\tx
::1\tFALSE\t/\tFALSE\t-1\t\tnameless
python.test\tFALSE\t/\tFALSE\t\tsession\tx
"""

IN_FILE = [
    Cookie("example.org", False, "/", False, False, 1.9e9, "theme", "dark"),
    Cookie("a.example.org", True, "/login", True, True, None, "id", "5f=2c"),
    Cookie("example.net", False, "/", False, False, 1.9e9 + 0.25, "empty", ""),
    Cookie("example.com", True, "/", False, False, 1.9e9, "no-tab", ""),
    Cookie("co.uk", True, "/", False, False, None, "suffix", "x"),
    Cookie("::1", True, "/", False, False, None, "", "nameless"),
    Cookie("python.test", True, "/", False, False, None, "session", "x"),
]


def test_file_is_read_as_others_write_it_and_written_as_others_read_it(tmp_path: Path) -> None:
    assert list(read_cookies(FILE)) == IN_FILE
    assert list(read_cookies(FILE.replace("\n", "\r\n"))) == IN_FILE
    written = write_cookies(IN_FILE)
    whole = [Cookie(*(*_fields(c)[:5], c.expires and float(int(c.expires)), c.name, c.value))
             for c in IN_FILE]  # fmt: skip
    assert list(read_cookies(written)) == whole
    (tmp_path / "cookies.txt").write_text(written)
    theirs = MozillaCookieJar(tmp_path / "cookies.txt")
    theirs.load(ignore_expires=True)  # it takes the 0 of session cookies for a date, 1970
    # It has a dot before the domain of cookies for hosts below, and reads no name as no value.
    found = {(c.domain, c.path, c.name if c.value is not None else "") for c in theirs}
    ours = {(("" if c.host_only else ".") + c.domain, c.path, c.name) for c in IN_FILE}
    assert found == ours


def _fields(cookie: Cookie) -> tuple[str, bool, str, bool, bool]:
    return cookie.domain, cookie.host_only, cookie.path, cookie.secure, cookie.http_only


@pytest.mark.parametrize(
    "line",
    [
        "a.test\tFALSE\t/\tFALSE\t0",
        "a.test\tFALSE\t/\tFALSE\t0\ta\tb\tc",
        "a.test FALSE / FALSE 0 a b",
        "a.test\tno\t/\tFALSE\t0\ta\tb",
        "a.test\tFALSE\t/\t1\t0\ta\tb",
        "a.test\tFALSE\tx\tFALSE\t0\ta\tb",
        "a.test\tFALSE\t/\tFALSE\tnever\ta\tb",
        "a.test\tFALSE\t/\tFALSE\t0\t\t",
        "a.test\tFALSE\t/\tFALSE\t0\ta\tb\x01",
        "a b\tFALSE\t/\tFALSE\t0\ta\tb",
        "a.test/x\tFALSE\t/\tFALSE\t0\ta\tb",
        "u@a.test\tFALSE\t/\tFALSE\t0\ta\tb",
        "a.test:8080\tFALSE\t/\tFALSE\t0\ta\tb",
        "\tFALSE\t/\tFALSE\t0\ta\tb",
        '{"name": "a"}',
    ],
)
def test_broken_line_is_named_by_its_number_alone(line: str) -> None:
    with pytest.raises(BrokenLineError, match=r"^line 11 is none of seven fields between tabs$"):
        list(read_cookies(FILE + line))


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("a.b.example.co.uk", "example.co.uk"), ("example.co.uk:8443", "example.co.uk"),
        ("co.uk", "co.uk"), ("x.github.io", "x.github.io"), ("localhost:80", "localhost"),
        ("127.0.0.1:81", "127.0.0.1"), ("[::1]:81", "::1"), ("[::1]", "::1"), ("::1", "::1"),
        ("a.example.org.", "example.org"),
    ],
)  # fmt: skip
def test_hosts_below_a_registrable_domain_are_one_site(host: str, site: str) -> None:
    assert site_of(host) == site

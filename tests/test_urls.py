"""Laws and examples of `fetchpool.model.urls`."""

from __future__ import annotations

import base64
import itertools
import json
import re
import unicodedata
from urllib.parse import quote

import ada_url
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fetchpool.model.urls import (
    BlockedSchemeError,
    InvalidURLError,
    conceals,
    display,
    hiding,
    join_url,
    parse_url,
    parsing,
    redact,
    redact_in,
    redact_urls_in,
    redaction,
    text_of_line,
)
from fetchpool.model.values import Target

CANARY = "Canary7"


def sent(text: str) -> str:
    return parse_url(text).url


# --- text_of_line ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"http://h/a", "http://h/a"),
        ("http://h/é中".encode(), "http://h/é中"),
        (b"http://h/caf\xe9", "http://h/caf%E9"),
        ("é".encode() + b"\xff\xc3", "é%FF%C3"),
        (b"\xed\xa0\x80", "%ED%A0%80"),  # a surrogate in CESU-8
        (b"\xc0\xaf", "%C0%AF"),  # an overlong slash stays one component
        (b"", ""),
    ],
)
def test_bytes_that_are_no_utf8_become_percent_escapes(line: bytes, text: str) -> None:
    assert text_of_line(line) == text


@given(st.binary())
def test_text_of_any_line_can_be_written_as_json(line: bytes) -> None:
    text = text_of_line(line)
    assert json.loads(json.dumps(text).encode()) == text
    assert text.encode().decode() == text


# --- parse_url ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://h/%2F%41%zz%2f%",
        "https://h/x?X-Amz-Signature=ab%2Fcd%2f&Expires=1&empty=&=&&a=%zz",
        "http://h/a;b=c,d/@user:x/$&()*+=~!",
        "http://h/a+b?q=a+b%20c",
        "http://h//a///b/",
        "http://h/?",
        "http://h/a?b?c/../d",
        "http://127.0.0.1:8080/",
        "http://[::1]:8080/x",
        "http://a_b.example/",
        "http://xn--bcher-kva.example/",
        "https://h:80/",
        "http://h/%E9?%E9",
        "http://h/it's?it's=%27a%27&'%%27",
        "https://h/x?sig='a'&name=O'Neil%27s&s=%2'7",
    ],
)
def test_bytes_of_a_url_stay_as_written(url: str) -> None:
    assert sent(url) == url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("HTTP://Example.ORG", "http://example.org/"),
        ("  http://h/a  ", "http://h/a"),
        ("http://h/a b?c d", "http://h/a%20b?c%20d"),
        ("http://h/é?é", "http://h/%C3%A9?%C3%A9"),
        ("http://h/a#frag", "http://h/a"),
        ("http://h/a?#", "http://h/a?"),
        ("http://h/a/./b/../c/%2e%2E/d", "http://h/a/d"),
        ("http://h/../../etc", "http://h/etc"),
        ("http:example.org/x", "http://example.org/x"),
        ("http:/example.org/x", "http://example.org/x"),
        ("http:\\\\example.org\\x", "http://example.org/x"),
        ("http://h:80/", "http://h/"),
        ("http://h:080/", "http://h/"),
        ("https://h:443/", "https://h/"),
        ("http://h:/", "http://h/"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://%41.example/", "http://a.example/"),
        ("http://2130706433/", "http://127.0.0.1/"),
        ("http://0177.0.0.1/", "http://127.0.0.1/"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://127.0.0.1./", "http://127.0.0.1/"),
        ("http://①②⑦.0.0.1/", "http://127.0.0.1/"),
        ("http://[0:0::0001]/", "http://[::1]/"),
        ("http://h/?a='b'\"<>", "http://h/?a='b'%22%3C%3E"),
        ("HTTP://h?'%27 '#'%27'", "http://h/?'%27%20'"),
        ("http://u'%27@h/'%27#?'", "http://h/'%27"),
        (f"http://{'a' * 63}/", f"http://{'a' * 63}/"),
    ],
)
def test_urls_are_normalised_as_browsers_do(text: str, url: str) -> None:
    assert sent(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "example.org",
        "example.org/a",
        "//example.org/a",
        "/a",
        "ftp://example.org/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:,x",
        "httpx://h/",
        "http",
        "http:",
        "http://",
        "http:///",
        "http:///x",
        "https:\\\\\\x",
        "http://?x",
        "http://#x",
        "http://:80/",
        "http://@/",
        "http://u:p@/x",
        "http://h:65536/",
        "http://h:99999/",
        "http://h:-1/",
        "http://h:8o/",
        "http://a b/",
        "http://a\tb/",
        "http://h/a\tb",
        "http://h/a\nb",
        "http://h/\x00",
        "http://h/\x1b[31m",
        "http://h/\x7f",
        "\thttp://h/",
        "http://h/#\x00",
        "http://h/\ud800",
        "http://\udcff/",
        "http://h%FF/",
        "http://h%00/",
        "http://a<b/",
        "http://a|b/",
        "http://a^b/",
        "http://a%2Fb/",
        "http://1.2.3.4.5/",
        "http://256.1.1.1/",
        "http://a.09/",
        "http://[::1/",
        "http://[::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[1]/",
        "http://a..b/",
        "http://.a/",
        "http://./",
        "http://a../",
        "http://\u00ad/",
        "http://\u2488com/",
        f"http://{'a' * 64}/",
        f"http://{'a' * 64}.example/",
        f"http://{'é' * 60}/",
        f"http://{'a.' * 128}/",
    ],
)
def test_what_is_no_http_url_is_refused(text: str) -> None:
    with pytest.raises(InvalidURLError):
        parse_url(text)


def test_longest_host_name_dns_can_hold_is_accepted() -> None:
    name = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    assert len(name) == 253
    assert parse_url(f"http://{name}/").host == name
    assert parse_url(f"http://{name}./").host == f"{name}."
    with pytest.raises(InvalidURLError, match="253"):
        parse_url(f"http://{name}e/")


@pytest.mark.parametrize(
    ("text", "host", "port", "host_key"),
    [
        ("http://h/", "h", 80, "h"),
        ("https://h/", "h", 443, "h"),
        ("https://H:443/", "h", 443, "h"),
        ("https://h:80/", "h", 80, "h:80"),
        ("http://h:443/", "h", 443, "h:443"),
        ("http://h:8080/", "h", 8080, "h:8080"),
        ("http://h:65535/", "h", 65535, "h:65535"),
        ("http://[::1]/", "::1", 80, "[::1]"),
        ("https://[::1]:8443/", "::1", 8443, "[::1]:8443"),
        ("http://example.org./", "example.org.", 80, "example.org"),
        ("http://example.org.:81/", "example.org.", 81, "example.org:81"),
    ],
)
def test_a_host_is_a_name_with_its_port_unless_that_is_the_schemes_own(
    text: str, host: str, port: int, host_key: str
) -> None:
    target = parse_url(text)
    assert (target.host, target.port, target.host_key) == (host, port, host_key)


def test_path_is_what_goes_into_the_request_line() -> None:
    assert parse_url("http://h").path == "/"
    assert parse_url("http://h?a#b").path == "/?a"
    assert parse_url("http://u:p@h:81/a%2Fb?c=%zz#d").path == "/a%2Fb?c=%zz"


@pytest.mark.parametrize(
    ("userinfo", "credentials"),
    [
        ("user:pw", b"user:pw"),
        ("user", b"user:"),
        (":pw", b":pw"),
        ("us%40er:p%3Aw%2f", b"us@er:p:w/"),
        ("user:a:b", b"user:a:b"),
        ("a@b:c@d", b"a@b:c@d"),
        ("é:%E9%zz", "é:".encode() + b"\xe9%zz"),
    ],
)
def test_userinfo_becomes_basic_authorization(userinfo: str, credentials: bytes) -> None:
    target = parse_url(f"http://{userinfo}@h/x")
    assert target.url == "http://h/x"
    assert target.authorization == "Basic " + base64.b64encode(credentials).decode()


@pytest.mark.parametrize("text", ["http://h/", "http://@h/", "http://:@h/", "http://h/@u"])
def test_no_userinfo_means_no_authorization(text: str) -> None:
    assert parse_url(text).authorization is None


def test_refusals_repeat_nothing_of_the_text() -> None:
    for text in (f"{CANARY}://h", f"http://u:{CANARY}@", f"{CANARY}:x@h", f"http://{CANARY}:x/"):
        with pytest.raises(InvalidURLError) as caught:
            parse_url(text)
        error: BaseException | None = caught.value
        assert CANARY.lower() not in str(error).lower()


def near_urls() -> st.SearchStrategy[str]:
    """URLs around the edge of what counts as normal: mostly plain pieces, some that are not."""
    names = "a www example org a_b -a a- x--y xn-- xn--bcher-kva xn--a A é * ~ %41"
    numbers = "1 12 0x7f 1e5 a1 1a 0x 09 256"
    label = st.sampled_from([*names.split(), *numbers.split(), "", "a" * 63, "a" * 64, "b" * 40])
    addresses = "127.0.0.1 127.0.0.01 1.2.3 255.255.255.255 255.255.255.256 0.0.0.0 127.0.0.1."
    others = "1.2.3.4.5 example.org. [::1] u@h u:p@h"
    host = st.lists(label, min_size=1, max_size=5).map(".".join) | st.sampled_from(
        [*addresses.split(), *others.split(), ""]
    )
    port = st.sampled_from(
        ["", "", "", ":80", ":443", ":080", ":8080", ":", ":0", ":65535", ":65536", ":99999", ":1a"]
    )
    pieces = "a B7 / / . .. /. /../ %2e %2E%2e %41 %zz % %2F"
    odd = "!$&'()*+,;=:@-_~?#[]{}|^`\"<>\\ é\x7f\t\ud800\u3000"
    piece = st.sampled_from([*pieces.split(), *odd])
    path = st.lists(piece, max_size=8).map("".join)
    slash = st.sampled_from(["/", "/", "/", "", "?", "#"])
    scheme = st.sampled_from(["http://", "https://", "http:", "HTTP://", "http:///", "ftp://"])
    return st.builds(lambda *parts: "".join(parts), scheme, host, port, slash, path)


@given(near_urls())
@example("http://127.0.0.1:443/")
@example("https://127.0.0.1:443/")
@example("http://h/a?'")
@example("http://h/%2e")
@example("http://a.0x/")
def test_the_short_way_agrees_with_the_long_one(text: str) -> None:
    target = parsing._parse_normal(text)
    if target is not None:
        assert target == parsing._parse_any(text)
        assert target.url == text


def test_every_ascii_character_is_taken_the_same_both_ways() -> None:
    short = 0
    for code in range(128):
        char = chr(code)
        for text in (
            f"http://h/a{char}b",
            f"http://h/{char}",
            f"http://h/?{char}a",
            f"http://a{char}b/",
            f"http://{char}/",
            f"http://h:8{char}/",
        ):
            target = parsing._parse_normal(text)
            if target is not None:
                short += 1
                assert target == parsing._parse_any(text)
    assert short > 200


def test_plain_urls_take_the_short_way() -> None:
    for text in (
        "https://www.example.org/images/2024/05/photo-000123.jpg",
        "http://127.0.0.1:8080/a",
        "https://cdn.example.com/a/b.png?X-Amz-Signature=abc%2Fdef&Expires=1234567890",
    ):
        assert parsing._parse_normal(text) is not None


@given(near_urls() | st.text())
def test_any_text_is_a_normal_target_or_refused(text: str) -> None:
    try:
        target = parse_url(text)
    except InvalidURLError:
        return
    assert target.url.isascii()
    assert target.url.isprintable()
    assert " " not in target.url
    assert target.scheme in ("http", "https")
    assert target.host
    assert 0 <= target.port <= 65535
    assert target.path.startswith("/")
    assert target.url.endswith(target.path)
    assert "#" not in target.url
    assert parse_url(target.url) == Target(
        target.url, target.scheme, target.host, target.port, target.path, target.host_key
    )
    before, mark, query = target.url.partition("?")
    browsers = before + mark + query.replace("'", "%27")
    assert ada_url.URL(target.url).href == browsers


# --- join_url -------------------------------------------------------------------------------------

BASE = parse_url("https://user:pw@example.org/a/b?c")


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("d", "https://example.org/a/d"),
        ("../d", "https://example.org/d"),
        ("../../../d", "https://example.org/d"),
        ("/d", "https://example.org/d"),
        ("?d", "https://example.org/a/b?d"),
        ("#f", "https://example.org/a/b?c"),
        ("", "https://example.org/a/b?c"),
        ("//h/d", "https://h/d"),
        ("//h", "https://h/"),
        ("http://h:8080/d#f", "http://h:8080/d"),
        ("HTTP://H/d", "http://h/d"),
        ("https:d", "https://example.org/a/d"),
        ("http:d", "http://d/"),
        ("\\d", "https://example.org/d"),
        ("\\\\h\\d", "https://h/d"),
        ("///h/d", "https://h/d"),
        ("/\\h/d", "https://h/d"),
        ("/\t/h/d", "https://h/d"),
        ("\\\\\\h\\d", "https://h/d"),
        ("http:///h/d", "http://h/d"),
        ("HTTPS:\\//h/d", "https://h/d"),
        ("ht\ttp:///h/d", "http://h/d"),
        ("https:////h:80/d", "https://h:80/d"),
        ("https:/h/d", "https://example.org/h/d"),
        ("http:/h/d", "http://h/d"),
        ("https:h/d", "https://example.org/a/h/d"),
        ("http:h/d", "http://h/d"),
        ("  /d e  ", "https://example.org/d%20e"),
        ("\t/d\te", "https://example.org/de"),
        ("./a:80/x", "https://example.org/a/a:80/x"),
        ("/x?u=http://h/", "https://example.org/x?u=http://h/"),
        ("/x?u=http:///h", "https://example.org/x?u=http:///h"),
        (b"/caf\xe9?\xe9", "https://example.org/caf%E9?%E9"),
        ("/café".encode(), "https://example.org/caf%C3%A9"),
        ("/café".encode().decode("latin-1"), "https://example.org/caf%C3%A9"),
        ("/caf\xe9", "https://example.org/caf%E9"),
        ("//bücher.example/".encode(), "https://xn--bcher-kva.example/"),
        ("/%2F%zz", "https://example.org/%2F%zz"),
        ("/x?a='b'%27", "https://example.org/x?a='b'%27"),
        ("?'\t%2\t7", "https://example.org/a/b?'%27"),
    ],
)
def test_a_location_is_resolved_as_browsers_do(location: str | bytes, url: str) -> None:
    assert join_url(BASE, location).url == url


@pytest.mark.parametrize("location", ["", "#f'", "https:", "#?'"])
def test_quotes_in_the_query_that_a_location_keeps_stay(location: str) -> None:
    url = "https://example.org/?it's=%27"
    assert join_url(parse_url(url), location).url == url


@given(st.text(st.sampled_from("'%27?#/a\u00e9\\:@"), max_size=20))
@example("?'#?%27")
def test_quotes_stay_whatever_stands_around_them(text: str) -> None:
    _, _, query = text.partition("#")[0].partition("?")
    target = parse_url(f"http://h/{text}")
    kept = target.path.partition("?")[2]
    assert re.findall("'|%27", kept) == re.findall("'|%27", query)
    assert join_url(parse_url("http://h/x?'"), f"http://h/{text}".encode()) == target


def test_userinfo_of_a_location_is_dropped() -> None:
    for location in ("//u:p@h/", "https://u:p@example.org/", "/x"):
        target = join_url(BASE, location)
        assert target.authorization is None
        assert "@" not in target.url


@pytest.mark.parametrize(
    "location",
    [
        "//",
        "///",
        "http:///",
        "//?x",
        "http://",
        "http://h:99999/",
        "//h:99999/",
        "//h:x/",
        "//[::1",
        "//a b/",
        "//u:p@/x",
        f"//{'a' * 64}/",
        "/\u20ac",
        b"//caf\xe9/",
    ],
)
def test_a_location_that_leads_nowhere_is_refused(location: str | bytes) -> None:
    with pytest.raises(InvalidURLError) as caught:
        join_url(BASE, location)
    assert not isinstance(caught.value, BlockedSchemeError)


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "ftp://h/",
        "data:,x",
        "javascript:alert(1)",
        " \tJava\tScript:x",
        "a:b",
    ],
)
def test_another_scheme_is_told_apart(location: str) -> None:
    with pytest.raises(BlockedSchemeError):
        join_url(BASE, location)


@given(st.binary() | st.text() | near_urls())
def test_any_location_leads_to_a_target_or_is_refused(location: str | bytes) -> None:
    try:
        target = join_url(BASE, location)
    except InvalidURLError:
        return
    assert parse_url(target.url) == target


# --- redact ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("https://user:pw@host/x", "https://***@host/x"),
        ("HTTPS://user@host/x", "HTTPS://***@host/x"),
        ("http:user:pw@host/x", "http:***@host/x"),
        ("http:\\\\user:pw@h\\x", "http:\\\\***@h\\x"),
        ("//u:p@h/x", "//***@h/x"),
        ("user:pw@host/x", "***@host/x"),
        ("https://u:p@medium.com/@user", "https://***@medium.com/@user"),
        ("https://a@b:c@host/", "https://***@host/"),
        ("http://user:pa/ss@host/x", "http://***@host/x"),
        ("http://user:pa?ss@host/x", "http://***@host/x"),
        ("http://user:pa#ss@host/x", "http://***@host/x"),
        ("http://u:p\tw@h/x", "http://***@h/x"),
        ("ht\ttp://u:p@h/x", "***@h/x"),
        ("ftp://u:p@h/x", "ftp://***@h/x"),
        ("socks5h://u:p@h:1080", "socks5h://***@h:1080"),
        ("user://pw@host", "***@host"),
        ("http://u:pw\uff20h/", "http://***@h/"),
        ("http%3A%2F%2Fu%3Apw%40h/x", "***@h/x"),
        ("http://u:p@h:99999/", "http://***@h:99999/"),
        ("http://u:p\ud800@h/", "http://***@h/"),
        (" see http://u:p@h/ ", " see http://***@h/ "),
        ("user:pw@host/@chan/x", "***@host/@chan/x"),
        ("token@host/@chan/x", "***@host/@chan/x"),
        ("a@b:c@host/@chan", "***@host/@chan"),
        ("//u:p@h/@chan?a@b#c@d", "//***@h/@chan?a@b#c@d"),
        ("\\\\u:p@h\\@chan", "\\\\***@h\\@chan"),
        ("FTP://u:p@h/@chan", "FTP://***@h/@chan"),
        ("mailto:bob@h.example", "mailto:***@h.example"),
        ("mailto:u:p@h", "mailto:***@h"),
        ("foo://u:p@h/@chan", "***@h/@chan"),
        ("http://u:p@h:99999/@chan", "http://***@h:99999/@chan"),
        ("http://u:p\tw@h/@chan", "http://***@h/@chan"),
        ("http//u:p@h/@chan", "http//***@h/@chan"),
        ("u:p@[::1]:80/@x", "***@[::1]:80/@x"),
        ("u\uff20h/\uff20x", "***@h/\uff20x"),
        ("user:pa/ss@host/x", "***@host/x"),
        ("user name:pw@h/x", "***@h/x"),
        ("http://u:http://pw@h/", "http://***@h/"),
        ("Name\thttps://u:p@h/@chan", "Name\thttps://***@h/@chan"),
        ("a row, https://u:p@h/@chan", "a row, https://***@h/@chan"),
        ("https://a/@x https://u:p@h/@chan", "https://a/@x https://***@h/@chan"),
        ("https://a/x,https://u:p@h/@chan", "https://a/x,https://***@h/@chan"),
        ("https://h/ # was u:p@h/@chan", "https://h/ # was ***@h/@chan"),
        ("a.example/x u:p@h/@chan", "a.example/x ***@h/@chan"),
    ],
)
def test_userinfo_is_replaced(text: str, redacted: str) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "https://medium.com/@user",
        "http://h/?mail=a@b.example",
        "http://h/?u=http://a:b@c/",
        "http://h/#a@b",
        "http://h/?mail=a%40b",
        "http://@h/",
        "//@h",
        "@h",
        "www.v.example/@chan/x",
        "www.v.example:8080/@chan/x",
        "localhost/@chan",
        "[::1]:80/@chan",
        "//www.v.example/@chan/x",
        "/@chan/x",
        "images/@2x/a.png",
        "ftp://ftp.v.example/@chan",
        "s3://bucket/@chan",
        "foo://v.example/@chan",
        "http://v.example:99999/@chan",
        "http://v.example/\t@chan",
        "www.v.example/?mail=a@b.example",
        "maps.example/@52.5,13.4,17z",
        "Part 1 - https://v.example/@chan",
        "Part 1: https://v.example/@chan",
        "Name,https://v.example/@chan",
        "https://v.example/@a https://v.example/@b",
        "https://v.example/@chan # a note",
        "magnet:?xt=a@b",
        "no url at all",
        "",
    ],
)
def test_text_without_userinfo_stays(text: str) -> None:
    assert redact(text) == text


def secrets() -> st.SearchStrategy[str]:
    """Userinfo with the canary somewhere in it, between characters that parsers trip over."""
    odd = st.text(st.sampled_from("a:@/?#\\%4 .[]*\t\n\x00é\uff20\ud800http"), max_size=8)
    return st.builds(lambda a, b: f"{a}{CANARY}{b}", odd | st.text(), odd | st.text())


@given(
    st.sampled_from(["http://", "https://", "HTTP:", "http:\\\\", "http:////", "//", "", "ftp://"])
    | st.sampled_from(["ht\ttp://", " http://", "\ufeffhttp://", "http//", "socks5://", "x"]),
    secrets(),
    st.sampled_from(["h", "127.0.0.1:81", "[::1]", "", "h:99999", "a b", "EXAMPLE.org"]),
    st.sampled_from(["", "/", "/a@b", "/?q#f", "?a@b", "/\t", "\\x"]),
)
@example("http://", f"u:1/{CANARY}", "h", "/")
def test_no_secret_survives(start: str, userinfo: str, host: str, rest: str) -> None:
    text = f"{start}{userinfo}@{host}{rest}"
    shown = redact(text)
    assert redact(shown) == shown
    # A slash, `?` or `#` in the userinfo ends the host: what follows is no userinfo.
    delimited = any(char in userinfo for char in "/\\?#")
    assert CANARY not in shown or delimited
    try:
        target = parse_url(text)
    except InvalidURLError:
        return
    assert parse_url(shown).url == target.url


@given(
    st.sampled_from(["http://", "https:/", "HTTP:", "", "//", "///", "\\\\", "FTP://", "ftps:"])
    | st.sampled_from(["s3://", "gs://", "mailto:", "http//", "x//", " http://", "\ufeffhttp://"])
    | st.sampled_from(["Name,https://", "Part 1: http://", "http://a/x http://", "a/b\thttps://"]),
    st.text(st.characters(exclude_characters="/\\?#@\uff20\ufe6b")),
    st.text(st.characters(exclude_characters="/\\?#@\uff20\ufe6b")),
    st.sampled_from(["v.example", "127.0.0.1:81", "[::1]", "h:99999", "localhost", "a_b.example."]),
    st.sampled_from(["/", "?", "#", "\\"]),
    st.text(st.characters(exclude_characters=" \t\n/\\") | st.sampled_from("@:@/"), max_size=9),
)
def test_what_stands_behind_the_authority_survives_and_nothing_before_it(
    start: str, before: str, behind: str, host: str, delimiter: str, rest: str
) -> None:
    rest = re.sub("//+|\\s", "", f"{delimiter}chan{rest}")
    shown = redact(f"{start}{before}{CANARY}{behind}@{host}{rest}")
    assert CANARY not in shown
    assert shown.endswith(f"***@{host}{rest}")
    assert redact(f"{start}{host}{rest}") == f"{start}{host}{rest}"


@given(st.text(st.sampled_from("ab:/\\@%4 0.?#*\t\uff20") | st.characters()))
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@given(st.text())
def test_text_without_an_at_sign_is_never_changed(text: str) -> None:
    text = "".join(char for char in text if char not in "@\uff20\ufe6b").replace("%40", "")
    assert redact(text) == text


def test_urls_in_a_sentence_are_redacted() -> None:
    sentence = "407, message='no', url='http://u:pw@proxy:3128/' for https://medium.com/@user"
    shown = redact_in(sentence)
    assert shown == "407, message='no', url='http://***@proxy:3128/' for https://medium.com/@user"
    assert redact_in(shown) == shown


@given(st.text(st.sampled_from("a:/@ \t\n\u2028\u00a0") | st.characters()))
def test_each_word_with_an_at_sign_is_redacted_and_the_rest_left(sentence: str) -> None:
    expected = ""
    for is_blank, chars in itertools.groupby(sentence, str.isspace):
        word = "".join(chars)
        expected += redact(word) if "@" in word and not is_blank else word
    assert redact_in(sentence) == expected


def test_sentence_without_an_at_sign_is_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(redaction, "_WORD")
    assert redact_in("x" * 100 + " https://example.org/") == "x" * 100 + " https://example.org/"


@given(st.text(st.sampled_from("a: @") | st.characters()))
def test_search_for_words_looks_at_no_character_twice(sentence: str) -> None:
    """A search that fails somewhere begins anew behind; this one succeeds at every non-blank."""
    words = redaction._WORD.findall(sentence)
    assert "".join(words) == "".join(char for char in sentence if not char.isspace())


# --- hiding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://h/?token=C", "http://h/?token=***"),
        ("http://h/?a=1&token=C&b=2#f", "http://h/?a=1&token=***&b=2#f"),
        ("http://h/?TOKEN=C&Token=C&t%6Fken=C&T%4FKEN=C", None),
        ("http://h/?a;token=C;b=2", "http://h/?a;token=***;b=2"),
        ("http://h/?token=a;C", "http://h/?token=***"),
        ("http://h/?a=1&amp;token=C", "http://h/?a=1&amp;token=***"),
        ("http://h/?api+key=C&api%20key=C&API%2bKEY=C&api key=C d", None),
        ("http://h/?s\u00efg=C&s%C3%AFg=C&S%c3%8FG=C", None),
        ("http://h/?token==C=", "http://h/?token=***"),
        ("http://h/?token=", "http://h/?token=***"),
        ("http://h/?token=a?b=/C", "http://h/?token=***"),
        ("http://h/#token=C", "http://h/#token=***"),
        ("http://h/?u=http://x/?token=C", "http://h/?u=http://x/?token=***"),
        ("http://h/?u=%2F%3Fa%3d1%26token%3DC&b=2", "http://h/?u=%2F%3Fa%3d1%26token%3D***&b=2"),
        ("http://h/?u=%252F%253Ftoken%253DC%2526b%3D2", "http://h/?u=%252F%253Ftoken%253D***"),
        ("http://u:C@h/?token=C@x", "http://***@h/?token=***"),
        ("http://h:99999/?token=u@C", "http://h:99999/?token=***"),
        ("http://u:C?token=C@h/", "http://***@***"),
        ("h ?token=C C\tC", "h ?token=***"),
        ("token=C", "token=***"),
    ],
)
def test_values_of_marked_parameters_are_hidden(text: str, shown: str | None) -> None:
    secret = text.replace("C", CANARY) if shown else text.replace("=C", f"={CANARY}")
    with hiding(["Token", "api key"]), hiding(["s\u00efg"]):
        assert CANARY not in redact(secret)
        assert CANARY not in redact_in(secret)
        assert CANARY not in redact_urls_in(secret)
        assert shown is None or redact(secret) == shown
        assert conceals(secret)
    assert conceals(redact(secret)) == ("***" in redact(secret))


@pytest.mark.parametrize(
    "text",
    [
        "http://h/?mytoken=1&token2=1&xtoken=1&tokens=1",
        "http://h/?token",
        "http://h/?token&a=1",
        "http://h/token=1",
        "http://h/?a=token",
        "http://h/?token[]=1",
        "http://token.h/token",
        "",
    ],
)
def test_other_parameters_are_shown(text: str) -> None:
    with hiding(["token"]):
        assert redact(text) == text
        assert not conceals(text)


def test_nothing_is_hidden_before_and_after() -> None:
    text = "http://h/?token=1&sig=2"
    with hiding(["token"]):
        with hiding(["sig"]), hiding(["token"]):
            assert redact(text) == "http://h/?token=***&sig=***"
        assert redact(text) == "http://h/?token=***&sig=2"
    with hiding(()):
        assert redact(text) == redact_in(text) == redact_urls_in(text) == text
    assert not conceals(text)


@pytest.mark.parametrize(
    "name", [".*", "a|b", "[x]", "$", "%", "a b", "\u0130", "\u00df", "\U0001f600"]
)
def test_a_marked_name_is_text_and_no_pattern(name: str) -> None:
    with hiding([name]):
        assert redact(f"http://h/?{name}=1&xab=2") == f"http://h/?{name}=***&xab=2"
        assert redact(f"http://h/?{quote(name)}=1&xab=2") == f"http://h/?{quote(name)}=***&xab=2"


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("ValueError('http://h/?token=C D')", "ValueError('http://h/?token=***"),
        ("at /?token=C&a=1 it broke", "at /?token=***&a=1 it broke"),
        ("token=C\nnext line", "token=***\nnext line"),
        ("{'token': 1, query='token=C'}", "{'token': 1, query='token=***"),
        ("get 'http://h/?token=***' --once", "get 'http://h/?token=***' --once"),
        ("no file 'http://h/?token=***'; try", "no file 'http://h/?token=***'; try"),
        ("me@home, http://u:C@h/?token=C@D", None),
        ("the token C is none", "the token C is none"),
    ],
)
def test_marked_values_in_a_sentence_are_hidden(sentence: str, shown: str | None) -> None:
    with hiding(["token"]):
        assert redact_urls_in(sentence) == (shown or "me@home, http://***@h/?token=***")
        assert redact_in(sentence) == (shown or "***@home, http://***@h/?token=***")


def marked_values() -> st.SearchStrategy[str]:
    """Values that end where a parameter does, between characters that parsers trip over."""
    odd = st.text(st.sampled_from("a:@/?=%43 .+*'\t\x00\u00e9\uff20\ud800token") | st.characters())
    return st.builds(
        lambda a, b: "".join(c for c in f"{a}{CANARY}{b}" if c not in "&#;\n"), odd, odd
    )


@given(
    st.sampled_from(
        ["http://h/", "http://u:pw@h/", "http://h:99999/", "HTTP:h", "ftp://", "", "?"]
    ),
    st.sampled_from(["?", "?a=b&", "?a;", "?a=b@c&", "?x=%3Fy%26", "#", "?q=http://h/?"]),
    st.sampled_from(["token", "TOKEN", "%74oken", "toKe%4e"]),
    marked_values(),
    st.sampled_from(["", "&b=2", ";b=2", "#f", "&u=a@b", "&token=Canary7", "&b=@"]),
)
@example("http://h/", "?", "token", f"{CANARY}\x1f:", "&u=a@b")
@example("http://h/", "?", "token", f"{CANARY}\x1f//x:y", "&u=a@b")
def test_no_marked_value_survives(
    start: str, before: str, name: str, value: str, after: str
) -> None:
    text = f"{start}{before}{name}={value}{after}"
    with hiding(["token"]):
        for redacted in (redact, redact_in, redact_urls_in):
            assert CANARY not in redacted(text)
        assert conceals(text)
        shown = redact(text)
        assert redact(shown) == shown
    assert conceals(shown)


@given(st.text(st.sampled_from("t=;&?#%3DF25@:/h *\n'") | st.characters()))
def test_redacting_twice_changes_nothing_more_with_marked_names(text: str) -> None:
    with hiding(["t", "h "]):
        once = redact(text)
        assert redact(once) == once


# --- display --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 中 🙂", "plain é 中 🙂"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\r\nb\tc", r"a\r\nb\tc"),
        ("\x9b31m\x7f\x00", r"\x9b31m\x7f\x00"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("\u200b\u200f\u061c\u2066\u2028\ufeff", r"\u200b\u200f\u061c\u2066\u2028\ufeff"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("[/red]", "[/red]"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert display(text) == shown


@given(st.text(st.characters() | st.sampled_from("\x1b\x9b\u202e\u2066\ud800")))
def test_nothing_hostile_reaches_the_terminal(text: str) -> None:
    for char in display(text):
        assert unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}


@given(st.text(), st.integers(1, 40))
def test_a_long_text_loses_its_middle(text: str, limit: int) -> None:
    whole = display(text)
    shown = display(text, limit)
    if len(whole) <= limit:
        assert shown == whole
    else:
        assert len(shown) == limit
        head, _, tail = shown.partition("…") if "…" not in whole else ("", "", "")
        assert whole.startswith(head)
        assert whole.endswith(tail)


def test_a_very_long_text_is_redacted_in_one_pass() -> None:
    assert redact("a:/\\ " * 200_000 + "@h") == "***@h"

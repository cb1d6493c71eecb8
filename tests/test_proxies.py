"""Which proxy a URL goes through: what the option says, else the environment, read once."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from fetchpool import Config, ConfigError
from fetchpool.model.attempts import Proxy
from fetchpool.model.urls import parse_url
from fetchpool.network.proxies import given_proxies, named, proxy_chooser
from fetchpool.pipeline.host_settings import choice_of_proxies
from fetchpool.pipeline.pool import check_surroundings

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("REQUEST_METHOD", raising=False)


def proxy_for(url: str, option: str | None = None) -> str | None:
    choose = proxy_chooser(given_proxies(Config(proxy=option)))
    proxy = None if choose is None else choose(parse_url(url))
    return None if proxy is None else proxy.url


def test_without_any_word_there_is_no_proxy() -> None:
    assert proxy_for("http://a.test/") is None


def test_option_is_for_all_requests_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://env.test:1")
    monkeypatch.setenv("NO_PROXY", "*")
    for url in ("http://a.test/", "https://a.test/", "http://localhost/"):
        assert proxy_for(url, "http://option.test:8080") == "http://option.test:8080"


def test_empty_option_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://env.test:1")
    assert proxy_for("http://a.test/", "") is None


@pytest.mark.parametrize("upper", [True, False])
def test_each_scheme_has_its_own_in_either_case(
    monkeypatch: pytest.MonkeyPatch, upper: bool
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name.upper() if upper else name, f"http://{name[:-6]}.test:1")
    assert proxy_for("http://a.test/") == "http://http.test:1"
    assert proxy_for("https://a.test/") == "http://https.test:1"


def test_only_the_scheme_that_is_named_goes_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://env.test:1")
    assert proxy_for("http://a.test/") is None
    assert proxy_for("https://a.test/") == "http://env.test:1"


def test_all_proxy_is_for_those_without_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://all.test:1")
    monkeypatch.setenv("HTTP_PROXY", "http://http.test:1")
    assert proxy_for("http://a.test/") == "http://http.test:1"
    assert proxy_for("https://a.test/") == "http://all.test:1"


def test_proxy_without_a_scheme_is_an_http_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "env.test:3128")
    assert proxy_for("http://a.test/") == "http://env.test:3128"


def test_empty_variable_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "")
    assert proxy_for("http://a.test/") is None


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("*", "http://a.test/", True),
        ("a.test", "http://a.test/", True),
        ("a.test", "http://sub.a.test/", True),
        ("a.test", "http://nota.test/", False),
        (".a.test", "http://sub.a.test/", True),
        ("b.test, a.test", "http://a.test/", True),
        ("a.test:8080", "http://a.test:8080/", True),
        ("a.test:8080", "http://a.test/", False),
        ("a.test:80", "http://a.test/", True),
        ("127.0.0.1", "http://127.0.0.1:8080/", True),
        ("::1", "http://[::1]:8080/", True),
        ("localhost,127.0.0.1", "http://a.test/", False),
        ("", "http://a.test/", False),
        # blanks separate as commas do, in any number
        ("b.test a.test", "http://a.test/", True),
        (" b.test\t,, a.test ", "http://a.test/", True),
        ("b.test\na.test", "http://a.test/", True),
        # dots, stars and case
        (".a.test", "http://a.test/", True),
        ("*.a.test", "http://sub.a.test/", True),
        ("*.a.test", "http://a.test/", True),
        ("*.a.test", "http://nota.test/", False),
        ("a.test.", "http://sub.a.test/", True),
        ("a.test", "http://a.test./", True),
        ("A.Test", "http://a.tEST/", True),
        ("est", "http://a.test/", False),
        ("test", "http://a.test/", True),
        (".", "http://a.test/", False),
        ("a.*", "http://a.test/", False),
        ("b.test,*", "http://a.test/", False),
        (" * ", "http://a.test/", True),
        # networks
        ("10.0.0.0/8", "http://10.255.1.2/", True),
        ("10.0.0.0/8", "http://11.0.0.1/", False),
        ("10.1.2.3/8", "http://10.9.9.9/", True),
        ("192.168.0.0/16 10.0.0.0/8", "http://10.1.1.1/", True),
        ("172.16.0.0/12", "http://172.31.255.255/", True),
        ("172.16.0.0/12", "http://172.32.0.0/", False),
        ("10.0.0.0/33", "http://10.0.0.0/", False),
        ("10.0.0.0/8", "http://10.test/", False),
        ("127.0.0.1", "http://127.0.0.2/", False),
        ("0.0.1", "http://127.0.0.1/", False),
        ("fd00::/8", "http://[fd12:3456::1]/", True),
        ("fd00::/8", "http://[fe80::1]/", False),
        ("fd00::/8", "http://253.0.0.1/", False),
        ("0:0:0:0:0:0:0:1", "http://[::1]/", True),
        ("[::1]", "http://[::1]/", True),
        # ports
        ("[::1]:8080", "http://[::1]:8080/", True),
        ("[::1]:8080", "http://[::1]:81/", False),
        ("127.0.0.1:8080", "http://127.0.0.1:8080/", True),
        ("127.0.0.1:8080", "http://127.0.0.1/", False),
        ("a.test:443", "https://a.test/", True),
        ("a.test:80,a.test:8080", "http://a.test:8080/", True),
    ],
)
def test_no_proxy_names_who_is_asked_directly(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str, direct: bool
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://env.test:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy_for(url) == (None if direct else "http://env.test:1")


def test_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://before.test:1")
    choose = proxy_chooser(None)
    assert choose is not None
    target = parse_url("http://a.test/")
    assert choose(target) == Proxy("http://before.test:1")
    monkeypatch.setenv("HTTP_PROXY", "http://after.test:1")
    monkeypatch.setenv("NO_PROXY", "*")
    assert choose(target) == choose(parse_url("http://b.test/")) == Proxy("http://before.test:1")


def test_small_letters_win_be_they_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://big.test:1")
    monkeypatch.setenv("http_proxy", "http://small.test:1")
    assert proxy_for("http://a.test/") == "http://small.test:1"
    monkeypatch.setenv("http_proxy", "")
    assert proxy_for("http://a.test/") is None


def test_a_clients_header_is_no_proxy_of_a_cgi_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://stranger.test:1")
    monkeypatch.setenv("REQUEST_METHOD", "GET")
    assert proxy_for("http://a.test/") is None
    monkeypatch.setenv("http_proxy", "http://ours.test:1")
    assert proxy_for("http://a.test/") == "http://ours.test:1"


# -- checked as --proxy is


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize(
    "value",
    [
        "http://proxy.test:99999",
        "http://proxy.test:0",
        "http://proxy.test:port",
        "proxy.test:port",
        "http://u:p#w@proxy.test:1",
        "http://proxy.test:1#",
        "http://proxy.test:1/path",
        "http://proxy.test:1/?q",
        "socks4://proxy.test:1",
        "socks://proxy.test:1",
        "socks5://user@proxy.test:1",
        "socks5h://us%3Aer:pass@proxy.test:1",
        "socks5h://user:p%C3%A4ss@proxy.test:1",
        "socks4a://user:pass@proxy.test:1",
        "ftp://proxy.test:1",
        "http://",
        "http://:1",
        "http://user@",
        "http://proxy .test:1",
        " http://proxy.test:1",
        "http://proxy.test:1 ",
        "  ",
        "http://pröxy.test:1",
        "http://[::1:1",
        "http://a%20b:1",
        "http:/proxy.test",
    ],
)
def test_a_bad_proxy_of_the_environment_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        check_surroundings(Config())
    assert str(caught.value).startswith(f"{name} takes http://HOST:PORT")
    if value.strip().removeprefix("http://"):
        assert value not in str(caught.value), "it may hold a password"
    with pytest.raises(ConfigError, match="--proxy"):
        Config(proxy=value)
    check_surroundings(Config(proxy=""))


@pytest.mark.parametrize(
    "variables",
    [
        {"HTTP_PROXY": "proxy.test:3128"},
        {"HTTPS_PROXY": "http://u%C3%BC:p%23@proxy.test:3128/"},
        {"ALL_PROXY": "https://[::1]:3128"},
        {"ALL_PROXY": "socks5h://u:p%23@h"},
        {"ALL_PROXY": "socks4a://user@h:1"},
        {"ALL_PROXY": "socks4://h:1", "HTTP_PROXY": "h:1", "HTTPS_PROXY": "h:1"},
        {"ALL_PROXY": "socks4://h:1", "NO_PROXY": "*"},
        {"FTP_PROXY": "ftp://h:1"},
    ],
    ids=str,
)
def test_what_is_good_or_nobody_uses_is_not_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    check_surroundings(Config())


@pytest.mark.parametrize("installed", [None, "2.8.0", "?"])
def test_socks_without_its_library_is_refused_with_the_command(
    monkeypatch: pytest.MonkeyPatch, installed: str | None
) -> None:
    def version(name: str) -> str:
        if installed is None:
            raise PackageNotFoundError(name)
        return installed

    monkeypatch.setattr("importlib.metadata.version", version)
    with pytest.raises(ConfigError, match=r"--proxy takes .*pip install 'fetchpool\[socks\]'"):
        check_surroundings(Config(proxy="socks5://me:hush@proxy.test"))
    monkeypatch.setenv("ALL_PROXY", "socks5h://proxy.test")
    with pytest.raises(ConfigError, match=r"ALL_PROXY takes .*, or add --proxy '' to go without"):
        check_surroundings(Config())


def test_public_only_goes_with_a_proxy_of_the_environment_that_is_told_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.test")
    check_surroundings(Config(public_only=True))
    monkeypatch.setenv("ALL_PROXY", "socks5h://proxy.test")
    with pytest.raises(ConfigError, match="Add --proxy ''"):
        check_surroundings(Config(public_only=True))


@pytest.mark.parametrize(
    ("lines", "options", "why"),
    [
        ("http://me:hush@h:99999\n", {}, "proxies, line 1: --proxy takes http://HOST"),
        ("# none\n", {}, "names no proxy"),
        ("socks5://h\n\nh:1\n", {"public_only": True}, "combined with line 3 of --proxy-file"),
        ("h:1\n", {"proxy": ""}, "--proxy '' can't be combined with --proxy-file"),
        (None, {}, "can't be read: No such file"),
    ],
)
def test_a_file_of_proxies_that_is_none_is_refused_without_telling_it(
    tmp_path: Path, lines: str | None, options: dict[str, Any], why: str
) -> None:
    path = tmp_path / "proxies"
    if lines is not None:
        path.write_text(lines)
    with pytest.raises(ConfigError) as caught:
        check_surroundings(Config(proxy_file=path, **options))
    assert why in str(caught.value)
    assert "hush" not in str(caught.value)


def test_a_file_of_proxies_in_a_home_that_is_nowhere_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    with pytest.raises(ConfigError, match="~/proxies can't be read: No such file"):
        check_surroundings(Config(proxy_file="~/proxies"))


def test_proxies_of_file_and_option_are_one_pool_and_one_is_none(tmp_path: Path) -> None:
    path = tmp_path / "proxies"
    path.write_text("\ufeff# ours\nh:1\nhttp://me:hush@h:1\r\nh:1\n")
    config = Config(proxy_file=path, proxy=["http://a:1", "http://a:1"])
    urls = given_proxies(config)
    assert urls == ["http://a:1", "http://h:1", "http://me:hush@h:1"]
    assert [each.name for each in named(urls)] == ["http://a:1", "http://h:1", "http://h:1 (2)"]
    assert "hush" not in repr(named(urls))
    assert choice_of_proxies(config)[0] is not None
    path.write_text("http://a:1\n")
    pool, choose = choice_of_proxies(config)
    assert pool is None
    assert choose is not None
    assert choose(parse_url("http://x.test/")) == Proxy("http://a:1")


def test_what_is_for_a_pool_is_refused_without_one_and_a_pool_for_one_host() -> None:
    with pytest.raises(ConfigError, match="--per-host-and-proxy is for several proxies"):
        check_surroundings(Config(per_host_and_proxy=True))
    with pytest.raises(ConfigError, match="a host's own proxy is one URL"):
        check_surroundings(Config(host={"a.test": {"proxy": ["http://a:1", "http://b:1"]}}))


def test_host_with_a_proxy_of_its_own_is_not_the_pools() -> None:
    hosts = {"a.test": {"proxy": "http://own:1"}, "b.test": {"proxy": ""}}
    pool, choose = choice_of_proxies(Config(proxy=["http://p:1", "http://q:1"], host=hosts))
    assert pool is not None
    assert choose is not None
    found = [choose(parse_url(f"http://{host}/")) for host in ("a.test", "b.test", "c.test")]
    assert found[:2] == [Proxy("http://own:1"), None]
    assert [pool.has(each) for each in found] == [False, False, True]

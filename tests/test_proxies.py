"""Which proxy a URL goes through: what the option says, else the environment, read once."""

from __future__ import annotations

import pytest

from fetchpool.proxies import proxy_chooser
from fetchpool.urls import parse_url

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("REQUEST_METHOD", raising=False)


def proxy_for(url: str, option: str | None = None) -> str | None:
    return proxy_chooser(option)(parse_url(url))


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
    ],
)
def test_no_proxy_names_who_is_asked_directly(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, url: str, direct: bool
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://env.test:1")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert proxy_for(url) == (None if direct else "http://env.test:1")


def test_environment_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://before.test:1")
    choose = proxy_chooser(None)
    target = parse_url("http://a.test/")
    assert choose(target) == "http://before.test:1"
    monkeypatch.setenv("HTTP_PROXY", "http://after.test:1")
    monkeypatch.setenv("NO_PROXY", "*")
    assert choose(target) == choose(parse_url("http://b.test/")) == "http://before.test:1"

"""Settings: what is accepted, what is refused and how, and which place wins."""

from __future__ import annotations

import dataclasses
import math
import pickle
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fetchpool.config import (
    Config,
    ConfigError,
    check_output,
    load_settings,
    options,
    user_file,
)
from fetchpool.config.expressions import exceeds
from fetchpool.config.options import Option
from fetchpool.config.reference import render_reference
from fetchpool.config.request_values import FORM, JSON
from fetchpool.config.values import Size
from tests.harness import write_example_files

CANARY = "canary-5f1b"
COMPANIONS: dict[str, dict[str, object]] = {
    "retry_kinds": {"retry_failed": True},
    "metrics_label": {"metrics_file": "m.prom"},
    "prune": {"refresh": True},
    "key": {"cert": "c.pem"},
    "samples": {"store": "tar"},
    "segment_size": {"store": "tar"},
    "warc_header": {"store": "warc"},
    "warc_prefix": {"store": "warc"},
}
"""What an option doesn't go without."""
SECRETS: dict[str, Any] = {
    "header": {"X-Token": f"Bearer {CANARY}"},
    "data": CANARY,
    "user": f"me:{CANARY}",
    "proxy": f"http://user:{CANARY}@proxy.test:3128",
}


def make(**settings: Any) -> Config:
    """Make a Config as a program without types would."""
    return Config(**settings)


def refusal(**settings: Any) -> str:
    """Return the message that refuses *settings*."""
    with pytest.raises(ConfigError) as caught:
        make(**settings)
    return str(caught.value)


def load(text: str, tmp_path: Path, **given_: object) -> Any:
    """Load settings from a TOML *text* and a command line."""
    file = tmp_path / "settings.toml"
    file.write_text(text, encoding="utf-8")
    return load_settings(given_, {}, file=str(file))


def file_refusal(text: str, tmp_path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, tmp_path)
    return str(caught.value)


# -- Config itself


def test_defaults_are_those_promised() -> None:
    config = Config()
    assert (config.limit, config.per_host, config.keepalive_s) == (100, 10, 15.0)
    assert (config.connect_timeout, config.read_timeout, config.timeout) == (10, 30, 0)
    assert (config.max_size, config.min_speed, config.max_redirects) == (2**30, 64, 10)
    assert (config.fail_if, config.retries, config.dns_ttl) == (None, 2, 300)


def test_every_default_passes_its_own_check() -> None:
    for option in options():
        if option.default is not None:
            assert option.kind.check(option.default) == option.default


@pytest.fixture
def example_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_example_files(tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("example_files")
def test_every_example_is_accepted_as_text() -> None:
    for option in options():
        option.kind.check(option.kind.read(option.example))


def test_config_survives_pickling() -> None:
    config = make(limit=7, header=[("A", "b")], retry_failed=True, retry_kinds="timeout,dns")
    assert pickle.loads(pickle.dumps(config)) == config


def test_config_is_frozen_and_hashable() -> None:
    config = make(**SECRETS)
    assert hash(config) == hash(dataclasses.replace(config))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.limit = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", -1),
        pytest.param("limit", 10**5000, id="limit-vast"),
        ("limit", True),
        ("limit", 1.0),
        ("limit", "5"),
        ("limit", None),
        ("per_host", 65_536),
        ("timeout", math.nan),
        ("timeout", math.inf),
        ("timeout", -0.5),
        pytest.param("timeout", 10**5000, id="timeout-vast"),
        ("timeout", 1e-9),
        ("rate", 1e-300),
        ("rate", True),
        ("max_size", -1),
        ("max_size", 2**63),
        ("max_size", "10 apples"),
        ("max_size", "1e9"),
        ("max_size", "\u0661"),
        ("hash", 1),
        ("hash", None),
        ("progress", "sometimes"),
        ("durability", 3),
        ("event_loop", "trio"),
        ("user_agent", "a\r\nX: y"),
        ("user_agent", "\udcff"),
        ("cacert", ""),
        ("cacert", "a\0b"),
        ("cacert", b"roots.pem"),
        ("log_file", "-"),
        ("fail_if", "errors>=1"),
        ("fail_if", "errors>101%"),
        ("fail_if", "errors>100.5%"),
        ("fail_if", "errors>1.5"),
        ("fail_if", 3),
        ("retry_kinds", "timeout,,dns"),
        ("retry_kinds", "status:6x"),
        ("retry_kinds", [3]),
        ("retry_on", "1xx"),
        ("retry_on", "404,,500"),
        ("retry_on", "504-500"),
        ("retry_on", "200-399"),
        ("retry_on", [True]),
        ("retry_on", ["blocked"]),
        ("no_retry_on", 204),
        ("no_retry_on", "internal"),
        ("retry_delay", -1),
        ("header", "Name value"),
        ("header", [("Name",)]),
        ("header", {"Name": 1}),
        ("metrics_label", "job"),
        ("metrics_label", "=pages"),
        ("metrics_label", "1st=pages"),
        ("metrics_label", "the-job=pages"),
        ("metrics_label", "jöb=pages"),
        ("metrics_label", "__name__=pages"),
        ("metrics_label", "result=ok"),
        ("metrics_label", "quantile=1"),
        ("metrics_label", ["job=a", "job=b"]),
        ("metrics_label", "job=\udcff"),
        ("metrics_label", {"job": 3}),
        ("metrics_label", 3),
        ("proxy", "proxy.test:3128"),
        ("proxy", "ftp://proxy.test"),
        ("proxy", "http://"),
        ("proxy", "http://proxy.test:0"),
        ("proxy", "http://proxy.test:99999"),
        ("proxy", "http://proxy.test/path"),
        ("proxy", "http://pro xy.test"),
        ("proxy", "http://proxy.test\n"),
    ],
)
def test_unfit_value_is_refused_in_one_line_naming_the_option(name: str, value: object) -> None:
    message = refusal(**{name: value})
    assert message.startswith(f"{name} (--{name.replace('_', '-')}) ")
    assert message.isprintable()
    assert len(message) < 300
    assert message.count(": ") >= 1


@given(st.text() | st.integers() | st.floats() | st.binary() | st.lists(st.text()) | st.none())
def test_any_value_is_accepted_or_refused_as_config_error(value: object) -> None:
    for option in options():
        try:
            no_field = option.name in ("output", "dry_run")
            config = None if no_field else make(**{option.name: value})
        except ConfigError as error:
            assert str(error).isprintable()  # noqa: PT017
        else:
            assert no_field or pickle.loads(pickle.dumps(config)) == config


@given(st.text())
@example("0\x1f")
@example("0.5\x1c")
def test_any_text_reads_to_something_showable_or_is_refused(text: str) -> None:
    for option in options():
        try:
            settings = load_settings({option.name: text}, {}, file="")
        except ConfigError as error:
            assert str(error).isprintable()  # noqa: PT017
        else:
            assert option.show(settings.value(option)).isprintable()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("65536", 65_536),
        ("10M", 10 * 2**20),
        ("2g", 2 * 2**30),
        ("1.5G", 3 * 2**29),
        ("1GiB", 2**30),
        ("1GB", 10**9),
        ("1kb", 1000),
        ("512b", 512),
        ("3 T", 3 * 2**40),
    ],
)
def test_size_reads_as_coreutils_do(text: str, size: int) -> None:
    assert make(max_size=text).max_size == size


@given(st.integers(0, 2**63 - 1))
def test_size_shown_is_the_size_read(size: int) -> None:
    kind = Size("SIZE")
    assert kind.check(kind.show(size)) == size


def test_minus_zero_seconds_are_zero() -> None:
    assert math.copysign(1, make(timeout=-0.0).timeout) == 1


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"force_close": True, "keepalive": 5}, ("--keepalive", "--force-close")),
        ({"force_close": True, "keepalive": 0}, ("--keepalive", "--force-close")),
        ({"ipv4": True, "ipv6": True}, ("--ipv4", "--ipv6")),
        ({"once": True, "fresh": True}, ("--once", "--fresh")),
        ({"retry_failed": True, "once": True}, ("--retry-failed", "--once")),
        ({"retry_failed": True, "fresh": True}, ("--retry-failed", "--fresh")),
        ({"retry_kinds": "dns"}, ("--retry-kinds", "--retry-failed")),
        ({"retry_on": [404, "tls"], "no_retry_on": "status:404"}, ("--retry-on", "--no-retry-on")),
        ({"metrics_label": "job=a"}, ("--metrics-label", "--metrics-file")),
        ({"public_only": True, "proxy": "http://p.test:1"}, ("--public-only", "--proxy")),
        (
            {"user_agent": "a", "header": {"user-agent": "b"}},
            ("--user-agent", "--header"),
        ),
    ],
)
def test_settings_that_exclude_each_other_are_refused(
    settings: dict[str, Any], names: tuple[str, str]
) -> None:
    message = refusal(**settings)
    assert all(name in message for name in names)
    assert "drop" in message.lower()


def test_force_close_alone_is_fine() -> None:
    assert make(force_close=True).keepalive is None
    assert make(public_only=True, proxy="").proxy == ""


def test_keepalive_of_zero_is_kept() -> None:
    assert make(keepalive=0).keepalive_s == 0.0


def test_headers_come_as_mapping_pairs_or_lines() -> None:
    expected = (("Accept", "a/b"), ("X-Two", "b:c"))
    assert make(header={"Accept": "a/b", "X-Two": "b:c"}).header == expected
    assert make(header=[("Accept", " a/b\t"), ("X-Two", "b:c")]).header == expected
    assert make(header=["Accept: a/b", "X-Two:b:c"]).header == expected


def test_labels_come_as_mapping_pairs_or_texts_and_their_values_are_any_text() -> None:
    expected = (("job", "pages"), ("_at", 'a=b "\\\n'), ("none", ""))
    for given_ in (
        dict(expected),
        list(expected),
        ["job=pages", '_at=a=b "\\\n', "none="],
    ):
        assert make(metrics_file="m.prom", metrics_label=given_).metrics_label == expected
    environ = {"FETCHPOOL_METRICS_LABEL": "job=pages\nzone=eu", "FETCHPOOL_METRICS_FILE": "m.prom"}
    config = load_settings({}, environ, file="").config
    assert config.metrics_label == (("job", "pages"), ("zone", "eu"))


def test_same_header_twice_is_kept_twice() -> None:
    assert make(header=["A: 1", "a: 2"]).header == (("A", "1"), ("a", "2"))


@pytest.mark.parametrize(
    "name",
    [
        *("Host", "content-length", "TRANSFER-ENCODING", "Connection", "Proxy-Authorization"),
        *("Upgrade", "Range", "if-range", "Request-Range", "A-IM", "HTTP2-Settings"),
    ],
)
def test_header_that_http_decides_is_refused_with_a_reason(name: str) -> None:
    message = refusal(header={name: CANARY})
    assert f"can't set {name}: " in message
    assert CANARY not in message


def test_proxy_may_speak_socks_but_the_oldest_is_refused_by_name() -> None:
    for scheme in ("socks5", "socks5h", "socks4a"):
        assert make(proxy=f"{scheme}://127.0.0.1").proxy == f"{scheme}://127.0.0.1"
    assert "'socks4' is not spoken" in refusal(proxy="socks4://127.0.0.1:1080")


def test_several_proxies_are_a_pool_and_one_is_as_it_was() -> None:
    both = ("http://a:1", "socks5h://me:x@b")
    assert make(proxy=[*both, both[0]]).proxy == both
    assert make(proxy=["http://a:1"]).proxy == make(proxy="http://a:1").proxy == "http://a:1"
    assert "'' for no proxy" in refusal(proxy=["http://a:1", ""])
    assert "me:x" not in repr(make(proxy=both))
    assert make(proxy=both, per_host_and_proxy=True).has_proxy_pool
    environment = {"FETCHPOOL_PROXY": "\n".join(both)}
    assert load_settings({}, environment, file="").config.proxy == both


def test_public_only_needs_a_proxy_that_is_told_addresses() -> None:
    assert make(public_only=True, proxy="socks5://127.0.0.1").public_only
    for scheme in ("http", "socks5h", "socks4a"):
        assert "socks5://" in refusal(public_only=True, proxy=f"{scheme}://127.0.0.1")


def test_user_agent_names_program_and_version() -> None:
    assert Config().user_agent_text.startswith("fetchpool/")
    assert make(user_agent="").user_agent_text == ""


@pytest.mark.parametrize(
    ("expression", "errors", "lines", "failed"),
    [
        ("errors>0", 0, 10, False),
        ("errors>0", 1, 10, True),
        ("ERRORS > 05", 5, 10, False),
        ("errors>5%", 5, 100, False),
        ("errors>5%", 6, 100, True),
        ("errors>0.29%", 29, 10_000, False),
        ("errors>0.29%", 30, 10_000, True),
        ("errors>100%", 10, 10, False),
        ("errors>0%", 0, 0, False),
        ("never", 10, 10, False),
    ],
)
def test_fail_if_decides_exactly(expression: str, errors: int, lines: int, failed: bool) -> None:
    assert make(fail_if=expression).fails(errors, lines) is failed


@given(st.integers(0, 100), st.integers(0, 10**12), st.integers(1, 10**12))
def test_percentage_compares_without_rounding(percent: int, errors: int, lines: int) -> None:
    assert exceeds(f"errors>{percent}%", errors, lines) is (errors * 100 > percent * lines)


def test_retry_kinds_choose_failures() -> None:
    config = make(retry_failed=True, retry_kinds=" Timeout,status:5xx,status:404")
    assert config.retries_kind("timeout", None)
    assert config.retries_kind("timeout", 200)
    assert config.retries_kind("status", 503)
    assert config.retries_kind("status", 404)
    assert not config.retries_kind("status", 403)
    assert not config.retries_kind("truncated", 503)
    assert make(retry_failed=True).retries_kind("dns", None)
    assert make(retry_failed=True, retry_kinds="all").retry_kinds == ()


def test_what_is_tried_again_is_written_in_many_ways() -> None:
    config = make(retry_on=[404, "TLS, status:5xx"], no_retry_on="501-503")
    assert (config.retry_on, config.no_retry_on) == (("404", "tls", "5xx"), ("501-503",))
    assert make(retry_on=202).retry_on == ("202",)


def test_destination_may_be_a_path_or_nothing() -> None:
    assert check_output(Path("pages")) == "pages"
    assert check_output(None) is None
    with pytest.raises(ConfigError, match="output"):
        check_output("")


# -- secrets


def test_repr_tells_what_differs_but_no_secret() -> None:
    text = repr(make(limit=3, **SECRETS))
    assert text == (
        "Config(data=*** (11 bytes), limit=3, user=***, header=X-Token: ***, "
        "proxy=http://***@proxy.test:3128)"
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"header": [CANARY]},
        {"header": CANARY},
        {"header": [f"Bearer {CANARY}: x"]},
        {"header": {"Authorization": f"{CANARY}\r\nX: y"}},
        {"header": {CANARY + " ": "x"}},
        {"header": [("Authorization", CANARY, "")]},
        {"proxy": f"http://user:{CANARY}@proxy.test:99999"},
        {"proxy": f"socks4://user:{CANARY}@proxy.test"},
        {"proxy": f"socks5://us%3Aer:{CANARY}@proxy.test"},
        {"proxy": f"{CANARY}@proxy.test"},
        {"proxy": f"http://[{CANARY}"},
    ],
)
@pytest.mark.parametrize("place", ["library", "command line", "environment", "file"])
def test_refusal_of_a_secret_does_not_tell_it(
    settings: dict[str, Any], place: str, tmp_path: Path
) -> None:
    [(name, value)] = settings.items()
    text = value if isinstance(value, str) else CANARY
    attempts: dict[str, Callable[[], object]] = {
        "library": lambda: make(**settings),
        "command line": lambda: load_settings({name: value}, {}, file=""),
        "environment": lambda: load_settings({}, {f"FETCHPOOL_{name.upper()}": text}, file=""),
        "file": lambda: load(f'{name} = "{text}"', tmp_path),
    }
    with pytest.raises(ConfigError) as caught:
        attempts[place]()
    assert CANARY not in "".join(traceback.format_exception(caught.value))


# -- where values come from


def test_command_line_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("limit = 1\nper-host = 2\nretries = 3\n")
    environ = {"FETCHPOOL_LIMIT": "4", "FETCHPOOL_PER_HOST": "5"}
    settings = load_settings({"limit": "6"}, environ, file=str(file))
    config = settings.config
    assert (config.limit, config.per_host, config.retries) == (6, 5, 3)
    assert settings.origins["limit"] == "--limit"
    assert settings.origins["per_host"] == "environment FETCHPOOL_PER_HOST"
    assert settings.origins["retries"] == str(file)
    assert settings.origins["hash"] == "default"


def test_output_is_a_setting_like_the_others(tmp_path: Path) -> None:
    assert load('output = "pages"', tmp_path).output == "pages"
    assert load_settings({}, {"FETCHPOOL_OUTPUT": "p"}, file="").output == "p"
    assert load_settings({"output": "q"}, {"FETCHPOOL_OUTPUT": "p"}, file="").output == "q"


@pytest.mark.usefixtures("example_files")
def test_every_option_can_stand_in_the_environment() -> None:
    for option in options():
        companions = COMPANIONS.get(option.name, {})
        settings = load_settings(companions, {option.env: option.example}, file="")
        assert settings.origins[option.name] == f"environment {option.env}"


@pytest.mark.usefixtures("example_files")
@pytest.mark.parametrize("option", options(), ids=lambda option: option.key)
def test_every_option_can_stand_in_the_file(option: Option, tmp_path: Path) -> None:
    value = option.example if option.kind.bare else f'"{option.example}"'
    value = f"[{value}]" if option.name == "header" else value
    extra = "retry-failed = true\n" if option.name == "retry_kinds" else ""
    extra = 'metrics-file = "m.prom"\n' if option.name == "metrics_label" else extra
    extra = "refresh = true\n" if option.name == "prune" else extra
    extra = 'cert = "c.pem"\n' if option.name == "key" else extra
    extra = 'store = "tar"\n' if option.name in ("samples", "segment_size") else extra
    extra = 'store = "warc"\n' if option.name in ("warc_header", "warc_prefix") else extra
    settings = load(f"{extra}{option.key} = {value}", tmp_path)
    assert settings.origins[option.name].endswith("settings.toml")


@pytest.mark.parametrize("word", ["1", "true", "YES", " on "])
def test_environment_turns_a_switch_on(word: str) -> None:
    assert load_settings({}, {"FETCHPOOL_HASH": word}, file="").config.hash


@pytest.mark.parametrize("word", ["0", "false", "No", "off"])
def test_environment_turns_a_switch_off(word: str, tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text("hash = true")
    assert not load_settings({}, {"FETCHPOOL_HASH": word}, file=str(file)).config.hash


def test_environment_refuses_another_word_naming_the_variable() -> None:
    with pytest.raises(ConfigError, match=r"^FETCHPOOL_HASH takes .*'maybe': try FETCHPOOL_HASH="):
        load_settings({}, {"FETCHPOOL_HASH": "maybe"}, file="")


def test_empty_variable_is_none_but_for_proxy_and_user_agent() -> None:
    environ = {
        "FETCHPOOL_LIMIT": "",
        "FETCHPOOL_HEADER": "",
        "FETCHPOOL_PROXY": "",
        "FETCHPOOL_USER_AGENT": "",
    }
    config = load_settings({}, environ, file="").config
    assert config == make(proxy="", user_agent="")


def test_environment_holds_one_header_a_line() -> None:
    environ = {"FETCHPOOL_HEADER": "A: 1, 2; 3\r\n\nB: x:y\n"}
    assert load_settings({}, environ, file="").config.header == (("A", "1, 2; 3"), ("B", "x:y"))


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("token", ("token",)),
        (["token", "sig", "TOKEN", "Sig"], ("token", "sig")),
        (("api%20key", " sig "), ("api key", "sig")),
        ([], ()),
        (["s\u00efg"], ("s\u00efg",)),
    ],
)
def test_secret_parameters_are_names_each_once(value: object, names: tuple[str, ...]) -> None:
    assert make(secret_param=value).secret_param == names


@pytest.mark.parametrize(
    "value",
    ["", " ", [""], [1], 1, {"a": "b"}, "a=b", "a&b", "?#", "a\nb", "\ud800", "a%00", "x" * 129],
)
def test_what_is_no_name_of_a_parameter_is_refused(value: object) -> None:
    assert "--secret-param" in refusal(secret_param=value)


def test_a_secret_given_with_its_name_is_not_repeated() -> None:
    message = refusal(secret_param=[f"token={CANARY}"])
    assert "token=***" in message
    assert CANARY not in message


def test_secret_parameters_come_from_all_places(tmp_path: Path) -> None:
    environ = {"FETCHPOOL_SECRET_PARAM": "token\r\n\nsig\n"}
    assert load_settings({}, environ, file="").config.secret_param == ("token", "sig")
    given = {"secret_param": ["a", "b"]}
    assert load_settings(given, environ, file="").config.secret_param == ("a", "b")
    for text in ('secret-param = ["a", "b"]', 'secret_param = ["A", "a", "b"]'):
        assert [n.lower() for n in load(text, tmp_path).config.secret_param] == ["a", "b"]
    assert load('secret-param = "a"', tmp_path).config.secret_param == ("a",)


def test_unknown_variable_of_ours_is_ignored_but_told() -> None:
    environ = {"FETCHPOOL_SERVICE_HOST": "10.0.0.1", "FETCHPOOL_CONFIG": "", "HOME": "/"}
    assert load_settings({}, environ).unknown == ("FETCHPOOL_SERVICE_HOST",)


def test_stronger_place_silences_a_rival_in_the_weaker(tmp_path: Path) -> None:
    text = 'retry-failed = true\nretry-kinds = "dns"\nforce-close = true\nipv4 = true\n'
    config = load(text, tmp_path, fresh=True, keepalive="3", ipv6=True).config
    assert config == make(fresh=True, keepalive=3, ipv6=True)


def test_rivals_in_one_place_are_refused(tmp_path: Path) -> None:
    assert "--once can't be combined" in file_refusal("once = true\nfresh = true", tmp_path)


def test_public_only_of_the_file_is_not_silenced_by_a_proxy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--public-only"):
        load("public-only = true", tmp_path, proxy="http://p.test:1")


def test_switch_taken_back_silences_nobody(tmp_path: Path) -> None:
    settings = load("once = true", tmp_path, fresh=False)
    assert settings.config.once
    assert settings.origins["fresh"] == "--no-fresh"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("per_host = 5", {"per_host": 5}),
        ("timeout = 5", {"timeout": 5.0}),
        ("timeout = 0.5", {"timeout": 0.5}),
        ("max-size = 1000", {"max_size": 1000}),
        ('max-size = "1K"', {"max_size": 1024}),
        ('[header]\nAccept = "a"\n', {"header": (("Accept", "a"),)}),
        ('header = ["Accept: a"]', {"header": (("Accept", "a"),)}),
        (
            'retry-failed = true\nretry-kinds = ["dns", "tls"]',
            {"retry_failed": True, "retry_kinds": ("dns", "tls")},
        ),
        ("\ufefflimit = 3", {"limit": 3}),
        ("", {}),
    ],
)
def test_file_holds_typed_values(text: str, expected: dict[str, Any], tmp_path: Path) -> None:
    assert load(text, tmp_path).config == make(**expected)


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ("limits = 5", "limits", "did you mean limit?"),
        ("perhost = 5", "perhost", "did you mean per-host?"),
        ("zebra = 5", "zebra", "fetchpool get --help"),
        ('"\\u001b[31m" = 5', "\\x1b", "fetchpool get --help"),
        ("[get]\nlimit = 5", "get", "--help"),
        ("per-host = 5\nper_host = 6", "per-host", "twice"),
        ('limit = "5"', "limit", "try limit = 100"),
        ("limit = 5.0", "limit", "try limit = 100"),
        ("limit = true", "limit", "try limit = 100"),
        ('hash = "yes"', "hash", "try hash = true"),
        ("hash = 1", "hash", "try hash = true"),
        ("timeout = nan", "timeout", "try timeout = 60"),
        ("timeout = 2020-01-01", "timeout", "try timeout = 60"),
        ("header = [1]", "header", "Name: value"),
        ("progress = 5", "progress", 'try progress = "auto"'),
    ],
)
def test_bad_file_is_refused_naming_file_and_key(
    text: str, key: str, hint: str, tmp_path: Path
) -> None:
    message = file_refusal(text, tmp_path)
    assert message.startswith(f"{tmp_path}/settings.toml: ")
    assert key in message
    assert hint in message
    assert message.isprintable()


@pytest.mark.parametrize(
    "data",
    [
        b"limit 5",
        b"limit = \xff",
        b"\xff\xfel\0",
        b"x = " + b"[" * 100_000,
        b"#" * (2 << 20),
    ],
    ids=["no TOML", "no UTF-8", "UTF-16", "deep", "huge"],
)
def test_file_that_is_no_toml_is_refused(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=r"s\.toml"):
        load_settings({}, {}, file=str(file))


@pytest.mark.parametrize("name", ["absent.toml", ".", "a\0b"])
def test_named_file_that_cannot_be_read_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--config: .* can't be read"):
        load_settings({}, {}, file=str(tmp_path / name))
    with pytest.raises(ConfigError, match=r"^FETCHPOOL_CONFIG: .* can't be read"):
        load_settings({}, {"FETCHPOOL_CONFIG": str(tmp_path / name)})


def test_endless_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="over 1 MiB"):
        load_settings({}, {}, file="/dev/zero")


def test_environment_names_a_file_and_the_command_line_another(tmp_path: Path) -> None:
    one, two = tmp_path / "1.toml", tmp_path / "2.toml"
    one.write_text("limit = 1")
    two.write_text("limit = 2")
    environ = {"FETCHPOOL_CONFIG": str(one)}
    assert load_settings({}, environ).config.limit == 1
    assert load_settings({}, environ, file=str(two)).config.limit == 2
    assert load_settings({}, environ, file="").config.limit == 100


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, with nothing in it."""
    for name in ("XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "FETCHPOOL_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_user_file_is_read_where_it_is(home: Path) -> None:
    assert load_settings({}, {}).file is None
    file = user_file()
    assert file is not None
    file.parent.mkdir(parents=True)
    file.write_text("limit = 9")
    assert load_settings({}, {}).config.limit == 9
    assert home in file.parents


def test_file_in_the_current_directory_is_never_read(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (home, home / "fetchpool", home / "~" / ".config" / "fetchpool"):
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("config.toml", "fetchpool.toml", ".fetchpool.toml"):
            (folder / name).write_text("limit = 9")
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CONFIG_HOME", ".")
    assert load_settings({}, {}).config.limit == 100


def test_relative_place_for_the_user_file_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # What older platformdirs return where there is no home.
    relative = Path("~/.config/fetchpool")
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_, **__: relative)
    assert user_file() is None
    assert load_settings({}, {}).file is None


def test_user_without_a_home_has_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container that runs with a number for a user."""
    for name in ("HOME", "XDG_CONFIG_HOME", "FETCHPOOL_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    assert user_file() is None
    assert load_settings({}, {}).file is None


def test_home_that_may_not_be_entered_holds_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(Path, "exists", refuse)
    assert load_settings({}, {}).file is None


def test_tilde_is_expanded_where_no_shell_did(home: Path) -> None:
    environ = {"FETCHPOOL_LOG_FILE": "~/log"}
    settings = load_settings({"output": "~/pages"}, environ, file="")
    assert settings.config.log_file == str(home / "log")
    assert settings.output == "~/pages"


# -- documentation


def test_reference_is_up_to_date() -> None:
    document = Path(__file__).parent.parent / "docs" / "options.md"
    assert document.read_text(encoding="utf-8") == render_reference(), (
        "run: python -m fetchpool.config > docs/options.md"
    )


def test_every_option_has_a_row_in_the_reference() -> None:
    rows = [line for line in render_reference().splitlines() if line.startswith("| `")]
    assert len(rows) == len(options())
    for option in options():
        assert any(f"{option.flag}" in row.split("|")[1] for row in rows)


# -- how lines are asked for


@pytest.mark.parametrize(
    ("settings", "method", "body", "fields"),
    [
        ({}, "GET", None, ()),
        ({"method": "pAtCh"}, "PATCH", None, ()),
        ({"head": True}, "HEAD", None, ()),
        ({"data": "a=é"}, "POST", "a=é".encode(), (("Content-Type", FORM),)),
        ({"data": b"\0\xff"}, "POST", b"\0\xff", (("Content-Type", FORM),)),
        ({"data": ""}, "POST", b"", (("Content-Type", FORM),)),
        ({"data": "x", "method": "get"}, "GET", b"x", (("Content-Type", FORM),)),
        ({"data": "x", "header": {"content-TYPE": "a/b"}}, "POST", b"x", ()),
        ({"json": "[1]"}, "POST", b"[1]", (("Content-Type", JSON), ("Accept", JSON))),
        ({"json": "[1]", "header": {"accept": "*/*"}}, "POST", b"[1]", (("Content-Type", JSON),)),
    ],
)
def test_settings_say_how_lines_are_asked_for(
    settings: dict[str, Any], method: str, body: bytes | None, fields: tuple[Any, ...]
) -> None:
    assert make(**settings).ask == (method, fields, body)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "BREW"}, "--method GET HEAD POST PUT PATCH DELETE OPTIONS"),
        ({"method": "CONNECT"}, "--method"),
        ({"data": "x", "json": "1"}, "--data --json"),
        ({"head": True, "data": "x"}, "--head --data"),
        ({"head": True, "json": "1"}, "--head --json"),
        ({"head": True, "method": "POST"}, "--method --head"),
        ({"method": "head", "data": "x"}, "--method --data"),
        ({"json": CANARY}, "--json JSON"),
        ({"data": "@/no/such/file"}, "--data /no/such/file"),
        ({"data": "@"}, "--data"),
        ({"data": "@-"}, "--data @-"),
        ({"data": 5}, "--data"),
        ({"user": CANARY}, "--user USER:PASSWORD"),
        ({"user": f"me:{CANARY}\n"}, "--user"),
        ({"user": "a:b", "header": {"authorization": CANARY}}, "--user Authorization"),
    ],
)
def test_request_that_makes_no_sense_is_refused_with_what_it_is_about(
    settings: dict[str, Any], words: str
) -> None:
    message = refusal(**settings)
    assert all(word in message for word in words.split()), message
    assert CANARY not in message


def test_body_from_a_file_is_its_bytes(tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"\r\n\0\xff\n")
    config = make(data=f"@{file}")
    assert config.data == b"\r\n\0\xff\n"
    assert dataclasses.replace(config, limit=3).data == config.data
    with pytest.raises(ConfigError, match="64 MiB"):
        make(data=b"x" * (64 * 2**20 + 1))


def test_body_on_the_command_line_wins_over_that_of_the_file(tmp_path: Path) -> None:
    settings = load('data = "a"\nmethod = "put"', tmp_path, json="[]")
    assert (settings.config.data, settings.config.json) == (None, b"[]")
    assert settings.config.ask.method == "PUT"

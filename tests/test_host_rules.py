"""Tables of hosts: which hold for a host, what they come to together, what is refused."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from fetchpool.config import Config, ConfigError, load_settings
from fetchpool.config.host_rules import HOST_KEYS, ConfigAt, host_key_of
from fetchpool.model.attempts import Proxy
from fetchpool.model.urls import parse_url
from fetchpool.pipeline.host_settings import choice_of_proxies, terms_at
from fetchpool.scaling.sharing import longest_interval, shares
from fetchpool.scheduling.scheduler import Limits, Scheduler
from tests.scheduling import FakeBacklog

DOCUMENT = (Path(__file__).parents[1] / "docs" / "hosts.md").read_text(encoding="utf-8")
CANARY = "canary-7c2e"


def rules(**tables: Any) -> Any:
    return Config(host=tables).host


def load(text: str, tmp_path: Path, **given: object) -> Any:
    file = tmp_path / "settings.toml"
    file.write_text(text, encoding="utf-8")
    return load_settings(given, {}, file=str(file))


# --- which hold

PATTERNS = (
    "*", "*:8080", "*.example.org", "*.b.example.org", "*.b.example.org:81", "example.org",
    "example.org:8080", "A.B.Example.org", "bücher.example", "[2001:DB8::0:1]", "127.1", "::1",
)  # fmt: skip


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("http://example.org/", ["example.org", "*"]),
        ("https://example.org/", ["example.org", "*"]),
        ("http://example.org./", ["example.org", "*"]),
        ("https://example.org:8080/", ["example.org:8080", "example.org", "*:8080", "*"]),
        ("http://x.example.org/", ["*.example.org", "*"]),
        ("http://notexample.org/", ["*"]),
        ("http://x.y.EXAMPLE.org/", ["*.example.org", "*"]),
        ("http://a.b.example.org/", ["A.B.Example.org", "*.b.example.org", "*.example.org", "*"]),
        (
            "http://c.b.example.org:81/",
            ["*.b.example.org:81", "*.b.example.org", "*.example.org", "*"],
        ),
        ("http://BÜCHER.example/", ["bücher.example", "*"]),
        ("http://xn--bcher-kva.example/", ["bücher.example", "*"]),
        ("http://[2001:db8::1]/", ["[2001:DB8::0:1]", "*"]),
        ("http://[2001:db8::1]:8080/", ["[2001:DB8::0:1]", "*:8080", "*"]),
        ("http://127.0.0.1:9/", ["127.1", "*"]),
        ("http://127.0.0.2/", ["*"]),
    ],
)
def test_most_specific_table_comes_first(url: str, names: list[str]) -> None:
    found = rules(**{name: {} for name in PATTERNS[:-1]}).matching(parse_url(url).host_key)
    assert [table.name for table in found] == names


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("Example.org", "example.org"),
        ("example.org:443", "example.org"),
        ("example.org:8080", "example.org:8080"),
        ("[::1]:81", "[::1]:81"),
        ("https://me:pw@example.org:8443/x?y#z", "example.org:8443"),
    ],
)
def test_host_is_named_as_in_urls(text: str, key: str) -> None:
    assert host_key_of(text) == key
    for wrong in ("*.example.org", "", "a b", "::1", "https://", "ftp://a/", "a:99999"):
        with pytest.raises(ConfigError, match="--host takes a host"):
            host_key_of(wrong)


# --- what they come to


def test_each_key_is_the_most_specific_tables_that_has_it() -> None:
    config = Config(
        per_host=7,
        retries=4,
        host={
            "*": {"host_rate": 5, "per-host": 3},
            "*.example.org": {"per_host": 2, "read-timeout": 9},
            "a.example.org": {"read_timeout": 1, "proxy": ""},
        },
    )
    at = ConfigAt(config)

    def told(host: str) -> tuple[Any, ...]:
        found = at(host)
        return found.per_host, found.host_rate, found.read_timeout, found.proxy, found.retries

    assert told("a.example.org") == (2, 5.0, 1.0, "", 4)
    assert told("b.example.org") == (2, 5.0, 9.0, None, 4)
    assert told("c.test") == (3, 5.0, 30.0, None, 4)
    assert at("b.example.org") is at("c.example.org"), "hosts with the same settings share them"
    assert ConfigAt(Config())("a.test") == Config()


def test_header_fields_are_added_up_and_what_says_the_same_is_dropped() -> None:
    config = Config(
        header=["A: run", "Authorization: run", "User-Agent: run"],
        host={
            "*": {"header": {"B": "all"}},
            "*.test": {"header": {"a": "test", "C": "test"}, "user": "me:pw"},
            "a.test": {"user_agent": "mine"},
            "b.test": {"header": {"authorization": "b"}},
        },
    )
    at = ConfigAt(config)
    assert at("x.org").header == (*config.header, ("B", "all"))
    tested = (("B", "all"), ("a", "test"), ("C", "test"))
    assert (at("a.test").header, at("a.test").user) == (tested, "me:pw")
    assert at("a.test").user_agent == "mine"
    assert at("b.test").header == (config.header[2], *tested, ("authorization", "b"))


def test_hop_gets_what_names_its_host_and_nothing_of_the_run() -> None:
    configs = ConfigAt(
        Config(
            header=["A: run"],
            user="run:pw",
            host={
                "*": {"header": {"B": "all"}, "user": "all:pw", "user_agent": "all"},
                "*.test": {"header": {"C": "test"}, "user": "test:pw"},
            },
        )
    ).configs
    here, hop = configs("a.test").here, configs("a.test").on_hop
    assert (here.header, here.user) == ((("A", "run"), ("B", "all"), ("C", "test")), "test:pw")
    assert (hop.header, hop.user, hop.user_agent) == ((("C", "test"),), "test:pw", "all")
    other = configs("b.org").on_hop
    assert (other.header, other.user, other.user_agent) == ((), None, "all")


def test_table_that_names_a_status_wins_over_a_run_that_drops_it() -> None:
    config = Config(no_retry_on="404,500", host={"a.test": {"retry_on": [404]}})
    at = ConfigAt(config)
    assert (at("a.test").retry_on, at("a.test").no_retry_on) == (("404",), ("500",))
    terms = terms_at(config)
    assert terms is not None
    assert terms("a.test").retry.again.statuses >= {404}
    assert not {404, 500} & terms("b.test").retry.again.statuses


def test_scheduler_keeps_the_limits_of_each_host() -> None:
    config = Config(per_host=3, host={"a.test": {"per_host": 1}, "b.test": {"host_rate": 2}})
    sched = Scheduler(Limits(limit=50, per_host=3), FakeBacklog(), terms_at(config))
    for host in ("a.test", "b.test", "c.test"):
        for number in range(9):
            sched.add(host, f"{host}/{number}", 0.0)
    started: list[str] = []
    while (item := sched.take(0.0)) is not None:
        started.append(item.partition("/")[0])
        if len(started) == 4:  # a good response of c.test widens its window
            sched.answered("c.test", 0.0)
    assert {host: started.count(host) for host in started} == {
        "a.test": 1,
        "b.test": 1,
        "c.test": 3,
    }


def test_no_rules_cost_nothing() -> None:
    assert terms_at(Config()) is None
    assert not Config().host


def test_proxy_is_the_hosts_own() -> None:
    config = Config(
        proxy="http://all.test:1",
        host={"a.test": {"proxy": "http://a.proxy:1"}, "*.b.test": {"proxy": ""}},
    )
    _, choose = choice_of_proxies(config)
    assert choose is not None
    found = [choose(parse_url(f"https://{host}/")) for host in ("a.test", "x.b.test", "c.test")]
    assert found == [Proxy("http://a.proxy:1"), None, Proxy("http://all.test:1")]
    assert choice_of_proxies(Config(proxy="")) == (None, None)


def test_workers_own_hosts_where_some_host_has_a_limit() -> None:
    free = Config(per_host=0, workers=2)
    assert shares(free, 10)[0].by_url
    limited = Config(per_host=0, workers=2, host={"a.test": {"host_rate": 0.1}})
    (share, _) = shares(limited, 10)
    assert not share.by_url
    assert longest_interval(limited, share) == 10.0
    assert free.connections_per_host == limited.connections_per_host == 0
    assert Config(per_host=2, host={"a.test": {"per_host": 9}}).connections_per_host == 9


# --- what is refused, and what is shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("host = 3", 'host takes a table for each host: try [host."*.example.org"] per-host = 2'),
        ('[hosts."a"]', "there is no setting hosts: did you mean host?"),
        ("[host]\na = 3", '[host."a"] takes settings, not 3: try per-host = 2'),
        ("[host.example.org]\nper-host = 2", 'quote the host\'s name, as in [host."example.org"]'),
        ('[host."a"]\nper-hosts = 1', '[host."a"] can\'t have per-hosts: did you mean per-host?'),
        ('[host."a"]\nlimit = 1', "can't have limit: choose from robots, per-host, "),
        ('[host."a"]\nper-host = "x"', '[host."a"] per-host takes a whole number'),
        ('[host."a"]\nper-host = 1\nper_host = 2', "per-host is there twice"),
        ('[host."a"]\n[host."A"]', '[host."A"] is there twice: make one table of both'),
        ('[host."a"]\nuser = "x"', "user takes USER:PASSWORD"),
        ('[host."a"]\nuser = "x:y"\nheader = ["Authorization: z"]', "say the same thing twice"),
        ('[host."a"]\nretry-on = [404]\nno-retry-on = "404"', "both name 404"),
        ('[host."a:443"]', "leave :443 away"),
        ('[host."a:0"]', '[host."a:0"]: name a host such as example.org, *.example.org, '),
        *(
            (f'[host."{name}"]', "name a host such as example.org, *.example.org, ")
            for name in (
                "",
                "a*",
                "*a.org",
                "a.*",
                "*.",
                "*.1.2.3.4",
                "*.[::1]",
                "::1",
                "a b",
                "a/b",
            )
        ),
        ('[host."https://a"]', "name a host such as example.org"),
        ('[host."me@a"]', "name a host such as example.org"),
        ('public-only = true\n[host."a"]\nproxy = "http://p:1"', 'the proxy of [host."a"]'),
    ],
)
def test_mistake_is_told_with_file_and_table(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)) as caught:
        load(text, tmp_path)
    assert "\n" not in str(caught.value)
    if "public-only" not in text:
        assert str(caught.value).startswith(f"{tmp_path}/settings.toml: ")


@pytest.mark.parametrize("name", HOST_KEYS)
def test_secret_of_a_table_is_in_no_message(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Config(host={"a.test": {name: {"x": CANARY, "nö": CANARY}}})
    if name in ("header", "user", "proxy"):
        assert CANARY not in str(caught.value)


def test_config_with_tables_is_pickled_hashed_and_shown_without_secrets() -> None:
    table = {"user": f"me:{CANARY}", "header": {"X": CANARY}, "proxy": f"http://u:{CANARY}@p:1"}
    config = Config(limit=3, host={"*.Example.org": table})
    again = pickle.loads(pickle.dumps(config))
    assert again == config
    assert hash(again) == hash(config)
    assert again.host.matching("a.example.org")[0].values["user"] == f"me:{CANARY}"
    assert CANARY not in repr(config) + str(config.host.tables)
    assert "*.Example.org" in repr(config)
    assert config != Config(limit=3)


def test_settings_of_a_host_say_which_table_has_them(tmp_path: Path) -> None:
    text = 'retries = 5\nheader = ["A: 1"]\n[host."*"]\nhost-rate = 2\nuser-agent = "x"\n'
    text += '[host."*.Example.org"]\nuser-agent = "y"\nheader = {B = "2"}\n'
    settings = load(text, tmp_path, retries="1")
    found = settings.for_host("a.example.org")
    file = tmp_path / "settings.toml"
    assert found.tables == ('[host."*.Example.org"]', '[host."*"]')
    assert found.config.user_agent == "y"
    assert {
        name: found.origins[name] for name in ("retries", "host_rate", "user_agent", "limit")
    } == {
        "retries": "--retries",
        "host_rate": f'{file} [host."*"]',
        "user_agent": f'{file} [host."*.Example.org"]',
        "limit": "default",
    }
    assert found.origins["header"] == f'{file} [host."*.Example.org"], {file}'
    assert settings.for_host("b.test").tables == ('[host."*"]',)


def test_documented_tables_are_accepted(tmp_path: Path) -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert blocks
    for text in blocks:
        assert load(text, tmp_path).config.host
    for name in HOST_KEYS:
        assert f"`{name.replace('_', '-')}`" in DOCUMENT, name

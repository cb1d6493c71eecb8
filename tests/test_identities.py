"""User agents and sets of header fields of a file: each host gets one, always the same."""

from __future__ import annotations

import dataclasses
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from fetchpool.config import Config, ConfigError
from fetchpool.config.host_rules import ConfigAt, number_of
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Request
from fetchpool.pipeline.pool import policies_of
from fetchpool.scheduling.job import Job

CANARY = "canary-19de"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a file; returns how an option names it."""
    monkeypatch.chdir(tmp_path)

    def write(text: str | bytes, name: str = "file") -> str:
        data = text if isinstance(text, bytes) else text.encode()
        (tmp_path / name).write_bytes(data)
        return f"@{name}"

    return write


def test_each_host_gets_one_agent_always_the_same(write: Any) -> None:
    config = Config(user_agent=write("\ufeff# ours\none/1\r\n\n  two/2 (x)\nthree/3\n"))
    assert config.user_agent == ("one/1", "two/2 (x)", "three/3")
    at = ConfigAt(config)
    hosts = [f"host{n}.test" for n in range(60)]
    agents = {host: at(host).user_agent for host in hosts}
    assert {host: ConfigAt(config)(host).user_agent for host in hosts} == agents
    counts = [list(agents.values()).count(agent) for agent in config.user_agent]
    assert min(counts) >= 10
    # The same in any version and process: SHA-256 of the host's key, its first 64 bits.
    assert number_of("example.org") == 0xBFAB_C374_3295_8B06
    assert len({id(at(host)) for host in hosts}) == 3, "hosts with the same settings share them"


def test_one_agent_in_a_file_or_a_list_is_a_text(write: Any) -> None:
    assert Config(user_agent=write("mine\n")).user_agent == "mine"
    assert Config(user_agent=["mine"]).user_agent == "mine"
    assert Config(user_agent=["a", "b"]).user_agent == ("a", "b")
    assert not Config(user_agent="mine").asks_by_host


def test_file_of_fields_is_for_all_hosts(write: Any) -> None:
    config = Config(header=["A: 1", write("# as curl reads it\nB: 2\n\nC:3\n")])
    assert config.header == (("A", "1"), ("B", "2"), ("C", "3"))
    assert not config.asks_by_host


def test_file_of_json_lines_gives_each_host_a_set(write: Any) -> None:
    lines = '# sets\n{"Accept-Language": "de", "X": "1"}\n{"Accept-Language": "fr", "a": "2"}\n{}\n'
    config = Config(header=["A: 1", write(lines)])
    at = ConfigAt(config)
    sets = [
        (("A", "1"), ("Accept-Language", "de"), ("X", "1")),
        (("Accept-Language", "fr"), ("a", "2")),
        (("A", "1"),),
    ]
    hosts = [f"host{n}.test" for n in range(30)]
    assert [at(host).header for host in hosts] == [sets[number_of(host) % 3] for host in hosts]
    assert {sets.index(at(host).header) for host in hosts} == {0, 1, 2}


def test_files_of_one_length_go_together_and_tables_win(write: Any) -> None:
    agents = [f"agent {n}" for n in range(7)]
    sets = "".join(f'{{"Accept-Language": "l{n}"}}\n' for n in range(7))
    table = {"user_agent": "mine", "header": {"accept-language": "mine"}}
    at = ConfigAt(Config(user_agent=agents, header=[write(sets)], host={"*.mine.test": table}))
    for host in (f"host{n}.test:8080" for n in range(20)):
        found = at(host)
        assert found.user_agent == f"agent {number_of(host) % 7}"
        assert found.header == (("Accept-Language", f"l{number_of(host) % 7}"),)
    mine = at("a.mine.test")
    assert (mine.user_agent, mine.header) == ("mine", (("accept-language", "mine"),))


def test_table_may_hold_identities_of_its_own(write: Any) -> None:
    table = {"user-agent": ["x", "y"], "header": [write('{"X-V": "0"}\n{"X-V": "1"}\n')]}
    at = ConfigAt(Config(user_agent="run", host={"*.shop.test": table}))
    for host in (f"h{n}.shop.test" for n in range(9)):
        number = number_of(host) % 2
        assert at(host).user_agent == "xy"[number]
        assert at.configs(host).on_hop.header == (("X-V", str(number)),), "it names the host"
    assert at("shop.test").user_agent == "run"


def test_hop_takes_its_hosts_identity_but_no_secret(write: Any) -> None:
    more = f'"Cookie": "{CANARY}", "X-Key": "{CANARY}"'
    lines = (f'{{"accept-language": "l{n}", {more}}}\n' for n in range(5))
    agents = [f"agent {n}" for n in range(5)]
    config = Config(user_agent=agents, header=["A: 1", write("".join(lines))])

    def sent(url: str, hop: str | None = None) -> dict[str, str]:
        job = Job(Request(url), parse_url(url))
        if hop:
            job.hop(parse_url(hop))
        plan = job.plan((), 2, repeats_all=False)
        for policy in policies_of(config):
            policy.before(job, plan)
        return {k: v for k, v in plan.headers if k not in ("Accept", "Accept-Encoding")}

    def identity(host: str) -> dict[str, str]:
        number = number_of(host) % 5
        return {"User-Agent": f"agent {number}", "accept-language": f"l{number}"}

    secret = {"A": "1", "Cookie": CANARY, "X-Key": CANARY}
    assert sent("https://a.test/") == identity("a.test") | secret
    assert sent("https://a.test/", "https://b.test/") == identity("b.test")
    assert sent("https://a.test/", "https://a.test/2") == identity("a.test") | secret
    agent = {"User-Agent": identity("a.test")["User-Agent"]}
    assert sent("https://a.test/", "http://a.test/2") == agent


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("user_agent", "", "takes a file of user agents, and this has none"),
        ("user_agent", "# a\n\n", "put one on a line"),
        ("user_agent", b"\xff", "takes a file in UTF-8"),
        ("user_agent", "a\x00b\nc", "without control characters"),
        ("header", "", "takes a file of header fields, and this has none"),
        ("header", f"A: 1\n\nsecret {CANARY}\n", "line 3 of the file is not of that form"),
        ("header", "A: 1\nHost: x\n", "can't set Host"),
        ("header", f'{{"A": "1"}}\n\n["{CANARY}"]\n', "line 3 of the file is no object"),
        ("header", f'{{"A": "1"}}\nB: {CANARY}\n', "line 2 of the file is no object"),
        ("header", f'{{"A": {{"{CANARY}": 1}}}}\n', "line 1 of the file is not of that form"),
        ("header", '{"Content-Length": "1"}\n', "can't set Content-Length"),
    ],
)
def test_mistake_in_a_file_is_told_without_its_text(
    write: Any, name: str, text: str, told: str
) -> None:
    given: Any = {name: [write(text)] if name == "header" else write(text)}
    with pytest.raises(ConfigError, match=re.escape(told)) as caught:
        Config(**given)
    assert CANARY not in str(caught.value)


def test_file_that_is_not_there_and_two_of_them_are_refused(write: Any) -> None:
    for given in ({"user_agent": "@gone"}, {"header": "@gone"}, {"header": ["@"]}):
        with pytest.raises(ConfigError, match="can't read"):
            Config(**given)
    sets = write('{"User-Agent": "x"}\n{}\n')
    with pytest.raises(ConfigError, match="one file of JSON lines"):
        Config(header=[sets, sets])
    with pytest.raises(ConfigError, match="same thing twice"):
        Config(header=[sets], user_agent="y")


def test_config_with_sets_is_pickled_hashed_and_shown_without_values(write: Any) -> None:
    config = Config(header=["A: 1", write(f'{{"B": "{CANARY}"}}\n{{}}\n')])
    for again in (pickle.loads(pickle.dumps(config)), dataclasses.replace(config)):
        assert again == config
        assert hash(again) == hash(config)
        assert ConfigAt(again)("a.test").header == ConfigAt(config)("a.test").header
    assert config != Config(header=["A: 1"])
    assert Config(header=["A: 1"]) != config
    assert Config(header=["A: 1"]).header != config.header
    assert CANARY not in repr(config)
    assert "A: ***, 2 sets, one for each host" in repr(config)

"""Each host is asked with its own settings, however a request comes there."""

from __future__ import annotations

from fetchpool.config import Config
from fetchpool.model.asking import Fields
from fetchpool.model.attempts import Plan
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Request
from fetchpool.pipeline.pool import policies_of
from fetchpool.policies.credentials import basic
from fetchpool.policies.hosts import ByHost
from fetchpool.scheduling.job import Job, OwnRequest

CONFIG = Config(
    header=["X-Run: 1"],
    user="run:pw",
    read_timeout=9,
    host={
        "*": {"user_agent": "all", "header": {"X-All": "1"}},
        "b.test": {"user": "b:pw", "header": {"X-B": "1"}, "read_timeout": 2},
    },
)


def planned(url: str, *hops: str, own: Fields = (), is_own: bool = False) -> Plan:
    """Return the plan of a request for *url*, or the last of its hops."""
    asked = OwnRequest(url, lambda outcome: None) if is_own else None
    job = Job(Request(url, headers=own), parse_url(url), asked)
    for hop in hops:
        job.hop(parse_url(hop))
    plan = job.plan((), 2, repeats_all=False)
    (policy,) = policies_of(CONFIG)
    assert isinstance(policy, ByHost)
    policy.before(job, plan)
    return plan


def users(plan: Plan) -> dict[str, str]:
    return {name: value for name, value in plan.headers if not name.startswith("Accept")}


AGENT = {"User-Agent": "all"}
B = {**AGENT, "X-B": "1", "Authorization": basic("b:pw")}


def test_line_gets_fields_of_the_run_and_of_its_host() -> None:
    run = {**AGENT, "X-Run": "1", "X-All": "1"}
    assert users(planned("http://a.test/")) == {**run, "Authorization": basic("run:pw")}
    there = planned("https://b.test/", own=(("x-b", "own"),))
    assert users(there) == {**run, "x-b": "own", "Authorization": basic("b:pw")}
    assert there.timeouts is not None
    assert (there.timeouts.silence_s, there.timeouts.connect_s) == (2.0, 10.0)


def test_hop_gets_what_names_its_host() -> None:
    for first in ("http://a.test/", "http://b.test/"):
        assert users(planned(first, "https://b.test/2")) == B
    assert users(planned("http://a.test/", "http://b.test/2")) == B
    assert users(planned("http://b.test/", "http://a.test/2")) == AGENT
    hop = planned("http://b.test/", "http://a.test/2")
    assert hop.timeouts is not None
    assert hop.timeouts.silence_s == 9.0


def test_nothing_secret_goes_from_https_to_plain_http() -> None:
    assert users(planned("https://a.test/", "http://b.test/")) == AGENT
    assert users(planned("https://b.test/", "http://b.test/")) == AGENT
    assert users(planned("https://a.test/", "http://a.test/", "https://b.test/")) == B


def test_request_of_our_own_gets_times_and_agent_alone() -> None:
    plan = planned("http://b.test/robots.txt", is_own=True)
    assert users(plan) == AGENT
    assert plan.timeouts is not None
    assert plan.timeouts.silence_s == 2.0
    assert users(planned("http://a.test/robots.txt", "http://b.test/2", is_own=True)) == AGENT


def test_hosts_with_the_same_settings_get_the_same_fields() -> None:
    """An exchange keeps them as bytes for as long as they are the same object."""
    (policy,) = policies_of(CONFIG)
    plans = []
    for url in ("http://a.test/", "http://c.test/"):
        job = Job(Request(url), parse_url(url))
        plans.append(job.plan((), 2, repeats_all=False))
        policy.before(job, plans[-1])
    assert plans[0].headers is plans[1].headers

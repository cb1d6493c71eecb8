"""Which fields leave: ours, those of the run, a request's own; credentials go home only."""

from __future__ import annotations

import pytest

from fetchpool.model.asking import Fields
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Request
from fetchpool.policies.credentials import Credentials, basic
from fetchpool.policies.fields import UserFields
from fetchpool.scheduling.job import Job

OURS = (("Accept", "*/*"), ("User-Agent", "us"))
OF_RUN = (("accept", "a/b"), ("X", "1"))


def sent(url: str, *, own: Fields = (), user: str | None = None, hop: str | None = None) -> Fields:
    """Return the fields of a request for *url*, or of its hop."""
    job = Job(Request(url, headers=own), parse_url(url))
    if hop is not None:
        job.hop(parse_url(hop))
    plan = job.plan(OURS, 2, repeats_all=False)
    for policy in (UserFields(OURS, OF_RUN), Credentials(user)):
        assert policy.before(job, plan) is None
    return plan.headers


def test_the_users_win_over_ours_and_a_requests_own_over_those() -> None:
    assert sent("http://a.test/") == (("User-Agent", "us"), ("accept", "a/b"), ("X", "1"))
    own = sent("http://a.test/", own=(("x", "2"),))
    assert own == (("User-Agent", "us"), ("accept", "a/b"), ("x", "2"))


@pytest.mark.parametrize("hop", ["http://b.test/", "https://a.test/", "http://a.test:81/"])
def test_another_origin_gets_nothing_of_the_users(hop: str) -> None:
    assert sent("http://u:p@a.test/", own=(("x", "2"),), user="v:q", hop=hop) == OURS


def test_hop_within_the_origin_gets_all() -> None:
    fields = sent("http://a.test/", user="v:q", hop="http://a.test/2")
    assert fields[-1] == ("Authorization", basic("v:q"))
    assert ("X", "1") in fields


def test_field_wins_over_userinfo_and_that_over_the_runs_credentials() -> None:
    assert dict(sent("http://u:p@a.test/", user="v:q"))["Authorization"] == basic("u:p")
    own = sent("http://u:p@a.test/", own=(("authorization", "mine"),), user="v:q")
    assert [value for name, value in own if name.lower() == "authorization"] == ["mine"]


def test_same_fields_are_the_same_object() -> None:
    """An exchange keeps them as bytes for as long as they are."""
    job = Job(Request("http://a.test/"), parse_url("http://a.test/"))
    policy = UserFields(OURS, OF_RUN)
    plans = [job.plan(OURS, 2, repeats_all=False) for _ in range(2)]
    for plan in plans:
        policy.before(job, plan)
    assert plans[0].headers is plans[1].headers

"""Which fields leave: ours, those of the run, a request's own; credentials go home only."""

from __future__ import annotations

import pytest

from fetchpool.model.asking import Fields
from fetchpool.model.credentials import BearerTokens, Netrc
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Request
from fetchpool.policies.credentials import CredentialFiles, Credentials, basic
from fetchpool.policies.fields import UserFields
from fetchpool.scheduling.job import Job

OURS = (("Accept", "*/*"), ("User-Agent", "us"))
OF_RUN = (("accept", "a/b"), ("X", "1"))


def sent(
    url: str,
    *,
    own: Fields = (),
    user: str | None = None,
    hop: str | None = None,
    files: tuple[BearerTokens | None, Netrc | None] = (None, None),
) -> Fields:
    """Return the fields of a request for *url*, or of its hop."""
    job = Job(Request(url, headers=own), parse_url(url))
    if hop is not None:
        job.hop(parse_url(hop))
    plan = job.plan(OURS, 2, repeats_all=False)
    for policy in (UserFields(OURS, OF_RUN), Credentials(user), CredentialFiles(*files)):
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


NETRC = Netrc(
    "netrc", False, (("a.test", "me:pw"), ("nobody.test", None), ("127.0.0.1", "x:y")), "any:pw"
)
TOKENS = BearerTokens("tokens", False, ((("https", "api.test", 443), "t0k"),))

ASKED: dict[str, tuple[str, str | None, str | None]] = {
    "machine": ("http://a.test/", None, basic("me:pw")),
    "any port": ("https://a.test:8443/", None, basic("me:pw")),
    "dot behind the name": ("http://a.test./", None, basic("me:pw")),
    "address": ("http://127.0.0.1:81/", None, basic("x:y")),
    "default": ("http://b.test/", None, basic("any:pw")),
    "default is not for machines without a login": ("http://nobody.test/", None, None),
    "hop to a machine": ("http://b.test/", "https://a.test/", basic("me:pw")),
    "hop to nobody": ("http://a.test/", "http://b.test/", None),
    "hop within the origin": ("http://b.test/", "http://b.test/2", basic("any:pw")),
    "hop to another port": ("http://b.test/", "http://b.test:81/", None),
    "hop that gives up TLS": ("https://a.test/", "http://a.test/", None),
    "token before machine": ("https://api.test/", None, "Bearer t0k"),
    "hop to the token's origin": ("http://b.test/", "https://api.test/", "Bearer t0k"),
    "token is not for another scheme": ("http://b.test/", "http://api.test/", None),
    "nor for another port": ("http://b.test/", "https://api.test:1/", None),
    "userinfo first": ("https://u:p@api.test/", None, basic("u:p")),
    "also where a hop comes back": ("https://u:p@api.test/", "https://api.test/2", basic("u:p")),
}


@pytest.mark.parametrize(("url", "hop", "expected"), ASKED.values(), ids=ASKED)
def test_files_name_who_gets_what(url: str, hop: str | None, expected: str | None) -> None:
    fields = sent(url, hop=hop, files=(TOKENS, NETRC))
    assert dict(fields).get("Authorization") == expected


def test_field_and_user_win_over_files() -> None:
    both = (TOKENS, NETRC)
    assert sent("http://a.test/", user="v:q", files=both)[-1][1] == basic("v:q")
    own = sent("https://api.test/", own=(("authorization", "mine"),), files=both)
    assert [value for name, value in own if name.lower() == "authorization"] == ["mine"]


def test_same_fields_are_the_same_object() -> None:
    """An exchange keeps them as bytes for as long as they are."""
    job = Job(Request("http://a.test/"), parse_url("http://a.test/"))
    policy = UserFields(OURS, OF_RUN)
    plans = [job.plan(OURS, 2, repeats_all=False) for _ in range(2)]
    for plan in plans:
        policy.before(job, plan)
    assert plans[0].headers is plans[1].headers

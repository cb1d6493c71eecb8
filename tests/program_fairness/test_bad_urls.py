"""Some URLs of a good host are refused for ever, or never answered: only they fail."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.harness import Result
from tests.program_fairness.hosts import fetch
from tests.servers.counting import CountingServer


def asked(server: CountingServer) -> Counter[str]:
    """Return how many requests there were for each target."""
    return Counter(hit.target for hit in server.counts.hits)


def failed(result: Result) -> set[str]:
    return {record["url"] for record in result.records if not record["ok"]}


@pytest.mark.parametrize("wishes", ["status=503", "status=429", "status=503&after=0"])
def test_first_four_urls_refused_for_ever_cost_no_other_one(tmp_path: Path, wishes: str) -> None:
    with CountingServer() as server:
        bad = [server.url(f"/bad/{n}?{wishes}") for n in range(4)]
        good = [server.url(f"/good/{n}") for n in range(56)]
        result = fetch(tmp_path, bad + good)
        assert failed(result) == set(bad)
        assert {record["attempts"] for record in result.records[:1]} == {1}
        requests = asked(server)
        assert all(requests[url.removeprefix(server.url(""))] <= 3 for url in bad)


def test_urls_refused_for_ever_among_many_cost_no_other_one(tmp_path: Path) -> None:
    with CountingServer() as server:
        bad = [server.url(f"/bad/{n}?status=503") for n in range(9)]
        urls = bad + [server.url(f"/good/{n}") for n in range(291)]
        random.Random(4).shuffle(urls)
        result = fetch(tmp_path, urls, "--retries", "1")
        assert failed(result) == set(bad)


def test_first_four_urls_that_never_answer_cost_no_other_one(tmp_path: Path) -> None:
    with CountingServer() as server:
        bad = [server.url(f"/bad/{n}?until=1000000") for n in range(4)]
        good = [server.url(f"/good/{n}") for n in range(56)]
        result = fetch(tmp_path, bad + good, "--read-timeout", "0.3")
        assert failed(result) == set(bad)


@pytest.mark.parametrize(
    ("wishes", "retries"),
    [
        *(("status=503", retries) for retries in (0, 1, 2)),
        ("status=429&after=0.1", 2),
        ("status=500", 1),
        ("status=529", 0),
    ],
)
def test_refused_url_is_requested_as_often_as_retries_says_alone_and_in_company(
    tmp_path: Path, wishes: str, retries: int
) -> None:
    with CountingServer() as server:
        alone = fetch(tmp_path, [server.url(f"/alone?{wishes}")], "--retries", str(retries))
        bad, *good = [f"/bad?{wishes}", *(f"/good/{n}" for n in range(20))]
        urls = [server.url(target) for target in (bad, *good)]
        company = fetch(tmp_path, urls, "--retries", str(retries), "--fresh")
        requests = asked(server)
        assert requests[f"/alone?{wishes}"] == requests[bad] == 1 + retries
        records = [*alone.records, *(each for each in company.records if not each["ok"])]
        assert [record["attempts"] for record in records] == [1 + retries] * 2


def test_accepted_with_retry_after_is_asked_again_and_is_the_answer_in_the_end(
    tmp_path: Path,
) -> None:
    with CountingServer() as server:
        ready = server.url("/ready?status=202&first=1&after=1")
        never = server.url("/never?status=202&after=1")
        plain = server.url("/plain?status=202")
        result = fetch(tmp_path, [ready, never, plain], "--retries", "1")
        records: dict[str, Mapping[str, object]] = {each["url"]: each for each in result.records}
        seen = {
            url: (each["status"], each["ok"], each["attempts"]) for url, each in records.items()
        }
        assert seen == {ready: (200, True, 2), never: (202, True, 2), plain: (202, True, 1)}

"""Messages: what goes in comes out, and a job goes on elsewhere as if it had never moved."""

from __future__ import annotations

import pytest

from fetchpool.model.exchanges import Exchanged, InMemory
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Request
from fetchpool.scaling.messages import Away, Hop, encode, from_parent, from_worker
from fetchpool.scheduling.job import BodyProgress, Job


def there_and_back(
    job: Job, *, now: float = 7.5, kept_s: float = 0.0, other_now: float = 7.5
) -> tuple[Job, float]:
    """Send *job*, which is to go on 2 s from *now*; return it and when it goes on there."""
    away = from_worker(encode(Away.of(job, now + 2.0, now)))
    assert isinstance(away, Away)
    assert (away.seq, away.host) == (job.request.seq, job.target.host_key)
    hop = from_parent(encode(Hop(away.job, kept_s)))
    assert isinstance(hop, Hop)
    return hop.unpack(other_now)


def hopped() -> Job:
    job = Job(Request("http://u:p@a.example/1", 5, "l", 2), parse_url("http://u:p@a.example/1"))
    job.start_attempt(1.5, 1e9, 30.0)
    job.hop(parse_url("https://b.example:444/2"))
    job.public_only = job.insecure = True
    job.status, job.first_byte_s, job.budget_left_s = 302, 0.25, 29.0
    job.uncounted_attempts, job.refused, job.unanswered = 1, True, True
    job.progress = BodyProgress(5_000_000, rest_failed=True, uncounted=2)
    return job


def test_job_arrives_as_it_left() -> None:
    job = hopped()
    other, at = there_and_back(job)
    for name in Job.__slots__:
        assert getattr(other, name) == getattr(job, name), name
    assert at == 9.5


def test_redirects_of_a_job_arrive_with_their_messages() -> None:
    job = hopped()
    message = b"HTTP/1.1 302 Found\r\nLocation: https://b.example:444/2\r\n\r\n"
    job.hops = (
        Exchanged(
            "http://a.example/1",
            "GET",
            b"GET /1 HTTP/1.1\r\n\r\n",
            None,
            1e9,
            "192.0.2.1",
            302,
            InMemory(message),
            len(message),
            len(message),
            chunked=False,
            truncated="time",
        ),
    )
    other, _ = there_and_back(job)
    for name in Exchanged.__struct_fields__:
        if name != "recording":
            assert getattr(other.hops[0], name) == getattr(job.hops[0], name), name
    assert b"".join(other.hops[0].recording.pieces()) == message


@pytest.mark.parametrize("other_now", [-36_000.0, 0.0, 36_000.0])
def test_times_of_a_job_are_those_of_the_clock_where_it_is(other_now: float) -> None:
    """It began 6 s before it was sent, and lay 0.5 s in between."""
    job, at = there_and_back(hopped(), now=7.5, kept_s=0.5, other_now=other_now)
    assert job.began == other_now - 6.5
    assert at == other_now + 1.5


def test_job_at_its_first_url_is_known_to_be_there() -> None:
    job = hopped()
    job.start_over()
    other, _ = there_and_back(job)
    assert other.target is other.first


def test_secret_of_the_urls_own_origin_travels_with_it() -> None:
    assert there_and_back(hopped())[0].first.authorization == "Basic dTpw"

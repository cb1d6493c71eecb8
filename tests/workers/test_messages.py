"""Messages: what goes in comes out, and a job goes on elsewhere as if it had never moved."""

from __future__ import annotations

from fetchpool.model.urls import parse_url
from fetchpool.model.values import Request
from fetchpool.scaling.messages import Away, Hop, JobState, encode, from_parent, from_worker
from fetchpool.scheduling.job import BodyProgress, Job


def there_and_back(job: Job) -> Job:
    away = from_worker(encode(Away(JobState.of(job), 7.5)))
    assert isinstance(away, Away)
    hop = from_parent(encode(Hop(away.job, away.at)))
    assert isinstance(hop, Hop)
    assert hop.at == 7.5
    return hop.job.job()


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
    other = there_and_back(job)
    for name in Job.__slots__:
        assert getattr(other, name) == getattr(job, name), name


def test_job_at_its_first_url_is_known_to_be_there() -> None:
    job = hopped()
    job.start_over()
    other = there_and_back(job)
    assert other.target is other.first


def test_secret_of_the_urls_own_origin_travels_with_it() -> None:
    assert there_and_back(hopped()).first.authorization == "Basic dTpw"

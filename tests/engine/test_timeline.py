"""When each step of an attempt was passed, by each exchange on each event loop."""

from __future__ import annotations

import ssl

import pytest

from fetchpool.model.attempts import FailedAttempt, Report, Response, Timeline
from tests.engine.rig import Rig, Visit, rig
from tests.loops import Run
from tests.servers.tls import Authority

STEPS = ("started", "dns", "tcp", "tls", "sent", "first_byte", "last_byte", "ended")


@pytest.fixture(params=["direct", "session"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def serve(visit: Visit) -> None:
    """Answer each request with a small body."""
    while True:
        await visit.request()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


async def hang_up(visit: Visit) -> None:
    """Close when a request has come."""
    await visit.request()


def passed(result: Report) -> list[str]:
    """Return the steps that *result* has a time of, which are in their order."""
    timeline: Timeline = result.measures.timeline
    times = {step: getattr(timeline, step) for step in STEPS}
    known = [(at, step) for step, at in times.items() if at is not None]
    assert [at for at, _ in known] == sorted(at for at, _ in known), timeline
    return [step for _, step in known]


async def twice(it: Rig) -> list[list[str]]:
    """Return the steps of a request on a new connection, and of one on the same."""
    results = [await it.get(), await it.get()]
    assert all(isinstance(result, Response) for result in results), results
    assert [result.measures.reused for result in results] == [False, True]
    return [passed(result) for result in results]


def test_name_and_connection_have_their_times_once(run: Run, way: str) -> None:
    async def work() -> None:
        async with rig(serve, way=way) as it:
            it.host = "localhost"
            new, kept = await twice(it)
            assert new == [step for step in STEPS if step != "tls"]
            assert kept == ["started", "sent", "first_byte", "last_byte", "ended"]

    run(work())


def test_tls_has_its_time_and_an_address_no_lookup(
    run: Run, way: str, authority: Authority
) -> None:
    async def work() -> None:
        trust = ssl.create_default_context()
        authority.ca.configure_trust(trust)
        async with rig(serve, way=way, server_tls=authority.fresh(), client_tls=trust) as it:
            new, kept = await twice(it)
            assert new == [step for step in STEPS if step != "dns"]
            assert kept == ["started", "sent", "first_byte", "last_byte", "ended"]

    run(work())


def test_attempt_without_a_response_was_sent_and_nothing_came(run: Run, way: str) -> None:
    async def work() -> None:
        async with rig(hang_up, way=way) as it:
            result = await it.get()
            assert isinstance(result, FailedAttempt)
            assert passed(result) == ["started", "tcp", "sent", "ended"]

    run(work())

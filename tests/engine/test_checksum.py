"""A body that isn't what its list promised is a failure, and nothing of it is stored."""

from __future__ import annotations

import gzip
import hashlib

import pytest
from msgspec.structs import replace as changed

from fetchpool.http.receiver import WHOLE_BODY_BYTES, BodyPolicy
from fetchpool.model.attempts import FailedAttempt, Response
from fetchpool.model.values import FailureKind
from tests.engine.rig import Behaviour, Rig, Visit, body_of, rig
from tests.loops import Run

SMALL = b"small"
BIG = bytes(range(256)) * (WHOLE_BODY_BYTES // 128)
FUNCTIONS = ("md5", "sha1", "sha256", "sha512")


@pytest.fixture(params=["direct", "session"])
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def serving(body: bytes, status: int = 200, *fields: bytes) -> Behaviour:
    head = b"".join(b"%s\r\n" % field for field in (b"Content-Length: %d" % len(body), *fields))

    async def behave(visit: Visit) -> None:
        while True:
            await visit.request()
            await visit.send(b"HTTP/1.1 %d OK\r\n%b\r\n" % (status, head) + body)

    return behave


async def ask(it: Rig, checksum: str, method: str = "GET") -> Response | FailedAttempt:
    call = changed(it.plan("/x"), checksum=checksum, method=method)
    return await it.engine.attempt(call, None)


def sum_of(body: bytes, function: str = "sha256") -> str:
    return hashlib.new(function, body).hexdigest()


@pytest.mark.parametrize("body", [b"", SMALL, BIG], ids=["empty", "small", "big"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_body_is_held_to_its_checksum(run: Run, way: str, function: str, body: bytes) -> None:
    async def work() -> None:
        async with rig(serving(body), way=way) as it:
            for text in (sum_of(body, function), f"{function.upper()}:{sum_of(body, function)}"):
                assert body_of(await ask(it, text)) == body
            wrong = sum_of(body + b"!", function)
            miss = await ask(it, wrong)
            assert isinstance(miss, FailedAttempt)
            assert miss.failure.kind is FailureKind.CHECKSUM
            assert miss.transient
            assert wrong in miss.failure.detail
            assert sum_of(body, function) in miss.failure.detail
            # The connection has done nothing wrong.
            assert body_of(await ask(it, sum_of(body, function))) == body
            assert it.connector.opened == 1

    run(work())


def test_sum_is_that_of_the_body_as_stored(run: Run, way: str) -> None:
    packed = gzip.compress(SMALL)

    async def work(policy: BodyPolicy, good: bytes, bad: bytes) -> None:
        served = serving(packed, 200, b"Content-Encoding: gzip")
        async with rig(served, way=way, policy=policy) as it:
            answer = await ask(it, sum_of(good))
            assert body_of(answer) == good
            assert isinstance(answer, Response)
            assert answer.sha256 == (sum_of(good) if policy.sha256 else None)
            assert isinstance(await ask(it, sum_of(bad)), FailedAttempt)

    run(work(BodyPolicy(), SMALL, packed))
    run(work(BodyPolicy(sha256=True), SMALL, packed))
    run(work(BodyPolicy(as_received=True), packed, SMALL))


@pytest.mark.parametrize("status", [404, 500])
def test_error_page_was_promised_by_nobody(run: Run, status: int) -> None:
    async def work() -> None:
        policy = BodyPolicy(keep_errors=True)
        async with rig(serving(SMALL, status), policy=policy) as it:
            assert isinstance(await ask(it, sum_of(BIG)), Response)

    run(work())


def test_answer_without_a_body_is_held_to_nothing(run: Run) -> None:
    async def head(visit: Visit) -> None:
        await visit.request()
        await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")

    async def work() -> None:
        async with rig(head) as it:
            assert isinstance(await ask(it, sum_of(BIG), "HEAD"), Response)

    run(work())


def test_each_hash_is_made_once_and_only_where_asked(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    new = hashlib.new

    def counting(name: str, *args: bytes, usedforsecurity: bool = True) -> hashlib._Hash:
        made.append(name)
        return new(name, *args, usedforsecurity=usedforsecurity)

    monkeypatch.setattr(hashlib, "new", counting)

    async def work(policy: BodyPolicy, checksum: str | None, expected: list[str]) -> None:
        made.clear()
        async with rig(serving(SMALL), policy=policy) as it:
            call = changed(it.plan(), checksum=checksum)
            assert body_of(await it.engine.attempt(call, None)) == SMALL
        assert sorted(made) == expected

    md5, sha256 = (new(name, SMALL).hexdigest() for name in ("md5", "sha256"))
    run(work(BodyPolicy(), None, []))
    run(work(BodyPolicy(), md5, ["md5"]))
    run(work(BodyPolicy(sha256=True), sha256, ["sha256"]))
    run(work(BodyPolicy(sha256=True), md5, ["md5", "sha256"]))

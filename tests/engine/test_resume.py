"""Going on with a body that broke off: asked for exactly, appended only if the answer is exact.

The exchange is a script here: each request gets the next of the answers a test has written down.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchpool.http import Engine, receiver, resuming
from fetchpool.http.exchange import ExchangeError
from fetchpool.http.framing import body_length
from fetchpool.http.receiver import BodyAction, BodyPolicy, Receiver
from fetchpool.http.resuming import Reply, Resumption, representation
from fetchpool.http.watch import Timeouts, Watch
from fetchpool.model.attempts import FailedAttempt, Plan, Proxy, Response
from fetchpool.model.bodies import PartWriter, Representation
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Failure, FailureKind, Head, Target
from fetchpool.network.connector import FetchConnector
from fetchpool.output.sinks.directory import DirectoryStore
from tests.stores.bodies import files_in, parts_in

BODY = bytes(range(256)) * 8
OTHER = bytes(255 - byte for byte in BODY)
TOTAL = len(BODY)
CUT = 1000
ETAG = '"v1"'
TARGET = parse_url("http://h.example/big")
PLAN = Plan(TARGET, (("Accept", "*/*"), ("Accept-Encoding", "gzip, br")))

Fields = tuple[tuple[str, str], ...]


@pytest.fixture(autouse=True, scope="module")
def small_bodies_are_big() -> Iterator[None]:
    """Let bodies of 2 KB be gone on with, and stream from 100 bytes on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resuming, "RESUME_MIN_BYTES", 1000)
        patch.setattr(resuming, "_HASHED_BYTES", 300)
        patch.setattr(receiver, "WHOLE_BODY_BYTES", 100)
        yield


@dataclass(frozen=True, slots=True)
class Say:
    """An answer, and how it ends."""

    status: int
    fields: Fields
    body: bytes = b""
    error: BaseException | None = None
    """Raised after the body, or instead of the head where status is 0."""
    proven: bool = True
    """Whether the end of the body is known to be that."""


@dataclass(slots=True)
class Script:
    """An exchange that gives the answers it was given."""

    answers: list[Say]
    plans: list[Plan] = field(default_factory=list)

    def asked(self, name: str) -> list[str | None]:
        """Return the header *name* of each request."""
        fields = [{key.lower(): value for key, value in plan.headers} for plan in self.plans]
        return [each.get(name) for each in fields]

    async def send(self, plan: Plan, watch: Watch, receiver: Receiver) -> None:
        self.plans.append(plan)
        say = self.answers.pop(0)
        if say.status:
            head = Head(say.status, say.fields)
            if receiver.head(head, body_length(head)) is BodyAction.CLOSE:
                return
            for at in range(0, len(say.body), 77):
                if not receiver.feed(memoryview(say.body)[at : at + 77]):
                    return
        if say.error is not None:
            raise say.error
        receiver.finish(proven=say.proven)

    async def weigh(self, plan: Plan, error: ExchangeError) -> ExchangeError:
        return error

    async def reachable(self, target: Target, route: Proxy | None) -> bool:
        return True

    async def close(self) -> None:
        pass


class _Wires:
    """What the engine's ticker asks of a connector."""

    opened = 0

    def sweep(self, now: float) -> None:
        pass


@contextmanager
def opened(dest: Path) -> Iterator[DirectoryStore]:
    store = DirectoryStore(dest, is_foreign=lambda _: False, boot="boot")
    try:
        yield store
    finally:
        store.close()


def attempts(
    dest: Path, *answers: Say, plan: Plan = PLAN, policy: BodyPolicy | None = None, count: int = 2
) -> tuple[list[Response | FailedAttempt], Script]:
    """Make *count* attempts, each by a process of its own, and return what came of them."""
    script = Script(list(answers))

    async def attempt() -> Response | FailedAttempt:
        with opened(dest) as store:
            connector = cast("FetchConnector", _Wires())
            engine = Engine(script, connector, Timeouts(), policy or BodyPolicy(), store)
            try:
                return await engine.attempt(plan, None)
            finally:
                await engine.close()

    return [asyncio.run(attempt()) for _ in range(count)], script


def cut_off(kind: FailureKind = FailureKind.TRUNCATED, *, transient: bool = True) -> ExchangeError:
    return ExchangeError(Failure(kind, "as the test says"), transient=transient)


def whole(body: bytes = BODY, etag: str | None = ETAG, *more: tuple[str, str]) -> Say:
    fields = (("content-length", str(len(body))), ("content-type", "text/plain"), *more)
    return Say(200, fields if etag is None else (*fields, ("etag", etag)), body)


def cut(say: Say, at: int = CUT, error: BaseException | None = None) -> Say:
    return Say(say.status, say.fields, say.body[:at], error or cut_off())


def rest(start: int = CUT, body: bytes = BODY, etag: str | None = ETAG, **fields: str) -> Say:
    """Return the answer of an honest server to a Range from *start* on, but for *fields*."""
    named = {
        "content-range": f"bytes {start}-{len(body) - 1}/{len(body)}",
        "content-length": str(len(body) - start),
        "etag": etag,
        **{name.replace("_", "-"): value for name, value in fields.items()},
    }
    return Say(206, tuple((k, v) for k, v in named.items() if v), body[start:])


def stored(result: Response | FailedAttempt, dest: Path) -> bytes:
    assert isinstance(result, Response), result
    assert result.stored is not None
    assert result.stored.path is not None
    return (dest / result.stored.path).read_bytes()


def failure(result: Response | FailedAttempt) -> FailureKind:
    assert isinstance(result, FailedAttempt), result
    return result.failure.kind


@pytest.mark.parametrize("sha256", [False, True])
def test_only_the_rest_is_asked_for_and_appended(tmp_path: Path, sha256: bool) -> None:
    (first, second), script = attempts(
        tmp_path, cut(whole()), rest(), policy=BodyPolicy(sha256=sha256)
    )
    assert failure(first) is FailureKind.TRUNCATED
    assert stored(second, tmp_path) == BODY
    assert script.asked("range") == [None, f"bytes={CUT}-"]
    assert script.asked("if-range") == [None, ETAG]
    assert script.asked("accept-encoding") == ["gzip, br", "identity"]
    assert script.asked("accept") == ["*/*", "*/*"]
    assert isinstance(second, Response)
    assert (second.body_bytes, second.measures.wire_bytes) == (TOTAL, TOTAL)
    assert second.sha256 == (hashlib.sha256(BODY).hexdigest() if sha256 else None)
    assert parts_in(tmp_path) == []


def test_rest_that_makes_the_promised_body_is_appended(tmp_path: Path) -> None:
    for function in ("md5", "sha256"):
        plan = msgspec.structs.replace(PLAN, checksum=hashlib.new(function, BODY).hexdigest())
        (_, second), script = attempts(tmp_path / function, cut(whole()), rest(), plan=plan)
        assert stored(second, tmp_path / function) == BODY
        assert script.asked("range") == [None, f"bytes={CUT}-"]


def test_rest_that_makes_another_body_has_the_whole_asked_for_at_once(tmp_path: Path) -> None:
    plan = msgspec.structs.replace(PLAN, checksum=hashlib.sha256(OTHER).hexdigest())
    (_, second), script = attempts(tmp_path, cut(whole()), rest(), whole(OTHER), plan=plan)
    assert stored(second, tmp_path) == OTHER
    assert script.asked("range") == [None, f"bytes={CUT}-", None]
    assert parts_in(tmp_path) == []


def test_of_a_body_that_was_not_promised_nothing_remains(tmp_path: Path) -> None:
    plan = msgspec.structs.replace(PLAN, checksum=hashlib.sha256(OTHER).hexdigest())
    (_, second), _ = attempts(tmp_path, cut(whole()), rest(), whole(), plan=plan)
    assert failure(second) is FailureKind.CHECKSUM
    assert (files_in(tmp_path), parts_in(tmp_path)) == ({}, [])


def test_what_the_answer_with_the_rest_leaves_out_is_known(tmp_path: Path) -> None:
    (_, second), _ = attempts(tmp_path, cut(whole()), rest())
    assert isinstance(second, Response)
    assert (second.head.status, second.head.get("content-type")) == (206, "text/plain")


def test_what_the_answer_with_the_rest_says_counts(tmp_path: Path) -> None:
    (_, second), _ = attempts(tmp_path, cut(whole()), rest(content_type="text/html"))
    assert isinstance(second, Response)
    assert second.head.get_all("content-type") == ["text/html"]


def test_a_rest_in_chunks_is_as_good(tmp_path: Path) -> None:
    chunked = rest(content_length="", transfer_encoding="chunked")
    (_, second), _ = attempts(tmp_path, cut(whole()), chunked)
    assert stored(second, tmp_path) == BODY


def test_a_rest_that_ends_where_its_range_does_is_whole_however_it_ended(tmp_path: Path) -> None:
    torn = replace(rest(content_length=""), proven=False)
    (_, second), _ = attempts(tmp_path, cut(whole()), torn)
    assert stored(second, tmp_path) == BODY
    (alone,), _ = attempts(tmp_path, replace(Say(200, (), BODY), proven=False), count=1)
    assert failure(alone) is FailureKind.TRUNCATED


def test_the_rest_may_break_off_as_well(tmp_path: Path) -> None:
    results, script = attempts(
        tmp_path, cut(whole()), cut(rest(), 500), rest(CUT + 500), count=3,
        policy=BodyPolicy(sha256=True),
    )  # fmt: skip
    assert stored(results[-1], tmp_path) == BODY
    assert isinstance(results[-1], Response)
    assert results[-1].sha256 == hashlib.sha256(BODY).hexdigest()
    assert script.asked("range") == [None, f"bytes={CUT}-", f"bytes={CUT + 500}-"]
    assert results[1].measures.wire_bytes == CUT + 500


@pytest.mark.parametrize(
    "error",
    [cut_off(FailureKind.TIMEOUT), cut_off(FailureKind.CONNECT), asyncio.CancelledError()],
    ids=["time-out", "connection lost", "stopped"],
)
def test_passing_ends_keep_the_part(tmp_path: Path, error: BaseException) -> None:
    if isinstance(error, asyncio.CancelledError):
        with pytest.raises(asyncio.CancelledError):
            attempts(tmp_path, cut(whole(), error=error), count=1)
    else:
        attempts(tmp_path, cut(whole(), error=error), count=1)
    assert len(parts_in(tmp_path)) == 2
    (result,), _ = attempts(tmp_path, rest(), count=1)
    assert stored(result, tmp_path) == BODY


@pytest.mark.parametrize(
    "error",
    [cut_off(FailureKind.PROTOCOL, transient=False), RuntimeError("our bug")],
    ids=["protocol", "internal"],
)
def test_other_ends_leave_nothing(tmp_path: Path, error: BaseException) -> None:
    attempts(tmp_path, cut(whole(), error=error), count=1)
    assert parts_in(tmp_path) == []


def test_no_answer_to_the_range_keeps_the_part(tmp_path: Path) -> None:
    lost = Say(0, (), error=cut_off(FailureKind.CONNECT))
    stale = Say(0, (), error=ExchangeError(Failure(FailureKind.CONNECT, ""), stale=True))
    results, script = attempts(tmp_path, cut(whole()), lost, stale, rest(), count=3)
    assert stored(results[-1], tmp_path) == BODY
    assert script.asked("range")[1:] == [f"bytes={CUT}-"] * 3


@pytest.mark.parametrize("status", [302, 304, 408, 429, 502, 503, 504])
def test_answers_that_say_nothing_about_the_range_keep_the_part(
    tmp_path: Path, status: int
) -> None:
    later = Say(status, (("content-length", "0"), ("location", "/else")))
    results, script = attempts(tmp_path, cut(whole()), later, rest(), count=3)
    assert isinstance(results[1], Response)
    assert results[1].head.status == status
    assert stored(results[2], tmp_path) == BODY
    assert script.asked("range")[1:] == [f"bytes={CUT}-"] * 2


# --- the whole body anew


@pytest.mark.parametrize("etag", [ETAG, '"v2"', None])
def test_a_whole_answer_replaces_the_part(tmp_path: Path, etag: str | None) -> None:
    (_, second), script = attempts(tmp_path, cut(whole()), whole(OTHER, etag))
    assert stored(second, tmp_path) == OTHER
    assert len(script.plans) == 2
    assert parts_in(tmp_path) == []


def test_a_whole_answer_may_break_off_and_be_gone_on_with(tmp_path: Path) -> None:
    results, _ = attempts(
        tmp_path, cut(whole()), cut(whole(OTHER, '"v2"'), 700), rest(700, OTHER, '"v2"'), count=3
    )
    assert stored(results[-1], tmp_path) == OTHER


UNFIT = {
    "wrong start": rest(content_range=f"bytes {CUT - 1}-{TOTAL - 1}/{TOTAL}"),
    "from the beginning": rest(content_range=f"bytes 0-{TOTAL - 1}/{TOTAL}"),
    "wrong end": rest(content_range=f"bytes {CUT}-{TOTAL - 2}/{TOTAL}"),
    "wrong total": rest(content_range=f"bytes {CUT}-{TOTAL - 1}/{TOTAL + 1}"),
    "unknown total": rest(content_range=f"bytes {CUT}-{TOTAL - 1}/*"),
    "no range": rest(content_range=""),
    "garbage": rest(content_range="bytes"),
    "other unit": rest(content_range=f"lines {CUT}-{TOTAL - 1}/{TOTAL}"),
    "two ranges": Say(206, (*rest().fields, ("content-range", "bytes 0-9/10")), BODY),
    "wrong ETag": rest(etag='"v2"'),
    "weak ETag": rest(etag=f"W/{ETAG}"),
    "no ETag": rest(etag=None),
    "two ETags": Say(206, (*rest().fields, ("etag", '"v2"')), BODY),
    "coded": rest(content_encoding="gzip"),
    "wrong length": rest(content_length=str(TOTAL)),
    "parts": rest(content_range="", content_type="multipart/byteranges; boundary=x"),
    "416": Say(416, (("content-range", f"bytes */{CUT}"), ("content-length", "0"))),
    "400": Say(400, (("content-length", "0"),)),
    "403": Say(403, (("content-length", "0"),)),
    "500": Say(500, (("content-length", "0"),)),
    "501": Say(501, (("content-length", "0"),)),
}


@pytest.mark.parametrize("unfit", UNFIT.values(), ids=UNFIT)
def test_any_other_answer_has_the_whole_asked_for_at_once(tmp_path: Path, unfit: Say) -> None:
    (_, second), script = attempts(tmp_path, cut(whole()), unfit, whole(OTHER, '"v2"'))
    assert stored(second, tmp_path) == OTHER
    assert script.asked("range") == [None, f"bytes={CUT}-", None]
    assert script.asked("accept-encoding")[-1] == "gzip, br"
    assert parts_in(tmp_path) == []


def test_the_whole_is_asked_for_even_if_another_part_came_meanwhile(tmp_path: Path) -> None:
    """Of the same URL, twice in the list."""
    attempts(tmp_path, cut(whole()), count=1)

    class Busy(Script):
        async def send(self, plan: Plan, watch: Watch, receiver: Receiver) -> None:
            try:
                await super().send(plan, watch, receiver)
            finally:
                writer = store.open(TARGET, Head(200, ()), Representation(TARGET.url, ETAG, TOTAL))
                writer.write(BODY[:50])
                writer.suspend()

    async def run() -> Response | FailedAttempt:
        connector = cast("FetchConnector", _Wires())
        engine = Engine(script, connector, Timeouts(), BodyPolicy(), store)
        try:
            return await engine.attempt(PLAN, None)
        finally:
            await engine.close()

    script = Busy([UNFIT["416"], whole(OTHER, '"v2"')])
    with opened(tmp_path) as store:
        result = asyncio.run(run())
    assert stored(result, tmp_path) == OTHER
    assert script.asked("range") == [f"bytes={CUT}-", None]


def test_a_rest_in_chunks_that_is_too_long_is_not_appended(tmp_path: Path) -> None:
    long = rest(content_length="", transfer_encoding="chunked")
    long = Say(206, long.fields, long.body + b"x" * 200)
    (_, second), script = attempts(tmp_path, cut(whole()), long, whole())
    assert stored(second, tmp_path) == BODY
    assert script.asked("range") == [None, f"bytes={CUT}-", None]


def test_a_rest_in_chunks_that_is_too_short_is_truncated(tmp_path: Path) -> None:
    short = rest(content_length="", transfer_encoding="chunked")
    short = Say(206, short.fields, short.body[:-1])
    results, _ = attempts(tmp_path, cut(whole()), short, rest(TOTAL - 1), count=3)
    assert failure(results[1]) is FailureKind.TRUNCATED
    assert stored(results[2], tmp_path) == BODY


def test_a_206_nobody_asked_for_is_never_a_body(tmp_path: Path) -> None:
    results, _ = attempts(tmp_path, rest(), rest(0))
    assert [failure(result) for result in results] == [FailureKind.PROTOCOL] * 2
    assert (files_in(tmp_path), parts_in(tmp_path)) == ({}, [])


def test_a_206_to_the_whole_body_asked_for_anew_is_never_a_body(tmp_path: Path) -> None:
    (_, second), _ = attempts(tmp_path, cut(whole()), UNFIT["wrong ETag"], rest())
    assert failure(second) is FailureKind.PROTOCOL
    assert (files_in(tmp_path), parts_in(tmp_path)) == ({}, [])


def test_the_users_own_range_is_the_users(tmp_path: Path) -> None:
    attempts(tmp_path, cut(whole()), count=1)
    own = Plan(TARGET, (("rAnge", "bytes=5-"), ("Accept-Encoding", "gzip")))
    (result,), script = attempts(tmp_path, rest(5), plan=own, count=1)
    assert script.plans == [own]
    assert stored(result, tmp_path) == BODY[5:]


# --- never gone on with


@pytest.mark.parametrize(
    "say",
    [
        whole(BODY, None),
        whole(BODY, None, ("last-modified", "Tue, 01 Jan 2030 00:00:00 GMT")),
        whole(BODY, f"W/{ETAG}"),
        whole(BODY, "v1"),
        whole(BODY, '"a"b"'),
        whole(BODY, '"\xe9"'),
        whole(BODY, ""),
        whole(BODY, ETAG, ("etag", '"v2"')),
        whole(BODY, ETAG, ("content-encoding", "identity")),
        whole(BODY, ETAG, ("accept-ranges", "None ")),
        whole(BODY[:999]),
        Say(200, (("etag", ETAG),), BODY),
        Say(200, (("etag", ETAG), ("transfer-encoding", "chunked")), BODY),
        Say(203, whole().fields, BODY),
    ],
    ids=[
        *("no ETag", "Last-Modified", "weak", "bare", "quote", "Latin-1", "empty", "two", "coded"),
        *("no ranges", "small", "no length", "chunked", "203"),
    ],
)
def test_without_all_it_takes_nothing_is_kept(tmp_path: Path, say: Say) -> None:
    (_, second), script = attempts(tmp_path, cut(say, 900), whole())
    assert script.asked("range") == [None, None]
    assert script.asked("if-range") == [None, None]
    assert stored(second, tmp_path) == BODY


def test_an_error_page_is_not_gone_on_with(tmp_path: Path) -> None:
    page = Say(404, whole().fields, BODY)
    attempts(tmp_path, cut(page), count=1, policy=BodyPolicy(keep_errors=True))
    assert parts_in(tmp_path) == []


def test_the_cap_is_on_the_whole_body(tmp_path: Path) -> None:
    attempts(tmp_path, cut(whole()), count=1)
    small = BodyPolicy(max_bytes=TOTAL - 1)
    (result,), _ = attempts(tmp_path, rest(), count=1, policy=small)
    assert failure(result) is FailureKind.TOO_BIG
    assert (files_in(tmp_path), parts_in(tmp_path)) == ({}, [])


def test_a_hop_goes_on_at_its_own_url_only(tmp_path: Path) -> None:
    cdn = parse_url("http://cdn.example/1")
    hop = msgspec.structs.replace(PLAN, target=cdn, named_by=TARGET)
    attempts(tmp_path, cut(whole()), plan=hop, count=1)
    moved = Say(302, (("location", "/"), ("content-length", "0")))
    elsewhere = msgspec.structs.replace(hop, target=parse_url("http://cdn.example/2"))
    for plan, say, asked in (
        (PLAN, moved, None),
        (elsewhere, cut(whole(OTHER, None)), None),
        (hop, rest(), f"bytes={CUT}-"),
    ):
        (result,), script = attempts(tmp_path, say, plan=plan, count=1)
        assert script.asked("range") == [asked]
    assert stored(result, tmp_path) == BODY


def test_a_tampered_etag_is_not_sent(tmp_path: Path) -> None:
    attempts(tmp_path, cut(whole()), count=1)
    (sidecar,) = (tmp_path / ".fetchpool" / "parts").glob("*.json")
    sidecar.write_text(sidecar.read_text().replace("v1", r"v1\r\nX-Evil: 1"))
    (result,), script = attempts(tmp_path, whole(), count=1)
    assert script.asked("if-range") == [None]
    assert stored(result, tmp_path) == BODY


def test_the_part_waits_if_hashing_it_is_cut_short(tmp_path: Path) -> None:
    """Stopped by the user while what there is of a body is read."""
    attempts(tmp_path, cut(whole()), count=1)

    async def stop() -> None:
        with opened(tmp_path) as store:
            part = store.reopen(TARGET, TARGET.url)
            assert part is not None
            task = asyncio.create_task(Resumption.of(part, ["sha256"]))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert store.reopen(TARGET, TARGET.url) is not None

    asyncio.run(stop())


# --- the law


class _Part:
    about = Representation(TARGET.url, ETAG, TOTAL)
    length = CUT


@given(
    status=st.sampled_from([200, 203, 206, 302, 304, 404, 416, 429, 500, 503]),
    start=st.sampled_from([0, CUT - 1, CUT, CUT + 1]),
    last=st.sampled_from([TOTAL - 2, TOTAL - 1, TOTAL]),
    total=st.sampled_from([TOTAL - 1, TOTAL, TOTAL + 1]),
    etag=st.sampled_from([ETAG, f"W/{ETAG}", '"v2"', None]),
    length=st.sampled_from([None, TOTAL - CUT, TOTAL]),
)
def test_only_one_206_is_the_rest(
    status: int, start: int, last: int, total: int, etag: str | None, length: int | None
) -> None:
    fields = [("content-range", f"bytes {start}-{last}/{total}")]
    if etag is not None:
        fields.append(("etag", etag))
    reply = Resumption(cast("PartWriter", _Part()), None).judge(Head(status, tuple(fields)), length)
    exact = (status, start, last, total, etag) == (206, CUT, TOTAL - 1, TOTAL, ETAG)
    assert (reply is Reply.REST) == (exact and length in (None, TOTAL - CUT))


VERSIONS = {'"v1"': BODY, '"v2"': OTHER, '"v3"': BODY[:1500] + OTHER[1500:]}


@st.composite
def answers(draw: st.DrawFn) -> Callable[[int], Say]:
    """Draw what a server says to a Range from *start* on: true of its bytes, whatever the case."""
    etag = draw(st.sampled_from(sorted(VERSIONS)))
    body = VERSIONS[etag]
    shape = draw(st.sampled_from(["whole", "rest", "rest", "odd", "piece", "refused", "lost"]))
    named = draw(st.sampled_from([etag, etag, etag, f"W/{etag}", None]))
    ends = draw(st.sampled_from([None, None, cut_off(), cut_off(FailureKind.TIMEOUT)]))
    keep = draw(st.integers(0, TOTAL))
    shift = draw(st.integers(-CUT, 500))
    extra = draw(st.sampled_from([b"", b"", b"surplus"]))

    def say(start: int) -> Say:
        if shape == "lost":
            return Say(0, (), error=cut_off())
        if shape == "refused":
            return Say(416, (("content-length", "0"),))
        if shape == "whole" or (shape == "piece" and start == 0):
            given = whole(body, named)
        elif shape == "piece":  # called a whole
            lengths = {"content_length": "", "transfer_encoding": "chunked"} if extra else {}
            given = Say(200, rest(start, body, named, **lengths).fields, body[start:])
        else:
            at = min(max(0, start + (shift if shape == "odd" else 0)), TOTAL - 1)
            chunked = {"content_length": "", "transfer_encoding": "chunked"}
            given = rest(at, body, named, **(chunked if extra else {}))
            given = Say(206, given.fields, given.body + extra)
        return given if ends is None else Say(given.status, given.fields, given.body[:keep], ends)

    return say


@settings(max_examples=150)
@given(st.lists(answers(), min_size=1, max_size=8), st.booleans())
def test_whatever_the_answers_a_stored_body_is_one_version_whole(
    tmp_path_factory: pytest.TempPathFactory, says: list[Callable[[int], Say]], sha256: bool
) -> None:
    dest = tmp_path_factory.mktemp("law")
    follow = iter(says)

    class Server(Script):
        async def send(self, plan: Plan, watch: Watch, receiver: Receiver) -> None:
            asked = dict(plan.headers).get("Range", "bytes=0-")
            say = next(follow, None)
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.answers.append(whole() if say is None else say(start))
            await super().send(plan, watch, receiver)

    async def run() -> Response:
        for _ in itertools.count():
            with opened(dest) as store:
                store.recover((), goes_on=True)
                engine = Engine(
                    Server([]), cast(Any, _Wires()), Timeouts(), BodyPolicy(sha256=sha256), store
                )
                result = await engine.attempt(PLAN, None)
                await engine.close()
            for body in files_in(dest).values():
                assert body in VERSIONS.values()
            if isinstance(result, Response) and result.stored is not None:
                return result
        raise AssertionError

    result = asyncio.run(run())
    body = stored(result, dest)
    assert body in VERSIONS.values()
    assert result.body_bytes == len(body)
    assert result.sha256 in (None, hashlib.sha256(body).hexdigest())
    assert parts_in(dest) == []


def test_a_representation_names_what_is_needed_later() -> None:
    fields = (("etag", ETAG), ("content-type", "a/b"), ("content-disposition", "x"), ("a", "b"))
    about = representation(TARGET.url, Head(200, fields), 5000)
    assert about == Representation(
        TARGET.url, ETAG, 5000, (("content-type", "a/b"), ("content-disposition", "x"))
    )

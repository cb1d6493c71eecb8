"""What answers for a robots.txt mean, how long they hold, and what is sent and told."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fetchpool import Config, FetchPool
from fetchpool.model.attempts import Plan, Response
from fetchpool.model.bodies import Stored
from fetchpool.model.robots import RobotsRead
from fetchpool.model.urls import parse_url
from fetchpool.model.values import Failure, FailureKind, Head, Outcome
from fetchpool.pipeline.host_settings import robots_at
from fetchpool.policies import OwnRequest
from fetchpool.policies import robots_cache as cache_module
from fetchpool.policies.robots import MUCH, Robots
from fetchpool.policies.robots_cache import KEPT_S, REFUSES_S, Cache, Known
from fetchpool.scaling.sharing import shares
from fetchpool.scheduling.scheduler import Limits
from tests.fake_engine import FakeEngine, fetching, loop_turns
from tests.judging import failed_attempt, job, measures, redirect, response
from tests.servers.counting import CountingServer

A = "http://a.test/robots.txt"
EPOCH = 1_000_000.0
RULES = b"User-agent: *\nDisallow: /no\n"


def text(body: bytes) -> Response:
    return Response(Head(200, ()), Stored(body=body), len(body), None, measures())


class World:
    """A cache, a clock that is a number, and what was told."""

    def __init__(self, path: Path | None = None) -> None:
        self.now = EPOCH
        self.cache = Cache(path, EPOCH)
        self.told: list[RobotsRead] = []
        self.policy = Robots(self.cache, self.told.append, lambda: self.now)

    def ask(self, url: str, user_agent: str = "mybot/1.0") -> object:
        self.plan = Plan(parse_url(url), (("User-Agent", user_agent),))
        return self.policy.before(job(url), self.plan)

    async def outcomes(self, engine: FakeEngine, urls: list[str]) -> dict[str, Outcome]:
        limits = Limits(limit=10, per_host=4)
        async with fetching(urls, engine, limits, retries=0, policies=[self.policy]) as fetch:
            return {each.request.url: each async for each in fetch}


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.cache.close()


NO = "http://a.test/no"
YES = "http://a.test/yes"
BLOCKED = FailureKind.BLOCKED


@pytest.mark.parametrize(
    ("results", "no", "yes", "says"),
    [
        ([text(RULES)], BLOCKED, None, "rules"),
        ([text(b"\xef\xbb\xbf" + RULES)], BLOCKED, None, "rules"),
        ([text(b"<html>not found\xff")], None, None, "rules"),
        ([redirect("/2"), text(RULES)], BLOCKED, None, "rules"),
        ([redirect("/2")] * 6, None, None, "allows all: more than 5 redirects, in a circle"),
        ([response(401)], None, None, "allows all: HTTP status 401"),
        ([response(410)], None, None, "allows all: HTTP status 410"),
        ([response(304)], None, None, "allows all: HTTP status 304"),
        ([response(429)], BLOCKED, BLOCKED, "refuses all: HTTP status 429"),
        ([response(500)], BLOCKED, BLOCKED, "refuses all: HTTP status 500"),
        ([failed_attempt(FailureKind.TRUNCATED)], BLOCKED, BLOCKED, "refuses all: a truncated of"),
        ([failed_attempt(FailureKind.TIMEOUT)], BLOCKED, BLOCKED, "refuses all: a timeout of"),
        (
            [failed_attempt(FailureKind.DNS, transient=False)],
            FailureKind.DNS,
            FailureKind.DNS,
            "refuses all: a dns of",
        ),
    ],
)
async def test_answer_for_robots_txt_decides_what_is_fetched(
    world: World,
    results: list[Response],
    no: FailureKind | None,
    yes: FailureKind | None,
    says: str,
) -> None:
    engine = FakeEngine()
    for number, result in enumerate(results):
        engine.script.setdefault(A if number == 0 else "http://a.test/2", []).append(result)
    outcomes = await world.outcomes(engine, [NO, YES])
    assert {url: each.error for url, each in outcomes.items()} == {NO: no, YES: yes}
    assert engine.started.count(A) == 1
    (told,) = world.told
    assert told.says.startswith(says)


async def test_hops_obey_the_robots_txt_of_where_they_lead(world: World) -> None:
    engine = FakeEngine()
    engine.script[A] = [text(RULES)]
    engine.script["http://b.test/robots.txt"] = [response(404)]
    engine.script["http://b.test/1"] = [redirect(NO)]
    engine.script["http://b.test/2"] = [redirect(YES)]
    outcomes = await world.outcomes(engine, ["http://b.test/1", "http://b.test/2"])
    refused = outcomes["http://b.test/1"]
    assert (refused.error, refused.detail) == (BLOCKED, "robots.txt: Disallow: /no")
    assert (refused.final_url, refused.redirects, refused.attempts) == (NO, 1, 1)
    assert outcomes["http://b.test/2"].ok


async def test_text_is_read_up_to_the_last_whole_line_of_so_much(world: World) -> None:
    engine = FakeEngine()
    body = RULES + b"# " + b"x" * (512 * 1024 - len(RULES) - 2 - 13) + b"\nDisallow: /yes/and/more"
    assert body[: 512 * 1024].endswith(b"Disallow: /y")
    engine.script[A] = [text(body)]
    outcomes = await world.outcomes(engine, [NO, YES])
    assert {each.error for each in outcomes.values()} == {BLOCKED, None}


async def test_much_text_is_dealt_with_in_a_thread_one_url_of_its_host_after_the_other(
    world: World,
) -> None:
    engine, rules = FakeEngine(), b"Disallow: /other/one\n" * (MUCH // 10)
    engine.script[A] = [text(RULES + rules + b"Crawl-delay: 1000\nSitemap: /s\n")]
    gate = engine.hold("http://a.test/1")
    urls = [*(f"http://a.test/no/{n}" for n in range(20)), "http://a.test/1", "http://a.test/2"]
    async with fetching(urls, engine, policies=[world.policy]) as fetch:
        first = [await anext(fetch) for _ in range(20)]
        assert {each.error for each in first} == {BLOCKED}
        await loop_turns()
        # The delay holds from the first request on, though it was known only after a while.
        assert engine.started == [A, "http://a.test/1"]
        gate.set()
    assert [each.crawl_delay_s for each in world.told] == [1000.0]
    assert [each.kept_delay_s for each in world.told] == [300.0]
    assert world.told[0].sitemaps == ("/s",)


async def test_run_that_stops_while_robots_txt_is_asked_for_ends_without_outcomes(
    world: World,
) -> None:
    engine = FakeEngine()
    gate = engine.hold(A)
    async with fetching([NO, YES], engine, policies=[world.policy]) as fetch:
        batch = asyncio.ensure_future(fetch.batch())
        await engine.until(lambda: A in engine.started)
        fetch.stop()
        gate.set()
        assert await batch == []
        assert fetch.ended
    assert engine.started == [A]
    assert engine.budgets == [60.0]  # it may not keep its host for ever


def test_what_was_learnt_holds_for_a_day_and_a_refusal_for_ten_minutes(world: World) -> None:
    world.cache.learn(("http", "a.test", 80), Known(EPOCH + KEPT_S, "User-agent: *\nDisallow: /"))
    refusal = Failure(BLOCKED, "busy")
    world.cache.learn(("http", "b.test", 80), Known(EPOCH + REFUSES_S, refusal=refusal))
    for url, lasts_s in ((NO, KEPT_S), ("http://b.test/", REFUSES_S)):
        for _ in range(2):  # from disk, from memory
            world.now = EPOCH + lasts_s - 1
            assert isinstance(world.ask(url), Failure)
        world.now = EPOCH + lasts_s
        assert isinstance(world.ask(url), OwnRequest)
        world.now = EPOCH - KEPT_S  # the clock was set back
        assert isinstance(world.ask(url), OwnRequest)
    assert world.told == []  # of what wasn't fetched


def test_next_run_knows_what_was_fetched_and_not_what_was_refused(tmp_path: Path) -> None:
    path = tmp_path / "robots.sqlite"
    first = Cache(path, EPOCH)
    a, b, c = (("https", name, 443) for name in "abc")
    first.learn(a, Known(EPOCH + 100, "x"))
    first.learn(b, Known(EPOCH + 100, refusal=Failure(BLOCKED, "busy")))
    first.learn(c, Known(EPOCH + 10, "y"))
    assert first.find(b, EPOCH) is not None
    # As it is after `kill -9`: nobody has closed it.
    with closing(Cache(path, EPOCH + 50)) as second:
        assert second.find(a, EPOCH + 50) == Known(EPOCH + 100, "x")
        assert [second.find(each, EPOCH + 50) for each in (b, c)] == [None, None]
        # Two processes of a run write to it.
        second.learn(b, Known(EPOCH + 100, "z"))
        first.learn(c, Known(EPOCH + 100, "w"))
        assert (first.find(b, EPOCH), second.find(c, EPOCH)) == (
            Known(EPOCH + 100, "z"),
            Known(EPOCH + 100, "w"),
        )
    first.close()


@pytest.mark.parametrize("damage", [b"no database", b"SQLite format 3\0" + b"\xff" * 5000])
def test_damaged_file_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "robots.sqlite"
    path.write_bytes(damage)
    origin = ("http", "a", 80)
    with closing(Cache(path, EPOCH)) as cache:
        cache.learn(origin, Known(EPOCH + 9, "x"))
        assert cache.find(origin, EPOCH) == Known(EPOCH + 9, "x")
    with closing(sqlite3.connect(path)) as database:
        database.execute("UPDATE robots SET text = 'x'")
        database.commit()
    with closing(Cache(path, EPOCH)) as cache:
        assert cache.find(origin, EPOCH) is None


def test_without_a_place_for_a_file_it_is_remembered_for_the_run(tmp_path: Path) -> None:
    for path in (None, tmp_path / "missing" / "robots.sqlite"):
        with closing(Cache(path, EPOCH)) as cache:
            cache.learn(("http", "a", 80), Known(EPOCH + 9, "x"))
            assert cache.find(("http", "a", 80), EPOCH) == Known(EPOCH + 9, "x")
    assert list(tmp_path.iterdir()) == []


def test_memory_holds_rules_of_a_bounded_size(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "SHELF_SIZE", 2000)
    for number in range(50):
        origin = ("http", f"h{number}.test", 80)
        rules = f"User-agent: *\nDisallow: /{'x' * (number % 7 * 100)}\n"
        world.cache.learn(origin, Known(EPOCH + 99, rules))
        world.ask(f"http://h{number}.test/1")
        kept = world.policy._shelf._ready
        assert sum(cache_module._size(each) for each in kept.values()) == world.policy._shelf._size
        assert world.policy._shelf._size <= 2000
        assert next(reversed(kept))[0] == origin
    assert isinstance(world.ask("http://h0.test/1"), Failure)  # from disk again


def test_robots_txt_is_asked_for_as_whom_it_is_to_hold_for(world: World) -> None:
    own = world.ask("http://[::1]:8080/1")
    assert isinstance(own, OwnRequest)
    assert own.url == "http://[::1]:8080/robots.txt"
    assert own.headers == (("User-Agent", "mybot/1.0"),)
    assert world.ask("http://[::1]:8080/2", "other") is own
    assert world.ask("http://[::1]:8080/robots.txt") is None
    for token, is_refused in (("MyBot/3", True), ("other", False), ("", False)):
        rules = "User-agent: mybot\nDisallow: /"
        world.cache.learn(("http", "c.test", 80), Known(EPOCH + 99, rules))
        assert isinstance(world.ask("http://c.test/", token), Failure) is is_refused


def test_crawl_delay_is_the_pace_of_what_is_fetched(world: World) -> None:
    for number, (asked, kept) in enumerate((("2.5", 2.5), ("86400", 300.0), ("0", 0.0))):
        rules = f"User-agent: *\nCrawl-delay: {asked}\nDisallow: /no"
        world.cache.learn(("http", f"h{number}", 80), Known(EPOCH + 99, rules))
        assert world.ask(f"http://h{number}/yes") is None
        assert world.plan.interval_s == kept
        assert isinstance(world.ask(f"http://h{number}/no"), Failure)
        assert world.plan.interval_s == 0.0


@pytest.mark.parametrize("exchange", ["direct", "session"])
async def test_long_robots_txt_is_read_no_further_than_needed(exchange: str) -> None:
    """Packed or not; on real connections, and remembered for the next list of the pool."""
    with CountingServer() as server:
        late = f"# {'x' * 505 * 1024}\nDisallow: /late\n# {'x' * 500 * 1024}\nDisallow: /\n"
        server.wishes[server.host("127.0.0.1") + "/robots.txt"] = {"text": RULES.decode() + late}
        urls = [server.url(f"/{name}") for name in ("no", "late", "yes")]
        config = Config(exchange=exchange, robots=True, max_size=100, header={"X-Key": "secret"})  # type: ignore[arg-type]
        async with FetchPool(config) as pool:
            for _ in range(2):
                errors = {o.request.url: o.error async for o in pool.fetch(urls)}
                assert list(map(errors.get, urls)) == [BLOCKED, BLOCKED, None]
        asked = [hit for hit in server.counts.hits if hit.target == "/robots.txt"]
        assert [hit.get("x-key") for hit in asked] == [None]


def test_a_host_may_have_it_otherwise(world: World) -> None:
    config = Config(robots=True, host={"a.test": {"robots": False}})
    policy = Robots(world.cache, lambda read: None, obeys=robots_at(config))
    world.policy = policy
    assert world.ask("http://a.test/1") is None
    assert isinstance(world.ask("http://b.test/1"), OwnRequest)
    some = Config(host={"*.b.test": {"robots": True}}, workers=2)
    assert some.asks_robots
    assert not any(share.by_url for share in shares(some, 10))
    assert not Config(host={"a.test": {"robots": False}}).asks_robots

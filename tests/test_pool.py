"""`FetchPool` as its users hold it: however a loop is left, the pool is free, nothing remains."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from fetchpool import Config, FetchPool, Outcomes
from tests.loops import LOOPS, run_on
from tests.program.helpers import eventually
from tests.servers.counting import CountingServer


@pytest.fixture
def server() -> Iterator[CountingServer]:
    """Return a well-behaved server on loopback."""
    with CountingServer() as server:
        yield server


def urls_of(server: CountingServer, held: int = 3) -> list[str]:
    """Return one URL that is answered, some that never are, and one more."""
    never = [server.url(f"/held{number}?until=100000") for number in range(held)]
    return [server.url("/first"), *never, server.url("/last")]


async def other_tasks() -> set[str]:
    """Return the tasks that a test did not begin with, but for the engine's clock."""
    await asyncio.sleep(0)
    tasks = {task.get_name(): str(task.get_coro()) for task in asyncio.all_tasks()}
    return {
        what
        for name, what in tasks.items()
        if name != "fetchpool-ticker" and " main" not in what and ".main" not in what
        if "wait_for" not in what
    }


# -- ways to leave a loop: each returns what it holds on to ----------------------------------------


async def by_break(outcomes: Outcomes) -> object:
    async for _ in outcomes:
        break
    return None


async def by_exception(outcomes: Outcomes) -> object:
    with pytest.raises(LookupError) as caught:
        await raise_at_the_first(outcomes)
    return caught


async def raise_at_the_first(outcomes: Outcomes) -> None:
    async for _ in outcomes:
        raise LookupError


async def by_cancellation(outcomes: Outcomes) -> object:
    first = asyncio.Event()

    async def consume(outcomes: Outcomes) -> None:
        async for _ in outcomes:
            first.set()

    consumer = asyncio.create_task(consume(outcomes))
    del outcomes
    await first.wait()
    consumer.cancel()
    await asyncio.wait([consumer])
    assert consumer.cancelled()
    return consumer


async def by_break_with_the_iterator_kept(outcomes: Outcomes) -> object:
    async for _ in outcomes:
        break
    return outcomes


async def by_cancellation_with_the_iterator_kept(outcomes: Outcomes) -> object:
    return await by_cancellation(outcomes), outcomes


async def by_aclose(outcomes: Outcomes) -> object:
    await anext(outcomes)
    await outcomes.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(outcomes)
    return outcomes


async def before_it_began(outcomes: Outcomes) -> object:
    return outcomes


WAYS = [
    by_break,
    by_exception,
    by_cancellation,
    by_break_with_the_iterator_kept,
    by_cancellation_with_the_iterator_kept,
    by_aclose,
    before_it_began,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
@pytest.mark.parametrize("exchange", ["direct", "session"])
@pytest.mark.parametrize("loop", LOOPS)
def test_left_loop_leaves_the_pool_free_for_the_next_list(
    server: CountingServer, loop: str, exchange: str, way: Callable[[Outcomes], Awaitable[object]]
) -> None:
    async def main() -> None:
        next_urls = [server.url(f"/next{number}") for number in range(5)]
        async with FetchPool(Config(limit=2, exchange=exchange, proxy="")) as pool:  # type: ignore[arg-type]
            for _ in range(3):
                kept = await way(pool.fetch(urls_of(server)))
                found = [outcome async for outcome in pool.fetch(next_urls)]
                assert sorted(outcome.request.url for outcome in found) == next_urls
                assert all(outcome.ok for outcome in found)
                assert await other_tasks() == set()
                del kept
        assert await other_tasks() == set()

    run_on(loop, main())


def test_what_a_left_loop_was_fetching_is_cut_off_though_nobody_fetches_more(
    server: CountingServer,
) -> None:
    """Once nobody holds it: no request runs on, and nobody asks for the rest of the list."""

    async def main() -> None:
        async with FetchPool(Config(limit=2, proxy="")) as pool:
            async for _ in pool.fetch(urls_of(server)):
                break
            while await other_tasks():
                pass
            await asyncio.to_thread(eventually, lambda: server.open_connections <= 1, "cut off")
            assert not {"/held2?until=100000", "/last"} & set(server.counts.targets())

    run_on("asyncio", main())


def test_iterator_that_is_kept_goes_on_where_its_loop_was_left(server: CountingServer) -> None:
    async def main() -> None:
        urls = [server.url(f"/{number}") for number in range(9)]
        async with FetchPool(Config()) as pool:
            outcomes = pool.fetch(urls)
            seen = [(await anext(outcomes)).request.url]
            async for outcome in outcomes:
                seen.append(outcome.request.url)
                if len(seen) == 4:
                    break
            seen += [outcome.request.url async for outcome in outcomes]
        assert sorted(seen) == urls

    run_on("asyncio", main())


def test_waiting_for_an_outcome_can_be_given_up_and_taken_up_again(server: CountingServer) -> None:
    async def main() -> None:
        async with FetchPool(Config(limit=1)) as pool:
            outcomes = pool.fetch([server.url("/a?until=1")])
            waiting = asyncio.ensure_future(anext(outcomes))
            await asyncio.to_thread(eventually, lambda: server.counts.hits, "asked")
            waiting.cancel()
            await asyncio.wait([waiting])
            async with FetchPool() as another:  # its answer lets the held one go
                assert [each.ok async for each in another.fetch([server.url("/b")])] == [True]
            assert [outcome.ok async for outcome in outcomes] == [True]

    run_on("asyncio", main())


def test_second_list_of_another_task_is_refused_and_the_first_goes_on(
    server: CountingServer,
) -> None:
    async def main() -> None:
        urls = [server.url(f"/{number}") for number in range(4)]
        async with FetchPool(Config()) as pool:
            outcomes = pool.fetch(urls)
            seen = [await anext(outcomes)]

            async def another() -> None:
                with pytest.raises(RuntimeError, match="for another task"):
                    await anext(pool.fetch(urls))

            await asyncio.create_task(another())
            seen += [outcome async for outcome in outcomes]
            assert len(seen) == len(urls)

    run_on("asyncio", main())


def test_task_that_waited_for_a_loop_to_be_left_has_the_pool_at_once(
    server: CountingServer,
) -> None:
    async def main() -> None:
        left = asyncio.Event()

        async def another() -> int:
            await left.wait()
            return len([each async for each in pool.fetch([server.url("/a"), server.url("/b")])])

        async with FetchPool(Config(limit=2)) as pool:
            waiting = asyncio.create_task(another())
            async for _ in pool.fetch(urls_of(server)):
                left.set()
                break
            assert await waiting == 2

    run_on("asyncio", main())


def test_list_that_had_to_make_way_says_so(server: CountingServer) -> None:
    """A loop within a loop, or after its pool: never a quiet end that looks like a whole list."""

    async def main() -> None:
        urls = [server.url(f"/{number}") for number in range(4)]
        async with FetchPool(Config()) as pool:
            outer = pool.fetch(urls)
            await anext(outer)
            assert len([each async for each in pool.fetch(urls)]) == len(urls)
            for _ in range(2):
                with pytest.raises(RuntimeError, match="ended early"):
                    await anext(outer)
            left = pool.fetch(urls)
            await anext(left)
            waiting = pool.fetch(urls)
        with pytest.raises(RuntimeError, match="ended early"):
            await anext(left)
        with pytest.raises(RuntimeError, match="async with"):
            await anext(waiting)
        with pytest.raises(RuntimeError, match="async with"):
            pool.fetch(urls)

    run_on("asyncio", main())


def test_leaving_the_pool_ends_who_waits_in_another_task(server: CountingServer) -> None:
    async def main() -> None:
        async with FetchPool(Config()) as pool:
            outcomes = pool.fetch([server.url("/held?until=100000")])
            waiting = asyncio.ensure_future(anext(outcomes))
            await asyncio.to_thread(eventually, lambda: server.counts.hits, "asked")
        with pytest.raises(RuntimeError, match="ended early"):
            await waiting

    run_on("asyncio", main())


def test_generator_of_urls_is_closed_when_its_loop_is_left(server: CountingServer) -> None:
    async def main() -> None:
        closed: list[str] = []

        async def endless() -> AsyncIterator[str]:
            try:
                while True:
                    yield server.url("/again")
            finally:
                closed.append("closed")

        async with FetchPool(Config()) as pool:
            async for _ in pool.fetch(endless()):
                break
            while await other_tasks():
                pass
            assert closed == ["closed"]

    run_on("asyncio", main())


def test_error_at_the_end_of_an_abandoned_generator_is_told_and_costs_nothing(
    server: CountingServer,
) -> None:
    async def main() -> None:
        told: list[BaseException | None] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: told.append(context.get("exception")))

        async def broken() -> AsyncIterator[str]:
            try:
                while True:
                    yield server.url("/again")
            finally:
                raise LookupError("broken")

        async with FetchPool(Config()) as pool:
            async for _ in pool.fetch(broken()):
                break
            assert [each.ok async for each in pool.fetch([server.url("/b")])] == [True]
            kept = pool.fetch(broken())
            await anext(kept)
            with pytest.raises(LookupError, match="broken"):
                await kept.aclose()
        gc.collect()
        assert [str(error) for error in told] == ["broken"]

    run_on("asyncio", main())


def test_error_of_the_iterable_leaves_the_pool_free(server: CountingServer) -> None:
    async def main() -> None:
        def broken() -> Iterator[str]:
            yield server.url("/a")
            raise LookupError("broken")

        async with FetchPool(Config()) as pool:
            outcomes = pool.fetch(broken())
            seen: list[bool] = []
            for _ in range(2):
                with pytest.raises(LookupError, match="broken"):
                    seen.extend([outcome.ok async for outcome in outcomes])
            assert [each.ok async for each in pool.fetch([server.url("/b")])] == [True]

    run_on("asyncio", main())


def unnamed_files() -> list[str]:
    """Return the files this process has open that have no name any more."""
    links = Path("/proc/self/fd")
    names = [os.readlink(links / each) for each in os.listdir(links) if (links / each).is_symlink()]
    return [name for name in names if name.endswith(" (deleted)")]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_what_waited_on_disk_is_gone_with_its_loop(server: CountingServer) -> None:
    async def main() -> None:
        before = unnamed_files()
        many = [server.url(f"/{number}?until=100000&{'x' * 100}") for number in range(20_000)]
        async with FetchPool(Config(limit=2)) as pool:
            for _ in range(2):
                async for _ in pool.fetch([server.url("/first"), *many]):
                    while unnamed_files() == before:
                        await other_tasks()
                    break
                while await other_tasks():
                    pass
                assert unnamed_files() == before

    run_on("asyncio", main())


def test_iterator_that_outlives_its_loop_is_forgotten_quietly(server: CountingServer) -> None:
    async def begun() -> tuple[FetchPool, Outcomes]:
        pool = FetchPool(Config())
        await pool.__aenter__()
        outcomes = pool.fetch([server.url("/a"), server.url("/b")])
        await anext(outcomes)
        await pool.__aexit__(None, None, None)
        return pool, outcomes

    pool, outcomes = asyncio.run(begun())
    del pool, outcomes
    gc.collect()


def test_blank_strings_and_comments_are_skipped_and_counted(server: CountingServer) -> None:
    async def main() -> None:
        lines = ["# pages\n", "\n", f"{server.url('/a')}\n", "  \r\n", "no url\n"]
        async with FetchPool(Config()) as pool:
            outcomes = pool.fetch(lines)
            found = {each.request.seq: each.error async for each in outcomes}
            assert found == {3: None, 5: "input"}
            assert outcomes.skipped == 3

    run_on("asyncio", main())

"""`fetchpool.run`: the command line's own door, from a program that watches for what it leaves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from tests.harness import check_bodies, clean_environment, read_records
from tests.program.helpers import (
    PATIENCE_S,
    check_records,
    eventually,
    hits,
    start,
    write_list,
)
from tests.servers.counting import CountingServer

STRICT = (sys.executable, "-W", "error", "-c")
"""Python that makes an error of every warning, so also complains of what was left open."""

PRELUDE = """
import gc, json, os, sys, threading, time
import fetchpool

def leftovers(threads):
    gc.collect()
    end = time.monotonic() + 20
    while threading.active_count() > threads and time.monotonic() < end:
        time.sleep(0.01)
    return [thread.name for thread in threading.enumerate()][threads:]

def more_descriptors(before):
    end = time.monotonic() + 20
    while descriptors() - before and time.monotonic() < end:
        time.sleep(0.01)  # c-ares closes its own in a thread of its own
    return sorted(descriptors() - before)

def descriptors():
    return {os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
            if os.path.exists(f"/proc/self/fd/{n}")}
"""


def run_program(source: str, folder: Path) -> Any:
    """Run *source* after the prelude under strict Python; return the JSON it prints."""
    ran = subprocess.run(
        [*STRICT, PRELUDE + textwrap.dedent(source)],
        cwd=folder,
        env=clean_environment(folder),
        capture_output=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    assert ran.stderr == b""
    return json.loads(ran.stdout)


def test_run_returns_the_summary_and_leaves_nothing_behind(
    server: CountingServer, tmp_path: Path
) -> None:
    """Again and again in one process, on both loops; quiet on all streams.

    libuv and c-ares keep a pipe and a thread of their own once they were used: so, beyond the
    first run's.
    """
    urls = [server.url(f"/{i}") for i in range(30)] + [server.url("/x?status=404"), "no url"]
    write_list(tmp_path / "urls.txt", urls)
    found = run_program(
        """
        fetchpool.run(fetchpool.Config(retries=0), ["urls.txt"], "out")
        leftovers(2)
        threads, before = threading.active_count(), descriptors()
        summaries = []
        for name in ("auto", "asyncio"):
            config = fetchpool.Config(limit=5, retries=0, event_loop=name)
            summary = fetchpool.run(config, sources=["urls.txt"], output="out")
            summaries.append([summary.total, summary.ok, summary.failed, summary.exit_status])
        config = fetchpool.Config(retries=0, once=True)
        summary = fetchpool.run(config, ["urls.txt"], output="out")
        print(json.dumps({
            "summaries": summaries,
            "kept": [summary.kept, summary.exit_status],
            "threads": leftovers(threads),
            "descriptors": more_descriptors(before),
        }))
        """,
        tmp_path,
    )
    assert found == {
        "summaries": [[32, 30, {"404": 1, "input": 1}, 1]] * 2,
        "kept": [32, 1],
        "threads": [],
        "descriptors": [],
    }
    assert set(hits(server).values()) == {3}
    check_bodies(check_records(tmp_path / "out", urls), tmp_path / "out")


def test_mistakes_are_raised_before_anything_is_done(
    server: CountingServer, tmp_path: Path
) -> None:
    write_list(tmp_path / "urls.txt", [server.url("/a")])
    (tmp_path / "file").write_text("")
    found = run_program(
        """
        import asyncio
        from fetchpool.sources import InputError
        from fetchpool.output.ledger import OutputError
        threads = threading.active_count()
        config = fetchpool.Config()
        raised = []

        async def within_a_loop():
            fetchpool.run(config, ["urls.txt"])

        for kind, call in (
            (fetchpool.ConfigError, lambda: fetchpool.Config(limit=-1)),
            (fetchpool.ConfigError, lambda: fetchpool.run(config, ["urls.txt"], "a.tar")),
            (fetchpool.ConfigError, lambda: fetchpool.FetchPool(fetchpool.Config(cacert="none"))),
            (TypeError, lambda: fetchpool.run(config, "urls.txt")),
            (RuntimeError, lambda: asyncio.run(within_a_loop())),
            (InputError, lambda: fetchpool.run(config, ["missing.txt"])),
            (InputError, lambda: fetchpool.run(config, ["-"])),
            (OutputError, lambda: fetchpool.run(config, ["urls.txt"], "file")),
        ):
            try:
                call()
            except kind as error:
                raised.append(str(error))
        print(json.dumps([raised, leftovers(threads)]))
        """,
        tmp_path,
    )
    raised, left = found
    assert len(raised) == 8
    assert all(len(message) > 20 for message in raised)
    assert left == []
    assert not server.counts.hits


def test_interrupted_program_keeps_what_was_fetched(server: CountingServer, tmp_path: Path) -> None:
    held = [server.url("/b?until=100000"), server.url("/d?until=100000")]
    urls = [server.url("/a"), held[0], server.url("/c"), held[1]]
    write_list(tmp_path / "urls.txt", urls)
    source = """
    try:
        fetchpool.run(fetchpool.Config(limit=2), ["urls.txt"], "out")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(9)
    """
    program = [*STRICT, PRELUDE + textwrap.dedent(source)]
    with start([], cwd=tmp_path, program=program) as process:
        # Two at a time: when the last one is asked for, the program has two answers.
        eventually(lambda: len(server.counts.hits) == 4, "all are asked for")
        process.send_signal(signal.SIGINT)
        assert process.ended() == (9, "")
    assert {record["url"] for record in read_records(tmp_path / "out")} == {urls[0], urls[2]}


def test_pool_hands_back_bodies_without_a_store(server: CountingServer, tmp_path: Path) -> None:
    found = run_program(
        f"""
        import asyncio
        urls = [{server.url("/a")!r}, {server.url("/b?status=404")!r}, "no url"]
        async def main():
            async with fetchpool.FetchPool(fetchpool.Config(retries=0)) as pool:
                rows = [[o.request.url, o.ok, o.error, o.body and o.body.decode()]
                        async for o in pool.fetch(urls)]
                async for outcome in pool.fetch(iter(urls)):
                    break  # and leave the rest
                return rows
        asyncio.run(main())
        leftovers(2)
        threads, before = threading.active_count(), descriptors()
        rows = sorted(asyncio.run(main()))
        print(json.dumps([rows, leftovers(threads), more_descriptors(before)]))
        """,
        tmp_path,
    )
    rows, threads, descriptors = found
    assert sorted(row[1:3] for row in rows) == [[False, "input"], [False, "status"], [True, None]]
    assert next(row[3] for row in rows if row[1]).endswith(" /a")
    assert (threads, descriptors) == ([], [])


def test_pool_whose_loops_were_left_leaves_nothing_behind(
    server: CountingServer, tmp_path: Path
) -> None:
    """With requests under way each time, on both loops and over both exchanges."""
    urls = [server.url("/a"), *(server.url(f"/{n}?until=100000") for n in range(20))]
    found = run_program(
        f"""
        import asyncio, uvloop
        urls, quick = {urls!r}, [{server.url("/b")!r}, "# none", {server.url("/c")!r}]

        async def leave_by_exception(pool):
            async for outcome in pool.fetch(urls):
                raise LookupError

        async def leave_by_time(pool):
            async with asyncio.timeout(0.2):
                async for outcome in pool.fetch(urls):
                    pass

        async def main(exchange):
            counts = []
            async with fetchpool.FetchPool(
                fetchpool.Config(limit=5, exchange=exchange, proxy="")
            ) as pool:
                async for outcome in pool.fetch(urls):
                    break
                counts.append(len([each async for each in pool.fetch(quick)]))
                for leave, error in (
                    (leave_by_exception, LookupError), (leave_by_time, TimeoutError)
                ):
                    try:
                        await leave(pool)
                    except error:
                        counts.append(len([each async for each in pool.fetch(iter(quick))]))
                async for outcome in pool.fetch(urls):
                    break  # and leave the pool, too
            return counts, len(asyncio.all_tasks())

        def run(factory, exchange):
            with asyncio.Runner(loop_factory=factory) as runner:
                return runner.run(main(exchange))

        loops = [uvloop.new_event_loop, asyncio.new_event_loop]
        run(loops[0], "direct")
        leftovers(2)
        threads, before = threading.active_count(), descriptors()
        counts = [run(loop, exchange) for loop in loops for exchange in ("direct", "session")]
        print(json.dumps([counts, leftovers(threads), more_descriptors(before)]))
        """,
        tmp_path,
    )
    assert found == [[[[2, 2, 2], 1]] * 4, [], []]
    eventually(lambda: server.open_connections == 0, "all connections are closed")

"""What `fetchpool tune` finds: over models of hosts, and over a real server within its budget."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.cli.screens import Screen
from fetchpool.cli.tune import command_of, tune_lines
from fetchpool.config import Config, ConfigError
from fetchpool.config.tune_settings import LEAST_BUDGET, read_budget
from fetchpool.model.slot_time import SlotTime
from fetchpool.model.values import Request
from fetchpool.reporting.terminal.terminal import ASCII, UNICODE
from fetchpool.run.tuning import Found, Measured, Step, Trials, Tuned, sample_of, search
from fetchpool.run.tuning.trial import steady_rate
from fetchpool.sources import open_sources
from tests.harness import run_fetchpool

Model = Callable[[Config], tuple[float, dict[str, float], float]]
"""Settings → URLs a second, where the time goes, how busy the event loop is."""


Measure = Callable[[Config, int], Measured | None]


def measuring(model: Model, budget: int = 100) -> tuple[Measure, list[Config]]:
    """Return what measures by *model*, so many trials at most, and the settings asked for."""
    asked: list[Config] = []

    def measure(config: Config, count: int) -> Measured | None:
        if len(asked) >= budget:
            return None
        asked.append(config)
        fast, parts, busy = model(config)
        time = SlotTime(slots=100, slot_s=sum(parts.values()), parts=parts, busiest=busy)
        return Measured(fast, count, time)

    return measure, asked


def one_host(config: Config) -> tuple[float, dict[str, float], float]:
    """A host that takes as much as it gets, up to 40 at once."""
    at_once = min(int(config.per_host), 40)
    return 10.0 * at_once, {"per_host": 100.0 - at_once, "first_byte": float(at_once)}, 0.1


def many_hosts(config: Config) -> tuple[float, dict[str, float], float]:
    return 5.0 * int(config.limit), {"first_byte": 95.0, "own": 5.0}, 0.1


def busy(config: Config) -> tuple[float, dict[str, float], float]:
    return 1000.0 * (2 if config.workers == 0 else 1), {"first_byte": 50.0, "own": 50.0}, 0.97


def closing(config: Config) -> tuple[float, dict[str, float], float]:
    """Servers that do better with a new connection each time."""
    return 200.0 if config.force_close else 100.0, {"first_byte": 30.0, "tail": 70.0}, 0.1


def even(_: Config) -> tuple[float, dict[str, float], float]:
    return 100.0, {"list": 90.0, "own": 10.0}, 0.1


@pytest.mark.parametrize(
    ("model", "options", "cores"),
    [
        (one_host, ("--per-host 40",), 1),
        (many_hosts, ("--limit 1024",), 1),
        (busy, ("--workers 0",), 2),
        (busy, (), 1),
        (closing, ("--force-close",), 2),
        (even, (), 2),
    ],
)
def test_what_is_found(model: Model, options: tuple[str, ...], cores: int) -> None:
    measure, asked = measuring(model)
    found = search(Config(), measure, 10, cores)
    assert found is not None
    assert found.options == options
    assert found.is_whole
    assert model(found.config)[0] == max(model(each)[0] for each in asked)


def test_a_change_within_the_spread_is_none() -> None:
    rates = iter([100.0, 140.0, 150.0, 110.0, 115.0, *[100.0] * 20])
    measure, _ = measuring(lambda _: (next(rates), {"per_host": 90.0, "own": 10.0}, 0.1))
    found = search(Config(), measure, 10, 1)
    assert found is not None
    assert found.options == ()
    assert found.steps[1].option == "--per-host 20"
    assert not found.steps[1].is_kept


def test_force_close_of_the_user_is_tried_without() -> None:
    def model(config: Config) -> tuple[float, dict[str, float], float]:
        return 50.0 if config.force_close else 100.0, {"connect": 90.0, "own": 10.0}, 0.1

    measure, _ = measuring(model)
    found = search(Config(force_close=True), measure, 10, 1)
    assert found is not None
    assert not found.config.force_close
    assert command_of(found, ["urls.txt"]) == "fetchpool get urls.txt"


@given(st.integers(0, 60), st.sampled_from([one_host, many_hosts, busy, closing, even]))
def test_whatever_the_budget_what_is_found_was_measured(budget: int, model: Model) -> None:
    measure, asked = measuring(model, budget)
    found = search(Config(), measure, 10, 2)
    if found is None:
        assert budget < 2
        return
    assert found.config in asked
    assert model(found.config)[0] >= model(Config())[0]


@given(st.lists(st.floats(0, 1e6), max_size=200).map(sorted))
def test_rate_is_that_of_the_middle(ends: list[float]) -> None:
    assert steady_rate(ends) >= 0.0


def test_rate_leaves_out_how_a_trial_starts_and_ends() -> None:
    slow, steady, last = [0.0, 5.0], [10 + n / 100 for n in range(100)], [30.0, 40.0]
    assert steady_rate([*slow, *steady, *last]) == pytest.approx(100.0)


def test_sample_is_of_what_may_be_asked_on_trial(tmp_path: Path) -> None:
    listing = tmp_path / "urls.jsonl"
    rows = [{"url": f"http://h{n % 7}.test/{n}", "method": "GET"} for n in range(500)]
    rows += [{"url": "http://post.test/", "method": "POST"}, {"url": "no url"}]
    listing.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = Config(column=("url=url", "method=method"))
    with open_sources([str(listing)], None, ask=config.ask, reading=config.reading) as lists:
        sample = sample_of(lists, config, 100)
    assert len({request.url for request in sample}) == 100
    assert {request.method for request in sample} == {"GET"}
    assert len({request.url.split("/")[2] for request in sample}) == 7


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_lines(columns: int, glyphs: object) -> None:
    steps = (
        Step("", (50.0, 52.0), (), True),
        Step("--per-host 20", (90.0, 94.0), (51.0, 50.0), True),
        Step("--force-close", (80.0, 60.0), (92.0, 91.0)),
    )
    time = SlotTime(slots=100, slot_s=10.0, parts={"per_host": 8.0, "own": 2.0})
    found = Found(Config(per_host=20), ("--per-host 20",), steps, time, False)
    whole = Tuned(found, 9, 1200, tuple(f"h{n}.test" for n in range(5)))
    lines = tune_lines(found, whole, ["urls.txt"], Screen(columns, glyphs, False, 30))  # type: ignore[arg-type]
    text = " ".join(" ".join(lines).split())
    assert "--per-host 20 92 4 % 1.82 better" in text
    assert "--force-close 70 29 % 0.77 no clear gain" in text
    assert "use fetchpool get urls.txt --per-host 20" in text
    assert "bound by hosts at 20 per host 80 %" in text
    assert "1,200 requests made; there was no budget" in text
    assert "h0.test, h1.test, h2.test and 2 more: asked no more" in text
    assert max(len(line) for line in lines if not line.startswith("use")) <= max(columns, 55)


def test_budget_is_a_number() -> None:
    assert (read_budget(None), read_budget("50")) == (2000, 50)
    for text in ("0", "x", str(LEAST_BUDGET - 1)):
        with pytest.raises(ConfigError, match="--budget"):
            read_budget(text)


def test_a_host_that_refuses_is_asked_no_more_and_the_budget_holds(tmp_path: Path) -> None:
    asked: Counter[str] = Counter()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            name = head.split(b"Host: ")[1].split(b":")[0].decode()
            asked[name] += 1
            if name == "127.0.0.3":  # each hop would be one request more
                to = b"http://127.0.0.1" + head.split(b"127.0.0.3")[1].split(b"\r\n")[0]
                writer.write(b"HTTP/1.1 302 No\r\nLocation: %s/\r\nContent-Length: 0\r\n\r\n" % to)
            elif name == "127.0.0.2":
                writer.write(b"HTTP/1.1 429 No\r\nRetry-After: 600\r\nContent-Length: 0\r\n\r\n")
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def work() -> str:
        server = await asyncio.start_server(answer, "0.0.0.0", 0)
        port = server.sockets[0].getsockname()[1]
        urls = (f"http://127.0.0.{1 + n % 3}:{port}/{n}\n" for n in range(300))
        (tmp_path / "urls.txt").write_text("".join(urls))
        arguments = ("tune", "urls.txt", "--budget", "200", "--json")
        result = await asyncio.to_thread(lambda: run_fetchpool(arguments, cwd=tmp_path))
        server.close()
        assert result.returncode == 0, result.stderr
        return result.stdout

    said = json.loads(asyncio.run(work()))
    assert [host.split(":")[0] for host in said["refused_hosts"]] == ["127.0.0.2"]
    assert 1 <= asked["127.0.0.2"] <= 10  # those that were under way together
    assert said["requests"] <= sum(asked.values()) <= 200
    assert said["steps"][0]["option"] is None
    assert said["command"].startswith("fetchpool get urls.txt")
    assert not (tmp_path / "urls.fetched").exists()


def test_a_host_that_refuses_several_processes_is_asked_no_more(tmp_path: Path) -> None:
    asked: Counter[str] = Counter()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            name = head.split(b"Host: ")[1].split(b":")[0].decode()
            asked[name] += 1
            status = b"503 No\r\nRetry-After: 0" if name == "127.0.0.2" else b"200 OK"
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % status)

    async def work() -> None:
        server = await asyncio.start_server(answer, "0.0.0.0", 0)
        port = server.sockets[0].getsockname()[1]
        sample = [Request(f"http://127.0.0.{1 + n % 2}:{port}/{n}") for n in range(8)]
        trials = Trials(sample, 100)
        measured = await asyncio.to_thread(trials.measure, Config(workers=2), 8)
        assert measured is not None
        assert trials.refused == {f"127.0.0.2:{port}"}
        assert (trials.left, measured.requests) == (100 - 16, 8)
        server.close()

    asyncio.run(work())
    assert asked == {"127.0.0.1": 12, "127.0.0.2": 4}

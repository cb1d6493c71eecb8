"""`fetchpool explain`: what it shows, and what it says where there is nothing to show."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from fetchpool.cli.explain import explain, explain_lines, explain_shards
from fetchpool.cli.screens import Screen
from fetchpool.model.slot_time import Connections, HostTime, Lookups, RunAccount, SlotTime
from fetchpool.output.ledger.accounts import COMMANDS_KEPT, read_accounts, write_accounts
from fetchpool.output.ledger.finish import LAST_AT_MOST, read_finish
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.shards.finding import Shards
from fetchpool.reporting.diagnosis import side_by_side
from fetchpool.reporting.terminal.terminal import ASCII, UNICODE

BEGAN = 1_700_000_000.0


def account(*, seconds: float = 10.0, ended: bool = True) -> RunAccount:
    parts = {"first_byte": 200.0, "own": 50.0, "per_host": 700.0, "tail": 50.0}
    hosts = [
        HostTime("big\x1b[31m.example:8080", 100.0, {"per_host": 650.0}),
        HostTime("x" * 200, 80.0, {}),
    ]
    time = SlotTime(
        slots=100,
        slot_s=1000.0,
        parts=parts,
        cpu_s=1.5,
        busiest=0.15,
        hosts=hosts,
        connections=Connections(opened=12, reused=88, closed_by_server=3, tls_full=9),
        lookups=Lookups(asked=4, cached=8, failed=1, seconds=0.2),
    )
    return RunAccount(
        BEGAN, seconds, ended=ended, done=100, time=time, limits={"limit": "100", "per_host": "10"}
    )


def record(number: int, at: float, *, host: str = "a.example", took: float = 0.5) -> bytes:
    started = BEGAN + at - took
    moment = f"2023-11-14T22:13:{started - BEGAN + 20:06.3f}Z"
    return (
        json.dumps(
            {
                "seq": number,
                "url": f"http://{host}/{number}",
                "ok": True,
                "status": 200,
                "error": None,
                "detail": None,
                "final_url": None,
                "redirects": 0,
                "attempts": 2,
                "bytes": 1,
                "wire_bytes": 1,
                "started_at": moment,
                "elapsed_s": took,
            }
        )
        + "\n"
    ).encode()


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    layout = Layout(tmp_path)
    layout.private.mkdir()
    ends = [*(number / 50 for number in range(1, 100)), 9.0]
    hosts = ["a.example"] * 99 + ["slow.example"]
    layout.ledger.write_bytes(
        b"".join(
            record(number, at, host=host)
            for number, (at, host) in enumerate(zip(ends, hosts, strict=True), 1)
        )
    )
    return tmp_path


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_lines_fit_the_screen(dest: Path, columns: int, glyphs: object) -> None:
    screen = Screen(columns, glyphs, False, columns - 3)  # type: ignore[arg-type]
    finish = read_finish(Layout(dest).ledger, BEGAN)
    lines = explain_lines("pages", account(), 1, finish, screen)
    assert max(map(len, lines)) <= columns, max(lines, key=len)
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert "hosts at --per-host" in text
    assert "70 %" in text


def test_everything_is_there(dest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_accounts(Layout(dest), [account()])
    assert explain(str(dest)) == 0
    said = " ".join(capsys.readouterr().out.split())
    for part in (
        "100 URLs in 10.0 s",
        ".example:8080 at 10 per host 70 %",
        "event loop busy 15 %",
        "waiting for the first byte",
        "12 opened, 88 requests reused one; TLS 9 full, 0 resumed",
        "closed 3 by servers",
        "4 looked up, 8 from memory; 50 ms each; 1 failed",
        "the last after 9.0 s",
        "slow.example 1",
        "took 500 ms in 2 attempts: http://slow.example/100",
        "advice --per-host 20",
    ):
        assert part in said, (part, said)


def test_json_has_the_same(dest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_accounts(Layout(dest), [account(ended=False), account()])
    assert explain(str(dest), as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["commands"], said["urls"], said["slots"], said["ended"]) == (2, 200, 100, True)
    assert sum(said["parts"].values()) == said["slot_seconds"] == 2000.0
    assert said["bound_by"][0]["key"] == "per_host"
    assert said["advice"][0]["option"] == "--per-host 20"
    assert said["finish"]["done"]["1"] == pytest.approx(9.0, abs=0.002)
    assert said["finish"]["last_url"]["url"] == "http://slow.example/100"


def test_without_an_account_it_says_so(
    dest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(str(dest)) == 2
    assert "doesn't say where its time went" in capsys.readouterr().err
    Layout(dest).account.write_bytes(b'{"version":1,"commands":[{')
    assert explain(str(dest)) == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    assert explain(str(empty)) == 2
    assert "holds no run" in capsys.readouterr().err
    assert explain("no\0where") == 2


def test_the_last_commands_are_kept(dest: Path) -> None:
    layout = Layout(dest)
    write_accounts(layout, [account(seconds=float(number)) for number in range(30)])
    kept = read_accounts(layout)
    assert [each.seconds for each in kept] == [float(n) for n in range(30 - COMMANDS_KEPT, 30)]


def test_finish_counts_this_command_only(dest: Path) -> None:
    ledger = Layout(dest).ledger
    whole = read_finish(ledger, BEGAN)
    assert whole is not None
    assert (whole.urls, whole.last) == (76, 1)  # those that started before it began are not its own
    assert whole.done_s[0.5] == pytest.approx(1.26, abs=0.03)
    assert read_finish(ledger, BEGAN + 100) is None


def test_finish_of_a_long_ledger_is_about_its_last_part(tmp_path: Path) -> None:
    ledger = tmp_path / "results.jsonl"
    lines = (record(n, 1 + n / 10_000, took=0.1, host=f"h{n % 7}") for n in range(1, 12_001))
    ledger.write_bytes(b"not a record\n" + b"".join(lines))
    finish = read_finish(ledger, BEGAN)
    assert finish is not None
    assert finish.urls == 12_000
    assert finish.last == 120 <= LAST_AT_MOST
    assert len(finish.hosts) == 5
    for share in (0.5, 0.9, 0.99):
        assert finish.done_s[share] == pytest.approx(1 + share * 1.2, abs=0.01)


class TwoShards:
    """Of three shards, one run fetched two; the third has not begun."""

    dest = "pages"

    def __init__(self, place: Path) -> None:
        self._place = place

    def __iter__(self) -> Iterator[int]:
        return iter(range(3))

    @contextmanager
    def records_of(self, shard: int) -> Iterator[Path | None]:
        yield None if shard == 2 else self._place


def test_shards_are_explained_together(dest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards = cast("Shards", TwoShards(dest))
    assert explain_shards(shards) == 2
    assert "no shard in pages" in capsys.readouterr().err
    write_accounts(Layout(dest), [account()])
    assert explain_shards(shards) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "100 URLs in 10.0 s" in said  # not 200: both have the one run's account
    assert "of 1 shard it isn't known" in said
    assert explain_shards(shards, as_json=True) == 0
    object_ = json.loads(capsys.readouterr().out)
    assert (object_["shards_without"], object_["slots"]) == (1, 100)


def test_shards_of_several_runs_add_up() -> None:
    first, second = account(), account(seconds=20.0, ended=False)
    second.began_at += 5.0
    both = side_by_side([first, second, first])
    assert (both.seconds, both.done, both.ended) == (25.0, 200, False)
    assert (both.time.slots, both.time.slot_s) == (200, 2000.0)

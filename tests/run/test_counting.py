"""What a run has recorded: counted once, and its failures found wherever their records are."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetchpool.model.values import FailureKind, Outcome, Request
from fetchpool.output.ledger import Record, encode
from fetchpool.output.ledger.entries import read_entry
from fetchpool.reporting.stats import Ending, FailureGroup, Stats
from fetchpool.run.counting import Counting
from tests.ledger.runs import outcome


def failed(seq: int, **changes: object) -> Outcome:
    request = Request(f"http://u:canary@h/{seq}", seq)
    fields = {"status": None, "error": FailureKind.TIMEOUT, "detail": "slow", **changes}
    return outcome(request, ok=False, **fields)


def listed(groups: list[FailureGroup]) -> list[tuple[str, int, list[str]]]:
    return [(group.label, group.count, [line.url for line in group.lines]) for group in groups]


def write(path: Path, *outcomes: Outcome) -> Path:
    path.write_bytes(b"".join(encode(Record.of(each)) for each in outcomes))
    return path


@pytest.mark.parametrize("wanted", [0, 2, "all"])
async def test_failures_of_this_command_need_no_ledger(wanted: int | str) -> None:
    stats = Stats(0.0)
    account = Counting(stats, wanted, ["urls.txt"])
    account.recorded([failed(3), outcome(Request("http://h/", 4)), failed(1), failed(2)])
    urls = [f"http://***@h/{seq}" for seq in (1, 2, 3)]
    shown = 3 if wanted == "all" else int(wanted)
    expected = [("timeout", 3, urls[:shown])] if wanted != 0 else []
    assert listed(await account.failures([])) == expected
    assert stats.summary(1.0, Ending(exit_status=1)).total == 4


async def test_failures_kept_from_before_are_read_from_the_ledger(tmp_path: Path) -> None:
    ledger = write(tmp_path / "results.jsonl", failed(1), failed(2, detail="9 of 10"), failed(3))
    stats = Stats(0.0)
    account = Counting(stats, 20, ["urls.txt"])
    entry = read_entry(ledger.read_bytes().splitlines()[0])
    assert entry is not None
    account.recorded([entry, failed(2, detail="9 of 10")])
    assert stats.summary(1.0, Ending(exit_status=1)).kept == 1
    assert listed(await account.failures([ledger])) == [
        ("timeout", 2, ["http://***@h/1", "http://***@h/3"]),
        ("timeout", 1, ["http://***@h/2"]),
    ]
    ledger.unlink()  # then what this command knows is better than nothing
    assert listed(await account.failures([ledger])) == [("timeout", 1, ["http://***@h/2"])]


async def test_all_failures_are_read_as_they_are_listed(tmp_path: Path) -> None:
    ledger = write(tmp_path / "results.jsonl", *(failed(seq) for seq in range(1, 40)))
    groups = await Counting(Stats(0.0), "all", ["urls.txt"]).failures([ledger])
    assert [(group.count, group.listed) for group in groups] == [(39, 39)]
    for _ in range(2):
        assert [line.seq for line in groups[0].lines] == list(range(1, 40))
    ledger.unlink()
    assert list(groups[0].lines) == []

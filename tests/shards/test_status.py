"""How shards stand, as `fetchpool status` says it of all of them."""

from __future__ import annotations

import time
from pathlib import Path

from fetchpool import Config, Shard
from fetchpool.cli.shards import shards_lines, shards_object
from fetchpool.output.ledger import Totals
from fetchpool.output.shards.finding import shards_at
from fetchpool.output.shards.standing import (
    NOT_BEGUN,
    RUNNING,
    SILENT_S,
    STOPPED,
    ShardStanding,
    standings,
)
from fetchpool.run import run
from tests.servers.counting import CountingServer
from tests.shards.lists import QUICK, fullest, mixed, records_of_all, run_shards, write_lines


def test_all_shards_are_told_together(crowd: CountingServer, tmp_path: Path) -> None:
    source = write_lines(tmp_path / "urls.txt", mixed(crowd))
    out = tmp_path / "out"
    run_shards(source, out, 4)
    records = records_of_all(out)
    index = fullest(out)
    ledger = out / Shard(index, 4).directory / "results.jsonl"
    *kept, _ = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(kept) + b"torn")
    run(Config(**QUICK), [str(source)], tmp_path / "other", shard="2/5")
    (tmp_path / "other" / Shard(2, 5).directory).rename(out / Shard(2, 5).directory)
    shards = shards_at(str(out))
    assert shards is not None
    found = standings(shards)
    told = shards_object(shards, found, time.time())
    others = [number for number in range(4) if number != index]
    assert (told["phase"], told["stopped"], told["finished"]) == ("stopped", [index], others)
    assert (told["urls"], told["records"], told["left"]) == (len(records), len(records) - 1, 1)
    assert told["ok"] + told["failed"] == told["records"]
    assert told["of_another_n"] == [Shard(2, 5).directory]
    assert told["parts"][index]["left"] == 1
    text = "\n".join(shards_lines(shards, found, time.time()))
    assert "4 shards: 3 finished, 1 stopped" in text
    assert f"\nstopped: {index}\n  {index}/4  1 URL left, last record " in text
    assert "shard-00002-of-00005" in text


def test_a_shard_that_is_on_and_says_nothing_is_named() -> None:
    def standing(phase: str, last_at: float | None) -> bool:
        return ShardStanding(Shard(0, 4), phase, Totals(), last_at=last_at).is_silent(10_000.0)

    assert not standing(RUNNING, 10_000.0 - SILENT_S)
    assert standing(RUNNING, 9_999.0 - SILENT_S)
    assert standing(RUNNING, None)
    assert not standing(STOPPED, 0.0)
    assert not standing(NOT_BEGUN, None)


def test_what_is_no_dest_of_shards_has_none(tmp_path: Path) -> None:
    assert shards_at(str(tmp_path)) is None
    assert shards_at(str(tmp_path / "nowhere")) is None

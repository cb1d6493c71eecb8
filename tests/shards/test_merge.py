"""`fetchpool merge`: complete means each line once; what is missing or double is named."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool import Config, Shard
from fetchpool.cli.merge import merge
from fetchpool.output.ledger import Bitmap
from fetchpool.output.shards import merging
from fetchpool.output.shards.merging import look_at, ranges_of
from fetchpool.run import run
from tests.harness import read_records
from tests.servers.counting import CountingServer
from tests.shards.lists import QUICK, fullest, mixed, records_of_all, run_shards, write_lines

N = 4


@pytest.fixture
def dest(crowd: CountingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DEST of four finished shards, of which all lines are told that have something wrong."""
    monkeypatch.setattr(merging, "MOST_TOLD", 1000)
    source = write_lines(tmp_path / "urls.txt", mixed(crowd))
    run_shards(source, tmp_path / "out", N)
    return tmp_path / "out"


def part(dest: Path, index: int) -> Path:
    return dest / Shard(index, N).directory


def refusal(capsys: pytest.CaptureFixture[str], *names: Path) -> str:
    """Return what a merge that finds something wrong says, without the last line."""
    assert merge([str(name) for name in names], None, None) == 1
    *problems, last = capsys.readouterr().err.splitlines()
    assert last == "fetchpool: not complete: nothing was written"
    return "\n".join(problem.removeprefix("fetchpool: ") for problem in problems)


def numbers_in(problem: str) -> set[int]:
    """Return the lines that a problem names, which must be few enough to be named all."""
    numbers: set[int] = set()
    for span in problem.rpartition(": ")[2].split(", "):
        first, _, last = span.partition("-")
        numbers.update(range(int(first), int(last or first) + 1))
    return numbers


def test_all_shards_come_to_a_manifest_and_one_file_of_records(
    dest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert merge([str(dest)], None, str(tmp_path / "all.jsonl")) == 0
    assert "each once" in capsys.readouterr().err
    lines = (tmp_path / "all.jsonl").read_text().splitlines()
    merged = sorted(map(json.loads, lines), key=lambda record: record["seq"])
    assert merged == records_of_all(dest), "paths are those from DEST on"
    manifest = json.loads((dest / "_manifest.json").read_text())
    total = Counter(record["ok"] for record in merged)
    told = {key: manifest[key] for key in ("shards", "records", "ok", "failed")}
    assert told == {"shards": N, "records": len(merged), "ok": total[True], "failed": total[False]}
    assert manifest["lines"] == len(merged) + manifest["without_request"]
    assert [each["directory"] for each in manifest["parts"]] == [
        Shard(index, N).directory for index in range(N)
    ]
    for each in manifest["parts"]:
        ledger = dest / each["ledger"]["file"]
        assert ledger.stat().st_size == each["ledger"]["bytes"]


def test_bodies_in_containers_are_found_from_the_manifest(
    crowd: CountingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_lines(tmp_path / "urls.txt", mixed(crowd))
    out = tmp_path / "out"
    run_shards(source, out, 2, store="tar", carry="all")
    assert merge([str(out)], None, str(tmp_path / "all.jsonl")) == 0
    manifest = json.loads((out / "_manifest.json").read_text())
    containers = [each for shard in manifest["parts"] for each in shard["containers"]]
    sizes = {each["file"]: each["bytes"] for each in containers}
    assert len(sizes) == 2
    for line in (tmp_path / "all.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record.get("container") is not None:
            body = (out / record["container"]).read_bytes()[record["offset"] :][: record["length"]]
            assert body.startswith(f"{urlsplit(record['final_url']).netloc} ".encode())
    for name, size in sizes.items():
        assert (out / name).stat().st_size == size
        (out / name).unlink()
    capsys.readouterr()
    assert refusal(capsys, out).count("is not there, and records name it") == 2


def test_shards_from_several_disks_are_brought_together(
    dest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = tmp_path / "a" / "out", tmp_path / "b" / "elsewhere"
    for index in range(N):
        place = one if index % 2 else other
        place.mkdir(parents=True, exist_ok=True)
        shutil.move(part(dest, index), place / part(dest, index).name)
    records = tmp_path / "all.jsonl"
    assert merge([str(one), str(other)], str(tmp_path / "m.json"), str(records)) == 0
    for line in records.read_text().splitlines():
        path = json.loads(line)["path"]
        assert path is None or (tmp_path / path).is_file()
    capsys.readouterr()
    assert refusal(capsys, one).startswith("2 of 4 shards are not there: 0, 2\n")


def test_a_shard_that_is_missing_is_named_with_its_lines(
    dest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = fullest(dest)
    lines = [record["seq"] for record in read_records(part(dest, index))]
    shutil.rmtree(part(dest, index))
    told = refusal(capsys, dest)
    assert told.startswith(f"shard {index}/4 has no records: it has not begun\n")
    assert f"\n{len(lines)} lines without a record (among 3 lines that are no URL's): " in told
    assert len(numbers_in(told.splitlines()[1]) - set(lines)) == 3
    assert not (dest / "_manifest.json").exists()


def test_a_shard_that_was_stopped_is_named_with_its_lines(
    dest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    index = fullest(dest)
    ledger = part(dest, index) / "results.jsonl"
    *kept, lost = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(kept))
    told = refusal(capsys, dest)
    assert f"shard {index}/4 is not finished: 1 URL without a record" in told
    assert "\n1 line without a record (among 3 lines that are no URL's): " in told
    assert json.loads(lost)["seq"] in numbers_in(told.splitlines()[-1])


def test_records_that_are_there_twice_are_named(
    dest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = part(dest, fullest(dest)) / "results.jsonl"
    first = ledger.read_bytes().splitlines(keepends=True)[0]
    with ledger.open("ab") as file:
        file.write(first)
    number = json.loads(first)["seq"]
    assert refusal(capsys, dest).splitlines()[0] == f"1 line with more than one record: {number}"
    shutil.copytree(part(dest, 3), dest.parent / "copy")
    told = refusal(capsys, dest.parent / "copy", dest)
    assert "shard 3/4 is there twice: " in told


def test_shards_of_two_lists_are_told_apart(
    dest: Path, crowd: CountingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longer = write_lines(tmp_path / "longer.txt", [*mixed(crowd), "# one more"])
    shutil.rmtree(part(dest, 3))
    run(Config(**QUICK), [str(longer)], tmp_path / "other", shard=Shard(3, N))
    shutil.move(part(tmp_path / "other", 3), part(dest, 3))
    assert "the shards have not read one list: " in refusal(capsys, dest)


def test_lines_that_are_no_record_are_told(dest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = part(dest, 0) / "results.jsonl"
    with ledger.open("ab") as file:
        file.write(b"\0\0\0\n")
    assert "shard 0/4: 1 line of its results.jsonl can't be read" in refusal(capsys, dest)


def test_what_is_no_run_of_shards_is_refused(
    dest: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (tmp_path, tmp_path / "nowhere", tmp_path / "urls.txt"):
        assert merge([str(name)], None, None) == 2
        assert "Name the DEST of fetchpool get --shard" in capsys.readouterr().err


def test_nothing_of_nothing_is_complete() -> None:
    found = look_at([], 3)
    assert found.manifest is None
    assert found.problems == ["3 of 3 shards are not there: 0-2"]


def test_many_ranges_are_cut() -> None:
    assert ranges_of([(1, 1), (3, 5)]) == ["1", "3-5"]
    assert ranges_of([(n, n) for n in range(0, 50, 2)])[-2:] == ["38", "and more"]


@given(st.sets(st.integers(0, 200_000), max_size=40), st.integers(0, 200_000), st.data())
def test_spans_are_what_is_there_and_what_is_not(
    numbers: set[int], first: int, data: st.DataObject
) -> None:
    last = data.draw(st.integers(first, 200_000))
    bits = Bitmap()
    bits.add_all(numbers)
    assert list(bits.spans(first, last, there=True)) == spans_by_hand(
        sorted(number for number in numbers if first <= number <= last)
    )
    gaps = list(bits.spans(first, last, there=False))
    assert all(low <= high for low, high in gaps)
    missing = sum(high - low + 1 for low, high in gaps)
    assert missing == last - first + 1 - sum(first <= number <= last for number in numbers)
    assert all(number not in range(low, high + 1) for low, high in gaps for number in numbers)
    assert all(after[0] > before[1] + 1 for before, after in pairwise(gaps))


def spans_by_hand(numbers: list[int]) -> list[tuple[int, int]]:
    found: list[Any] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found

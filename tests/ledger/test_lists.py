"""Records follow their URLs when the list changes: the n-th occurrence gets the n-th record."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fetchpool.model.urls import hiding
from fetchpool.model.values import Request
from fetchpool.output.ledger import Flag, OutputError, RunDirectory, RunOptions, matching, waiting
from fetchpool.output.ledger.layout import Layout
from tests.ledger.runs import Run, append, read_records, urls, whole_lines

NewDirectory = Callable[[], Path]

SOME_URLS = st.lists(st.sampled_from(urls("a", "b", "c", "d")), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def new_directory(tmp_path_factory: pytest.TempPathFactory) -> NewDirectory:
    """Return what makes directories: hypothesis would share `tmp_path` among examples."""
    return lambda: tmp_path_factory.mktemp("run")


def answers(run: Run) -> dict[str, list[str]]:
    """Return when each URL was asked for, by line."""
    found: dict[str, list[str]] = {}
    for record in sorted(run.records(), key=lambda record: record["seq"]):
        found.setdefault(record["url"], []).append(record["started_at"])
    return found


def urls_known(run: Run) -> Counter[str]:
    """Return how many answers the directory holds for each URL, those that wait included."""
    waiting = run.dest / ".fetchpool" / "waiting.jsonl"
    waits = read_records(waiting) if waiting.exists() else []
    in_ledger, in_waiting = (
        Counter(record["url"] for record in records) for records in (run.records(), waits)
    )
    return in_ledger | in_waiting


@settings(max_examples=50)
@given(SOME_URLS, SOME_URLS, st.booleans(), st.integers(0, 12))
def test_nth_occurrence_gets_nth_record(
    new_directory: NewDirectory, old: list[str], new: list[str], by_pipe: bool, stop_after: int
) -> None:
    run = Run(new_directory())
    run.write_list(*old)
    finished = run.get(stop_after=stop_after, pipe=old if by_pipe else None)
    before = answers(run)
    run.fetched.clear()
    run.write_list(*new)
    assert run.get(Flag.ONCE if finished else Flag.PLAIN, pipe=new if by_pipe else None)

    assert run.by_seq() == run.expected(new)
    had = Counter(url for url, times in before.items() for _ in times)
    assert run.fetched == Counter(new) - had
    for url, times in answers(run).items():
        kept = before.get(url, [])[: len(times)]
        assert times[: len(kept)] == kept


@settings(max_examples=100)
@example(
    last=urls("d"),
    stops=[(urls("b", "b", "d", "a"), False, 3), (urls("a", "d"), True, 0), (urls("a"), False, 0)],
)
@given(
    last=SOME_URLS,
    stops=st.lists(st.tuples(SOME_URLS, st.booleans(), st.integers(0, 6)), max_size=4),
)
def test_any_sequence_of_stops_fetches_each_line_once(
    new_directory: NewDirectory, last: list[str], stops: list[tuple[list[str], bool, int]]
) -> None:
    run = Run(new_directory())
    most: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    for lines, by_pipe, stop_after in [*stops, (last, False, 99)]:
        run.write_list(*lines)
        had = urls_known(run) if most else Counter()
        if run.get(pipe=lines if by_pipe else None, stop_after=stop_after):
            break
        assert len(run.by_seq()) == len(run.records())
        most |= Counter(lines)
        dropped += had - Counter(lines)
    else:
        pytest.fail("the last command can't be stopped")
    assert run.by_seq() == run.expected(lines)
    # What a list left out may have to be fetched again by a later one, nothing else.
    surplus = run.fetched - (most | Counter(lines))
    assert not surplus - dropped


def test_urls_with_userinfo_are_fetched_anew_in_every_way(tmp_path: Path) -> None:
    for way in ("same file", "other file", "pipe"):
        run = Run(tmp_path / way)
        run.root.mkdir()
        lines = ["http://u:p1@h/x", "http://h/y", "http://u:p2@h/x", "http://h/z"]
        run.write_list(*lines)
        run.get(stop_after=3)
        run.fetched.clear()
        if way == "other file":
            run.write_list(*lines)
        assert run.get(pipe=lines if way == "pipe" else None)
        assert sorted(run.fetched) == ["http://h/z", "http://u:p1@h/x", "http://u:p2@h/x"]
        assert set(run.by_seq()) == {1, 2, 3, 4}
        assert "p1" not in run.ledger.read_text()


@pytest.mark.parametrize("way", ["same file", "other file", "pipe"])
def test_urls_with_a_marked_value_are_fetched_anew(tmp_path: Path, way: str) -> None:
    run = Run(tmp_path)
    lines = ["http://h/x?token=s1", "http://h/y", "http://h/x?token=s2", "http://h/z"]
    run.write_list(*lines)
    with hiding(["token"]):
        run.get(stop_after=3)
        run.fetched.clear()
        if way == "other file":
            run.write_list(*lines)
        assert run.get(pipe=lines if way == "pipe" else None)
    assert sorted(run.fetched) == ["http://h/x?token=s1", "http://h/x?token=s2", "http://h/z"]
    assert set(run.by_seq()) == {1, 2, 3, 4}
    assert "=s" not in run.ledger.read_text()


def contents_of(directory: Path) -> str:
    """Return what all files below *directory* hold."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return "".join(path.read_text(errors="replace") for path in files)


@pytest.mark.parametrize("way", ["same file", "other file", "pipe"])
def test_what_was_written_before_a_name_was_marked_does_not_stay(tmp_path: Path, way: str) -> None:
    run = Run(tmp_path)
    lines = ["http://h/x?token=s1", "http://h/y", "http://h/z"]
    run.write_list(*lines)
    run.get(stop_after=2)
    run.fetched.clear()
    if way == "other file":
        run.write_list(*lines)
    with hiding(["token"]):
        run.get(pipe=lines if way == "pipe" else None, stop_after=0)
        assert "=s1" not in contents_of(run.dest)
        assert run.get(pipe=lines if way == "pipe" else None)
    assert sorted(run.fetched) == ["http://h/x?token=s1", "http://h/z"]
    assert "=s1" not in contents_of(run.dest)


@pytest.mark.parametrize("way", ["same file", "other file", "pipe"])
def test_a_hidden_value_is_kept_for_nobody_who_forgets_to_mark_it(tmp_path: Path, way: str) -> None:
    run = Run(tmp_path)
    lines = ["http://h/x?token=s1", "http://h/y", "http://h/z?token=***"]
    run.write_list(*lines)
    with hiding(["token"]):
        run.get(stop_after=2)
    run.fetched.clear()
    if way == "other file":
        run.write_list(*lines)
    assert run.get(pipe=lines if way == "pipe" else None)
    assert sorted(run.fetched) == ["http://h/x?token=s1", "http://h/z?token=***"]


def test_unchanged_list_is_not_even_read(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_list(*urls("a", "b", "c"))
    run.get(stop_after=2)
    inode = run.ledger.stat().st_ino
    with run.open() as directory:
        settled = directory.settle(_never)
    assert settled.done is not None
    assert [seq in settled.done for seq in (1, 2, 3)] == [True, True, False]
    assert (settled.kept.records, settled.kept.ok, settled.kept.bytes) == (2, 2, 20)
    assert run.ledger.stat().st_ino == inode


def _never() -> list[Request]:
    raise AssertionError("the list was read")


@pytest.mark.parametrize("change", ["rewritten", "longer", "other name"])
def test_changed_list_is_read(tmp_path: Path, change: str) -> None:
    run = Run(tmp_path)
    run.write_list(*urls("a", "b"))
    run.get(stop_after=1)
    match change:
        case "rewritten":
            run.write_list(*urls("b", "a"))
        case "longer":
            with run.list.open("a") as file:
                file.write("http://h/c\n")
        case _:
            run.list = run.list.rename(tmp_path / "other.txt")
    assert run.get()
    assert run.by_seq() == run.expected()
    assert set(run.fetched.values()) == {1}


def test_record_takes_the_source_and_line_it_has_today(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_list(*urls("a", "b"))
    run.get(stop_after=1)
    other = tmp_path / "other.txt"
    other.write_text("http://h/c\n")
    lines = [("other.txt", 1, "c"), ("list.txt", 1, "a"), ("list.txt", 2, "b")]
    sources = [str(other), str(run.list)]
    with run.open(sources=sources) as directory:
        settled = directory.settle(
            lambda: [
                Request(f"http://h/{name}", seq=seq, source=source, line=line)
                for seq, (source, line, name) in enumerate(lines, 1)
            ]
        )
    assert settled.kept.records == 1
    (record,) = run.records()
    assert (record["seq"], record["source"], record["line"]) == (2, "list.txt", 1)


def test_what_reading_the_list_raises_comes_out_and_nothing_has_changed(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_list(*urls("a", "b", "c"))
    run.get(stop_after=2)
    before = run.ledger.read_bytes()
    run.write_list(*urls("c", "b", "a"))

    def broken() -> list[Request]:
        raise OSError(5, "the list is on a bad disk")

    with run.open() as directory, pytest.raises(OSError, match="bad disk"):
        directory.settle(broken)
    assert run.ledger.read_bytes() == before
    assert run.get()
    assert set(run.fetched.values()) == {1}


def test_failing_index_is_an_output_error(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_list(*urls("a", "b"))
    run.get(stop_after=1)
    run.write_list(*urls("b", "a"))
    with run.open() as directory:
        (run.dest / ".fetchpool" / "index").mkdir()
        with pytest.raises(OutputError):
            directory.settle(run.requests)


def test_records_of_a_pipe_wait_no_longer_when_it_ends(tmp_path: Path) -> None:
    run = Run(tmp_path)
    waiting = run.dest / ".fetchpool" / "waiting.jsonl"
    run.write_list(*urls("a", "b", "c"))
    run.get(stop_after=2)
    run.get(pipe=urls("b", "d", "e"), stop_after=1)
    assert len(whole_lines(waiting)) == 2
    assert run.get(pipe=urls("b", "d", "e"))
    assert not waiting.exists()
    assert run.by_seq() == run.expected(urls("b", "d", "e"))
    assert not list((run.dest / ".fetchpool").glob("index*"))


def test_file_after_pipe_takes_what_waited(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_list(*urls("a", "b", "c"))
    run.get(stop_after=2)
    run.get(pipe=urls("b", "d", "e"), stop_after=1)
    run.fetched.clear()
    assert run.get()
    assert set(run.fetched) == set(urls("c"))
    assert not (run.dest / ".fetchpool" / "waiting.jsonl").exists()


def test_hundred_thousand_lines_in_reverse(tmp_path: Path) -> None:
    count = 100_000
    run = Run(tmp_path)
    lines = urls(*map(str, range(count)))
    run.write_list(*lines)
    with run.open() as directory:
        ledger = directory.settle(run.requests).ledger
        template: dict[str, Any] = {
            "ok": True,
            "status": 200,
            "error": None,
            "bytes": 3,
            "wire_bytes": 2,
        }
        template |= {"started_at": None, "elapsed_s": 0.5}
        append(
            ledger,
            [
                json.dumps({"seq": seq, "url": url, **template}).encode() + b"\n"
                for seq, url in enumerate(lines[::2], 1)
            ],
        )
    run.write_list(*reversed(lines))
    with run.open() as directory:
        settled = directory.settle(run.requests)
        assert settled.kept.records == count // 2
        assert settled.done is not None
        assert all((seq in settled.done) == (seq % 2 == 0) for seq in range(1, count + 1))


def test_iterable_of_a_program_is_like_a_pipe(tmp_path: Path) -> None:
    options = RunOptions(durability="none")
    with RunDirectory.open(Layout(tmp_path / "d"), options, named=True, sources=[]) as directory:
        settled = directory.settle()
        assert settled.done is None
        assert settled.waiting is None


@pytest.mark.parametrize("flag", [Flag.ONCE, Flag.RETRY_FAILED])
def test_nothing_is_rewritten_where_all_is_kept(tmp_path: Path, flag: Flag) -> None:
    run = Run(tmp_path)
    run.write_list(*urls("a", "b"))
    run.get()
    inode = run.ledger.stat().st_ino
    assert run.get(flag)
    assert run.ledger.stat().st_ino == inode
    assert set(run.fetched.values()) == {1}


def test_pipe_gets_no_record_of_another_url_of_the_same_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (matching, waiting):
        monkeypatch.setattr(module, "hash", lambda _: 1, raising=False)
    run = Run(tmp_path)
    run.write_list(*urls("a", "b", "c"))
    run.get(stop_after=2)
    assert run.get(pipe=urls("c", "b", "a"))
    assert run.by_seq() == run.expected(urls("c", "b", "a"))

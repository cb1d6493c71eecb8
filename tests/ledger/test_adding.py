"""`--add`: lists that share a directory; each keeps its records, whatever happens to others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchpool.model.urls import hiding
from fetchpool.model.values import Request
from fetchpool.output.ledger import BodyOptions, CannotGoOnError, Flag, read_status
from tests.ledger.runs import Run, append, urls
from tests.ledger.test_kills import LIST

NewDirectory = Callable[[], Path]

A, B, C = urls("a1", "a2", "same"), urls("b1", "same", "b3", "b4"), urls("c1")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.fixture(scope="module")
def new_directory(tmp_path_factory: pytest.TempPathFactory) -> NewDirectory:
    """Return what makes directories: hypothesis would share `tmp_path` among examples."""
    return lambda: tmp_path_factory.mktemp("run")


def name(run: Run, file: str, *lines: str) -> None:
    """Let *file* be the list of the next commands; write *lines* to it, if there are any."""
    run.list = run.root / file
    if lines:
        run.write_list(*lines)


def add(run: Run, file: str, *lines: str, flag: Flag = Flag.PLAIN, **options: Any) -> bool:
    """Give the command that adds *file*."""
    name(run, file, *lines)
    return run.get(flag, add=True, **options)


def places(run: Run) -> list[tuple[str, int, str]]:
    """Return source, line and URL of all records in order of their numbers, each used once."""
    records = sorted(run.records(), key=lambda record: record["seq"])
    assert len({record["seq"] for record in records}) == len(records)
    return [(record["source"], record["line"], record["url"]) for record in records]


def listed(file: str, lines: list[str]) -> list[tuple[str, int, str]]:
    return [(file, number, url) for number, url in enumerate(lines, 1)]


def test_added_lists_are_numbered_one_after_another(run: Run) -> None:
    assert add(run, "a.txt", *A)
    assert add(run, "b.txt", "# a comment", *B, "#")
    assert add(run, "c.txt", *C)
    assert places(run) == [
        *listed("a.txt", A),
        *listed("b.txt", ["#", *B])[1:],
        *listed("c.txt", C),
    ]
    assert [record["seq"] for record in run.records()] == [1, 2, 3, 5, 6, 7, 8, 10]
    assert set(run.fetched.values()) == {1, 2}
    status = read_status(run.dest)
    assert (status.phase, status.requests, status.left) == ("finished", 8, 0)
    assert status.sources == ("a.txt", "b.txt", "c.txt")


def test_list_fetched_without_add_gets_its_name_when_another_comes(run: Run) -> None:
    name(run, "a.txt", *A)
    run.get()
    before = [(record["url"], record["started_at"]) for record in run.records()]
    assert add(run, "b.txt", *B)
    assert places(run) == [*listed("a.txt", A), *listed("b.txt", B)]
    assert [(r["url"], r["started_at"]) for r in run.records()][:3] == before


def test_adding_rewrites_nothing_where_records_name_their_source(run: Run) -> None:
    add(run, "a.txt", *A)
    before, inode = run.ledger.read_bytes(), run.ledger.stat().st_ino
    add(run, "b.txt", *B)
    add(run, "c.txt", *C)
    assert run.ledger.read_bytes().startswith(before)
    assert run.ledger.stat().st_ino == inode


@pytest.mark.parametrize("file", ["a.txt", "b.txt"])
@pytest.mark.parametrize("flag", [Flag.PLAIN, Flag.RETRY_FAILED, Flag.ONCE])
@pytest.mark.parametrize("changed", [False, True])
def test_flags_are_about_the_own_list_alone(run: Run, file: str, flag: Flag, changed: bool) -> None:
    run.failing = set(urls("a2", "b3"))
    add(run, "a.txt", *A)
    add(run, "b.txt", *B)
    run.fetched.clear()
    own, other = (A, B) if file == "a.txt" else (B, A)
    own = [*urls("new"), *reversed(own)] if changed else own
    add(run, file, *(own if changed else []), flag=flag)
    failing = [url for url in own if url in run.failing]
    new = urls("new") if changed else []
    expected = {Flag.PLAIN: own, Flag.RETRY_FAILED: [*failing, *new], Flag.ONCE: new}[flag]
    assert run.fetched == Counter(expected)
    other_file = "b.txt" if file == "a.txt" else "a.txt"
    assert places(run) == [*listed(other_file, other), *listed(file, own)] or (
        not changed
        and flag is not Flag.PLAIN
        and sorted(places(run)) == sorted([*listed(other_file, other), *listed(file, own)])
    )
    assert max(record["seq"] for record in run.records()) == len(own) + len(other)
    assert read_status(run.dest).phase == "finished"


def test_stopped_list_is_gone_on_with_also_after_others_were_added(run: Run) -> None:
    assert not add(run, "a.txt", *A, stop_after=1)
    assert add(run, "b.txt", *B)
    assert read_status(run.dest).phase == "stopped"
    assert add(run, "c.txt", *C)
    run.fetched.clear()
    assert add(run, "a.txt")
    assert run.fetched == Counter(A[1:])
    assert places(run) == [*listed("b.txt", B), *listed("c.txt", C), *listed("a.txt", A)]
    assert read_status(run.dest).phase == "finished"


def test_stopped_added_list_is_not_gone_on_with_by_what_does_not_fit(run: Run) -> None:
    add(run, "a.txt", *A, stop_after=1)
    add(run, "b.txt", *B, body=BodyOptions(hash=True))
    with pytest.raises(CannotGoOnError, match="--hash"):
        add(run, "a.txt", body=BodyOptions(hash=True))
    assert add(run, "a.txt")


def test_lists_that_share_a_directory_are_replaced_with_fresh_only(run: Run) -> None:
    add(run, "a.txt", *A)
    add(run, "b.txt", *B, stop_after=2)
    before = run.ledger.read_bytes()
    for flag in (Flag.PLAIN, Flag.RETRY_FAILED, Flag.ONCE):
        with pytest.raises(CannotGoOnError, match=r"other lists \(a\.txt\).*--add.*--fresh"):
            run.get(flag)
    assert run.ledger.read_bytes() == before
    assert run.get(Flag.FRESH)
    assert run.by_seq() == run.expected()


def test_all_lists_on_one_command_line_are_the_run_that_was_added_up(run: Run) -> None:
    add(run, "a.txt", *A)
    add(run, "b.txt", *B, stop_after=2)
    sources = [str(run.root / "a.txt"), str(run.root / "b.txt")]
    both = [
        Request(url, seq, source, line)
        for seq, (source, line, url) in enumerate([*listed("a.txt", A), *listed("b.txt", B)], 1)
    ]
    with run.open(sources=sources) as directory:
        settled = directory.settle(lambda: both)
        assert (settled.offset, settled.kept.records) == (0, len(A) + 2)
        append(settled.ledger, [run.fetch(each) for each in both[-2:]])
        assert settled.ledger.finish(len(both), len(both))
    assert places(run) == [*listed("a.txt", A), *listed("b.txt", B)]


def test_piped_lists_are_added_each_as_one_of_its_own(run: Run) -> None:
    assert run.get(pipe=A, add=True)
    assert run.get(pipe=B, add=True)
    assert run.get(pipe=A, add=True)
    assert places(run) == [*listed("-", A), *listed("-", B), *listed("-", A)]


def test_stopped_piped_list_is_gone_on_with_and_nothing_of_it_is_lost(run: Run) -> None:
    assert run.get(pipe=C, add=True)
    assert not run.get(pipe=A, add=True, stop_after=2)
    run.fetched.clear()
    today = [*urls("new"), *A[1:], *C]
    assert run.get(pipe=today, add=True)
    assert run.fetched == Counter([*urls("new"), A[2], *C])
    found = Counter(record["url"] for record in run.records())
    assert found == Counter([*C, *A[:2], *urls("new"), A[2], *C])
    assert len(places(run)) == len(run.records())
    assert read_status(run.dest).phase == "finished"
    run.fetched.clear()
    assert run.get(pipe=A, add=True)  # that one is finished: this is another list
    assert run.fetched == Counter(A)


def test_once_adds_what_no_piped_list_had(run: Run) -> None:
    run.get(pipe=A, add=True)
    run.get(pipe=B, add=True)
    run.fetched.clear()
    assert run.get(Flag.ONCE, pipe=[*C, *A, *B, *C], add=True)
    assert run.fetched == Counter([*C, *C])
    assert read_status(run.dest).phase == "finished"


def test_pipes_without_a_name_are_standard_input(run: Run) -> None:
    run.get(pipe=A)
    for name in ("/dev/stdin", "/dev/fd/63", "/proc/self/fd/0"):
        run.open(sources=[name]).close()
    run.open(sources=["/dev/fd/62", "-"], flag=Flag.ONCE).close()
    with pytest.raises(CannotGoOnError, match="finished run of another list"):
        run.open(sources=["http://h/a"])


def test_what_is_secret_by_now_is_hidden_in_records_of_other_lists(run: Run) -> None:
    secret = "http://h/a?token=canary-9"
    name(run, "a.txt", secret)
    with run.open(sources=[secret], add=True) as directory:
        ledger = directory.settle(partial(run.requests, add=True)).ledger
        request = Request(secret, 1, secret, 1)
        append(ledger, [run.fetch(request)])
        ledger.finish(1, 1)
    with hiding(("token",)):
        add(run, "b.txt", *B)
    found = [path.read_bytes() for path in run.dest.rglob("*") if path.is_file()]
    assert not any(b"canary-9" in content for content in found)
    assert len(places(run)) == 1 + len(B)


def test_failures_of_a_piped_list_are_not_retried_by_adding(run: Run) -> None:
    with pytest.raises(CannotGoOnError, match="put it into a file"):
        run.get(Flag.RETRY_FAILED, pipe=A, add=True)


def test_records_that_waited_for_a_pipe_stay_where_a_list_is_added(run: Run) -> None:
    run.get(pipe=LIST, stop_after=5)
    run.get(pipe=urls("x", *"ab", "y"), stop_after=1)  # a, b have their line, the others wait
    known = Counter(r["url"] for r in run.records())
    assert add(run, "c.txt", *C)
    found = Counter(record["url"] for record in run.records())
    assert found == Counter(LIST[:5]) + known - Counter(LIST[:2]) + Counter(C)
    assert {place[0] for place in places(run)} == {"-", "c.txt"}


def test_damaged_record_of_another_list_is_left_out(run: Run) -> None:
    add(run, "a.txt", *A)
    lines = run.ledger.read_bytes().splitlines(keepends=True)
    run.ledger.write_bytes(lines[0] + b"\0" * 20 + b"\n" + lines[2])
    assert add(run, "b.txt", *B)
    assert places(run) == [listed("a.txt", A)[0], listed("a.txt", A)[2], *listed("b.txt", B)]


def test_records_of_unknown_lists_are_not_added_to(run: Run) -> None:
    add(run, "a.txt", *A)
    (run.dest / ".fetchpool" / "state.json").write_text("{")
    with pytest.raises(CannotGoOnError, match="--fresh"):
        add(run, "b.txt", *B)


def test_urls_in_place_of_lists_are_one_list_in_any_order(run: Run) -> None:
    name(run, "a.txt", *A)  # the helper reads a file, whatever the sources are called
    for sources in (A, A[::-1]):
        with run.open(sources=sources, add=True) as directory:
            ledger = directory.settle(lambda: run.requests(add=True)).ledger
            assert ledger.totals.records == 0
            append(ledger, [run.fetch(each) for each in run.requests(add=True)])
            ledger.finish(3, 3)
    with run.open(sources=A[:2], add=True) as directory:
        assert directory.settle(run.requests).offset == 3


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abc-"),
        st.lists(st.sampled_from(urls(*"abcde")), min_size=1, max_size=5),
        st.sampled_from([Flag.PLAIN, Flag.ONCE, Flag.RETRY_FAILED]),
        st.one_of(st.none(), st.integers(0, 4)),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60)
@given(STEPS)
def test_whatever_is_added_each_list_has_one_record_a_line(
    new_directory: NewDirectory, steps: list[tuple[str, list[str], Flag, int | None]]
) -> None:
    run = Run(new_directory())
    run.failing = set(urls("e"))
    finished: dict[str, list[str]] = {}
    piped: Counter[str] = Counter()
    for file, lines, flag, stop_after in steps:
        run.fetched.clear()
        if file == "-":
            flag = Flag.ONCE if flag is Flag.RETRY_FAILED else flag
            run.get(flag, pipe=lines, add=True, stop_after=stop_after)
            piped += run.fetched
        else:
            done = add(run, file, *lines, flag=flag, stop_after=stop_after)
            finished.pop(file, None)
            if done:
                finished[file] = lines
        found = places(run)
        assert Counter(url for source, _, url in found if source == "-") == piped
        for source, expected in finished.items():
            assert [each for each in found if each[0] == source] == listed(source, expected)

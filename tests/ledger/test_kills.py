"""Exactly once, whatever kills the process: each command is killed before each of its system calls.

The command runs in a forked process in which the n-th call that changes anything on disk is the
end (`os._exit`: no handler, no `finally`, the kernel frees the lock), for every n there is. Of a
write, half may have happened.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from fetchpool.output.ledger import Durability, Flag, Kept, decide
from tests.ledger.runs import BATCH, LoggedRun, urls, whole_lines

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

CALLS = ["open", "write", "replace", "rename", "unlink", "link", "mkdir", "ftruncate", "fsync"]
KILLED = 9

LIST = urls("a", "b", "bad", "c", "a", "d", "e", "f")
CHANGED = urls("new", "e", "a", "c", "b", "a", "bad", "a", "b")

Answer = tuple[str, str]  # a URL and when it was first asked for


class Scenario(NamedTuple):
    """A command to be killed, and what happened before it."""

    before: Callable[[LoggedRun], object] = lambda run: None
    changed: list[str] = LIST
    """Today's list."""
    flag: Flag = Flag.PLAIN
    pipe: bool = False
    durability: Durability = "none"

    def do(self, run: LoggedRun, *, add: bool = False) -> bool:
        """Give the command."""
        pipe = (CHANGED if add else self.changed) if self.pipe else None
        return run.get(self.flag, pipe=pipe, durability=self.durability, add=add)


def _die_at(count: int) -> None:
    """Let the *count*-th call from now on be the end of this process."""
    left = count

    def dying(call: Callable[..., object], name: str) -> Callable[..., object]:
        def wrapper(*args: object, **kwargs: object) -> object:
            nonlocal left
            if name == "open" and not int(args[1]) & (os.O_CREAT | os.O_TRUNC):  # type: ignore[call-overload]
                return call(*args, **kwargs)
            left -= 1
            if not left:
                if name == "write":
                    data = bytes(args[1])  # type: ignore[call-overload]
                    call(args[0], data[: len(data) // 2])
                os._exit(KILLED)
            return call(*args, **kwargs)

        return wrapper

    for name in CALLS:
        setattr(os, name, dying(getattr(os, name), name))


def _killed_at(count: int, scenario: Scenario, run: LoggedRun, *, add: bool = False) -> bool:
    """Do the command in a process killed at call *count*; return whether it came to that."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            run.clock = iter(range(1_800_000_000, 1_800_001_000))
            _die_at(count)
            scenario.do(run, add=add)
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, KILLED)
    return code == KILLED


def _stopped(run: LoggedRun) -> None:
    run.get(stop_after=5)
    with run.ledger.open("ab") as ledger:
        ledger.write(b'{"seq":6,"url":"http:')


def _finished(run: LoggedRun) -> None:
    run.get()


def _stopped_pipe(run: LoggedRun) -> None:
    run.get(stop_after=5)
    run.get(pipe=["http://h/first", *LIST[:3], "http://h/second"], stop_after=1)


def _finished_pipe(run: LoggedRun) -> None:
    run.get(pipe=LIST)


SCENARIOS = {
    "first run": Scenario(),
    "first run by pipe": Scenario(pipe=True),
    "going on": Scenario(_stopped),
    "going on, list changed": Scenario(_stopped, CHANGED),
    "going on, list changed, synced": Scenario(_stopped, CHANGED, durability="strict"),
    "going on by pipe": Scenario(_stopped, CHANGED, pipe=True),
    "pipe after pipe": Scenario(_stopped_pipe, CHANGED, pipe=True),
    "file after pipe": Scenario(_stopped_pipe, CHANGED),
    "retry": Scenario(_finished, flag=Flag.RETRY_FAILED),
    "retry, list changed": Scenario(_finished, CHANGED, Flag.RETRY_FAILED),
    "retry by pipe": Scenario(_finished_pipe, CHANGED, Flag.RETRY_FAILED, pipe=True),
    "retry by pipe after pipe": Scenario(_stopped_pipe, CHANGED, Flag.RETRY_FAILED, pipe=True),
    "once, list changed": Scenario(_finished, CHANGED, Flag.ONCE),
    "once by pipe": Scenario(_finished_pipe, CHANGED, Flag.ONCE, pipe=True),
    "new run": Scenario(_finished),
    "fresh": Scenario(_stopped, CHANGED, Flag.FRESH),
    "fresh after pipe": Scenario(_stopped_pipe, CHANGED, Flag.FRESH),
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_kill_at_any_call_leaves_an_exact_next_run(tmp_path: Path, name: str) -> None:
    count = 1
    while _kill_and_go_on(tmp_path / str(count), SCENARIOS[name], count):
        count += 1
    assert count > 8


def _kill_and_go_on(root: Path, scenario: Scenario, count: int) -> bool:
    """Kill the command at its *count*-th call, give it again; return whether it was killed."""
    root.mkdir()
    run = LoggedRun(root)
    run.failing = set(urls("bad"))
    run.write_list(*LIST)
    scenario.before(run)
    if scenario.changed is not LIST:
        run.write_list(*scenario.changed)
    lines = Counter(scenario.changed)
    had = _kept(run, scenario)
    fetched_before = run.noted()

    was_killed = _killed_at(count, scenario, run)
    for path in (run.ledger, run.dest / ".fetchpool" / "previous.jsonl"):
        numbers = [json.loads(line)["seq"] for line in whole_lines(path)]
        assert len(numbers) == len(set(numbers))

    kept = _kept(run, scenario)
    fetched_by_killed = run.noted()
    assert scenario.do(run)
    assert run.by_seq() == dict(enumerate(scenario.changed, 1))
    assert run.noted() - fetched_by_killed == lines - Counter(url for url, _ in kept)
    if scenario.flag is not Flag.FRESH and not _may_begin_anew(scenario):
        lost = [answer for answer in had - kept if answer[0] in lines]
        assert len(lost) <= _without_line(had, lines), "an answer was lost"
        fetched = run.noted() - fetched_before
        needed = lines - Counter(url for url, _ in had)
        again = {url for url in run.failing if scenario.flag is Flag.RETRY_FAILED}
        surplus = {url: n for url, n in (fetched - needed).items() if url not in again}
        assert sum(surplus.values()) <= BATCH, "fetched again beyond what was in progress"
    shutil.rmtree(root)
    return was_killed


# -- lists that share a directory

Place = tuple[str, str, str]  # source, URL and when it was first asked for


def _other_finished(run: LoggedRun) -> None:
    run.get(add=True)


def _other_unnamed(run: LoggedRun) -> None:
    run.get()


def _other_piped(run: LoggedRun) -> None:
    run.get(pipe=LIST, add=True)


def _own_between(run: LoggedRun) -> None:
    _other_finished(run)
    _added(run, CHANGED[:6])
    run.list = run.root / "third.txt"
    run.write_list(*LIST[:2])
    run.get(add=True)


def _own_stopped(run: LoggedRun) -> None:
    _other_finished(run)
    _added(run, CHANGED[:4])


def _own_stopped_piped(run: LoggedRun) -> None:
    _other_piped(run)
    run.get(pipe=CHANGED, add=True, stop_after=4)


def _added(run: LoggedRun, lines: list[str]) -> None:
    run.list = run.root / "own.txt"
    run.write_list(*lines)
    run.get(add=True)


ADDING = {
    "first of all": Scenario(),
    "beside another": Scenario(_other_finished),
    "beside one without names": Scenario(_other_unnamed),
    "by pipe beside a pipe": Scenario(_other_piped, pipe=True),
    "going on by pipe": Scenario(_own_stopped_piped, pipe=True),
    "going on, list changed": Scenario(_own_stopped),
    "anew from between": Scenario(_own_between),
    "once, from between": Scenario(_own_between, flag=Flag.ONCE),
    "retry, from between": Scenario(_own_between, flag=Flag.RETRY_FAILED),
}


@pytest.mark.parametrize("name", ADDING)
def test_kill_at_any_call_of_adding_costs_no_list_a_record(tmp_path: Path, name: str) -> None:
    count = 1
    while _kill_and_add(tmp_path / str(count), ADDING[name], count):
        count += 1
    assert count > 8


def _kill_and_add(root: Path, scenario: Scenario, count: int) -> bool:
    """Kill the command at its *count*-th call, give it again; return whether it was killed."""
    root.mkdir()
    run = LoggedRun(root)
    run.failing = set(urls("bad"))
    run.write_list(*LIST)
    scenario.before(run)
    run.list = root / "own.txt"
    run.write_list(*CHANGED)
    # What is piped is never taken back, whichever list it was of.
    staying = [place[1:] for place in _places(run) if place[0] != "own.txt"]
    before = run.noted()

    was_killed = _killed_at(count, scenario, run, add=True)
    _places(run)
    killed = run.noted()
    pipe = CHANGED if scenario.pipe else None
    assert run.get(scenario.flag, pipe=pipe, add=True)
    found = _places(run)
    assert Counter(staying) <= Counter(place[1:] for place in found)
    if scenario.pipe:
        assert not Counter(CHANGED) - Counter(place[1] for place in found)
        again = (run.noted() - before) - Counter(CHANGED)
        if run.noted() - killed != Counter(CHANGED):  # else it had finished: another list
            assert again.total() <= BATCH, "fetched again beyond what was in progress"
    else:
        mine = Counter(place[1] for place in found if place[0] == "own.txt")
        assert mine == Counter(CHANGED)
    shutil.rmtree(root)
    return was_killed


def _places(run: LoggedRun) -> list[Place]:
    """Return what is in the ledger; fails if a number, or the line of a file, is there twice."""
    records = [json.loads(line) for line in _records(run.ledger)]
    assert len({record["seq"] for record in records}) == len(records)
    lines = [(r["source"], r["line"]) for r in records if r.get("source", "-") != "-"]
    assert len(set(lines)) == len(lines)
    return [(r.get("source", ""), r["url"], r["started_at"]) for r in records]


def _may_begin_anew(scenario: Scenario) -> bool:
    """A killed run may have been finished already; the plain command is then a new run."""
    return scenario.flag is Flag.PLAIN


def _without_line(had: set[Answer], lines: Counter[str]) -> int:
    """Return how many answers have no line today, and are dropped."""
    return sum((Counter(url for url, _ in had) - lines).values())


def _kept(run: LoggedRun, scenario: Scenario) -> set[Answer]:
    """Return the answers on disk that the command has to keep, by the manual's table."""
    sources = ["-"] if scenario.pipe else None
    with run.open(scenario.flag, sources=sources) as directory:
        kept = decide(directory.previous, scenario.flag)
    if kept is Kept.NOTHING:
        return set()
    paths = [run.ledger, run.dest / ".fetchpool" / "waiting.jsonl"]
    records = [json.loads(line) for path in paths for line in _records(path)]
    return {
        (record["url"], record["started_at"])
        for record in records
        if kept is Kept.ALL or record["ok"]
    }


def _records(path: Path) -> list[bytes]:
    return [line for line in whole_lines(path) if line.endswith(b"}")]

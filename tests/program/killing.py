"""Kills the real program at a system call, gives the same command again, and compares.

    killed at a Point ──▶ the same command again ──▶ the state an undisturbed run leaves,
                                                     nothing fetched that had its record

strace kills with SIGKILL as a thread enters a call for the n-th time, before the call has any
effect. It counts from the start of the program or, for points that are `later`, from the moment
the first requests are on their way: by then directory and ledger are settled. A path narrows a
point to calls about that file.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.containers.checking import STORES, check_containers, check_places
from tests.harness import PROGRAM, check_bodies, read_records, run_fetchpool
from tests.program.helpers import PIPE, Running, eventually, hits, one_line, start, write_list
from tests.servers.counting import CountingServer, Hit

LEDGER = "results.jsonl"
STATE = ".fetchpool/state.json.new"
CHECKPOINT = ".fetchpool/checkpoint.new"
NEXT_LEDGER = ".fetchpool/next-results.jsonl"
NEXT_WAITING = ".fetchpool/next-waiting.jsonl"
PART = "parquet/part-00000.parquet.new"

AT_ONCE = 4
BODIES = 24
SIZE = 3000


@dataclass(frozen=True, slots=True)
class Series:
    """Calls of one kind; each of them is a point to kill at."""

    call: str
    path: str | None = None
    later: bool = False

    def __str__(self) -> str:
        about = f" {self.path}" if self.path else ""
        return f"{self.call}{about}{' later' if self.later else ''}"

    def strace(self, nth: int, dest: Path) -> list[str]:
        """Return the command that kills at the *nth* of the calls."""
        about = ["-P", str(dest / self.path)] if self.path else []
        inject = f"inject=?{self.call}:signal=SIGKILL:when={nth}"
        return ["strace", "-f", "-o", os.devnull, "-e", f"trace=?{self.call}", "-e", inject, *about]


FROM_START = [
    *map(Series, ("mkdir", "mkdirat", "rename", "unlink", "fsync", "fdatasync", "link")),
    *map(Series, ("linkat", "unlinkat", "ftruncate", "writev", "pwrite64")),
    *(Series("write", path) for path in (STATE, CHECKPOINT, NEXT_LEDGER, NEXT_WAITING, LEDGER)),
]
LATER = [
    *(Series(call, later=True) for call in ("mkdirat", "linkat", "renameat", "unlinkat", "rename")),
    *(Series(call, later=True) for call in ("fsync", "fdatasync", "syncfs", "unlink")),
    *(Series(call, later=True) for call in ("writev", "pwrite64", "ftruncate")),
    *(Series("write", path, later=True) for path in (LEDGER, STATE, CHECKPOINT, PART)),
]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A command to be killed, and what there was before it."""

    name: str
    before: str = "nothing"
    """`nothing`, `stopped` (a third is recorded) or `finished`."""
    flag: str = ""
    changed: bool = False
    """The list has been turned round and lengthened since."""
    pipe: bool = False
    durability: str = "batch"
    store: str = "files"

    def __str__(self) -> str:
        return self.name


SCENARIOS = [
    Scenario("first run"),
    Scenario("first run, strict", durability="strict"),
    Scenario("first run by pipe", pipe=True),
    Scenario("going on", "stopped"),
    Scenario("going on, list changed", "stopped", changed=True),
    Scenario("going on by pipe", "stopped", changed=True, pipe=True),
    Scenario("new run", "finished"),
    Scenario("refresh", "finished", "--refresh"),
    Scenario("refresh, list changed", "finished", "--refresh", changed=True),
    Scenario("retry, list changed", "finished", "--retry-failed", changed=True),
    Scenario("retry by pipe", "finished", "--retry-failed", changed=True, pipe=True),
    *(
        each
        for store in STORES
        for each in (
            Scenario(f"{store}, first run", store=store),
            Scenario(f"{store}, going on, list changed", "stopped", changed=True, store=store),
            Scenario(f"{store}, new run", "finished", store=store),
            Scenario(f"{store}, refresh, list changed", "finished", "--refresh", True, store=store),
            Scenario(f"{store}, retry", "finished", "--retry-failed", store=store),
        )
    ),
]


class HoldingServer(CountingServer):
    """Answers nothing while it is told to hold."""

    def __init__(self) -> None:
        super().__init__()
        self._holding = False
        self._on_hold: list[object] = []

    def began(self, hit: Hit, connection: object) -> bool:
        """Count *hit*; return whether it may be answered now."""
        allowed = super().began(hit, connection)  # type: ignore[arg-type]
        if self._holding:
            self._on_hold.append(connection)
        return allowed and not self._holding

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold every answer until told to let go, or the block is left."""
        self._holding = True
        try:
            yield
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Give the answers that were held, and all others from now on."""
        self.call(self._let_go())

    async def _let_go(self) -> None:
        self._holding = False
        held, self._on_hold = self._on_hold, []
        for connection in held:
            connection.answer_soon()  # type: ignore[attr-defined]


class Stage:
    """A list and a directory for kills, one after another."""

    def __init__(self, folder: Path, server: HoldingServer, scenario: Scenario) -> None:
        """Bring about in *folder*, which is made, what the scenario says was there before."""
        folder.mkdir(parents=True)
        self.folder = folder
        self.dest = folder / "out"
        self._ledger = self.dest / LEDGER
        self._server = server
        self._scenario = scenario
        paths = [f"/d{i % 7}/{i}.txt?size={SIZE}&delay=0.02" for i in range(BODIES)]
        paths += ["/bad?status=404", paths[-1], paths[0]]
        self.urls = [*(server.url(f"/{folder.name}{path}") for path in paths), "no url"]
        write_list(folder / "urls.txt", self.urls)
        if scenario.before != "nothing":
            # Another source's finished run would be refused.
            piped = scenario.pipe and scenario.before == "finished"
            first = ["get", "-" if piped else "urls.txt", "-o", "out", "-q", "--retries", "0"]
            first += self._store
            stdin = (folder / "urls.txt").read_text() if piped else None
            assert run_fetchpool(first, cwd=folder, stdin=stdin).returncode == 1
        if scenario.before == "stopped":
            lines = self._ledger.read_bytes().splitlines(keepends=True)
            self._ledger.write_bytes(b"".join(lines[: len(lines) // 3]) + lines[-1][:40])
            # What the end of that run has noted, no stopped run would have.
            (self.dest / ".fetchpool/archived").unlink(missing_ok=True)
        if scenario.changed:
            new = server.url(f"/{folder.name}/new.txt")
            self.urls = [new, *reversed(self.urls), self.urls[0]]
            write_list(folder / "urls.txt", self.urls)
        self._before = folder / "before"
        if self.dest.exists():
            self.dest.rename(self._before)
        self.reset()

    def reset(self) -> None:
        """Put the directory back to what the scenario says was there before."""
        shutil.rmtree(self.dest, ignore_errors=True)
        if self._before.exists():
            shutil.copytree(self._before, self.dest)

    @property
    def _args(self) -> list[str]:
        scenario = self._scenario
        args = ["get", "-" if scenario.pipe else "urls.txt", "-o", "out", "-q", "--retries", "0"]
        args += ["--limit", str(AT_ONCE), "--durability", scenario.durability, *self._store]
        return [*args, *([scenario.flag] if scenario.flag else [])]

    @property
    def _store(self) -> list[str]:
        if self._scenario.store == "files":
            return []
        # Several containers a run.
        size = [] if self._scenario.store == "sqlite" else ["--segment-size", "32K"]
        return ["--store", self._scenario.store, *size]

    def kill(self, series: Series, nth: int) -> bool:
        """Give the command, to be killed at the *nth* of *series*; return whether it was."""
        strace = series.strace(nth, self.dest)
        before = len(self._server.counts.hits)
        if series.later:
            status, error = self._kill_later(strace)
        else:
            with self._given(strace) as process:
                status, error = process.ended()
        self._check_whole()
        assert not hits(self._server, before) - Counter(self.urls), "fetched more than listed"
        if status == 1:
            assert "exit 1" in one_line(error)
            return False
        assert status == -signal.SIGKILL, error
        return True

    def _kill_later(self, strace: list[str]) -> tuple[int, str]:
        """Give the command, begin to watch it when requests are on their way; return its end."""
        since = len(self._server.counts.hits)
        with self._server.holding(), self._given([]) as process:
            eventually(
                lambda: len(self._server.counts.hits) > since or process.poll() is not None,
                "a request",
            )
            with _watching(strace, process.pid):
                self._server.let_go()
                return process.ended()

    @contextmanager
    def _given(self, wrapper: list[str]) -> Iterator[Running]:
        with (
            (self.folder / "urls.txt").open("rb") as stdin,
            start(
                self._args,
                cwd=self.folder,
                stdin=stdin,
                program=[*wrapper, *PROGRAM],
            ) as process,
        ):
            yield process

    def check_going_on(self) -> None:
        """Give the same command again and assert that all is as if nothing had happened."""
        kept = self._answered()
        before = len(self._server.counts.hits)
        stdin = "".join(f"{url}\n" for url in self.urls) if self._scenario.pipe else None
        result = run_fetchpool(self._args, stdin=stdin, cwd=self.folder)
        assert (result.returncode, result.stdout) == (1, ""), result.stderr
        assert "exit 1" in one_line(result.stderr)
        again = hits(self._server, before)
        assert not kept & set(again), "what had its record was fetched again"
        assert not again - Counter(self.urls), "fetched more often than it is listed"
        self._check_state()

    def _answered(self) -> set[str]:
        """Return the URLs whose record the next command must keep.

        Those that are listed several times are left out: some of their lines may have no record.
        """
        recorded = _whole_lines(self._ledger)
        if self._scenario.flag == "--refresh" and self._is_as_before:
            return set()  # its run had not begun
        if len(recorded) == len(self.urls) and not self._keeps_ok_only:
            return set()  # it had finished: the same command is a new run
        lines = recorded + _whole_lines(self.dest / ".fetchpool" / "waiting.jsonl")
        found = [json.loads(line) for line in lines if line.endswith(b"}")]
        listed = Counter(self.urls)
        return {
            record["url"]
            for record in found
            if listed[record["url"]] == 1 and (record["ok"] or not self._keeps_ok_only)
        }

    @property
    def _is_as_before(self) -> bool:
        return self._ledger.read_bytes() == (self._before / LEDGER).read_bytes()

    @property
    def _keeps_ok_only(self) -> bool:
        return self._scenario.flag == "--retry-failed"

    def _check_state(self) -> None:
        """Assert that the directory is as a run leaves it that nothing disturbed."""
        records = sorted(read_records(self.dest), key=lambda record: record["seq"])
        assert [(r["seq"], r["url"]) for r in records] == list(enumerate(self.urls, 1))
        errors = {"no url": "input", **{url: "status" for url in self.urls if "/bad" in url}}
        assert [r["error"] for r in records] == [errors.get(url) for url in self.urls]
        if self._scenario.store == "files":
            check_bodies(records, self.dest)
        else:
            check_containers(self._scenario.store, records, self.dest)
        for record in records:
            if record["path"]:
                target = (self.dest / record["path"]).read_text().split()[1].rstrip(".")
                assert record["url"].endswith(target)
        if self._scenario.flag == "--refresh":
            ok = [record for record in records if record["ok"]]
            assert {r["change"] for r in ok if "/new" not in r["url"]} == {"same"}
            assert all(r["sha256"] for r in ok)
        private = self.dest / ".fetchpool"
        allowed = {"lock", "foreign", "state.json", "checkpoint", "parts", "previous.jsonl"}
        allowed |= {"account.json"}
        allowed |= set() if self._scenario.store == "files" else {"containers"}
        allowed |= {"archived"} if self._scenario.store == "warc" else set()
        allowed |= {"carried.jsonl", "left.jsonl"} if self._scenario.flag == "--refresh" else set()
        assert {path.name for path in private.iterdir()} <= allowed
        assert not list((private / "parts").glob("*"))

    def _check_whole(self) -> None:
        """Assert what holds at every instant: one record a line, no body in part."""
        if not self.dest.exists():
            return
        numbers = [json.loads(line)["seq"] for line in _whole_lines(self._ledger)]
        assert len(numbers) == len(set(numbers))
        if self._scenario.store != "files":
            lines = _whole_lines(self._ledger)
            check_places(self._scenario.store, map(json.loads, lines), self.dest)
        for path in self.dest.rglob("*.txt*"):
            if ".fetchpool" not in path.parts:
                body = path.read_bytes()
                assert len(body) == (len(body) if b"/new" in body else SIZE), f"{path} is in part"


def _whole_lines(path: Path) -> list[bytes]:
    """Return the lines of *path* that end; none if it is not there."""
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


@contextmanager
def _watching(strace: list[str], pid: int) -> Iterator[None]:
    """Have *strace* watch process *pid* and its threads meanwhile."""
    with subprocess.Popen([*strace, "-p", str(pid)], stderr=PIPE) as watcher:
        assert watcher.stderr is not None
        for line in watcher.stderr:  # it may first say that it resolved a path
            if b"attached" in line:
                break
        try:
            yield
        finally:
            watcher.terminate()

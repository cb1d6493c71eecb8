"""What the tests of the whole program share: a process held in hand, conditions to wait for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, TypeVar

from tests.harness import PROGRAM, Record, clean_environment, read_records
from tests.servers.counting import CountingServer

T = TypeVar("T")
R = TypeVar("R")

PATIENCE_S = 30.0
"""How long a condition may take to come true before a test calls it a hang."""

PIPE = subprocess.PIPE
DEVNULL = subprocess.DEVNULL


class Running(subprocess.Popen[bytes]):
    """The program while it runs, killed when its block is left."""

    def __exit__(self, *args: Any) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        super().__exit__(*args)

    def ended(self) -> tuple[int, str]:
        """Wait for the end; return exit status and standard error."""
        _, error = self.communicate(timeout=PATIENCE_S)
        return self.returncode, (error or b"").decode(errors="replace")

    def say(self, *lines: str) -> None:
        """Write *lines* to the program's standard input."""
        assert self.stdin is not None
        self.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self.stdin.flush()


def start(
    args: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path,
    stdin: Any = DEVNULL,
    stdout: Any = DEVNULL,
    stderr: Any = PIPE,
    env: Mapping[str, str] | None = None,
    program: Sequence[str] = PROGRAM,
) -> Running:
    """Start `fetchpool ARGS` in *cwd*."""
    home = cwd / "home"
    home.mkdir(exist_ok=True)
    return Running(
        [*program, *(os.fspath(arg) for arg in args)],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=cwd,
        env={"TERM": "xterm-256color", **clean_environment(home, env)},
        start_new_session=True,
    )


def eventually(condition: Callable[[], T], what: str) -> T:
    """Return what *condition* returns as soon as that is true; AssertionError if it never is."""
    end = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < end, f"still not so: {what}"
        time.sleep(0.005)
    return value


def settled(number: Callable[[], int]) -> int:
    """Return *number* once it has not grown for a second.

    On a machine that stands still for so long that is too early, and the number too small: only
    good where a test looks for numbers that are too large.
    """
    last, since = number(), time.monotonic()
    while time.monotonic() - since < 1.0:
        time.sleep(0.02)
        if (now := number()) != last:
            last, since = now, time.monotonic()
    return last


def write_list(path: Path, urls: Sequence[str]) -> Path:
    """Write *urls* to *path*, one a line, and return it."""
    path.write_text("".join(f"{url}\n" for url in urls))
    return path


def hits(server: CountingServer, since: int = 0) -> Counter[str]:
    """Return how often each URL was asked for, from hit number *since* on."""
    return Counter(f"http://{hit.host}{hit.target}" for hit in server.counts.hits[since:])


def answer(server: CountingServer, count: int = 1) -> None:
    """Let *server* give *count* answers more: those with `?until=` wait for them."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    for _ in range(count):
        connection.request("GET", "/nothing")
        connection.getresponse().read()
    connection.close()
    time.sleep(0)


def check_records(dest: Path, urls: Sequence[str]) -> list[Record]:
    """Assert that *dest* has exactly one record for each line of *urls*; return them by line."""
    records = sorted(read_records(dest), key=lambda record: record["seq"])
    assert [(record["seq"], record["url"]) for record in records] == list(enumerate(urls, 1))
    return records


def side_by_side(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return what *work* makes of each item, two at a time: a process takes half a second."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, items))


def lines_of(text: str) -> list[str]:
    """Return the lines of standard error, each of which must be fetchpool's own.

    What is indented below one, the URLs that failed, is left out.
    """
    lines = [line for line in text.splitlines() if not line.startswith("  ")]
    assert all(line.startswith("fetchpool: ") for line in lines), text
    return lines


def one_line(text: str) -> str:
    """Return the only line of standard error."""
    lines = lines_of(text)
    assert len(lines) == 1, text
    return lines[0]


def noted(log: Path, event: str) -> bool:
    """Tell whether *event* stands in the log file."""
    return log.exists() and f" {event}" in log.read_text()

"""Runs the real program as its users do: in a process, with a clean environment, to its end."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import resource
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

Record = dict[str, Any]

RECORD_KEYS = (
    "seq", "url", "ok", "status", "error", "detail", "final_url", "redirects", "attempts", "bytes",
    "wire_bytes", "content_type", "path", "sha256", "started_at", "elapsed_s",
)  # fmt: skip
"""The keys every record has, in their order; more may follow."""

ERROR_KINDS = frozenset(
    (
        *("input", "blocked", "dns", "connect", "tls", "timeout", "protocol"),
        *("truncated", "decode", "too_big", "redirect", "checksum", "status", "internal"),
    )
)

PROGRAM = (sys.executable, "-m", "fetchpool")


@dataclass(frozen=True, slots=True)
class Result:
    """What a run of the program left behind."""

    returncode: int
    stdout: str
    stderr: str
    records: list[Record] = field(default_factory=list)
    """Those of DEST's `results.jsonl`; of standard output with `--records -`."""

    def of(self, url: str) -> Record:
        """Return the only record of *url*; AssertionError with what was said otherwise."""
        found = [record for record in self.records if record["url"] == url]
        assert len(found) == 1, f"{len(found)} records of {url}\n{self.stderr[-2000:]}"
        return found[0]


WORKERS = os.environ.get("TEST_WORKERS")
"""Runs every program of the suite with so many processes (`--workers`)."""

one_process = pytest.mark.skipif(
    WORKERS not in (None, "1"), reason="about one process; several: test_workers.py"
)


def clean_environment(home: Path, env: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a run: nothing of ours but PATH, temporary files and coverage."""
    kept = {
        name: os.environ[name]
        for name in ("PATH", "TMPDIR", "COVERAGE_PROCESS_START", "COVERAGE_FILE")
        if name in os.environ
    }
    options = {"FETCHPOOL_WORKERS": WORKERS} if WORKERS else {}
    return {**kept, **options, "HOME": str(home), "LANG": "C.UTF-8", **(env or {})}


def run_fetchpool(
    args: Sequence[str | os.PathLike[str]],
    *,
    stdin: str | bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path,
    timeout: float = 60.0,
    program: Sequence[str] = PROGRAM,
) -> Result:
    """Run `fetchpool ARGS` in *cwd* to its end and return what came of it.

    Without *stdin* standard input is /dev/null. A run longer than *timeout* seconds is killed with
    all it started, and subprocess.TimeoutExpired raised: it is a hang, not a slow machine.
    """
    home = cwd / "home"
    home.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [*program, *(os.fspath(arg) for arg in args)],
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env=clean_environment(home, env),
        start_new_session=True,
    )
    with process:
        try:
            out, err = process.communicate(
                stdin.encode() if isinstance(stdin, str) else stdin, timeout
            )
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    stdout, stderr = out.decode(errors="replace"), err.decode(errors="replace")
    return Result(process.returncode, stdout, stderr, _records(args, stdout, cwd))


def _option(args: Sequence[str | os.PathLike[str]], *names: str) -> str | None:
    words = [os.fspath(arg) for arg in args]
    return next((words[i + 1] for i, word in enumerate(words[:-1]) if word in names), None)


def _records(args: Sequence[str | os.PathLike[str]], stdout: str, cwd: Path) -> list[Record]:
    if _option(args, "--records") == "-":
        return [json.loads(line) for line in stdout.splitlines()]
    output = _option(args, "-o", "--output")
    return read_records(cwd / output) if output else []


def read_records(dest: Path) -> list[Record]:
    """Return the records of the run directory *dest*; none if it holds no ledger."""
    ledger = dest / "results.jsonl"
    if not ledger.exists():
        return []
    return [json.loads(line) for line in ledger.read_bytes().splitlines()]


def stored_files(dest: Path) -> set[str]:
    """Return the bodies under *dest*, relative to it: all but ledger and `.fetchpool`."""
    files = {path.relative_to(dest) for path in dest.rglob("*") if path.is_file()}
    return {str(f) for f in files if f.parts[0] not in {".fetchpool", "results.jsonl"}}


def check_bodies(records: Sequence[Record], dest: Path) -> None:
    """Assert that what *records* say of bodies is what lies under *dest*, and nothing else does."""
    for record in records:
        if record["path"] is None:
            continue
        body = (dest / record["path"]).read_bytes()
        assert len(body) == record["bytes"], record
        if record["sha256"]:
            assert hashlib.sha256(body).hexdigest() == record["sha256"], record
    assert stored_files(dest) == {r["path"] for r in records if r["path"] is not None}


EXAMPLE_FILES = (".netrc", "tokens", "cookies.txt")
"""The files among the examples of options that are read when the settings are made."""


def write_example_files(place: Path) -> None:
    """Write them, without anything in them."""
    for name in EXAMPLE_FILES:
        (place / name).touch()


def raise_descriptor_limit() -> None:
    """Allow this process (the servers) as many descriptors as the system lets it have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 8192 if hard == resource.RLIM_INFINITY else min(hard, 8192)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


# --- under a terminal


@dataclass(frozen=True, slots=True)
class Screen:
    """What a run under a terminal wrote to it, and how it ended."""

    returncode: int
    output: bytes


def fetchpool_in_pty(
    args: Sequence[str | os.PathLike[str]],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    rows: int = 24,
    columns: int = 80,
    interrupt_at: bytes | None = None,
) -> Screen:
    """Run `fetchpool ARGS` with a terminal as its three streams, and return what it showed.

    With *interrupt_at* Ctrl-C is typed once these bytes have been shown.
    """
    home = cwd / "home"
    home.mkdir(exist_ok=True)
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    process = subprocess.Popen(
        # setsid makes the terminal the session's own, so that Ctrl-C reaches the program.
        [sys.executable, "-c", _TAKE_TERMINAL, *PROGRAM, *(os.fspath(arg) for arg in args)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env={"TERM": "xterm-256color", **clean_environment(home, env)},
        start_new_session=True,
    )
    os.close(theirs)
    with process, os.fdopen(ours, "r+b", buffering=0) as terminal:
        try:
            shown = _read_terminal(terminal.fileno(), timeout, interrupt_at)
            return Screen(process.wait(timeout), shown)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise


_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios;"
    " fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


def _read_terminal(terminal: int, timeout: float, interrupt_at: bytes | None) -> bytes:
    """Return all that is shown until the last program has closed the terminal."""
    shown = bytearray()
    end = time.monotonic() + timeout
    while True:
        left = end - time.monotonic()
        if left <= 0 or not select.select([terminal], [], [], left)[0]:
            raise TimeoutError(f"still running after {timeout} s; shown: {shown[-2000:]!r}")
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux says EIO where others say end of file
            return bytes(shown)
        if not data:
            return bytes(shown)
        shown += data
        if interrupt_at is not None and interrupt_at in shown:
            os.write(terminal, b"\x03")
            interrupt_at = None


# --- in namespaces of its own


@cache
def why_no_resolver() -> str | None:
    """Return why a run cannot be pointed to a resolver of the tests, or None if it can.

    The resolver's address is in /etc/resolv.conf; another file can be put over it for one process
    only in a mount namespace, which needs Linux, util-linux and root (port 53 needs it too).
    """
    return _why_no_namespace("-m", "mount", "--bind", "/etc/resolv.conf", "/etc/resolv.conf")


@cache
def why_no_network_namespace() -> str | None:
    """Return why a run cannot be cut off from every network, or None if it can (`unshare -n`)."""
    return _why_no_namespace("-n", "true")


def _why_no_namespace(kind: str, *trial: str) -> str | None:
    if not sys.platform.startswith("linux"):
        return "namespaces are a Linux thing"
    if os.geteuid() != 0:
        return "a namespace of our own needs root"
    if not shutil.which("unshare"):
        return "unshare (util-linux) is not installed"
    tried = subprocess.run(["unshare", kind, *trial], capture_output=True, check=False)
    return None if tried.returncode == 0 else f"unshare {kind} is not allowed here"


def with_resolver(
    address: str, cwd: Path, *, hosts: str = "", program: Sequence[str] = PROGRAM
) -> list[str]:
    """Return *program* wrapped so that it asks the resolver at *address* (port 53) for names.

    *hosts* becomes its /etc/hosts. Look at `why_no_resolver` first.
    """
    configuration, names = cwd / "resolv.conf", cwd / "hosts"
    configuration.write_text(f"nameserver {address}\noptions timeout:2 attempts:1\n")
    names.write_text(hosts)
    mount = 'mount --bind "$0" /etc/resolv.conf && mount --bind "$1" /etc/hosts'
    script = f'{mount} && shift && exec "$@"'
    return ["unshare", "-m", "sh", "-c", script, str(configuration), str(names), *program]

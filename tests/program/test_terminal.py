"""What a terminal gets: our own sequences only, and a screen in order whatever ends the run."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import PROGRAM, fetchpool_in_pty, run_fetchpool
from tests.program.helpers import PATIENCE_S, answer, start, write_list
from tests.servers.counting import CountingServer

OURS = re.compile(rb"\x1b\[(?:[0-9;]*m|[0-9]*A|2K)")
"""Colours, up some lines, clear a line."""

ERASE = re.compile(rb"\r\x1b\[2K\x1b\[[0-9]+A")
"""What a repaint begins with."""

HOSTILE = [
    "http://127.0.0.1:1/\x1b[31mred",
    "http://127.0.0.1:1/\x1b]0;title\x07",
    "http://127.0.0.1:1/\u202egnp.exe",
    "http://127.0.0.1:1/\x9b31m",
    "\x1b[2J no url",
    "http://127.0.0.1:1/[/red][bold]",
]


def check_harmless(output: bytes) -> None:
    """Assert that *output* holds no control character but our own, and leaves the cursor shown."""
    text = OURS.sub(b"", output).decode()
    strange = {char for char in text if not char.isprintable()} - {"\r", "\n"}
    # ^C is echoed by the terminal itself as two printable characters.
    assert not strange, strange
    assert b"\x1b[?25l" not in output


def last_screen(output: bytes, rows: int = 24) -> list[str]:
    """Return the lines a terminal shows after *output*; wide enough for all of them."""
    screen: list[str] = [""]
    row = 0
    for part in re.split(rb"(\x1b\[[0-9]*A|\x1b\[2K|\r\n|\r)", output):
        if part == b"\r\n":
            row += 1
            screen += [""] * (row + 1 - len(screen))
        elif part == b"\r":
            continue
        elif part == b"\x1b[2K":
            screen[row] = ""
        elif part.startswith(b"\x1b[") and part.endswith(b"A"):
            row = max(0, row - int(part[2:-1] or b"1"))
        else:
            screen[row] += re.sub(rb"\x1b\[[0-9;]*m", b"", part).decode()
    return screen


def test_last_screen_says_what_came_of_it(server: CountingServer, tmp_path: Path) -> None:
    """Nothing hostile from list or server passes, the display is gone, the numbers stand."""
    urls = [server.url(f"/{i}?delay=0.02") for i in range(60)]
    urls += [*HOSTILE, server.url("/x?status=404")]
    (tmp_path / "urls.txt").write_text("\n".join(urls), encoding="utf-8")
    args = ["get", "urls.txt", "--retries", "0", "--limit", "3"]
    screen = fetchpool_in_pty(args, cwd=tmp_path)
    assert screen.returncode == 1
    check_harmless(screen.output)
    shown = last_screen(screen.output)
    assert "67 URLs in" in shown[0]
    text = "\n".join(shown)
    assert "running" not in text  # that is the display's
    assert re.search(r"ok +60", text)
    assert re.search(r"input +4", text)
    assert "fetchpool get urls.txt --retry-failed" in text


def test_interrupted_display_leaves_the_terminal_in_order(
    server: CountingServer, tmp_path: Path
) -> None:
    write_list(tmp_path / "urls.txt", [server.url(f"/{i}?delay=0.05") for i in range(300)])
    args = ["get", "urls.txt", "--limit", "1"]
    screen = fetchpool_in_pty(args, cwd=tmp_path, interrupt_at=b"1 running", columns=60)
    assert screen.returncode == 130
    check_harmless(screen.output)
    text = "\n".join(last_screen(screen.output))
    assert "running" not in text
    assert "stopped by Ctrl-C after" in text
    assert len(server.counts.hits) < 300


@pytest.mark.parametrize(
    ("args", "env", "display", "colour"),
    [
        ([], {}, True, True),
        ([], {"NO_COLOR": "1"}, True, False),
        ([], {"TERM": "dumb"}, False, False),
        (["--progress", "never"], {}, False, False),
        (["-q"], {}, False, False),
    ],
    ids=["usual", "NO_COLOR", "dumb", "never", "quiet"],
)
def test_display_is_what_terminal_and_user_want(
    server: CountingServer,
    tmp_path: Path,
    args: list[str],
    env: dict[str, str],
    display: bool,
    colour: bool,
) -> None:
    urls = [server.url(f"/{i}?delay=0.1") for i in range(6)]
    write_list(tmp_path / "urls.txt", urls)
    screen = fetchpool_in_pty(["get", "urls.txt", "--limit", "1", *args], cwd=tmp_path, env=env)
    assert screen.returncode == 0
    check_harmless(screen.output)
    assert (b"\x1b[2K" in screen.output) == display
    styles = set(re.findall(rb"\x1b\[([0-9;]*)m", screen.output)) - {b"", b"0"}
    if not colour:
        assert not any(30 <= int(each) <= 107 for style in styles for each in style.split(b";"))
    if not display:
        assert b"\x1b" not in screen.output
    if args == ["-q"]:
        assert screen.output == b""


def test_progress_always_is_shown_without_a_terminal(
    server: CountingServer, tmp_path: Path
) -> None:
    result = run_fetchpool(
        ["get", server.url("/a?delay=0.3"), "--no-body", "--progress", "always"], cwd=tmp_path
    )
    assert result.returncode == 0
    assert result.stdout == ""
    check_harmless(result.stderr.replace("\n", "\r\n").encode())
    assert "\x1b[2K" in result.stderr


PIPED = ["sh", "-c", '"$@" | cat', "sh", *PROGRAM]
TO_FILE = ["sh", "-c", '"$@" > records.jsonl', "sh", *PROGRAM]
NAMED = ["sh", "-c", 'mkfifo pipe; cat pipe & "$@"; wait', "sh", *PROGRAM]


@pytest.mark.parametrize(
    ("program", "args", "display"),
    [
        (PIPED, ["--records", "-"], False),
        (PIPED, ["--records", "/dev/stdout"], False),
        (NAMED, ["--records", "pipe"], False),
        (PROGRAM, ["--records", "-"], False),
        (PROGRAM, ["--log-file", "/dev/stderr"], False),
        (PIPED, ["--records", "-", "--progress", "always"], True),
        (TO_FILE, ["--records", "-"], True),
        (PROGRAM, ["--records", "records.jsonl"], True),
        (PROGRAM, ["--records", "/dev/null"], True),
        (PIPED, [], True),
    ],
    ids=[
        *("pipe", "pipe by its name", "named pipe", "terminal", "log on the terminal"),
        *("always", "redirected", "file", "nowhere", "no records"),
    ],
)
def test_display_gives_way_to_what_others_write_to_the_terminal(
    server: CountingServer, tmp_path: Path, program: list[str], args: list[str], display: bool
) -> None:
    """README's own pipe: each record stands on a line of its own, as it was written."""
    urls = [server.url(f"/{i}?until=1") for i in range(6)]
    write_list(tmp_path / "urls.txt", urls)
    ours, theirs = os.openpty()
    _resize(theirs, 24, 80)
    args = ["get", "urls.txt", *args]
    with start(args, cwd=tmp_path, stdout=theirs, stderr=theirs, program=program) as process:
        os.close(theirs)
        shown = _Terminal(ours)
        if display:
            shown.until(lambda new: b"running" in new)
        answer(server, 1)
        shown.until(lambda new: b"URLs in" in new if display else b"6 ok" in new)
        assert process.wait() == 0
        shown.to_its_end()
    assert (b"\x1b[2K" in shown.output) == display
    records = re.findall(rb'^\{"seq":.*\}\r$', shown.output, re.MULTILINE)
    if not display and "--records" in args:
        assert len(records) == 6
    os.close(ours)


def test_typed_list_is_not_overwritten_by_a_display(server: CountingServer, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    with start(["get", "-", "-o", "out"], cwd=tmp_path, stdin=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown = _Terminal(ours)
        os.write(ours, f"{server.url('/typed')}\n".encode())
        shown.until(lambda new: b"at once" in new)
        os.write(ours, b"\x04")
        shown.until(lambda new: b"1 ok" in new or b"URLs in" in new)
        assert process.wait() == 0
    assert b"\x1b" not in shown.output
    os.close(ours)


def test_display_follows_the_size_of_the_terminal(server: CountingServer, tmp_path: Path) -> None:
    write_list(tmp_path / "urls.txt", [server.url(f"/{i}?until=50") for i in range(5)])
    ours, theirs = os.openpty()
    _resize(theirs, 24, 100)
    with start(["get", "urls.txt"], cwd=tmp_path, stderr=theirs) as process:
        os.close(theirs)
        shown = _Terminal(ours)
        shown.until(lambda new: b"running" in new)
        for columns in (40, 120, 15):
            _resize(ours, 24, columns)
            os.kill(process.pid, signal.SIGWINCH)
            painted = shown.until(lambda new: len(ERASE.findall(new)) >= 4)
            last = ERASE.split(painted)[-2]  # whole, as another one follows
            widths = [len(OURS.sub(b"", line).decode()) for line in last.split(b"\r\n")]
            assert max(widths) <= columns, last
        answer(server, 50)
        shown.until(lambda new: b"URLs in" in new)
        assert process.wait() == 0
    check_harmless(shown.output)
    os.close(ours)


class _Terminal:
    """Our end of a terminal that is read as it is written."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.output = b""

    def to_its_end(self) -> None:
        """Read what else was written; all who write must have ended."""
        with contextlib.suppress(OSError):  # Linux says EIO where others say end of file
            while new := os.read(self._descriptor, 65536):
                self.output += new

    def until(self, condition: Callable[[bytes], bool]) -> bytes:
        """Read until *condition* holds for what came since the call; return that."""
        new = b""
        end = time.monotonic() + PATIENCE_S
        while not condition(new):
            ready = select.select([self._descriptor], [], [], max(0.0, end - time.monotonic()))[0]
            assert ready, f"not shown: {new[-500:]!r}"
            with contextlib.suppress(OSError):  # the other end is closed
                new += os.read(self._descriptor, 65536)
        self.output += new
        return new


def _resize(descriptor: int, rows: int, columns: int) -> None:
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

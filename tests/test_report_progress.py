"""The live display: its lines at every width, and how it behaves on a terminal."""

from __future__ import annotations

import fcntl
import io
import os
import re
import struct
import termios
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.hosts import HostState
from fetchpool.reporting.stats import Snapshot
from fetchpool.reporting.terminal import Heading
from fetchpool.reporting.terminal.live import ProgressDisplay, Screen
from fetchpool.reporting.terminal.progress import render
from fetchpool.reporting.terminal.terminal import ASCII, UNICODE, Glyphs, Writer

HEADING = Heading("urls.txt", "urls.fetched", 50, 10)
RUNNING = Snapshot(
    total=20_000,
    read=15_000,
    running=50,
    hosts=(
        HostState("api.example.com", waiting=300, parked_s=14.0, why="429"),
        HostState("archive.example.org", 10, 812),
    ),
    done=12_204,
    ok=12_101,
    failed={"404": 81, "timeout": 20, "dns": 2},
    received=66_100_000,
    elapsed_s=9.0,
    rate=1_310.0,
    byte_rate=4_200_000.0,
    left_s=9.0,
)


def plain(snapshot: Snapshot, width: int, glyphs: Glyphs = UNICODE) -> list[str]:
    return [line.plain for line in render(snapshot, HEADING, width, glyphs)]


def test_eighty_columns_show_everything() -> None:
    assert plain(RUNNING, 80) == [
        "urls.txt → urls.fetched                                  50 at once, 10 per host",
        "━━━━━━━━━━━━━━━━━━━━━━━━━━━━──────────────────  61 %  12,204/20,000     9 s left",
        " 1,310/s    4.2 MB/s   50 running   12,101 ok     103 failed: 404 81, …",
        "archive.example.org 812 waiting (10 running) · api.example.com parked 14 s (429)",
    ]


def test_forty_columns_keep_bar_time_rate_and_failed() -> None:
    assert plain(RUNNING, 40) == [
        "━━━━━━━━━━━━╸────────  61 %     9 s left",
        " 1,310/s    4.2 MB/s     103 failed",
    ]


def test_twenty_columns_keep_bar_and_rate() -> None:
    assert plain(RUNNING, 20) == ["━━━━━━━━╸─────  61 %", "1,310/s  103 failed"]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120, 200])
def test_numbers_that_grow_move_nothing(width: int) -> None:
    early = msgspec.structs.replace(RUNNING, done=7, ok=7, failed={}, rate=0.5, byte_rate=9.0)
    late = msgspec.structs.replace(RUNNING, done=19_999, left_s=3_000.0)
    for one, other in zip(plain(early, width), plain(late, width), strict=True):
        for word in (" running", " ok", " left", " %", "/s"):
            if width >= 40 and word in one:
                assert one.index(word) == other.index(word)


def test_pipe_without_an_end_has_no_bar_and_no_percentage() -> None:
    endless = msgspec.structs.replace(RUNNING, total=None, left_s=None)
    assert plain(endless, 80)[1] == "12,204 done   15,000 read so far   for 9 s"
    for width in (20, 40, 80):
        assert "%" not in "".join(plain(endless, width))


def test_bar_appears_once_reading_has_ended() -> None:
    ended = msgspec.structs.replace(RUNNING, total=None, reading=False)
    assert "12,204/15,000" in plain(ended, 80)[1]


def test_trouble_of_our_own_takes_the_place_of_the_hosts() -> None:
    down = msgspec.structs.replace(RUNNING, message="our network seems down, probing")
    for width in (40, 80):
        assert plain(down, width)[-1] == "our network seems down, probing"


def test_slowed_host_says_so_and_idle_hosts_are_silent() -> None:
    hosts = (HostState("a.example", 4, 20, window=4, slowed=True), HostState("idle.example", 2))
    line = plain(msgspec.structs.replace(RUNNING, hosts=hosts), 80)[-1]
    assert line == "a.example 20 waiting (4 running, slowed to 4)"


def test_ascii_terminal_gets_ascii_only() -> None:
    lines = plain(msgspec.structs.replace(RUNNING, message=None), 80, ASCII)
    assert all(line.isascii() for line in lines)
    assert "urls.txt -> urls.fetched" in lines[0]
    assert lines[1].startswith("####")


def test_empty_list_is_complete() -> None:
    empty = msgspec.structs.replace(RUNNING, total=0, done=0, ok=0, failed={})
    assert "100 %" in plain(empty, 80)[1]


SNAPSHOTS = st.builds(
    lambda done, total, failures, **rest: Snapshot(
        total=total, done=done, ok=max(0, done - failures), **rest
    ),
    done=st.integers(0, 10**10),
    total=st.none() | st.integers(0, 10**10),
    failures=st.integers(0, 10**6),
    read=st.integers(0, 10**10),
    reading=st.booleans(),
    running=st.integers(0, 4_096),
    failed=st.dictionaries(st.sampled_from(["404", "timeout", "protocol"]), st.integers(1, 10**9)),
    received=st.integers(0, 10**15),
    elapsed_s=st.floats(0, 1e7),
    rate=st.floats(0, 1e6),
    byte_rate=st.floats(0, 1e12),
    left_s=st.none() | st.floats(0, 1e7),
    message=st.none() | st.text(),
    hosts=st.lists(
        st.builds(
            HostState,
            st.text(min_size=1),
            st.integers(0, 99),
            st.integers(0, 10**7),
            st.integers(1, 10),
            st.booleans(),
            st.floats(0, 300),
            st.none() | st.text(),
        ),
        max_size=5,
    ).map(tuple),
)


@given(SNAPSHOTS, st.sampled_from([20, 40, 60, 80, 120, 200]), st.sampled_from([UNICODE, ASCII]))
def test_at_most_four_lines_that_fit_whatever_comes(
    snapshot: Snapshot, width: int, glyphs: Glyphs
) -> None:
    lines = render(snapshot, HEADING, width, glyphs)
    assert 1 <= len(lines) <= 4
    for line in lines:
        assert line.plain.isprintable()
        # Below 40 columns only astronomical numbers go beyond.
        assert line.cell_len <= max(width, 40 if snapshot.done > 10**6 else width)


class Terminal(io.StringIO):
    """Keeps what is written to it; its size is that of a pseudo-terminal."""

    encoding = "utf-8"

    def __init__(self) -> None:
        super().__init__()
        self._descriptors = os.openpty()
        self.resize(80, 24)

    def fileno(self) -> int:
        return self._descriptors[1]

    def resize(self, columns: int, rows: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.fileno(), termios.TIOCSWINSZ, size)

    def take(self) -> str:
        """Return what was written since the last time."""
        text = self.getvalue()
        self.seek(0)
        self.truncate()
        return text

    def close(self) -> None:
        if not self.closed:
            for descriptor in self._descriptors:
                os.close(descriptor)
        super().close()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    yield terminal
    terminal.close()


@pytest.fixture
def display(terminal: Terminal) -> ProgressDisplay:
    display = ProgressDisplay(terminal, Writer(terminal), Screen(), UNICODE)
    display.start(HEADING)
    return display


def rows_up(text: str) -> int:
    match = re.match(r"\r\x1b\[2K\x1b\[(\d+)A", text)
    return int(match[1]) if match else 0


def at(elapsed_s: float) -> Snapshot:
    return msgspec.structs.replace(RUNNING, elapsed_s=elapsed_s)


def test_display_repaints_in_its_place(terminal: Terminal, display: ProgressDisplay) -> None:
    display.update(at(1.0))
    first = terminal.take()
    assert rows_up(first) == 0
    assert first.count("\n") == 4
    display.update(at(2.0))
    assert rows_up(terminal.take()) == 4


def test_display_updates_at_most_four_times_a_second(
    terminal: Terminal, display: ProgressDisplay
) -> None:
    painted = 0
    for tick in range(1_000):
        display.update(at(tick / 100))
        painted += bool(terminal.take())
    assert painted == 40


def test_narrower_terminal_has_its_folded_lines_erased(
    terminal: Terminal, display: ProgressDisplay
) -> None:
    display.update(at(1.0))
    terminal.take()
    terminal.resize(40, 24)
    display.update(at(2.0))
    assert rows_up(terminal.take()) == 8
    terminal.resize(120, 24)
    display.update(at(3.0))
    assert rows_up(terminal.take()) == 2


def test_low_terminal_is_not_scrolled(terminal: Terminal, display: ProgressDisplay) -> None:
    terminal.resize(80, 3)
    for tick in range(1, 4):
        display.update(at(float(tick)))
        text = terminal.take()
        assert rows_up(text) <= 2
        assert text.count("━\x1b") + text.count("running") <= 2


def test_stop_leaves_the_terminal_as_it_was(terminal: Terminal, display: ProgressDisplay) -> None:
    display.update(at(1.0))
    display.stop()
    written = terminal.take()
    assert written.endswith("\x1b[2K\n" * 4 + "\x1b[4A")
    assert "\x1b[?" not in written
    display.stop()
    assert terminal.take() == ""


def test_line_above_stays_and_the_display_follows(
    terminal: Terminal, display: ProgressDisplay
) -> None:
    display.update(at(1.0))
    terminal.take()
    display.print_above("fetchpool: beware\n")
    text = terminal.take()
    assert rows_up(text) == 4
    assert text.index("beware") < text.index("urls.txt")


def test_hostile_names_do_nothing_to_the_terminal(
    terminal: Terminal, display: ProgressDisplay
) -> None:
    evil = "\x1b]0;owned\x07\x9b31m\u202e[/red][bold]\r\n"
    display.start(Heading(evil, evil, 1, 1))
    display.update(
        msgspec.structs.replace(RUNNING, hosts=(HostState(evil, 1, 2, parked_s=3.0, why=evil),))
    )
    text = re.sub(r"\x1b\[[0-9;]*[AmK]|\r|\n", "", terminal.take())
    assert text.isprintable()
    assert "[/red]" in text


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Screen()
    colours = re.findall(r"\x1b\[([0-9;]*)m", screen.encode(render(RUNNING, HEADING, 80, UNICODE)))
    assert not [code for code in colours if re.search(r"\b(3|4|9|10)\d", code)]


def test_colour_stays_with_the_words_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    text = Screen().encode(render(RUNNING, HEADING, 80, UNICODE))
    assert "\x1b[31m  103 failed\x1b[0m" in text
    assert "\x1b[1murls.txt → urls.fetched\x1b[0m\x1b[2m " in text


@pytest.mark.parametrize("width", range(1, 20))
def test_absurdly_narrow_terminal_is_no_error(width: int) -> None:
    down = msgspec.structs.replace(RUNNING, message="our network seems down, probing")
    assert plain(down, width, ASCII)

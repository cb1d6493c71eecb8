"""`Reporter`: what a person is told, on a terminal and without one, whatever the stream does."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import msgspec
import pytest

from fetchpool.model.urls import hiding
from fetchpool.reporting.stats import Summary
from fetchpool.reporting.terminal import Heading, Reporter
from fetchpool.reporting.terminal.terminal import ASCII, UNICODE, Glyphs, glyphs_for, terminal_size
from tests.test_report_progress import RUNNING
from tests.test_report_summary import CLEAN, DONE

HEADING = Heading("urls.txt", "urls.fetched", 50, 10)
END = (
    "fetchpool: 19789 ok, 211 failed (404 120, 403 41, timeout 38, dns 12), 15.3 s, 66.1 MB, exit 1"
)


class Stream(io.StringIO):
    """A text stream with an encoding, that may claim to be a terminal."""

    def __init__(self, encoding: str = "utf-8", terminal: bool = False) -> None:
        super().__init__()
        self._encoding = encoding
        self._terminal = terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding

    def isatty(self) -> bool:
        return self._terminal


def tell(
    reporter: Reporter,
    summary: Summary = DONE,
    warning: str | None = None,
    error: str | None = None,
) -> None:
    with reporter:
        reporter.start(HEADING)
        reporter.update(RUNNING)
        if warning:
            reporter.warn(warning)
        if error:
            reporter.error(error)
        reporter.finish(summary)


def test_without_a_terminal_there_are_two_plain_lines() -> None:
    stream = Stream()
    reporter = Reporter(stream, environ={})
    assert not reporter.wants_updates
    tell(reporter)
    assert stream.getvalue().splitlines() == [
        "fetchpool: urls.txt → urls.fetched, 50 at once, 10 per host",
        END,
    ]


@pytest.mark.parametrize(
    ("mode", "term"), [("never", "xterm"), ("auto", "dumb"), ("always", "dumb")]
)
def test_terminal_that_is_not_to_be_painted_gets_plain_lines(mode: str, term: str) -> None:
    stream = Stream(terminal=True)
    tell(Reporter(stream, mode, environ={"TERM": term}))  # type: ignore[arg-type]
    assert len(stream.getvalue().splitlines()) == 2
    assert "\x1b" not in stream.getvalue()


def test_terminal_gets_display_and_last_screen() -> None:
    stream = Stream(terminal=True)
    reporter = Reporter(stream, environ={"TERM": "xterm"})
    assert reporter.wants_updates
    tell(reporter, warning="look out")
    text = stream.getvalue()
    assert text.index("61 %") < text.index("fetchpool: look out") < text.index("slowest hosts")


def test_always_paints_where_no_terminal_is() -> None:
    stream = Stream()
    tell(Reporter(stream, "always", environ={"TERM": "xterm"}))
    assert "61 %" in stream.getvalue()


def test_exception_takes_the_display_off_the_screen() -> None:
    stream = Stream(terminal=True)
    reporter = Reporter(stream, environ={"TERM": "xterm"})

    def interrupted() -> None:
        with reporter:
            reporter.start(HEADING)
            reporter.update(RUNNING)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert stream.getvalue().endswith("\x1b[2K\n" * 4 + "\x1b[4A")


def test_quiet_run_that_went_well_says_nothing() -> None:
    stream = Stream(terminal=True)
    tell(Reporter(stream, quiet=True), CLEAN, warning="look out")
    assert stream.getvalue() == ""


def test_quiet_run_that_failed_says_one_line() -> None:
    stream = Stream()
    tell(Reporter(stream, quiet=True), warning="look out")
    assert stream.getvalue() == END + "\n"


def test_quiet_run_with_an_error_says_only_that() -> None:
    stream = Stream()
    tell(Reporter(stream, quiet=True), error="no space left on urls.fetched")
    assert stream.getvalue() == "fetchpool: no space left on urls.fetched\n"


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"kept": 12_204}, END.replace(", 15.3 s", ", 12204 kept, 15.3 s")),
        (
            {
                "stopped_by": "Ctrl-C",
                "total": 19_999,
                "expected": 30_000,
                "failed": {},
                "ok": 19_999,
            },
            "fetchpool: 19999 ok, 0 failed, 15.3 s, 66.1 MB, exit 1; stopped by Ctrl-C after "
            "19999 of 30000. Nothing is lost: run the same command again to go on.",
        ),
        (
            {"total": 0, "ok": 0, "failed": {}, "exit_status": 0},
            "fetchpool: no URL in urls.txt: nothing to fetch",
        ),
    ],
)
def test_end_line(changes: dict[str, object], line: str) -> None:
    stream = Stream()
    Reporter(stream, environ={}).finish(msgspec.structs.replace(DONE, **changes))
    assert stream.getvalue() == line + "\n"


def test_start_line_leaves_out_what_is_not_known() -> None:
    stream = Stream()
    Reporter(stream, environ={}).start(Heading("-", None, 100, 0))
    assert stream.getvalue() == "fetchpool: -, 100 at once\n"


def test_messages_hide_secrets_and_are_one_line() -> None:
    stream = Stream()
    reporter = Reporter(stream, environ={})
    reporter.warn("can't reach http://user:canary@proxy:3128\n\x1b[2Jnow")
    reporter.start(Heading("https://user:canary@example.org/list", "me@home", 1, 0))
    text = stream.getvalue()
    assert "canary" not in text
    assert "me@home" in text
    assert text.count("\n") == 2
    assert "\x1b" not in text


def test_messages_hide_marked_values() -> None:
    stream = Stream()
    reporter = Reporter(stream, environ={})
    with hiding(["token"]):
        reporter.warn("can't reach http://h/?token=canary a\nb")
        reporter.start(Heading("http://h/?token=canary", "me@home", 1, 0))
    text = stream.getvalue()
    assert "canary" not in text
    assert "http://h/?token=***" in text
    assert "me@home" in text


@pytest.mark.parametrize("terminal", [False, True])
def test_closed_stream_is_no_error(terminal: bool) -> None:
    stream = Stream(terminal=terminal)
    reporter = Reporter(stream, environ={"TERM": "xterm"})
    stream.close()
    tell(reporter, warning="look out", error="trouble")
    tell(Reporter(stream, environ={"TERM": "xterm"}))


def test_missing_stream_is_no_error() -> None:
    tell(Reporter(None), warning="look out")


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(5, "I/O error")])
def test_broken_stream_is_no_error_and_is_left_alone(error: OSError) -> None:
    class Broken(Stream):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            raise error

    stream = Broken()
    tell(Reporter(stream, environ={}))
    assert stream.writes == 1


def test_stream_that_is_full_for_a_moment_is_tried_again() -> None:
    class Full(Stream):
        full = True

        def write(self, text: str) -> int:
            if self.full:
                self.full = False
                raise BlockingIOError
            return super().write(text)

    stream = Full()
    tell(Reporter(stream, environ={}))
    assert stream.getvalue() == END + "\n"


def test_stream_without_unicode_gets_ascii_and_escapes() -> None:
    stream = Stream("ascii")
    Reporter(stream, environ={}).start(Heading("list-é", "out", 1, 1))
    assert stream.getvalue() == "fetchpool: list-\\xe9 -> out, 1 at once, 1 per host\n"


@pytest.mark.parametrize(
    ("encoding", "environ", "glyphs"),
    [
        ("utf-8", {}, UNICODE),
        ("utf-8", {"LANG": "de_DE.UTF-8"}, UNICODE),
        ("utf-8", {"LANG": "C.UTF-8"}, UNICODE),
        ("utf-8", {"LANG": "C"}, ASCII),
        ("utf-8", {"LANG": "C", "LC_CTYPE": "C.UTF-8"}, ASCII),
        ("utf-8", {"LANG": "C", "LC_CTYPE": "en_US.UTF-8"}, UNICODE),
        ("utf-8", {"LANG": "en_US.UTF-8", "LC_ALL": "POSIX"}, ASCII),
        ("latin-1", {"LANG": "de_DE"}, ASCII),
        ("no-such-encoding", {}, ASCII),
    ],
)
def test_characters_follow_stream_and_locale(
    encoding: str, environ: dict[str, str], glyphs: Glyphs
) -> None:
    assert glyphs_for(Stream(encoding), environ) is glyphs


def test_size_of_what_is_no_terminal_is_eighty_by_twenty_four() -> None:
    assert terminal_size(Stream()) == (80, 24)


def test_plain_mode_does_not_import_rich() -> None:
    code = (
        "import sys\n"
        "from fetchpool.reporting.terminal import Heading, Reporter\n"
        "Reporter(sys.stderr).start(Heading('a', 'b', 1, 1))\n"
        "sys.exit('rich' in sys.modules)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ)
    )
    assert run.returncode == 0, run.stderr
    assert run.stderr.count("\n") == 1

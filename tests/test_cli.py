"""The command line: what it hands on, what it refuses in one line, and what it never imports."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fetchpool import __version__
from fetchpool.cli import app as cli
from fetchpool.config import Config, ConfigError, options
from fetchpool.model.exits import ExitStatus
from tests.harness import write_example_files

CANARY = "canary-5f1b"
PROGRAM = "import sys; from fetchpool.cli.app import main; sys.exit(main())"


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith(("FETCHPOOL_", "XDG_CONFIG")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "GITHUB_ACTIONS", "PY_COLORS"):
        monkeypatch.delenv(name, raising=False)


class Calls(list[tuple[Any, ...]]):
    """What the rooms behind the command line were asked to do."""

    def answer(self, *args: Any) -> int:
        self.append(args)
        return 7


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Stand-ins for the rooms that do the work; each returns status 7."""
    calls = Calls()
    for room, function in (
        ("run", "run_command"),
        ("cli.demo", "run_demo"),
        ("cli.status", "show_status"),
    ):
        module = ModuleType(f"fetchpool.{room}")
        setattr(module, function, calls.answer)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return calls


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str], calls: Calls) -> Callable[..., str]:
    """Run a command line that is a mistake; return the one line that says so."""

    def run(*argv: str) -> str:
        assert cli.main(list(argv)) == ExitStatus.USAGE
        out, err = capsys.readouterr()
        assert out == ""
        assert not calls
        line = err.removesuffix("\n")
        assert line.startswith("fetchpool: ")
        assert line.isprintable()
        return line.removeprefix("fetchpool: ")

    return run


def start(*argv: str, code: str = PROGRAM, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the real program."""
    more.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run(
        [sys.executable, "-c", code, *argv], text=True, check=False, timeout=60, **more
    )


def read_terminal(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: terminal))


# -- what is handed on


def test_get_hands_on_config_sources_and_output(calls: Calls) -> None:
    argv = ["get", "a.txt", "-o", "pages", "--limit", "5", "-4", "-H", "A: 1", "-", "-H", "B: 2"]
    assert cli.main(argv) == 7
    config = Config(limit=5, ipv4=True, header=(("A", "1"), ("B", "2")))
    assert calls == [(config, ["a.txt", "-"], "pages")]


def test_get_without_options_is_the_default_config(calls: Calls) -> None:
    assert cli.main(["get", "https://example.test/"]) == 7
    assert calls == [(Config(), ["https://example.test/"], None)]


def test_every_option_can_be_given_on_the_command_line(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_example_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    for option in options():
        if option.name == "dry_run":  # no run follows: see tests/program/test_dry_run.py
            continue
        value = [] if option.is_switch else [option.example]
        more = ["--retry-failed"] if option.name == "retry_kinds" else []
        more = ["--metrics-file", "m.prom"] if option.name == "metrics_label" else more
        more = ["--refresh"] if option.name == "prune" else more
        more = ["--cert", "c.pem"] if option.name == "key" else more
        more = ["--store", "tar"] if option.name in ("samples", "segment_size") else more
        more = ["--store", "warc"] if option.name in ("warc_header", "warc_prefix") else more
        assert cli.main(["get", "x", *more, option.flag, *value]) == 7
        config, _, output = calls.pop()
        given = output if option.name == "output" else getattr(config, option.name)
        assert given == option.kind.check(option.kind.read(option.example)) or (
            option.name == "header" and given == option.kind.check([option.example])
        )


def test_switch_is_taken_back_and_the_last_word_counts(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCHPOOL_HASH", "1")
    for argv, expected in (
        ([], True),
        (["--no-hash"], False),
        (["--hash", "--no-hash"], False),
        (["--no-hash", "--hash"], True),
    ):
        assert cli.main(["get", "x", *argv]) == 7
        assert calls.pop()[0].hash is expected


def test_environment_and_file_reach_the_run(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "s.toml"
    file.write_text('output = "pages"\nlimit = 3')
    monkeypatch.setenv("FETCHPOOL_LIMIT", "4")
    assert cli.main(["get", "x", "--config", str(file)]) == 7
    assert calls == [(Config(limit=4), ["x"], "pages")]


def test_piped_list_is_read_where_no_source_is_named(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_terminal(monkeypatch, terminal=False)
    assert cli.main(["get"]) == 7
    assert calls == [(Config(), ["-"], None)]


def test_demo_is_not_led_astray_by_the_users_settings(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCHPOOL_PUBLIC_ONLY", "1")
    monkeypatch.setenv("FETCHPOOL_CONFIG", "/nonexistent")
    assert cli.main(["demo", "--limit", "5"]) == 7
    assert calls == [(Config(limit=5, proxy=""),)]


def test_status_hands_on_directory_and_form(calls: Calls) -> None:
    assert cli.main(["status", "pages"]) == 7
    assert cli.main(["status", "--json", "pages"]) == 7
    assert calls == [("pages", False, None), ("pages", True, None)]


# -- what is refused


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "no command given: try fetchpool get urls.txt"),
        (["urls.txt"], "did you mean fetchpool get SOURCE?"),
        (["gte"], "did you mean fetchpool get?"),
        (["--limit", "5"], "no such option --limit here: it comes behind fetchpool get"),
        (["-o", "d", "x"], "no such option -o here: it comes behind fetchpool get"),
        (["-i", "x"], "fetchpool has no -i; the list is an argument: fetchpool get urls.txt"),
        (["-Z", "x"], "fetchpool has no -Z; --limit N is how many"),
        (["https://example.test/?a=1"], "did you mean fetchpool get URL?"),
        (["get", "--limt", "5", "x"], "no such option --limt: did you mean --limit?"),
        (["get", "--no-hahs", "x"], "did you mean --no-hash?"),
        (["get", "--out", "d", "x"], "did you mean --output?"),
        (["get", "--raet", "5", "x"], "did you mean --rate?"),
        (["get", "--threads", "5", "x"], "fetchpool get has no --threads; --limit N is"),
        (["get", "--parallel", "x"], "fetchpool get has no --parallel; --limit N is"),
        (["get", "-j", "5", "x"], "fetchpool get has no -j; --limit N is"),
        (["get", "-j5", "x"], "fetchpool get has no -j; --limit N is"),
        (["demo", "--concurrency=5"], "fetchpool demo has no --concurrency; --limit N is"),
        (["demo", "-k"], "no such option -k: see fetchpool demo --help"),
        (["demo", "-v"], "no such option -v: see fetchpool demo --help"),
        (["config", "-k"], "fetchpool config has no -k; --insecure leaves"),
        (["get", "-nc", "x"], "fetchpool get has no -nc; --once fetches"),
        (["get", "x", "-no"], "fetchpool get has no -n; --netrc [FILE] reads"),
        (["get", "-fsSL", "x"], "fetchpool get has no -f; error pages"),
        (["status", "--threads", "5", "x"], "no such option --threads: see fetchpool status"),
        (["get", "--connect", "5", "x"], "did you mean --connect-timeout?"),
        (["get", "--re", "5", "x"], "no such option --re: see fetchpool get --help"),
        (["get", "--verbosity", "x"], "no such option --verbosity: see fetchpool get --help"),
        (["get", "--headless", "x"], "no such option --headless: see fetchpool get --help"),
        (["--show-completion", "csh"], "takes bash, zsh, fish, powershell or pwsh: try"),
        (["--install-completion", "zsh", "bash"], "takes the name of one shell"),
        (["get", "--x", "x"], "no such option --x: see fetchpool get --help"),
        (["get", "-W", "x"], "no such option -W: see fetchpool get --help"),
        (["get", "x", "--limit"], "option '--limit' requires an argument"),
        (["get", "--hash=1", "x"], "option '--hash' does not take a value"),
        (
            ["get", "--limit", "-1", "x"],
            "--limit takes a whole number from 0 to 65535, or auto, not -1",
        ),
        (
            ["get", "--limit", "", "x"],
            "--limit takes a whole number from 0 to 65535, or auto, not ''",
        ),
        (["get", "--limit", "9" * 5000, "x"], "try --limit 100"),
        (["get", "--timeout", "nan", "x"], "--timeout takes seconds"),
        (["get", "--timeout", "1e999", "x"], "--timeout takes seconds"),
        (["get", "--fail-if", "errors", "x"], "quote it for the shell"),
        (
            ["get", "-o", "x.tar", "x"],
            "is the name of a .tar file: name a directory for such files: --output 'x' --store tar",
        ),
        (["get", "-o", "hdfs://b/x", "x"], "name a local directory, and copy it there afterwards"),
        (["get", "--records", "x.parquet", "x"], "name it .csv or .jsonl and convert that"),
        (["get", "-o", "a", "--output", "a", "x"], "--output is there twice, and takes one value"),
        (["get", "--limit=5", "--limit=6", "x"], "--limit is there twice"),
        (["get", "--config", "", "--config", "", "x"], "--config is there twice"),
        (["config", "--rate", "5", "--rate", "5"], "--rate is there twice"),
        (["demo", "--limit", "5", "--limit", "5"], "--limit is there twice"),
        (["get", "-H", "x", "x"], "try --header 'Accept-Language: en'"),
        (["get", "--force-close", "--keepalive", "5", "x"], "Drop one of them."),
        (["get", "--retry-kinds", "dns", "x"], "add --retry-failed"),
        (["get", "--retry-on", "2xx", "x"], "only 202 is ever tried again"),
        (["get", "--retry-on", "ok", "x"], "choose from 202, 300 to 999, 3xx to 9xx, dns, "),
        (["get", "--no-retry-on", "404,input", "x"], "a line that is no URL stays one"),
        (["get", "--retries", "0", "--retry-on", "404", "x"], "--retries 0 makes none"),
        (["get", "--config", "/nonexistent/x", "x"], "can't be read (No such file or directory)"),
        (["get", "--per-host", "\x1b[31m\u202e", "x"], r"not '\x1b[31m\u202e'"),
        (["get", "--\x1b[31m\n", "x"], r"no such option --\x1b[31m\n"),
        (["get", "--log-file", "\udcff\0", "x"], "--log-file takes the path of a file"),
        (["config", "x"], "too many arguments: see fetchpool config --help"),
        (["demo", "x"], "too many arguments: see fetchpool demo --help"),
        (["demo", "--proxy", "x"], "no such option --proxy"),
        (["status"], "missing argument 'DEST': see fetchpool status --help"),
        (["status", "a", "b"], "too many arguments: see fetchpool status --help"),
    ],
)
def test_mistake_is_one_line_that_says_what_to_do(
    argv: list[str], said: str, refuse: Callable[..., str]
) -> None:
    assert said in refuse(*argv)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("urls.txt", "did you mean fetchpool get urls.txt?"),
        ("my urls", "did you mean fetchpool get 'my urls'?"),
        ("gte", "did you mean fetchpool get gte?"),
        ("\x1b[31m", r"did you mean fetchpool get '\x1b[31m'?"),
    ],
)
def test_list_without_a_command_says_the_whole_command(
    name: str,
    said: str,
    refuse: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).touch()
    assert said in refuse(name, "-o", "pages")


def test_bad_variable_is_refused_by_its_name(
    refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCHPOOL_RETRIES", "many")
    assert refuse("get", "x").endswith("try FETCHPOOL_RETRIES=2")


def test_terminal_as_list_is_a_mistake(
    refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_terminal(monkeypatch, terminal=True)
    assert "nothing to fetch" in refuse("get")


def test_no_standard_input_as_list_is_a_mistake(
    refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert "nothing to fetch" in refuse("get")
    with (tmp_path / "x").open("w") as closed:
        pass
    monkeypatch.setattr(sys, "stdin", closed)
    assert "nothing to fetch" in refuse("get")


def test_source_needs_no_standard_input(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert cli.main(["get", "urls.txt"]) == 7


@pytest.mark.parametrize(
    "argv",
    [
        [f"https://u:{CANARY}@example.test/"],
        [f"u:{CANARY} x@example.test/"],
        ["status", "x", f"https://u:{CANARY}@example.test/"],
        ["config", f"https://u:{CANARY}@example.test/"],
        ["get", f"-Z{CANARY}", "x"],
        ["get", f"-W{CANARY}", "x"],
        ["get", f"--proxy-user={CANARY}", "x"],
        ["get", f"--nothing={CANARY}", "x"],
        ["get", f"--https://u:{CANARY}@example.test/", "x"],
        ["get", f"--hash={CANARY}", "x"],
        ["get", "-H", f"Authorization Bearer {CANARY}", "x"],
        ["get", "-H", f"Bearer {CANARY}: x", "x"],
        ["get", "-H", f"A: {CANARY}\x00", "x"],
        ["get", "--proxy", f"u:{CANARY}@proxy.test", "x"],
    ],
)
def test_mistake_does_not_tell_a_secret(argv: list[str], refuse: Callable[..., str]) -> None:
    assert CANARY not in refuse(*argv)


def test_mistake_found_by_the_run_is_one_line_too(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> int:
        raise ConfigError("nowhere.txt can't be read: name another")

    monkeypatch.setattr(sys.modules["fetchpool.run"], "run_command", fail)
    assert cli.main(["get", "nowhere.txt"]) == 2
    assert capsys.readouterr().err == "fetchpool: nowhere.txt can't be read: name another\n"


@pytest.mark.parametrize(
    ("trouble", "status"),
    [(KeyboardInterrupt, ExitStatus.INTERRUPTED), (BrokenPipeError, ExitStatus.PIPE_CLOSED)],
)
def test_interruption_and_closed_pipe_have_their_statuses(
    trouble: type[BaseException],
    status: ExitStatus,
    calls: Calls,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object) -> int:
        raise trouble

    monkeypatch.setattr(sys.modules["fetchpool.run"], "run_command", fail)
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["get", "x"]) == status
    assert capfd.readouterr().err == ""


def test_bug_of_ours_is_loud(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys.modules["fetchpool.run"], "run_command", fail)
    with pytest.raises(OSError, match="No space"):
        cli.main(["get", "x"])


def test_exit_statuses_are_those_promised() -> None:
    assert sorted(ExitStatus) == [0, 1, 2, 70, 73, 74, 75, 129, 130, 141, 143]


# -- help, version, config


def show(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert cli.main(list(argv)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def test_version_is_a_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert show(capsys, "--version") == f"fetchpool {__version__}\n"
    assert show(capsys, "-V") == f"fetchpool {__version__}\n"


@pytest.mark.parametrize("command", ["get", "demo", "status", "config", ""])
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_fits_eighty_columns(
    command: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = show(capsys, *command.split(), flag)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


def test_help_of_get_names_every_option_once_with_its_panel(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = show(capsys, "get", "--help")
    for option in options():
        assert len(re.findall(rf"^│ {option.flag} .*$", text, re.MULTILINE)) == 1
        assert f"─ {option.panel} ─" in text
        assert not option.is_switch or f"--no-{option.key} " not in text


def test_help_of_an_option_takes_three_lines_at_most(capsys: pytest.CaptureFixture[str]) -> None:
    text = show(capsys, "get", "--help")
    entries = re.split(r"^│ (?=--)", text, flags=re.MULTILINE)[1:]
    for entry in entries:
        lines = [line for line in entry.splitlines() if line.endswith("│")]
        assert len(lines) <= 3, entry


def test_epilog_of_get_breaks_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    text = show(capsys, "get", "--help")
    for line in re.sub(r"\[/?bold\]", "", cli._EPILOG).splitlines():
        assert line in text


def test_help_texts_are_plain_ascii() -> None:
    for option in options():
        assert (option.help + option.default_text + option.kind.metavar).isascii()
        assert not option.help.endswith(".")


def test_commands_are_those_promised(capsys: pytest.CaptureFixture[str]) -> None:
    text = show(capsys, "--help")
    for word in ("get", "demo", "status", "config", "--version", "--install-completion"):
        assert f"│ {word} " in text


def test_config_shows_values_and_their_origins(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "s.toml"
    file.write_text(f'limit = 3\nper-host = 4\nheader = ["X-Key: {CANARY}"]')
    monkeypatch.setenv("FETCHPOOL_LIMIT", "5")
    monkeypatch.setenv("FETCHPOOL_PROXY", f"http://u:{CANARY}@proxy.test:1")
    text = show(capsys, "config", "--config", str(file), "-H", f"A: {CANARY}", "--no-hash")
    head, again, *lines = text.splitlines()
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in lines}
    assert CANARY not in text
    assert set(rows) == {option.key for option in options()}
    assert head == f"# {file} is read"
    assert again == (
        "# tried again: dns, connect, timeout, truncated, checksum, 408, 425, 429, 500, 502-504, "
        "520-524, 527, 529, 202 with Retry-After; 2 times at most"
    )
    assert rows["limit"].split() == ["5", "environment", "FETCHPOOL_LIMIT"]
    assert rows["per-host"].split() == ["4", str(file)]
    assert rows["header"].split() == ["A:", "***", "--header"]
    assert rows["proxy"].split() == ["http://***@proxy.test:1", "environment", "FETCHPOOL_PROXY"]
    assert rows["hash"].split() == ["false", "--no-hash"]
    assert rows["keepalive"].split() == ["15", "default"]


def test_config_tells_which_variables_it_ignores(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FETCHPOOL_LIMTI", "5")
    assert cli.main(["config"]) == 0
    assert (
        capsys.readouterr().err == "fetchpool: ignored, no setting is named so: FETCHPOOL_LIMTI\n"
    )


def test_option_is_described_nowhere_but_in_the_config() -> None:
    source = inspect.getsource(cli)
    assert "--keepalive" not in source
    assert "dns_ttl" not in source


# -- the real program


HEAVY = """
import sys
from fetchpool.cli.app import main
status = main()
heavy = {"aiohttp", "asyncio", "importlib.metadata", "uvloop", "ada_url", "msgspec", "ssl"}
heavy &= set(sys.modules)
sys.exit(f"imported: {heavy}" if heavy else status)
"""


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (["get", "--help"], 0),
        (["config"], 0),
        (["--version"], 0),
        (["get", "--limit", "x", "y"], 2),
        (["get", "-?"], 2),
    ],
)
def test_nothing_heavy_is_imported_to_help_or_complain(argv: list[str], status: int) -> None:
    done = start(*argv, code=HEAVY, capture_output=True)
    assert "imported" not in done.stderr
    assert done.returncode == status


def closed_pipe() -> int:
    """Return the writing end of a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


@pytest.mark.parametrize("argv", [["--help"], ["get", "--help"], ["config"], ["--version"]])
def test_reader_that_has_gone_ends_it_quietly(argv: list[str]) -> None:
    pipe = closed_pipe()
    done = start(*argv, stdout=pipe, stderr=subprocess.PIPE)
    os.close(pipe)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full device")
@pytest.mark.parametrize("argv", [["--help"], ["config"]])
def test_output_that_cannot_be_written_is_told(argv: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = start(*argv, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 74
    assert done.stderr.startswith("fetchpool: can't write to standard output: No space left")
    assert done.stderr.count("\n") == 1


def test_dead_standard_error_does_not_change_the_status() -> None:
    pipe = closed_pipe()
    done = start("get", "--limit", "x", "y", stdout=subprocess.PIPE, stderr=pipe)
    os.close(pipe)
    assert (done.returncode, done.stdout) == (2, "")


def test_ascii_terminal_gets_ascii(tmp_path: Path) -> None:
    environ = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = start("get", "--help", env=environ, capture_output=True)
    assert done.returncode == 0
    assert done.stdout.isascii()
    done = start("config", "--user-agent", "caf\u00e9", env=environ, capture_output=True)
    assert r"caf\xe9" in done.stdout


def test_bare_surroundings_are_enough() -> None:
    done = start("config", env={"TERM": "dumb"}, capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_completion_offers_options_and_choices() -> None:
    def complete(words: str, position: str) -> list[str]:
        environ = os.environ | {
            "_FETCHPOOL_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": position,
        }
        return start(env=environ, capture_output=True).stdout.split()

    assert complete("fetchpool get --progress a", "3") == ["auto", "always"]
    assert complete("fetchpool get --retry", "2") == [
        "--retry-on",
        "--retry-delay",
        "--retry-all-methods",
        "--retry-failed",
        "--retry-kinds",
    ]
    assert complete("fetchpool get -X ", "3")[:2] == ["GET", "HEAD"]
    assert complete("fetchpool nonsense x", "2") == []


@pytest.mark.parametrize("written", [["--show-completion", "{}"], ["--show-completion={}"]])
@pytest.mark.parametrize(
    ("shell", "marks"),
    [
        ("bash", ["complete -o default -F", "complete_bash"]),
        ("zsh", ["#compdef fetchpool", "complete_zsh"]),
        ("fish", ["complete --command fetchpool", "complete_fish"]),
        ("powershell", ["Register-ArgumentCompleter", "complete_powershell"]),
        ("pwsh", ["Register-ArgumentCompleter", "complete_powershell"]),
        ("ZSH", ["#compdef fetchpool", "complete_zsh"]),
    ],
)
def test_each_shell_is_shown_its_own_completion(
    shell: str, marks: list[str], written: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main([word.format(shell) for word in written])
    assert left.value.code == 0
    script = capsys.readouterr().out
    assert all(mark in script for mark in marks)
    assert "_FETCHPOOL_COMPLETE" in script


def test_completion_is_installed_for_the_shell_named(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    done = start("--install-completion", "fish", env=os.environ | home, capture_output=True)
    assert done.returncode == 0, done.stderr
    script = tmp_path / ".config" / "fish" / "completions" / "fetchpool.fish"
    assert "complete_fish" in script.read_text()


def test_completion_without_a_shell_around_asks_for_its_name(
    refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import shellingham

    def fail() -> None:
        raise shellingham.ShellDetectionFailure

    monkeypatch.setattr(shellingham, "detect_shell", fail)
    assert "can't tell which shell this is" in refuse("--show-completion")
    monkeypatch.setattr(shellingham, "detect_shell", lambda: ("csh", "/bin/csh"))
    assert "takes bash, zsh" in refuse("--install-completion")

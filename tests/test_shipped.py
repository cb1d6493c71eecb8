"""The manual page and the completions that a package has: up to date, and read by their readers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fetchpool.cli.shipped.__main__ import main, shipped
from fetchpool.cli.shipped.roff import blocks
from fetchpool.cli.shipped.surface import commands
from fetchpool.config import options
from fetchpool.model.exits import ExitStatus

ROOT = Path(__file__).parent.parent
SHARE = ROOT / "share"
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PAGE = SHARE / "man" / "man1" / "fetchpool.1"


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


@pytest.mark.parametrize("place", shipped(CHANGELOG))
def test_file_is_what_the_options_make(place: str) -> None:
    found = (SHARE / place).read_text(encoding="utf-8")
    assert found == shipped(CHANGELOG)[place], "run: python -m fetchpool.cli.shipped"


def test_nothing_else_is_shipped(tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG, encoding="utf-8")
    main(tmp_path)
    made = {path.relative_to(tmp_path / "share") for path in (tmp_path / "share").rglob("*")}
    assert made == {path.relative_to(SHARE) for path in SHARE.rglob("*")}


# -- the manual page -------------------------------------------------------------------------------


def test_page_has_every_option_command_and_status() -> None:
    text = PAGE.read_text(encoding="ascii").replace("\\-", "-")
    for option in options():
        assert re.search(rf"^\\fB({option.also.short}\\fR, \\fB)?{option.flag}\\fR", text, re.M)
    for command in commands()[1:]:
        assert f"\n.SS fetchpool {command.name}\n" in text
    for status in ExitStatus:
        assert f"\n.TP\n\\fB{status.value}\\fR\n" in text


def test_page_has_the_day_of_its_version() -> None:
    version = re.search(r"^## \[(\d.*?)\]", CHANGELOG, re.M)
    assert version is not None
    dated = CHANGELOG.replace(version[0], f"## [{version[1]}] - 2001-02-03")
    dated = re.sub(r"(2001-02-03) - .*", r"\1", dated)
    assert '\n.TH FETCHPOOL 1 "2001-02-03" ' in shipped(dated)["man/man1/fetchpool.1"]


def test_markdown_of_the_help_becomes_text_that_is_shown_as_it_is() -> None:
    page = blocks(
        "`a-b` **c** [d](e.md) \\ it's …\n\n.x\n\n- one\n  more\n- two\n\n```\n.y  z\n```"
    )
    assert page == (
        "\\fBa\\-b\\fR \\fBc\\fR d \\e it\\(aqs \\[u2026]\n.PP\n\\&.x\n"
        ".IP \\(bu 2\none more\n.IP \\(bu 2\ntwo\n.PP\n.RS 4\n.EX\n\\&.y  z\n.EE\n.nh\n.RE\n"
    )


@needs("mandoc")
def test_page_is_clean_to_mandoc() -> None:
    run = subprocess.run(["mandoc", "-Tlint", "-Wstyle", PAGE], capture_output=True, text=True)
    # A version that is not yet out has no day.
    assert [line for line in run.stdout.splitlines() if "missing date" not in line] == []


@needs("groff")
def test_page_is_clean_to_groff_and_shows_what_is_typed() -> None:
    command = ["groff", "-man", "-Tutf8", "-ww", "-P-cbou", str(PAGE)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stderr == ""
    assert "-o, --output DEST" in run.stdout
    assert "\N{HYPHEN}" not in run.stdout, "a word is divided"
    assert 'header = ["Authorization: Bearer …"]' in run.stdout


# -- completions -----------------------------------------------------------------------------------

BASH = r"""
source "$1"
for line in "${@:2}"; do
    COMP_WORDS=($line)
    [[ $line == *' ' ]] && COMP_WORDS+=('')
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _fetchpool
    printf '%s\n' "${COMPREPLY[@]}" -
done
"""

FISH = r"""
source $argv[1]
for line in $argv[2..]
    complete -C $line
    echo -
end
"""

ZSH = r"""
zmodload zsh/zpty
zpty z env -i HOME=$PWD PATH=$PATH TERM=dumb COLUMNS=200 LC_ALL=C.UTF-8 zsh -f -i
zpty -w z "fpath=(${1:h} \$fpath); autoload -U compinit && compinit -u -D; LISTMAX=500"
zpty -w z "listed() { print BE''GIN; zle list-choices; zle -R; print LIS''TED }; zle -N listed"
zpty -w z "bindkey '^I' listed; unset zle_bracketed_paste; PROMPT='REA''DY '"
zpty -r z out '*READY *'
for line in "${@:2}"; do
    zpty -w -n z $line$'\t'
    zpty -r z out '*LISTED*'
    print -r -- $out
    print -r -- -
    zpty -w -n z $'\x15'
done
zpty -d z
"""
"""In a terminal of its own, as zsh completes nothing without."""

NAMES = {command.name for command in commands()[1:]}
OFFERED = [
    ("fetchpool ", NAMES),
    ("fetchpool g", {name for name in NAMES if name.startswith("g")}),
    ("fetchpool get --progress ", {"auto", "always", "never"}),
    ("fetchpool get -X P", {"POST", "PUT", "PATCH"}),
    ("fetchpool -V get --store p", {"parquet"}),
    ("fetchpool get --re", {each.flag for each in options() if each.key.startswith("re")}),
    ("fetchpool status x --", {"--json", "--changed", "--help"}),
    ("fetchpool --v", {"--version", "--verbose"}),
]
"""A line before the key is pressed, and what is to be offered."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a file and a directory."""
    (tmp_path / "urls.txt").touch()
    (tmp_path / "pages").mkdir()
    return tmp_path


def offers(shell: str, lines: list[str], place: Path) -> list[set[str]]:
    """Return what *shell* offers behind each of *lines*, in the directory *place*."""
    script, options, file = {
        "bash": (BASH, ["--norc", "-c"], "bash-completion/completions/fetchpool"),
        "fish": (FISH, ["-N", "-c"], "fish/vendor_completions.d/fetchpool.fish"),
        "zsh": (ZSH, ["-f", "-c"], "zsh/site-functions/_fetchpool"),
    }[shell]
    name = [] if shell == "fish" else [shell]
    run = subprocess.run(
        [shell, *options, script, *name, SHARE / file, *lines],
        cwd=place,
        env={"PATH": os.environ["PATH"], "HOME": str(place), "LC_ALL": "C.UTF-8", "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert run.stderr == ""
    texts = re.split(r"^-\n", run.stdout, flags=re.M)[:-1]
    assert len(texts) == len(lines)
    readers: dict[str, Callable[[str], list[str]]] = {
        "bash": str.split,
        "fish": _names_of_fish,
        "zsh": _names_of_zsh,
    }
    return [set(readers[shell](text)) for text in texts]


def _names_of_fish(text: str) -> list[str]:
    return [line.partition("\t")[0] for line in text.splitlines()]


def _names_of_zsh(text: str) -> list[str]:
    """Return the words between the marks, without what they mean and the line itself."""
    listed = text.partition("BEGIN")[2].partition("LISTED")[0].splitlines()
    lines = [line for line in listed if "fetchpool " not in line.removeprefix("READY ")[:60]]
    return [word for line in lines for word in line.partition("  -- ")[0].split()]


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_shell_offers_commands_flags_and_values(shell: str, place: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    lines, expected = zip(*OFFERED, strict=True)
    assert offers(shell, list(lines), place) == list(expected)


@pytest.mark.parametrize("shell", ["fish", "zsh"])
def test_shell_offers_files_where_files_are_meant(shell: str, place: Path) -> None:
    """Of bash it is readline that does."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    lines = ["fetchpool get ", "fetchpool get -o ", "fetchpool get --cacert ", "fetchpool cat "]
    lines += ["fetchpool get --limit ", "fetchpool demo "]
    both, directory = {"urls.txt", "pages/"}, {"pages/"}
    found = [
        {word for word in words if not word.startswith("-")}
        for words in offers(shell, lines, place)
    ]
    assert found == [both, directory, both, directory, set(), set()]

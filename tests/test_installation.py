"""What the installed package says of itself: its project's address, and what a bug report needs."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest

from fetchpool import Config, __version__
from fetchpool.cli import app as cli
from fetchpool.cli.installation import describe_installation
from fetchpool.config import installed
from fetchpool.config.installed import Requirement, project_url, requirements_of, version_of
from fetchpool.pipeline import pool
from tests.harness import run_fetchpool
from tests.servers.echo import EchoServer

OURS = "https://fetch.test/pool"

Build = Callable[[str], None]


def write_metadata(place: Path, lines: str, package: str = "fetchpool") -> None:
    directory = place / f"{package}-{__version__}.dist-info"
    directory.mkdir()
    head = f"Metadata-Version: 2.4\nName: {package}\nVersion: {__version__}\n{lines}"
    (directory / "METADATA").write_text(f"{head}\n\nProject-URL: Homepage, https://not.the.head/\n")


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Build]:
    """What stands for a fetchpool that was built with some lines of metadata."""

    def build(lines: str) -> None:
        write_metadata(tmp_path, lines)
        monkeypatch.syspath_prepend(tmp_path)
        project_url.cache_clear()

    yield build
    project_url.cache_clear()


# -- the address in the User-Agent -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "comment"),
    [
        (f"Project-URL: Homepage, {OURS}", f" (+{OURS})"),
        (f"Project-URL: Issues, https://x.test/\nProject-URL: homepage,{OURS}", f" (+{OURS})"),
        ("Project-URL: Issues, https://x.test/", ""),
        ("Project-URL: Homepage, ", ""),
        ("Project-URL: Homepage, ftp://x.test/", ""),
        ("Project-URL: Homepage, https://x.test/(a)", ""),
        ("Project-URL: Homepage, https://x.test/a b", ""),
        ("Project-URL: Homepage, https://x.test/\xe9", ""),
        ("Project-URL: Homepage", ""),
        ("", ""),
    ],
)
def test_address_in_the_user_agent_is_the_homepage_of_the_build(
    build: Build, lines: str, comment: str
) -> None:
    build(lines)
    assert Config().user_agent_text == f"fetchpool/{__version__}{comment}"
    assert Config(user_agent="mine/1").user_agent_text == "mine/1"


def test_sources_that_are_not_installed_send_no_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_package(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    project_url.cache_clear()
    monkeypatch.setattr(metadata, "distribution", no_package)
    assert Config().user_agent_text == f"fetchpool/{__version__}"
    assert "it runs from its sources" in describe_installation()
    project_url.cache_clear()


@pytest.mark.parametrize("lines", [f"Project-URL: Homepage, {OURS}", "Summary: a fetcher"])
def test_server_is_told_the_address_only_where_there_is_one(lines: str, tmp_path: Path) -> None:
    write_metadata(tmp_path, lines)
    with EchoServer() as echo:
        env = {"PYTHONPATH": str(tmp_path)}
        args = ["get", "--no-body", echo.url("/a")]
        assert run_fetchpool(args, env=env, cwd=tmp_path).returncode == 0
        (told,) = echo.told
    comment = f" (+{OURS})" if OURS in lines else ""
    assert told.headers["user-agent"] == f"fetchpool/{__version__}{comment}"


def test_this_build_names_no_place_that_is_made_up() -> None:
    assert re.search(r"\.(example|invalid|test)(/|$)", project_url() or "") is None


# -- requirements ----------------------------------------------------------------------------------


def test_requirements_are_read_with_extras_and_whose_they_are(build: Build) -> None:
    build(
        "Requires-Dist: aiohttp[speedups, x]<3.15,>=3.14.5\n"
        "Requires-Dist: uvloop>=0.21; sys_platform != 'win32'\n"
        "Requires-Dist: pyarrow>=15; extra == 'parquet'\n"
        'Requires-Dist: a.b-c; (os_name == "x") and extra == "test"'
    )
    assert requirements_of("fetchpool") == [
        Requirement("aiohttp", ("speedups", "x"), None),
        Requirement("uvloop", (), None),
        Requirement("pyarrow", (), "parquet"),
        Requirement("a.b-c", (), "test"),
    ]


def test_every_requirement_of_the_package_is_understood() -> None:
    given = metadata.requires("fetchpool")
    assert given is not None
    assert len(requirements_of("fetchpool")) == len(given)


# -- fetchpool --version --verbose -----------------------------------------------------------------


def rows(text: str) -> dict[str, str]:
    """Return what each row says, without its line breaks."""
    head, *lines = text.splitlines()
    assert head == f"fetchpool {__version__}"
    found: dict[str, str] = {}
    for line in lines:
        name = line[:12].strip() or list(found)[-1]
        found[name] = f"{found.get(name, '')} {line[12:]}".strip()
    return found


def test_what_a_bug_report_needs_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version", "--verbose"]) == 0
    text, err = capsys.readouterr()
    assert err == ""
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80
    said = rows(text)
    assert said["Python"].startswith(
        f"{platform.python_implementation()} {platform.python_version()}"
    )
    assert platform.machine() in said["platform"]
    assert said["compiled"] == "nothing of fetchpool itself"
    assert said["exchange"] == "direct"
    assert said["event loop"] == ("uvloop" if version_of("uvloop") else "asyncio")
    for each in requirements_of("fetchpool"):
        if each.extra is None:
            assert f"{each.name} {metadata.version(each.name)}" in said["libraries"]
    assert f"aiodns {metadata.version('aiodns')}" in said["libraries"]
    extras = {name.strip("[]") for name in said if name.startswith("[")}
    assert extras == {"parquet", "ray", "remote", "socks", "warc"}
    assert said["[warc]"] == f"isal {metadata.version('isal')}"


def test_it_says_nothing_of_whose_machine_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "node", lambda: "her-laptop")
    monkeypatch.setenv("USER", "her-name")
    monkeypatch.setenv("FETCHPOOL_PROXY", "http://her-proxy:1")
    text = describe_installation()
    assert "her-" not in text
    assert "/" not in text, "a path"


@pytest.mark.parametrize("words", ["--version --verbose", "--verbose -V", "-V --verbose get"])
def test_order_of_both_words_does_not_matter(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words.split()) == 0
    assert "exchange" in rows(capsys.readouterr().out)


def test_verbose_alone_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--verbose", "get", "x"]) == 2
    assert "fetchpool --version --verbose" in capsys.readouterr().err


def test_what_is_absent_is_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    present = installed.version_of
    monkeypatch.setattr(
        "fetchpool.cli.installation.version_of",
        lambda name: None if name in {"isal", "rich"} else present(name),
    )
    said = rows(describe_installation())
    assert said["[warc]"] == "isal absent"
    assert "rich absent" in said["libraries"]


def test_loop_and_exchange_are_those_that_a_run_would_get(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    monkeypatch.setattr(pool, "why_not_lendable", lambda _: "a part")
    said = rows(describe_installation())
    assert said["event loop"] == "asyncio"
    assert said["exchange"] == "session"


def test_extension_modules_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "fetchpool"
    (place / "http").mkdir(parents=True)
    (place / "__init__.py").touch()
    (place / "http" / f"heads{sysconfig.get_config_var('EXT_SUFFIX')}").touch()
    monkeypatch.setattr("fetchpool.__file__", str(place / "__init__.py"))
    assert rows(describe_installation())["compiled"].startswith("http/heads.")


BROKEN = """
import sys
sys.modules["aiohttp"] = None
from fetchpool.__main__ import main
main()
"""


def test_broken_installation_is_described_as_well() -> None:
    run = subprocess.run(
        [sys.executable, "-c", BROKEN, "--version", "--verbose"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    assert rows(run.stdout)["exchange"].startswith("can't be told: import of aiohttp halted")

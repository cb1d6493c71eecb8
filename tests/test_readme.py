"""What the documents say is so: commands run, options exist, names and numbers agree."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import fetchpool
from fetchpool.cli import app as cli
from fetchpool.cli.demo import hosts
from fetchpool.cli.demo.hosts import DemoHost
from fetchpool.cli.demo.server import serving
from fetchpool.config import options
from fetchpool.config.plan_settings import PLAN_OPTIONS
from fetchpool.config.tune_settings import TUNE_OPTIONS
from fetchpool.model.again import PASSING_STATUSES
from fetchpool.model.exits import ExitStatus
from fetchpool.model.urls import InvalidURLError, parse_url
from fetchpool.model.values import FailureKind
from fetchpool.output.ledger.reference import render_reference, render_table
from fetchpool.output.names import body_path
from fetchpool.scheduling.retry import FIRST_PAUSE_S
from tests.harness import RECORD_KEYS, clean_environment, read_records
from tests.test_imports import MAY_IMPORT

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
DOCUMENTS = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/architecture.md",
    "docs/credentials.md",
    "docs/durability.md",
    "docs/explain.md",
    "docs/hosts.md",
    "docs/licences.md",
    "docs/records.md",
    "docs/report.md",
    "docs/robots.md",
    "docs/scale.md",
    "docs/scale/planning.md",
    "docs/security.md",
    "docs/workers.md",
)

SETUP = re.compile(r"^python3 -m venv .*", re.MULTILINE)
GOOD = tuple(f"/page-{number}.txt" for number in range(1, 6))


def blocks(language: str, text: str = README) -> list[str]:
    """Return the code blocks of *language*."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def section(title: str, text: str = README) -> str:
    """Return what stands under the heading *title*, up to the next of its level or above."""
    match = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,2}} |\Z)", text, re.M | re.S)
    assert match is not None, title
    return match[2] if match[1] == "##" else match[2].partition("\n### ")[0]


def rows(text: str) -> list[list[str]]:
    """Return the cells of those table rows in *text* that begin with code or a number."""
    lines = [line for line in text.splitlines() if re.match(r"\| [`\d]", line)]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def code(cell: str) -> str:
    """Return the text between the backticks of a table's *cell*."""
    return cell.strip("`")


# -- options


def test_every_option_stands_in_the_table_with_its_default() -> None:
    found = {code(row[0]): row[1] for row in rows(section("Options of `fetchpool get`"))}
    expected = {}
    for option in options():
        metavar = "" if option.is_switch else f" {option.kind.metavar}"
        expected[", ".join(option.flags) + metavar] = option.default_text or "–"
    assert found == expected


def test_every_option_of_the_help_is_mentioned(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]
    for command in commands:
        assert f"`fetchpool {command}" in README or f"fetchpool {command} " in README, command
        cli.main([command, "--help"])
        for flag in set(re.findall(r"(?<![\w-])--[a-z0-9-]+\b(?![\w-])", capsys.readouterr().out)):
            assert re.search(rf"`[^`]*{flag}(?![\w-])", README), f"{command} {flag}"


def test_every_option_the_documents_name_exists() -> None:
    known = {option.flag for option in options()}
    known |= {f"--no-{option.key}" for option in options() if option.is_switch}
    known |= {
        "--config",
        "--format",
        "--wacz",
        "--help",
        "--json",
        "--changed",
        "--host",
        "--version",
        "--verbose",
        "--install-completion",
        "--manifest",
        *(option.flag for option in (*PLAN_OPTIONS, *TUNE_OPTIONS)),
    }
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        named = set(re.findall(r"`(--[a-z][a-z0-9-]+)", text))
        assert named <= known, (document, named - known)


# -- records, names, statuses


def test_record_has_the_keys_of_a_record_and_its_path_is_its_urls() -> None:
    record = json.loads(blocks("json")[0])
    assert tuple(record) == RECORD_KEYS
    assert record["path"] == body_path(parse_url(record["url"]), record["content_type"])


def test_keys_of_a_record_are_told_as_they_are_declared() -> None:
    document = (ROOT / "docs" / "records.md").read_text(encoding="utf-8")
    assert document == render_reference(), (
        "run: python -m fetchpool.output.ledger > docs/records.md"
    )
    assert render_table() in section("A record"), "its table is `reference.render_table()`"


def test_names_are_those_of_their_urls() -> None:
    table = rows(section("Names of files"))
    assert len(table) >= 5
    for url, path in ((code(row[0]), code(row[1])) for row in table):
        content_type = "text/css" if url.endswith("css") else "text/html"
        assert body_path(parse_url(url), content_type) == path


def test_kinds_of_error_are_all_there_with_what_is_tried_again() -> None:
    table = {code(row[0]): row[2] for row in rows(section("Kinds of error"))}
    assert list(table) == [kind.value for kind in FailureKind]
    for kind, again in table.items():
        assert (again == "no") == (FailureKind(kind) not in FIRST_PAUSE_S), kind
    assert {int(status) for status in re.findall(r"\d+", table["status"])} == PASSING_STATUSES


def test_exit_statuses_are_all_there() -> None:
    named = [int(n) for row in rows(section("Exit status")) for n in re.findall(r"\d+", row[0])]
    assert sorted(named) == sorted(int(status) for status in ExitStatus)


def test_sample_list_is_mostly_urls_of_many_hosts() -> None:
    lines = (ROOT / "sample_urls.txt").read_text(encoding="utf-8").splitlines()
    urls = [line for line in lines if line and not line.startswith("#")]
    found, wrong = set(), []
    for url in urls:
        try:
            found.add(parse_url(url).host)
        except InvalidURLError:
            wrong.append(url)
    assert len(urls) >= 20
    assert len(found) >= 12
    assert len(wrong) == 2  # on purpose: each has a comment that says so
    assert max(map(len, lines)) <= 100


def test_version_is_in_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{fetchpool.__version__}]" in changelog
    assert "## [Unreleased]" in changelog


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (ROOT / document).parent.joinpath(target).exists(), target


# -- commands


def test_set_up_commands_are_two_and_continuous_integration_runs_the_second() -> None:
    demo, tests = SETUP.findall(README)
    assert demo.endswith("fetchpool demo")
    script = ROOT / ".ci" / "run"
    pattern = re.search(r"grep -E '([^']+)' README.md", script.read_text(encoding="utf-8"))
    assert pattern is not None
    assert [line for line in README.splitlines() if re.search(pattern[1], line)] == [tests]
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0


@pytest.fixture
def address() -> Iterator[str]:
    """Where a server of good pages is."""
    with serving((DemoHost("fast", (), hosts.fast),)) as addresses:
        yield addresses["fast"]


@pytest.fixture
def shop(tmp_path: Path, address: str) -> Path:
    """A directory as a reader of the README has it: lists, and the program in `.venv`."""
    missing = f"{address}/gone-1.txt"
    (tmp_path / "urls.txt").write_text("\n".join([f"{address}{path}" for path in GOOD] + [missing]))
    (tmp_path / "more.txt").write_text(f"{address}/page-9.txt\n")
    sheet, _ = blocks("csv")
    (tmp_path / "sheet.csv").write_text(sheet.replace("https://example.org", address))
    program = tmp_path / ".venv" / "bin" / "fetchpool"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fetchpool "$@"\n')
    program.chmod(0o755)
    return tmp_path


def run_in(shop: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    env = clean_environment(shop)
    env["PATH"] = f"{shop / '.venv' / 'bin'}:{env['PATH']}"
    return subprocess.run(
        command, cwd=shop, env=env, capture_output=True, text=True, check=False, timeout=60
    )


TOUR = [block for block in blocks("sh") if not SETUP.search(block)]


def test_tour_runs_as_it_stands(shop: Path, address: str) -> None:
    assert len(TOUR) >= 7
    for block in TOUR:
        if "jq" in block and not shutil.which("jq"):
            continue
        # Only loopback may be asked; the page is another, the command is the same.
        script = block.replace("https://example.org/", f"{address}/page-8.txt")
        done = run_in(shop, ["sh", "-c", script])
        assert done.returncode in (ExitStatus.OK, ExitStatus.URLS_FAILED), (script, done.stderr)
        assert "Traceback" not in done.stderr, (script, done.stderr)
        if "select(.ok | not)" in script:
            assert done.stdout == f"{address}/gone-1.txt\n"
        if "sheet.csv" in script:
            _, answers = blocks("csv")
            answers = answers.replace("https://example.org", address)
            header, *rows = done.stdout.splitlines()
            assert header == answers.splitlines()[0]
            assert sorted(rows) == sorted(answers.splitlines()[1:])
        if "failed_by" in script:
            assert '"404": 1' in done.stdout
        if "env -i" in script:
            head, *failures = done.stderr.splitlines()  # quiet, but for the one failure
            assert "5 ok, 1 failed" in head
            assert failures == ["  404 (1)", f"    line 6  {address}/gone-1.txt"]
    assert (shop / "urls.fetched" / "results.jsonl").exists()
    for dest, count in (("pages", len(GOOD)), ("both", 2), ("all", len(GOOD) + 1)):
        assert len(list((shop / dest).rglob("page-*.txt"))) == count


def test_crontab_runs_a_command_that_is_accepted(shop: Path) -> None:
    (line,) = blocks("crontab")
    minute, hour, *_ = line.split()
    assert minute.isdigit()
    assert hour.isdigit()
    assert "%" not in line  # cron takes it for the end of the line
    command = line.split(maxsplit=5)[5].replace("/srv/pages", str(shop)).strip()
    done = run_in(shop, ["env", "-i", "/bin/sh", "-c", command])
    assert done.returncode == ExitStatus.URLS_FAILED, done.stderr
    assert (shop / "fetch.log").exists()

    # The next night, by the timer.
    units = (ROOT / "docs" / "refresh.md").read_text()
    (command,) = re.findall(r"^ExecStart=(.*)$", units, re.MULTILINE)
    (folder,) = re.findall(r"^WorkingDirectory=(.*)$", units, re.MULTILINE)
    there = str(shop)
    done = run_in(Path(folder.replace("/srv/pages", there)),
                  ["env", "-i", *command.replace("/srv/pages", there).split()])  # fmt: skip
    assert done.returncode == ExitStatus.URLS_FAILED, done.stderr
    changes = [record.get("change") for record in read_records(shop / "pages")]
    assert sorted(changes, key=str) == [None, *["same"] * len(GOOD)]


def test_library_examples_run(shop: Path, address: str) -> None:
    one_by_one, asking, whole = blocks("python")
    done = run_in(shop, [sys.executable, "-c", one_by_one])
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(GOOD) + 1
    assert f"{address}/gone-1.txt status" in "\n".join(lines)
    assert sum(line.endswith(" bytes") for line in lines) == len(GOOD)

    # Only loopback may be asked.
    done = run_in(shop, [sys.executable, "-c", asking.replace("https://example.org", address)])
    assert done.returncode == 0, done.stderr
    assert sorted(line.rpartition(" ")[0] for line in done.stdout.splitlines()) == [
        f"POST {f'page={n}'.encode()!r}" for n in range(10)
    ]

    done = run_in(shop, [sys.executable, "-c", whole])
    assert (done.returncode, done.stdout) == (0, "5 ok, 1 failed\n"), done.stderr


@pytest.mark.skipif(not shutil.which("jq"), reason="jq is not installed")
def test_look_for_bodies_that_are_gone_finds_them(shop: Path) -> None:
    (script,) = blocks("sh", (ROOT / "docs" / "durability.md").read_text(encoding="utf-8"))
    run_in(shop, ["fetchpool", "get", "urls.txt"])
    assert run_in(shop, ["sh", "-c", script]).stdout == ""
    body = next((shop / "urls.fetched").rglob("page-3.txt"))
    body.write_bytes(b"")
    assert run_in(shop, ["sh", "-c", script]).stdout.endswith("/page-3.txt\n")


# -- the architecture


def rooms() -> dict[str, int]:
    """Return each room of the table with its row's number."""
    table = rows(section("Rooms", ARCHITECTURE))
    return {name: n for n, row in enumerate(table) for name in re.findall(r"`(\w+)/?`", row[0])}


def test_every_room_is_in_the_table() -> None:
    package = ROOT / "fetchpool"
    there = {path.stem for path in package.glob("[!_]*.py")}
    there |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(rooms()) == there


def test_what_a_room_stands_on_is_told_as_it_is() -> None:
    for row in rows(section("Rooms", ARCHITECTURE)):
        (room,) = re.findall(r"`(\w+)/`", row[0])
        if told := re.findall(r"`(\w+)`", row[2]):
            others = set(MAY_IMPORT[room].split())
            assert set(told) <= others or row[2].startswith("all but"), room
            if not row[2].startswith("all") and "and what" not in row[2]:
                assert set(told) == others, room


def test_imports_point_up_the_table_of_rooms() -> None:
    order = rooms()
    package = ROOT / "fetchpool"
    for path in package.rglob("[!_]*.py"):
        room = path.relative_to(package).parts[0].removesuffix(".py")
        for module in imported(path):
            assert order[module] <= order[room], f"{path.relative_to(ROOT)} imports {module}"


def imported(path: Path) -> set[str]:
    """Return the rooms that the module at *path* imports from, for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fetchpool."):
            found.add((node.module or "").split(".")[1])
    return found


def test_tests_that_hold_the_laws_exist() -> None:
    table = section("Laws, and the tests that hold them", ARCHITECTURE)
    written = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py"))
    for name in re.findall(r"`(test_\w+)`", table):
        assert f"def {name}(" in written, name
    for path in re.findall(r"`(tests/[\w/]+\.py)`", table):
        assert (ROOT / path).exists(), path

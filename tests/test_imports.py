"""Imports point one way: which room may import which is a table, and the table has no circle.

A room is a file, or a folder, directly in `fetchpool/`. A new room, or a new arrow between two,
is added here on purpose (and in docs/architecture.md), or not at all.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from enum import Enum
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

import fetchpool

PACKAGE = Path(fetchpool.__file__).parent

MAY_IMPORT = {
    "model": "",
    "config": "model",
    "sources": "model",
    "scheduling": "model",
    "network": "model config",
    "http": "model network",
    "output": "model config",
    "reporting": "model config",
    "policies": "model scheduling",
    "pipeline": "model config sources scheduling network http output reporting policies",
    "scaling": "model config sources scheduling network output reporting pipeline",
    "run": "model config sources scheduling network output reporting pipeline scaling",
    "cli": "model config network output reporting run",
    "__main__": "cli",
    "__init__": "model config reporting pipeline run",
}
"""From the ground up."""

ARROWS_AT_MOST = 51

ONLY_WITH_AIOHTTP = (
    "network/connector/", "network/resolver/", "network/tls.py", "http/direct/", "http/session.py",
    "http/faults.py", "cli/demo/",
)  # fmt: skip
"""The reference way to the network, the demo's server, and who imports it without its roots."""

ONLY_WITH_TYPER = {
    f"cli/{name}.py" for name in ("app", "completion", "parsing", "shipped/surface", "vendored")
}

PURE = ("model/", "scheduling/", "http/watch.py", "http/framing.py", "output/names.py",
        "output/media.py", "reporting/stats/", "reporting/report/")  # fmt: skip
"""Decided by their arguments: no loop, no clock, no thread, no network."""

IMPURE = {"asyncio", "socket", "subprocess", "threading", "aiohttp", "ssl", "random"}


class When(Enum):
    """When an import happens."""

    AT_ONCE = "with its module"
    LATER = "when a function runs"
    NEVER = "for the type checker only"


class Import(NamedTuple):
    """One import, of a module or of a name in it."""

    file: str
    module: str
    when: When

    @property
    def room(self) -> str:
        """The room it stands in."""
        return self.file.removesuffix(".py").partition("/")[0]

    @property
    def of_room(self) -> str | None:
        """The room it leads to; None = outside of fetchpool, or its version."""
        top, _, rest = self.module.partition(".")
        return rest.partition(".")[0] or None if top == "fetchpool" else None


@cache
def imports() -> tuple[Import, ...]:
    """Every import statement of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = path.relative_to(PACKAGE).as_posix()
        found += [Import(name, module, when) for module, when in _below(tree, When.AT_ONCE)]
    return tuple(found)


def _below(node: ast.AST, when: When) -> Iterator[tuple[str, When]]:
    match node:
        case ast.ImportFrom(module=str(module)):
            yield module, when
        case ast.Import(names=names):
            yield from ((alias.name, when) for alias in names)
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body, orelse=orelse):
            for statement in body:
                yield from _below(statement, When.NEVER)
            for statement in orelse:
                yield from _below(statement, when)
            return
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda() if when is When.AT_ONCE:
            when = When.LATER
    for child in ast.iter_child_nodes(node):
        yield from _below(child, when)


def test_the_walk_sees_the_package() -> None:
    assert len(imports()) > 300
    assert {each.when for each in imports()} == set(When)


def test_every_room_is_in_the_table() -> None:
    rooms = {path.stem for path in PACKAGE.glob("*.py")}
    rooms |= {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == set(MAY_IMPORT)
    assert sum(len(others.split()) for others in MAY_IMPORT.values()) <= ARROWS_AT_MOST


def test_every_room_may_import_only_those_below_it() -> None:
    below: set[str] = set()
    for room, others in MAY_IMPORT.items():
        assert set(others.split()) <= below, room
        below.add(room)


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_room_imports_only_what_it_may(room: str) -> None:
    wrong = [
        f"{each.file}: {each.module}"
        for each in imports()
        if each.room == room
        and each.of_room is not None
        and each.of_room not in {room, *MAY_IMPORT[room].split()}
    ]
    assert wrong == []


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_table_allows_nothing_that_is_not_used(room: str) -> None:
    used = {each.of_room for each in imports() if each.room == room}
    assert set(MAY_IMPORT[room].split()) <= used


def test_there_is_no_circle() -> None:
    """Types may refer to each other; what runs may not."""
    arrows: dict[str, set[str]] = {}
    for each in imports():
        if each.of_room not in (None, each.room) and each.when is not When.NEVER:
            arrows.setdefault(each.room, set()).add(str(each.of_room))
    list(TopologicalSorter(arrows).static_order())  # CycleError names the circle


def files_with(library: str) -> set[str]:
    """Return the files that import *library*."""
    return {each.file for each in imports() if each.module.partition(".")[0] == library}


def test_only_the_network_rooms_know_aiohttp() -> None:
    files = files_with("aiohttp")
    assert all(file.startswith(ONLY_WITH_AIOHTTP) for file in files)
    for place in ONLY_WITH_AIOHTTP:
        assert any(file.startswith(place) for file in files), place


def test_only_the_terminal_knows_rich_and_only_the_command_line_typer() -> None:
    assert all(file.startswith("reporting/terminal/") for file in files_with("rich"))
    assert files_with("typer") == ONLY_WITH_TYPER


@pytest.mark.parametrize("where", PURE)
def test_pure_rooms_have_no_loop_no_thread_no_network(where: str) -> None:
    files = [each for each in imports() if each.file.startswith(where)]
    assert files, "the room moved: say where to"
    used = {each.module.partition(".")[0] for each in files if each.when is not When.NEVER}
    assert used & IMPURE == set()


def test_pure_rooms_have_no_clock() -> None:
    """Time is an argument called `now`."""
    clocks = [
        each.file for each in imports() if each.module == "time" and each.when is not When.NEVER
    ]
    assert not [file for file in clocks if file.startswith(PURE)]


def test_help_and_configuration_load_nothing_of_the_engine() -> None:
    light = ("cli/app.py", "cli/parsing.py", "config/", "__init__.py", "__main__.py")
    heavy = {"http", "pipeline", "scaling", "run", "output", "reporting"}
    at_once = {
        each.of_room
        for each in imports()
        if each.file.startswith(light) and each.when is When.AT_ONCE
    }
    assert at_once & heavy == set()


def test_importing_the_command_line_does_not_import_aiohttp() -> None:
    """`import aiohttp` costs 0.46 s; `fetchpool --help` must not pay it."""
    code = (
        "import sys, fetchpool.cli.app; print([m for m in ('aiohttp', 'ssl') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_there_are_no_relative_imports() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path

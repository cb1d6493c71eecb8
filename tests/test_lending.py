"""The inside of aiohttp and Typer: all that is touched is in a table, and looked at before use."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import aiohttp
import pytest
import typer
from aiohttp.connector import TCPConnector
from typer.core import TyperCommand, TyperGroup

import fetchpool
from fetchpool.cli import app as cli
from fetchpool.cli import parsing, vendored
from fetchpool.config import Config
from fetchpool.http.direct.exchange import Origin
from fetchpool.network.connector import UnfitLibraryError, lending, make_connector
from fetchpool.network.connector.lending import LENDING, NEEDED, REQUEST_FIELDS, USEFUL, Part
from fetchpool.pipeline.pool import FetchPool, check_surroundings, make_exchange
from tests.harness import run_fetchpool
from tests.program.helpers import one_line

PACKAGE = Path(fetchpool.__file__).parent
ROOMS = ("network", "http", "cli/demo", "pipeline/pool.py")
"""Who may have an object of aiohttp's in hand."""
TABLE = NEEDED + LENDING + USEFUL


# -- the table is complete -------------------------------------------------------------------------


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for room in ROOMS:
        place = PACKAGE / room
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            yield path, ast.parse(path.read_text(encoding="utf-8"))


def module_of(path: Path) -> ModuleType:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return importlib.import_module(".".join(part for part in parts if part != "__init__"))


def is_private(name: str) -> bool:
    no_secret = {"_", "_fields"}  # a name for nothing, and what named tuples document
    return name.startswith("_") and not name.startswith("__") and name not in no_secret


def names_set_in(tree: ast.AST) -> set[str]:
    """Return the private names that *tree*, a class, gives itself: methods, values, attributes."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=ast.Tuple(elts=slots)):
                found |= {slot.value for slot in slots if isinstance(slot, ast.Constant)}  # type: ignore[misc]
    return {name for name in found if is_private(name)}


@cache
def names_of_aiohttp(kind: type) -> frozenset[str]:
    """Return the private names that aiohttp's classes among *kind*'s ancestors have."""
    found: set[str] = set()
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] == "aiohttp":
            found |= names_set_in(ast.parse(textwrap.dedent(inspect.getsource(base))))
    return frozenset(found)


@cache
def names_of_any() -> frozenset[str]:
    """Return the private names that any object of aiohttp's client has."""
    folder = Path(aiohttp.__file__).parent
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in folder.glob("*.py")]
    classes = [each for tree in trees for each in ast.walk(tree) if isinstance(each, ast.ClassDef)]
    return frozenset().union(*(names_set_in(each) for each in classes))


def touched() -> Iterator[tuple[str, str]]:
    """Yield the private names of aiohttp's objects that our source speaks of, and where."""
    for path, tree in sources():
        where = path.relative_to(PACKAGE).as_posix()
        module = module_of(path)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                kind = vars(module).get(node.name)
                inherited = names_of_aiohttp(kind) if isinstance(kind, type) else frozenset()
                yield from ((name, where) for name in names_set_in(node) & inherited)
                for each in ast.walk(node):
                    match each:
                        case ast.Attribute(value=ast.Name(id="self"), attr=name) if (
                            name in inherited
                        ):
                            yield name, where
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=ast.Name(id="self" | "cls")):
                    pass
                case ast.Attribute(attr=name) if name in names_of_any():  # whosever it is
                    yield name, where
                case ast.Call(
                    func=ast.Name(id="getattr" | "hasattr" | "setattr" | "delattr"),
                    args=[_, ast.Constant(value=str(name)), *_],
                ) if is_private(name):
                    yield name, where


def test_every_private_name_of_aiohttp_that_is_touched_is_in_the_table() -> None:
    known = {part.name for part in TABLE}
    seen = dict(touched())
    assert {name: where for name, where in seen.items() if name not in known} == {}
    assert {"_conns", "_factory", "_retry_connection", "_protocol", "_payload"} <= set(seen)
    assert {part.name for part in TABLE if is_private(part.name)} <= set(seen), "no longer touched"


def test_what_is_overridden_is_in_the_table_with_its_parameters() -> None:
    for path, tree in sources():
        for node in ast.walk(tree):
            if not isinstance(node, ast.ClassDef):
                continue
            kind = vars(module_of(path)).get(node.name)
            if not (isinstance(kind, type) and issubclass(kind, TCPConnector)):
                continue
            for each in node.body:
                if isinstance(each, ast.AsyncFunctionDef | ast.FunctionDef) and hasattr(
                    TCPConnector, each.name
                ):
                    if each.name == "__init__":
                        continue
                    assert any(p.name == each.name and p.takes for p in TABLE), each.name


def test_stand_in_for_a_request_answers_all_that_it_is_said_to() -> None:
    from fetchpool.model.values import Target

    origin = Origin(
        Target("http://a.test/", "http", "a.test", 80, "/", "a.test"), force_close=False
    )
    for name in REQUEST_FIELDS:
        getattr(origin, name)


def test_connector_asks_a_request_for_nothing_else() -> None:
    """As the source of this aiohttp shows, read by itself."""
    asked: set[str] = set()
    for name in lending._ASKING:
        tree = ast.parse(textwrap.dedent(inspect.getsource(getattr(TCPConnector, name))))
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(value=ast.Name(id="req"), attr=attribute):
                    asked.add(attribute)
    assert "connection_key" in asked
    assert asked <= REQUEST_FIELDS


def test_versions_are_those_of_the_package() -> None:
    document = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = document["project"]["dependencies"]
    assert f"aiohttp[speedups]{lending.FIT_VERSIONS}" in wanted
    assert f"typer{vendored.FIT_VERSIONS}" in wanted


# -- what is missing is told before anything is done -----------------------------------------------


def without(monkeypatch: pytest.MonkeyPatch, part: Part) -> None:
    """Have aiohttp without *part*."""
    if part.takes is not None:
        monkeypatch.setattr(part.owner, part.name, lambda self, unheard_of: None)
        return
    for kind in part.owner.__mro__:
        if part.name in vars(kind):
            monkeypatch.delattr(kind, part.name)
        init = vars(kind).get("__init__")
        code = getattr(init, "__code__", None)
        if code is not None and part.name in code.co_names:
            names = tuple("_elsewhere" if n == part.name else n for n in code.co_names)
            monkeypatch.setattr(init, "__code__", code.replace(co_names=names))


PARTS = pytest.mark.parametrize(
    "part", NEEDED, ids=lambda part: f"{part.owner.__name__}.{part.name}"
)


@PARTS
def test_missing_part_ends_everything_with_its_name(
    monkeypatch: pytest.MonkeyPatch, part: Part
) -> None:
    check_surroundings(Config())
    without(monkeypatch, part)
    with pytest.raises(UnfitLibraryError, match=re.escape(f"{part.owner.__name__}.{part.name}")):
        FetchPool(Config())


@pytest.mark.parametrize("part", LENDING, ids=lambda part: f"{part.owner.__name__}.{part.name}")
async def test_missing_part_of_lending_costs_speed_only(
    monkeypatch: pytest.MonkeyPatch, part: Part
) -> None:
    without(monkeypatch, part)
    if part.owner is TCPConnector:
        with pytest.raises(UnfitLibraryError, match=part.name):
            check_surroundings(Config(exchange="direct"))
        return  # aiohttp itself can't do without
    with pytest.raises(UnfitLibraryError, match=part.name):
        FetchPool(Config(exchange="direct"))
    async with FetchPool(Config(exchange="auto")) as pool:
        assert type(pool._engine._exchange).__name__ == "SessionExchange"  # type: ignore[union-attr]


async def test_attribute_of_another_kind_is_not_worked_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connector = make_connector(Config(), limit=1, idle_limit=1)
    monkeypatch.setattr(connector, "_acquired", [])
    assert lending.why_not_lendable(connector) == "TCPConnector._acquired"
    with pytest.raises(UnfitLibraryError, match="_acquired"):
        make_exchange(Config(exchange="direct"), connector)
    await connector.close()


async def test_connector_that_asks_a_request_for_more_is_lent_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert lending.why_unfit(lending=True) is None
    asks = TCPConnector._create_direct_connection

    async def asks_for_more(
        self: object,
        req: aiohttp.ClientRequest,
        traces: object,
        timeout: object,  # noqa: ASYNC109 - aiohttp's signature
        *,
        client_error: object,
    ) -> object:
        return await asks(self, req, traces, timeout, headers=req.headers)  # type: ignore[arg-type,call-arg]

    monkeypatch.setattr(TCPConnector, "_create_direct_connection", asks_for_more)
    assert "a connector asks it for headers" in str(lending.why_unfit(lending=True))
    assert lending.why_unfit() is None


async def test_new_connector_is_looked_at_as_aiohttp_made_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    init = TCPConnector.__init__

    def forgetful(self: TCPConnector, *args: object, **options: object) -> None:
        init(self, *args, **options)  # type: ignore[arg-type]
        del self._factory

    monkeypatch.setattr(TCPConnector, "__init__", forgetful)
    with pytest.raises(UnfitLibraryError, match="_factory"):
        make_connector(Config(), limit=1, idle_limit=1)


def test_what_others_wrap_is_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing libraries put their own around aiohttp's functions."""
    import functools

    init = aiohttp.ClientSession.__init__

    @functools.wraps(init)
    def traced(*args: object, **options: object) -> None:
        init(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", traced)
    assert lending.why_unfit(lending=True) is None


BROKEN = """
import sys
{how}
from fetchpool.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("from aiohttp import TCPConnector as T; del T._create_connection", "_create_connection"),
        ("from aiohttp import TCPConnector as T; del T._resolve_host", "_resolve_host"),
        ("import aiohttp.client_reqrep as m; del m.ConnectionKey", "ConnectionKey"),
        ("import aiohttp.client_proto as m; del m.ResponseHandler", "ResponseHandler"),
        ("sys.modules['msgspec'] = None", "msgspec"),
        ("import typer.core as m; del m.TyperGroup", "TyperGroup"),
        ("import typer; del typer.TyperException", "TyperException"),
        ("from typer.core import TyperOption as T; T.process_value; "
         "del T.__mro__[1].process_value; del T.__mro__[2].process_value", "process_value"),
        ("sys.modules['typer'] = None", "typer"),
    ],
)  # fmt: skip
def test_command_ends_with_one_line_and_touches_nothing(
    tmp_path: Path, how: str, said: str
) -> None:
    (tmp_path / "urls.txt").write_text("http://127.0.0.1:9/\n")
    for exchange in ("auto", "session", "direct") if "_resolve" in said else ("auto",):
        program = [sys.executable, "-c", BROKEN.format(how=how)]
        args = ["get", "urls.txt", "-o", "out", "--exchange", exchange]
        result = run_fetchpool(args, cwd=tmp_path, program=program)
        assert (result.returncode, result.stdout) == (2, "")
        assert said in one_line(result.stderr)
        assert not (tmp_path / "out").exists()
    if "ConnectionKey" in said:
        demo = run_fetchpool(["demo"], cwd=tmp_path, program=program)
        assert (demo.returncode, demo.stdout) == (2, "")
        assert said in one_line(demo.stderr)


def test_missing_part_of_typer_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert vendored.why_unfit() is None
    monkeypatch.setattr(vendored, "BUILT_ON", ((TyperCommand, "main make_soup"),))
    assert cli.main(["get", "x"]) == 2
    assert "lacks TyperCommand.make_soup: pip install 'typer>=" in capsys.readouterr().err


def test_what_of_typer_is_overridden_or_called_is_in_the_table() -> None:
    """Methods of its classes that ours override, and what of its modules it doesn't export."""
    known = {(owner, name) for owner, names in vendored.BUILT_ON for name in names.split()}
    documented = {"Typer", "Option", "Argument", "Exit", "echo", "Context"}
    used: set[str] = set()
    rooms = (cli, parsing)
    for node in (node for each in rooms for node in ast.walk(ast.parse(inspect.getsource(each)))):
        match node:
            case ast.ClassDef(name=name):
                kind = getattr(parsing, name)
                bases = [base for base in (TyperGroup, TyperCommand) if issubclass(kind, base)]
                for each in node.body:
                    if isinstance(each, ast.FunctionDef):
                        for base in bases:
                            assert not hasattr(base, each.name) or (base, each.name) in known
                        used.add(each.name)
            case ast.Attribute(value=ast.Name(id="typer"), attr=name) if name not in documented:
                assert name == "__version__" or (typer, name) in known, name
            case ast.Attribute(value=ast.Attribute(attr="main"), attr=name):
                assert (typer.main, name) in known
    assert {"get_params", "make_parser", "resolve_command", "parse_args"} <= used


def test_looking_takes_next_to_nothing() -> None:
    """Counted in steps of the interpreter, which no busy machine changes: a start has millions."""
    code = """
import sys
from fetchpool.network.connector.lending import why_unfit
why_unfit(lending=True)
steps = 0
def count(frame, event, arg):
    global steps
    steps += 1
    return count
sys.settrace(count)
why_unfit(lending=True)
sys.settrace(None)
print(steps)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 5_000

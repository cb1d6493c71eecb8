"""What the documentation shows, and what the library takes, passes its users' type checkers.

In their strict modes; each with no network and no settings of ours.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import pytest

import fetchpool

ROOT = Path(__file__).parent.parent
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

USES = """
import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import fetchpool

sizes = [
    fetchpool.Config(max_size="10M", min_speed="1K"),
    fetchpool.Config(max_size=10_000_000, min_speed=0),
]
headers = [
    fetchpool.Config(header={"Accept": "text/html"}),
    fetchpool.Config(header=[("Accept", "text/html")]),
    fetchpool.Config(header=(("Accept", "text/html"), ("DNT", "1"))),
    fetchpool.Config(header=["Accept: text/html", "DNT: 1"]),
    fetchpool.Config(header="Accept: text/html"),
    fetchpool.Config(header=os.environ if not os.environ else {}),
]
names = [
    fetchpool.Config(secret_param="token", retry_kinds="timeout,status:5xx", retry_failed=True),
    fetchpool.Config(secret_param=["token"], retry_kinds=["timeout"], retry_failed=True),
    fetchpool.Config(secret_param=("a", "b"), retry_kinds=[fetchpool.FailureKind.DNS],
                     retry_failed=True),
]
paths = [
    fetchpool.Config(log_file=Path("log"), records=Path("r.csv"), metrics_file=Path("m.prom")),
    fetchpool.Config(log_file="log", records="-", metrics_file=None, cacert=None),
    fetchpool.Config(netrc=os.devnull, cookies=Path(os.devnull), save_cookies="jar"),
    fetchpool.Config(cookies=os.devnull, save_cookies=True, bearer_file=None, cert=Path("c.pem")),
]
numbers = fetchpool.Config(connect_timeout=5, rate=2, keepalive=0.5, proxy=None, progress="never")

kept_size: int = sizes[0].max_size
kept_header: tuple[tuple[str, str], ...] = headers[0].header
kept_names: tuple[str, ...] = names[0].secret_param
kept_path: str | None = paths[0].log_file
kept_cookies: str | bool | None = paths[3].save_cookies


async def lines() -> AsyncIterator[str]:
    yield "# nothing"


async def use() -> list[fetchpool.FailureKind | None]:
    found: list[fetchpool.FailureKind | None] = []
    async with fetchpool.FetchPool(numbers) as pool:
        outcomes: fetchpool.Outcomes = pool.fetch(["no url", fetchpool.Request("none either")])
        async for outcome in outcomes:
            body: bytes | None = outcome.body
            assert body is None
            found.append(outcome.error)
        await outcomes.aclose()
        count: int = outcomes.skipped
        assert count == 0
        found += [each.error async for each in pool.fetch(lines())]
    return found


assert asyncio.run(use()) == [fetchpool.FailureKind.INPUT] * 2
print(kept_size, kept_header, kept_names, kept_path)
"""

MISTAKES = (
    "fetchpool.Config(max_size=1.5)",
    "fetchpool.Config(header=5)",
    "fetchpool.Config(header={'A': 1})",
    "fetchpool.Config(limit='50')",
    "fetchpool.Config(max_sise=1)",
    "fetchpool.Config(progress='sometimes')",
    "fetchpool.FetchPool().fetch([1])",
)


@cache
def examples() -> dict[str, str]:
    """Return each Python example of the documents by the name of a file for it."""
    return {
        f"{path.stem.lower()}_{number}.py": block
        for path in DOCUMENTS
        for number, block in enumerate(
            re.findall(r"^```python\n(.*?)^```", path.read_text(encoding="utf-8"), re.M | re.S), 1
        )
    }


def mypy(folder: Path, files: Sequence[str]) -> list[str]:
    """Return what `mypy --strict` has to say of *files*."""
    (folder / "mypy.ini").write_text("[mypy]\nstrict = true\n")
    args = ["--cache-dir", str(folder / "cache"), "--no-error-summary", "--no-pretty", *files]
    return run([sys.executable, "-m", "mypy", *args], folder).splitlines()


def pyright(folder: Path, files: Sequence[str]) -> list[str]:
    """Return what pyright in strict mode has to say of *files*."""
    if find_spec("pyright") is None:
        pytest.skip("pyright is not installed: pip install -e '.[pyright]'")
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    said = run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *files],
        folder,
    )
    report = json.loads(said[said.index("{") :])
    assert report["summary"]["filesAnalyzed"] == len(files)
    return [
        f"{Path(each['file']).name}:{each['range']['start']['line'] + 1}: {each['message']}"
        for each in report["generalDiagnostics"]
    ]


def run(command: Sequence[str], folder: Path) -> str:
    """Return what *command* says in *folder*, whatever its exit status."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


Checker: TypeAlias = Callable[[Path, Sequence[str]], list[str]]
MISTAKEN = "mistakes.py"


@pytest.fixture(scope="module", params=[mypy, pyright], ids=["mypy", "pyright"])
def said(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a checker has to say of the documents' examples, of USES and of MISTAKES: one run."""
    folder = tmp_path_factory.mktemp("typing")
    mistakes = "import fetchpool\n" + "\n".join(MISTAKES) + "\n"
    files = {**examples(), "uses.py": USES, MISTAKEN: mistakes}
    assert len(files) >= 4
    for name, text in files.items():
        (folder / name).write_text(text)
    checker: Checker = request.param
    return checker(folder, list(files))


def test_documented_examples_and_accepted_values_pass(said: list[str]) -> None:
    assert [line for line in said if not line.startswith(f"{MISTAKEN}:")] == []


def test_mistakes_do_not_pass(said: list[str]) -> None:
    for number, mistake in enumerate(MISTAKES, 2):
        assert any(line.startswith(f"{MISTAKEN}:{number}:") for line in said), mistake


def test_accepted_values_are_accepted(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", USES], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("10485760 (('Accept', 'text/html'),) ('token',) log")


def test_every_public_name_is_typed() -> None:
    """What is imported late at run time is named for checkers: the two lists are one."""
    text = Path(fetchpool.__file__).read_text(encoding="utf-8")
    named = re.findall(r"^    from fetchpool\.\S+ import (\w+) as \1$", text, re.M)
    assert sorted(named) == sorted(set(fetchpool.__all__) - {"__version__"})

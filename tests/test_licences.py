"""Libraries that come along: each listed, under a licence that fits ours; and the tests' pins."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.licences import (
    incompatible,
    libraries,
    licence_of,
    named_anywhere,
    render,
    users_extras,
)

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

ROW = re.compile(r"^\| ([a-z0-9-]+) \| (\S.*?) \| (`.*`) \|$", re.MULTILINE)


def listed(text: str) -> dict[str, tuple[str, str]]:
    """Return licence and who needs it of each library in a list of them."""
    return {name: (licence, by) for name, licence, by in ROW.findall(text)}


DOCUMENT = listed((ROOT / "docs" / "licences.md").read_text(encoding="utf-8"))


def test_every_library_that_comes_along_is_listed_with_its_licence() -> None:
    here = listed(render())
    assert len(here) == len(libraries()) > 30
    told = {name: DOCUMENT.get(name) for name in here}
    assert told == here, "look at what is new, then: python -m tests.licences > docs/licences.md"


def test_nothing_is_listed_that_nobody_needs() -> None:
    """What another Python or system needs may stand there."""
    assert set(DOCUMENT) <= named_anywhere()


@pytest.mark.parametrize("library", sorted(libraries()))
def test_licence_fits_ours(library: str) -> None:
    assert incompatible(licence_of(library)) == set()


def test_licences_that_do_not_fit_are_told() -> None:
    assert incompatible("(MIT OR GPL-3.0-only) AND ISC") == {"GPL-3.0-only"}
    assert incompatible("") == {""}


def test_what_each_extra_names_is_listed_for_it() -> None:
    for extra in users_extras():
        for text in PROJECT["optional-dependencies"][extra]:
            assert f"`fetchpool[{extra}]`" in DOCUMENT[Requirement(text).name][1]
    for text in PROJECT["dependencies"]:
        assert DOCUMENT[Requirement(text).name][1] == "`fetchpool`"


# -- requirements/test.lock ------------------------------------------------------------------------

LOCK = (ROOT / "requirements" / "test.lock").read_text(encoding="utf-8")
PINS = [line for line in LOCK.splitlines() if not line.startswith("#")]


def test_pins_are_names_and_versions_and_say_no_place() -> None:
    for line in PINS:
        assert re.fullmatch(r"[a-z0-9.-]+==[a-z0-9.]+(?: ; [\w '.<>=!()]+)?", line), line
    assert "://" not in LOCK
    assert not re.search(r"--(extra-)?index|--find-links", LOCK)


def test_pins_are_what_the_package_and_its_tests_ask_for() -> None:
    versions: dict[str, list[str]] = {}
    for line in PINS:
        name, _, version = line.partition(" ;")[0].partition("==")
        versions.setdefault(name, []).append(version)
    extras = PROJECT["optional-dependencies"]
    wanted = [
        *PROJECT["dependencies"],
        *(each for name in extras if name not in ("pyright", "ray") for each in extras[name]),
    ]
    for needed in map(Requirement, wanted):
        for version in versions[canonicalize_name(needed.name)]:
            assert needed.specifier.contains(version), f"{needed}: see requirements/test.lock"

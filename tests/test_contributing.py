"""What contributors are told: commands, folders and links are there, reports say the versions."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tests.test_readme import README, ROOT, SETUP

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TEMPLATES = sorted((ROOT / ".github").rglob("*.md"))


def test_setting_up_is_the_one_command_of_the_readme() -> None:
    assert SETUP.findall(CONTRIBUTING) == [SETUP.findall(README)[1]]


def test_every_folder_of_tests_is_told_and_each_that_is_told_is_there() -> None:
    told = set(re.findall(r"`tests/(\w+)/`", CONTRIBUTING))
    there = {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")}
    assert told == there


def test_modules_that_are_to_be_run_are_there() -> None:
    modules = set(re.findall(r"python -m ([\w.]+)", CONTRIBUTING))
    assert len(modules) >= 6
    for module in modules:
        assert importlib.util.find_spec(module) is not None, module


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_template_asks_for_what_it_ran_on(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    assert "`fetchpool --version --verbose`" in text
    assert template.parent.name != "ISSUE_TEMPLATE" or re.match(
        r"---\nname: .+\nabout: .+\n---\n", text
    )


def test_headings_that_are_linked_to_are_there() -> None:
    """GitHub's anchors: lower case, a hyphen for a blank."""
    for document in ("CONTRIBUTING.md", "SECURITY.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        links = re.findall(r"\]\(([\w./]+)#([\w-]+)\)", text)
        assert links
        for target, anchor in links:
            titles = re.findall(r"^#+ (.+)$", (ROOT / target).read_text(encoding="utf-8"), re.M)
            assert anchor in [title.lower().replace(" ", "-") for title in titles], (target, anchor)

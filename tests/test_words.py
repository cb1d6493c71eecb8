"""Words that readers stumble over, and the rooms that are free of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

WORDS = (
    "take note",  # record, or say what happens
    "appetite",  # body action
    "barren",  # without work
    "crew",  # tasks
    "lookout",  # outage probe
    "setback",  # failure
    "stranger",  # a list or a server
    "verdict",  # outcome, reason
    "with eyes",
)
"""Each with a plain word for it in a comment, where there is one."""

ROOMS = sorted(path.parent.name for path in (ROOT / "fetchpool").glob("*/__init__.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_room_speaks_in_words_of_the_field(room: str) -> None:
    dialect = re.compile("|".join(WORDS), re.IGNORECASE)
    files = sorted((ROOT / "fetchpool" / room).rglob("*.py"))
    assert files
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in files
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if dialect.search(line)
    ]
    assert not found

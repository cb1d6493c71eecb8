"""docs/security.md claims nothing that no test holds."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_tests_that_hold_the_promises_exist() -> None:
    written = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", DOCUMENT))
    assert len(named) > 40
    assert [name for name in sorted(named) if f"def {name}(" not in written] == []
    paths = re.findall(r"`(tests/[\w/.]+)`", DOCUMENT)
    assert [path for path in paths if not (ROOT / path).exists()] == []

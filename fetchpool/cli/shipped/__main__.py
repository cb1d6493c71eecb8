"""`python -m fetchpool.cli.shipped`: write what is shipped below `share/`, in a clone."""

from __future__ import annotations

import re
from pathlib import Path

from fetchpool import __version__
from fetchpool.cli.shipped import completion
from fetchpool.cli.shipped.manual import render_manual


def shipped(changelog: str) -> dict[str, str]:
    """Return the text of each file by its place below `share/`.

    The page has the date that *changelog* gives this version, if any.
    """
    heading = re.escape(f"## [{__version__}] - ")
    released = re.search(rf"^{heading}(\d{{4}}-\d\d-\d\d)$", changelog, re.MULTILINE)
    return {
        "man/man1/fetchpool.1": render_manual(released[1] if released else ""),
        "bash-completion/completions/fetchpool": completion.bash(),
        "zsh/site-functions/_fetchpool": completion.zsh(),
        "fish/vendor_completions.d/fetchpool.fish": completion.fish(),
    }


def main(root: Path) -> None:
    """Write them in the clone at *root*."""
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    for place, text in shipped(changelog).items():
        path = root / "share" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path.cwd())

"""Which libraries come along when fetchpool is installed, and under which licences.

python -m tests.licences > docs/licences.md
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fetchpool.cli.installation import DEVELOPERS_EXTRAS

COMPATIBLE = {
    "Apache-2.0": "",
    "BSD-2-Clause": "",
    "BSD-3-Clause": "",
    "ISC": "",
    "MIT": "",
    "MIT-0": "",
    "MPL-2.0": "its conditions are about changes to its own files",
    "PSF-2.0": "",
}
"""Licences of libraries that a program under MIT may need, by their SPDX identifiers."""

_IDENTIFIERS = {
    "Apache 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Python Software Foundation License": "PSF-2.0",
}
"""Of what older metadata says in words."""

_HEAD = """\
# Licences

<!-- Made by `python -m tests.licences > docs/licences.md`; a test holds it to what is there. -->

fetchpool itself is under the [MIT licence](../LICENSE). These libraries come along when it is
installed, each as a package of its own and unchanged; the extras bring theirs. This is what their
own metadata says, for CPython 3.11 to 3.14 on Linux and macOS.

Part of the package, and of each page that `fetchpool report` writes, is
[uPlot](https://github.com/leeoniya/uPlot) under the
[MIT licence](../fetchpool/reporting/report/assets/LICENSE-uPlot).

Not in the list is what `fetchpool[ray]` brings: Ray, under Apache-2.0, and some twenty libraries
that are Ray's choice.

| library | licence | needed by |
| --- | --- | --- |
"""


def libraries() -> dict[str, set[str | None]]:
    """Return every library that comes along here, and the extras that need it.

    None among them: fetchpool needs it without any extra.
    """
    found: dict[str, set[str | None]] = defaultdict(set)
    for extra in (None, *users_extras()):
        for name in _needed("fetchpool", {extra} - {None}, set()):
            found[name].add(extra)
    return {name: {None} if None in extras else extras for name, extras in found.items()}


UNLISTED = frozenset({"ray"})
"""Extras whose libraries aren't installed for the tests, and so can't be asked."""


def users_extras() -> list[str]:
    """Return the extras that add something to the program, but for those in `UNLISTED`."""
    named = metadata.metadata("fetchpool").get_all("Provides-Extra") or []
    return sorted(set(named) - DEVELOPERS_EXTRAS - UNLISTED)


def _needed(package: str, extras: Iterable[str | None], seen: set[tuple[str, str]]) -> set[str]:
    """Return the names of all that *package* with *extras* needs here, directly or not."""
    found = set()
    for text in metadata.requires(package) or []:
        needed = Requirement(text)
        if needed.marker is None or any(
            needed.marker.evaluate({"extra": extra or ""}) for extra in ("", *extras)
        ):
            name = canonicalize_name(needed.name)
            found.add(str(name))
            if (name, str(needed)) not in seen:
                seen.add((name, str(needed)))
                found |= _needed(name, needed.extras, seen)
    return found


def named_anywhere() -> set[str]:
    """Return what the libraries of `libraries` name as needed on some system or other."""
    packages = ["fetchpool", *libraries()]
    texts = [text for package in packages for text in metadata.requires(package) or []]
    return {str(canonicalize_name(Requirement(text).name)) for text in texts}


def licence_of(package: str) -> str:
    """Return the licence of an installed *package* as an SPDX expression; empty if it says none."""
    about = metadata.metadata(package)
    if "License-Expression" in about:
        return about["License-Expression"]
    prefix = "License :: OSI Approved :: "
    said = [each for each in about.get_all("Classifier") or [] if each.startswith(prefix)]
    names = [each.removeprefix(prefix) for each in said] or about.get_all("License") or [""]
    return " OR ".join(sorted(_IDENTIFIERS.get(name, name) for name in names))


def incompatible(expression: str) -> set[str]:
    """Return the identifiers in *expression* that aren't among `COMPATIBLE`."""
    return set(re.split(r" (?:AND|OR) ", re.sub(r"[()]", "", expression))) - set(COMPATIBLE)


def render() -> str:
    """Return the Markdown of `docs/licences.md`."""
    rows = []
    for name, extras in sorted(libraries().items()):
        licence = licence_of(name)
        note = "; ".join(filter(None, (COMPATIBLE.get(each) for each in licence.split())))
        by = ", ".join(
            f"`fetchpool[{each}]`" if each else "`fetchpool`" for each in sorted_(extras)
        )
        rows.append(f"| {name} | {licence}{f' ({note})' if note else ''} | {by} |\n")
    return _HEAD + "".join(rows)


def sorted_(extras: Iterable[str | None]) -> list[str | None]:
    """Return *extras* in order, None first."""
    return sorted(extras, key=lambda each: each or "")


if __name__ == "__main__":
    sys.stdout.write(render())

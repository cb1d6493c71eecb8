"""What the metadata of the installed package says: where the project lives, and what it needs.

A package that runs from its sources, without being installed, has none: then nothing is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

_URL = re.compile(r"https?://[\x21-\x27\x2a-\x7e]+", re.IGNORECASE)
"""Fit for a comment in a header field (RFC 9110 §5.6.5): printable, without parentheses."""

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?([^;]*)(?:;(.*))?")
"""Name, extras in brackets, versions, marker (PEP 508); none of ours is a direct URL."""
_EXTRA = re.compile(r"""extra\s*==\s*['"]([^'"]+)['"]""")


class Requirement(NamedTuple):
    """One library that a package needs, or that one of its extras does."""

    name: str
    with_extras: tuple[str, ...]
    """The extras of that library that are needed: `speedups` of `aiohttp[speedups]`."""
    extra: str | None
    """The package's own extra that needs it; None: the package itself does."""


@cache
def project_url() -> str | None:
    """Return the `Homepage` under `[project.urls]` of this build; None where it names none.

    Reading it takes 5 ms, once.
    """
    for value in metadata_fields("fetchpool", "Project-URL"):
        label, _, url = value.partition(",")
        if label.strip().lower() == "homepage" and _URL.fullmatch(url.strip()):
            return url.strip()
    return None


def version_of(package: str) -> str | None:
    """Return the version of an installed *package*; None where it is absent."""
    return next(metadata_fields(package, "Version"), None)


def requirements_of(package: str) -> list[Requirement]:
    """Return what *package* needs, and each of its extras, as far as its metadata is there."""
    found = []
    for value in metadata_fields(package, "Requires-Dist"):
        if (match := _REQUIREMENT.fullmatch(value)) is not None:
            name, extras, _, marker = match.groups()
            extra = _EXTRA.search(marker or "")
            with_extras = tuple(word.strip() for word in (extras or "").split(",") if word.strip())
            found.append(Requirement(name, with_extras, extra[1] if extra else None))
    return found


def metadata_fields(package: str, name: str) -> Iterator[str]:
    """Yield each value of the field *name* in the metadata of *package*; nothing if absent.

    Only its head is looked at: the description behind it is a whole document.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        text = distribution(package).read_text("METADATA") or ""
    except (PackageNotFoundError, OSError, UnicodeDecodeError):
        return
    for line in text.partition("\n\n")[0].splitlines():
        label, _, value = line.partition(":")
        if label.lower() == name.lower():
            yield value.strip()

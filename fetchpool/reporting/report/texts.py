"""Texts from a list or a server in a document: shown as they are, and never obeyed."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from datetime import UTC, datetime

from fetchpool.model.urls import display, redact_urls_in

LONGEST_URL = 300
"""Characters of a URL, or of what is said of it."""
LONGEST_NAME = 100

_YEAR_10000 = 253402300800
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def shown(text: str, limit: int = LONGEST_NAME) -> str:
    """Return *text* without its secrets, and with an escape for each character that is no text."""
    return display(redact_urls_in(text), limit)


def markup(text: str, limit: int = LONGEST_NAME) -> str:
    """Return *text* as `shown` does, so that HTML takes it for text, in an attribute as well."""
    return html.escape(shown(text, limit), quote=True)


def xml(text: str, limit: int = LONGEST_URL) -> str:
    """Return *text* as `markup` does; characters that XML can't hold become U+FFFD."""
    return _NOT_XML.sub("\ufffd", markup(text, limit))


def moment(epoch_s: float | None) -> str | None:
    """Return a moment as `2026-01-31 12:00:00 UTC`; None where no calendar has it."""
    if epoch_s is None or not 0 <= epoch_s < _YEAR_10000:
        return None
    return f"{datetime.fromtimestamp(epoch_s, UTC):%Y-%m-%d %H:%M:%S} UTC"


def within(parts: Iterable[str], most: int) -> tuple[list[str], bool]:
    """Return the first *parts* that have *most* characters together, and whether there are more."""
    taken: list[str] = []
    for part in parts:
        most -= len(part)
        if most < 0:
            return taken, True
        taken.append(part)
    return taken, False

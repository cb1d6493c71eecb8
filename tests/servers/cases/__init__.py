"""What a bulk fetcher meets: every hostile answer the tests know, as data."""

from __future__ import annotations

from tests.servers.cases import encodings, endings, framing, heads, redirects, secure
from tests.servers.fault import Case

CASES: list[Case] = [
    *framing.CASES,
    *heads.CASES,
    *endings.CASES,
    *encodings.CASES,
    *redirects.CASES,
    *secure.CASES,
]
"""Their names are unique: they are paths, test ids and keys."""

"""Which files no record names: what a body under another name has taken the place of may go.

A version of fetchpool may give a body another name than an earlier one did. What that one fetched
is gone on with under the names in its records. A run that begins anew makes new names, and the old
body of a URL that has a new one is a file that no record names: `previous.jsonl` tells of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import msgspec

from fetchpool.model.urls import InvalidURLError, conceals, parse_url
from fetchpool.output.ledger.entries import read_blocks
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.state import read_state, write_state
from fetchpool.output.names import body_path


class _Body(msgspec.Struct, frozen=True, gc=False):
    url: str
    path: str
    content_type: str | None


class _Named(msgspec.Struct, frozen=True, gc=False):
    url: str
    path: str | None
    content_type: str | None = None


_decoder = msgspec.json.Decoder(_Named)


def unnamed(layout: Layout, paths: set[str]) -> set[str]:
    """Return those of *paths* that no record of today's run names, nor one that waits.

    Reads the ledger in full, 1 µs a record. Raises OSError.
    """
    left = set(paths)
    for ledger in (layout.ledger, layout.waiting):
        left.difference_update(body.path for body in _bodies(ledger))
    return left


class Renamed(NamedTuple):
    """Bodies of an earlier run that would have another name today."""

    paths: set[str]
    replaced: set[str]
    """Those whose URL has a body of another name today."""


def renamed(layout: Layout, at_once: int) -> Iterator[Renamed]:
    """Yield the bodies that the earlier run may have named otherwise, *at_once* at most.

    By older rules, or where lists wish names of their own: all of them, then.

    Each time the ledger is read in full; the earlier one once, 10 µs a record. Raises OSError.
    """
    state = read_state(layout.state)
    wished = layout.claims.exists()
    if state is None or not (state.renames or wished):
        return
    earlier = (
        body
        for body in _bodies(layout.previous)
        if not conceals(body.url) and (wished or _is_named_otherwise(body))
    )
    while paths := {body.url: body.path for body in islice(earlier, at_once)}:
        replaced = {
            paths[body.url]
            for body in _bodies(layout.ledger)
            if paths.get(body.url, body.path) != body.path
        }
        yield Renamed(set(paths.values()), replaced)


def forget_renamed(layout: Layout) -> None:
    """Say that nothing is left of what `renamed` finds. Raises OSError."""
    state = read_state(layout.state)
    if state is not None and state.renames:
        state.renames = False
        write_state(layout.state, state, fsync=False)


def _is_named_otherwise(body: _Body) -> bool:
    """Tell whether *body* has another name than it would get today, as far as can be told.

    What is secret in a URL isn't in the record, so nothing can be told of it, whatever it is.
    """
    try:
        target = parse_url(body.url)
    except InvalidURLError:
        return False
    return body_path(target, body.content_type) != body.path


def _bodies(ledger: Path) -> Iterator[_Body]:
    """Yield the bodies that the records in *ledger* name; none if it isn't there."""
    if not ledger.exists():
        return
    for block in read_blocks(ledger):
        for line, entry in zip(block.lines(), block.entries, strict=True):
            if entry is not None:
                record = _decoder.decode(line)
                if record.path is not None:
                    yield _Body(record.url, record.path, record.content_type)

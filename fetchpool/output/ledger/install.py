"""How a new ledger takes the place of the old one, whatever kills the process on the way.

    1  next-results.jsonl, next-waiting.jsonl and next-carried.jsonl are written
    2  state.json says `install`: the one step that decides
    3  results.jsonl is previous.jsonl, too, if this is a new run
    4  next-carried.jsonl → carried.jsonl, next-waiting.jsonl → waiting.jsonl; without a
       next-waiting.jsonl, waiting.jsonl is deleted
    5  next-results.jsonl → results.jsonl
    6  state.json says so no more

Killed before 2, the next start deletes the `next-…` files, and the old ones are as they were.
Killed after it, the next start sees `install` and does 3 to 6. Done again, 3 comes to the same, and
4 and 5 are passed over, as the file they move is gone; 3 is not done once more after 5.

A checkpoint names the run it belongs to, and every new ledger is a new run: an old one is not
believed. Records are appended only after 6.
"""

from __future__ import annotations

from contextlib import suppress

from fetchpool.output.ledger.files import sync_directory
from fetchpool.output.ledger.layout import Layout, remove
from fetchpool.output.ledger.state import State, write_state


def commit(layout: Layout, state: State, *, archive: bool, fsync: bool) -> None:
    """Make the finished `next-…` files those of the run *state* describes: steps 2 to 6.

    With *archive* the old ledger becomes `previous.jsonl`, else it is replaced. Raises OSError.
    """
    if fsync:
        sync_directory(layout.private)  # the new files' names, before what counts on them
    state.install = True
    state.archive = archive
    write_state(layout.state, state, fsync=fsync)
    install(layout, state, fsync=fsync)


def _archive(layout: Layout) -> None:
    """Give the old ledger its second name, so that there is one under the first at any moment."""
    with suppress(OSError):  # a file system without hard links: then there is none for a moment
        remove(layout.next_previous)
        layout.next_previous.hardlink_to(layout.ledger)
        layout.next_previous.replace(layout.previous)
        return
    layout.ledger.replace(layout.previous)


def install(layout: Layout, state: State, *, fsync: bool) -> None:
    """Do what is left of steps 3 to 6, *state* being what is on disk. Raises OSError."""
    if layout.next_ledger.exists():
        if state.archive and layout.ledger.exists():
            _archive(layout)
        if layout.next_carried.exists():
            layout.next_carried.replace(layout.carried)
        if layout.next_waiting.exists():
            layout.next_waiting.replace(layout.waiting)
        elif not state.waiting:
            remove(layout.waiting)
        layout.next_ledger.replace(layout.ledger)
    if fsync:
        sync_directory(layout.private)
        sync_directory(layout.home)
    state.install = False
    state.archive = False
    write_state(layout.state, state, fsync=fsync)

"""Where things are in a run directory.

    DEST/results.jsonl             the ledger
    DEST/.fetchpool/lock           held while a run is on
                    foreign        names that were here first
                    state.json     the run and how far it is
                    checkpoint     a short cut to what the ledger says
                    waiting.jsonl  records of an earlier run, until a pipe brings their lines
                    previous.jsonl the ledger before this one
                    parts/         unfinished bodies, the store's business
                    types          what names have depended on, the store's too
                    outdated       bodies that another name has taken the place of, until the end

Without a name there are a reserve (4 MB, see `reserve`) and what waits for its turn.
`next-…`, `index`, `answers` and `….new` are unfinished, and deleted at the start.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

PRIVATE = ".fetchpool"
LEDGER = "results.jsonl"


class Layout:
    """The paths below *dest*."""

    def __init__(self, dest: Path) -> None:
        self.dest = dest
        self.ledger = dest / LEDGER
        self.private = private = dest / PRIVATE
        self.lock = private / "lock"
        self.workers = private / "workers"
        self.foreign = private / "foreign"
        self.state = private / "state.json"
        self.checkpoint = private / "checkpoint"
        self.waiting = private / "waiting.jsonl"
        self.previous = private / "previous.jsonl"
        self.parts = private / "parts"
        self.index = private / "index"
        self.answers = private / "answers"
        self.next_ledger = private / "next-results.jsonl"
        self.next_waiting = private / "next-waiting.jsonl"
        self.next_previous = private / "next-previous.jsonl"

    def remove_leftovers(self) -> None:
        """Delete what a killed process left unfinished; only with the lock held."""
        unfinished = (self.next_ledger, self.next_waiting, self.next_previous)
        for path in (*unfinished, self.index, self.answers):
            remove(path)
        for path in self.private.glob("*.new"):
            remove(path)


def remove(path: Path) -> None:
    """Delete *path* if it is there."""
    with suppress(FileNotFoundError):
        path.unlink()

"""Where the files of a run are: the one value that says so, given to all who read or write them.

    DEST/HOST/PATH                 the bodies, the sink's business
    HOME/results.jsonl             the ledger
    HOME/handover.jsonl            redirects that another shard is to follow (`--hand-over`)
    HOME/.fetchpool/lock           held while a run is on
                    foreign        names that were here first
                    names          which line's file has which name, where lists wish some
                    state.json     the run and how far it is
                    account.json   where the time of its commands went
                    checkpoint     a short cut to what the ledger says
                    waiting.jsonl  records of an earlier run, until a pipe brings their lines
                    previous.jsonl the ledger before this one
                    carried.jsonl  last good records that neither of them has
                    left.jsonl     records of URLs that the list has no more
                    pruned/        their bodies, with `--prune`
                    parts/         unfinished bodies, the sink's business
                    types          what names have depended on, the sink's business too
                    robots.sqlite  each origin's robots.txt, kept for a day
                    archived       WARCs that records have named, the sink's business too
                    outdated       bodies that another name has taken the place of, until the end
                    remote.json    how much of this is in the object store, if DEST is in one
                    lease          until when a run may write there

HOME is DEST itself. With a DEST in an object store, both are the directory of its state: containers
grow there until they are sealed. Files without a name are the reserve (4 MB, see
`reserve`) and the requests that wait for their turn. `next-…`, `index`, `known-index`, `answers`
and `….new` are unfinished, and deleted at the start.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fetchpool.model.remote import Remote

PRIVATE = ".fetchpool"
SHARDS = "_shards.json"
"""What all shards of a list have in common, in the DEST in which each has a directory."""
LEDGER = "results.jsonl"
HANDOVER = "handover.jsonl"
ROBOTS = "robots.sqlite"


class Layout:
    """The paths of a run whose bodies go to *dest*, and its ledger and state to *home*."""

    def __init__(
        self, dest: Path, home: Path | None = None, *, remote: Remote | None = None
    ) -> None:
        """Without *home*, ledger and state are in *dest*; *remote* is where bodies end up."""
        self.dest = dest
        self.remote = remote
        self.home = home = home or dest
        self.ledger = home / LEDGER
        self.handover = home / HANDOVER
        self.private = private = home / PRIVATE
        self.lock = private / "lock"
        self.workers = private / "workers"
        self.foreign = private / "foreign"
        self.claims = private / "names"
        self.state = private / "state.json"
        self.account = private / "account.json"
        self.checkpoint = private / "checkpoint"
        self.waiting = private / "waiting.jsonl"
        self.previous = private / "previous.jsonl"
        self.parts = private / "parts"
        self.published = private / "remote.json"
        self.lease = private / "lease"
        self.archived = private / "archived"
        self.carried = private / "carried.jsonl"
        self.left = private / "left.jsonl"
        self.pruned = private / "pruned"
        self.index = private / "index"
        self.known_index = private / "known-index"
        self.answers = private / "answers"
        self.next_ledger = private / "next-results.jsonl"
        self.next_waiting = private / "next-waiting.jsonl"
        self.next_previous = private / "next-previous.jsonl"
        self.next_carried = private / "next-carried.jsonl"

    @property
    def name(self) -> str:
        """Where bodies are, as the user calls it."""
        return str(self.remote or self.dest)

    def below(self, directory: str) -> Layout:
        """Return the paths of a run that has *directory* in these, such as one of several shards'.

        Its state is in a directory of that name, too.
        """
        remote = self.remote
        if remote is not None:
            prefix = f"{remote.prefix}/{directory}" if remote.prefix else directory
            remote = remote._replace(prefix=prefix)
        home = None if self.home == self.dest else self.home / directory
        return Layout(self.dest / directory, home, remote=remote)

    def remove_leftovers(self) -> None:
        """Delete what a killed process left unfinished; only with the lock held."""
        unfinished = (self.next_ledger, self.next_waiting, self.next_previous, self.next_carried)
        for path in (*unfinished, self.index, self.known_index, self.answers):
            remove(path)
        for path in self.private.glob("*.new"):
            remove(path)


def remove(path: Path) -> None:
    """Delete *path* if it exists."""
    with suppress(FileNotFoundError):
        path.unlink()

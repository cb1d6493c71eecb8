"""`RunDirectory`: DEST taken for one run, and what an earlier one left there settled."""

from __future__ import annotations

import secrets
import stat as modes
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fetchpool.ledger.bitmap import Bitmap
from fetchpool.ledger.checkpoint import read_checkpoint
from fetchpool.ledger.errors import (
    CannotGoOnError,
    DirectoryBusyError,
    OutputError,
    output_errors,
)
from fetchpool.ledger.foreign import ForeignNames, remember_names
from fetchpool.ledger.holding import wait_for_orphans
from fetchpool.ledger.install import install
from fetchpool.ledger.keeping import Flag, Keeping, Kept, Previous, decide
from fetchpool.ledger.layout import Layout, remove
from fetchpool.ledger.settling import Settling
from fetchpool.ledger.standing import Standing, Totals
from fetchpool.ledger.state import (
    FileStamp,
    RunOptions,
    State,
    read_state,
    source_names,
    stamp_sources,
    write_state,
)
from fetchpool.ledger.waiting import Waiting
from fetchpool.ledger.writer import Ledger
from fetchpool.models import Request
from fetchpool.urls import is_hiding

if TYPE_CHECKING:
    from filelock import FileLock

ReadList = Callable[[], Iterable[Request]]

_LOCK_WAIT_S = 0.2
"""A run that is there is refused after so long: `read_status` holds the lock for a moment too."""
READ_RATHER_THAN_TRUST = 16 << 20
"""Bytes of a ledger that are read in full (0.1 s) though a checkpoint would spare it: so damage in
the middle of a ledger, which a checkpoint can't see, is found in any that isn't huge."""


class Settled(NamedTuple):
    """What a run begins with."""

    ledger: Ledger
    kept: Totals
    """The records kept of an earlier run, as they were at the start; `kept.records` is how many.
    For a pipe none yet: they are counted in `ledger.totals` as their lines come."""
    done: Bitmap | None
    """The lines that have a record, kept up to date by the ledger; None for a pipe."""
    waiting: Waiting | None
    """Where the records for a pipe's lines are; None if there are none."""


class RunDirectory:
    """DEST, held by this process until `close`. Make one with `open`, then call `settle` once."""

    def __init__(
        self, layout: Layout, lock: FileLock, options: RunOptions, sources: Sequence[str]
    ) -> None:
        """Take over what `open` has locked; raises as `open` does."""
        self._layout = layout
        self._lock = lock
        self._options = options
        self._fsync = options.durability != "none"
        self._stamps = stamp_sources(sources)
        self._sources = source_names(sources, layout.dest.parent)
        self._standing: Standing | None = None
        self._ledger: Ledger | None = None
        self._waiting: Waiting | None = None
        with output_errors(layout.dest):
            self._state = self._recover()
            self.previous = self._find_previous()
            self._foreign = ForeignNames(layout.foreign)
        self.kept = decide(self.previous, options.flag)

    @classmethod
    def open(
        cls, dest: Path, options: RunOptions, *, named: bool, sources: Sequence[str]
    ) -> RunDirectory:
        """Take *dest*, made with its parents if it is missing, for a run over *sources*.

        *sources* are as the user gave them: names of files, `-`, URLs; none for an iterable.
        *named* says that the user chose *dest*: only then may a stopped run of other sources be
        gone on with. Nothing that was in *dest* is changed, but for what a killed run left half
        done.

        Raises `DirectoryBusyError` if another run holds *dest*, `CannotGoOnError` if there is a
        stopped run that this command does not fit, `OutputError` if *dest* can't be used.
        """
        layout = Layout(dest)
        with output_errors(dest):
            _make(layout)
            lock = _take_lock(layout)
        try:
            with output_errors(dest):
                wait_for_orphans(layout.workers)
            directory = cls(layout, lock, options, sources)
        except BaseException:
            lock.release()
            raise
        try:
            directory._check_fit(named=named)
        except CannotGoOnError:
            directory.close()
            raise
        return directory

    @property
    def layout(self) -> Layout:
        """Where everything is, for processes that work for this one."""
        return self._layout

    def is_foreign(self, path: str) -> bool:
        """Tell whether *path*, relative to DEST, was there before fetchpool; from any thread."""
        return path in self._foreign

    def settle(self, read_list: ReadList | None = None) -> Settled:
        """Make `results.jsonl` today's ledger and open it.

        *read_list* reads today's list once more from its beginning each time it is called; it is
        needed for lists that can be (files and URLs), and called only if the list has changed.
        What it raises comes out. Raises `OutputError` if the ledger can't be written.
        """
        standing, state = self._settle(read_list)
        layout = self._layout
        with output_errors(layout.dest):
            self._ledger = Ledger(layout, state, standing, durability=self._options.durability)
            self._ledger.checkpoint()
            if state.waiting:
                self._waiting = Waiting(layout.waiting, layout.index, self._keeping())
        kept = msgspec.structs.replace(standing.totals, failed=dict(standing.totals.failed))
        return Settled(self._ledger, kept, standing.done, self._waiting)

    def close(self) -> None:
        """Close everything and let DEST go; may be called again."""
        with ExitStack() as last_first:
            last_first.callback(self._lock.release)
            last_first.callback(self._foreign.close)
            if self._waiting is not None:
                last_first.callback(self._waiting.close)
            if self._ledger is not None:
                last_first.callback(self._ledger.close)

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _settle(self, read_list: ReadList | None) -> tuple[Standing, State]:
        """Return what today's ledger holds, and the state that is on disk with it."""
        old = self._state
        state = State(
            run=secrets.token_hex(8),
            body=self._options.body,
            sources=self._sources,
            stamps=self._stamps,
            started_at=time.time(),
        )
        settling = Settling(self._layout, self._keeping(), fsync=self._fsync)
        if self.kept is Kept.NOTHING:
            return settling.start_anew(state), state
        if self._stamps is None:
            return settling.let_wait(state), state
        if old is None or old.stamps != self._stamps or self._layout.waiting.exists():
            if read_list is None:
                raise ValueError("a list that can be read again needs read_list")
            return settling.match(state, read_list), state
        state.requests = old.requests
        with output_errors(self._layout.dest):
            standing = self._take_stock()
        all_kept = self._keeping().everything or not standing.totals.failed
        # An earlier run may have written in the clear what is secret by now.
        clean = not standing.unfit and not standing.secrets and not is_hiding()
        if all_kept and clean:
            state.run, state.started_at = old.run, old.started_at
            with output_errors(self._layout.dest):
                write_state(self._layout.state, state, fsync=self._fsync)
            return standing, state
        return settling.filter(state), state

    def _keeping(self) -> Keeping:
        return Keeping(self.kept, self._options.retry_kinds)

    def _recover(self) -> State | None:
        """Bring what a killed process was about to its end; return the state, if there is one."""
        layout = self._layout
        state = read_state(layout.state)
        if not layout.foreign.exists():
            if state is None:
                if layout.ledger.exists():
                    raise _not_ours(layout)
                remember_names(layout.dest, layout.private, layout.foreign)
            else:
                layout.foreign.touch()
        if state is not None and state.install:
            install(layout, state, fsync=self._fsync)
        layout.remove_leftovers()
        if state is not None and not state.waiting:
            remove(layout.waiting)
        return state

    def _find_previous(self) -> Previous:
        """Return what the files say of an earlier run."""
        layout, state = self._layout, self._state
        if not layout.ledger.exists() and not layout.waiting.exists():
            return Previous.NONE
        if state is None or self._options.flag is Flag.FRESH:
            return Previous.STOPPED  # under --fresh it makes no difference
        if layout.ledger.exists() and state.finished == FileStamp.of(layout.ledger.stat()):
            return Previous.FINISHED
        if state.requests is not None and self._take_stock().answered == state.requests:
            return Previous.FINISHED
        return Previous.STOPPED

    def _take_stock(self) -> Standing:
        """Return what the ledger holds: by the checkpoint and what came after it, or all read."""
        if self._standing is None:
            layout, standing = self._layout, None
            exists = layout.ledger.exists()
            if self._state and exists and layout.ledger.stat().st_size > READ_RATHER_THAN_TRUST:
                standing = read_checkpoint(layout.checkpoint, layout.ledger, self._state.run)
            self._standing = standing or Standing(done=Bitmap())
            if exists:
                self._standing.read_on(layout.ledger)
        return self._standing

    def _check_fit(self, *, named: bool) -> None:
        """Raise `CannotGoOnError` if this command would go on with a run it does not fit."""
        state = self._state
        stopped = self.previous is Previous.STOPPED and self._options.flag is not Flag.FRESH
        if not stopped or state is None:
            return
        dest = self._layout.dest
        if state.body != self._options.body:
            raise CannotGoOnError(
                f"{dest} holds a stopped run with {state.body}, this command has "
                f"{self._options.body}: go on with the same options, or start over with --fresh"
            )
        if not named and state.sources != self._sources:
            raise CannotGoOnError(
                f"{dest} holds a stopped run of {_listed(state.sources)}: choose another directory "
                "with --output, or start over with --fresh"
            )


def _listed(sources: Sequence[str]) -> str:
    names = ["standard input" if source == "-" else source for source in sources]
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "") if names else "a program"


def _make(layout: Layout) -> None:
    """Create DEST and its private directory; raise if either is something else."""
    dest, private = layout.dest, layout.private
    if dest.exists() and not dest.is_dir():
        raise OutputError(f"--output needs a directory; {str(dest)!r} is a file")
    try:
        found = private.lstat()
    except FileNotFoundError:
        if layout.ledger.exists() or layout.ledger.is_symlink():
            raise _not_ours(layout) from None
        dest.mkdir(parents=True, exist_ok=True)
        private.mkdir(exist_ok=True)
        found = private.lstat()
    if not modes.S_ISDIR(found.st_mode):
        raise OutputError(f"{private} is no directory: choose another one with --output")


def _not_ours(layout: Layout) -> OutputError:
    return OutputError(
        f"{layout.ledger} is not fetchpool's: choose another directory with --output"
    )


def _take_lock(layout: Layout) -> FileLock:
    """Return the lock, held; the kernel frees it if this process dies."""
    from filelock import FileLock, Timeout  # 4 ms, which a run without a directory doesn't need

    lock = FileLock(layout.lock, thread_local=False)
    try:
        lock.acquire(timeout=_LOCK_WAIT_S, poll_interval=_LOCK_WAIT_S / 10)
    except Timeout:
        raise DirectoryBusyError(f"another run holds {layout.dest}; try again later") from None
    except NotImplementedError as error:
        raise OutputError(f"the file system of {layout.dest} has no locks: {error}") from error
    return lock

"""`RunDirectory`: DEST taken for one run, and what an earlier one left there settled."""

from __future__ import annotations

import secrets
import stat as modes
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from fetchpool.model.bodies import HasPlace, NoSuchBodyError, ReadBody, Stock
from fetchpool.model.urls import is_hiding
from fetchpool.model.values import Request
from fetchpool.output.ledger.baseline import Baseline, Known, write_carried, write_left
from fetchpool.output.ledger.bitmap import Bitmap
from fetchpool.output.ledger.checkpoint import read_checkpoint
from fetchpool.output.ledger.entries import read_blocks
from fetchpool.output.ledger.errors import (
    CannotGoOnError,
    OutputError,
    output_errors,
)
from fetchpool.output.ledger.foreign import ForeignNames, remember_names
from fetchpool.output.ledger.holding import Lock, wait_for_orphans
from fetchpool.output.ledger.install import install
from fetchpool.output.ledger.keeping import Flag, Keeping, Kept, Previous, decide
from fetchpool.output.ledger.layout import Layout, remove
from fetchpool.output.ledger.lists import Answered, Others, is_covered, lists_of
from fetchpool.output.ledger.lost import drop_lost
from fetchpool.output.ledger.settling import Settling
from fetchpool.output.ledger.standing import Standing, Totals
from fetchpool.output.ledger.state import (
    FileStamp,
    ListState,
    RunOptions,
    State,
    list_key,
    read_state,
    source_names,
    stamp_sources,
    write_state,
)
from fetchpool.output.ledger.waiting import Waiting
from fetchpool.output.ledger.writer import Ledger

ReadList = Callable[[], Iterable[Request]]

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
    offset: int = 0
    """Today's list is numbered behind this: the numbers up to it are those of other lists."""
    baseline: Baseline | None = None
    """What the run before got, for a run that compares with it."""


class RunDirectory:
    """DEST, held by this process until `close`. Make one with `open`, then call `settle` once."""

    def __init__(
        self,
        layout: Layout,
        lock: Lock | None,
        options: RunOptions,
        sources: Sequence[str],
        has_place: HasPlace | None = None,
    ) -> None:
        """Take over what `open` has locked; raises as `open` does."""
        self._layout = layout
        self._lock = lock
        self._options = options
        self._fsync = options.durability != "none"
        self._stamps = None if options.stream else stamp_sources(sources, options.mark)
        # On another machine the state may be elsewhere; the list is where the user is.
        base = layout.dest.parent if layout.remote is None else Path.cwd()
        self._sources = source_names(sources, base)
        self._standing: Standing | None = None
        self._ledger: Ledger | None = None
        self._waiting: Waiting | None = None
        self._baseline: Baseline | None = None
        self.lost = 0
        """Records that were dropped, as a loss of power has taken their bodies."""
        self.replaces_everything = False
        """Whether the run, once settled, keeps nothing of finished ones."""
        with output_errors(layout.dest):
            self._state = self._recover()
            if has_place is not None:
                self.lost = drop_lost(layout, has_place, fsync=self._fsync)
            self.previous = self._find_previous()
            self._lists = self._find_lists()
            self._own = self._find_own()
            self._foreign = ForeignNames(layout.foreign)
        if options.add and self._lists:
            self.previous = _previous_of(self._own)
        self.kept = decide(self.previous, options.flag)

    @classmethod
    def open(
        cls,
        layout: Layout,
        options: RunOptions,
        *,
        named: bool,
        sources: Sequence[str],
        has_place: HasPlace | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> RunDirectory:
        """Take DEST, made with its parents if it is missing, for a run over *sources*.

        *sources* are as the user gave them: names of files, `-`, URLs; none for an iterable.
        *named* says that the user chose DEST: only then may a stopped run of other sources be
        gone on with. Nothing that was in DEST is changed, but for what a killed run left half
        done, and for records of bodies that containers lack by *has_place*: a loss of power took
        them, and they are dropped. *prepare* is called before anything is read, with the directory
        locked.

        Raises `DirectoryBusyError` if another run holds DEST, `CannotGoOnError` if there is a
        stopped run that this command does not fit, `OutputError` if DEST can't be used.
        """
        with output_errors(layout.dest):
            _make(layout)
            lock = Lock(layout)
        try:
            with output_errors(layout.dest):
                wait_for_orphans(layout)
                _check_state(layout)
                if prepare is not None:
                    prepare()
            directory = cls(layout, lock, options, sources, has_place)
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

    @property
    def begins_anew(self) -> bool:
        """Whether no record of an earlier run stays, this list's or another's."""
        return self.kept is Kept.NOTHING and not (self._options.add and self._lists)

    @property
    def refreshes(self) -> bool:
        """Whether the run compares with the one before: one that was stopped and did goes on so."""
        state, options = self._state, self._options
        goes_on = options.flag is Flag.PLAIN and self.kept is not Kept.NOTHING
        return options.refresh or (goes_on and state is not None and state.refresh)

    def note_left(self) -> int:
        """Write down which URLs the list has no more that it had in the run before; count them.

        To be called once the whole list has been read. Raises `OutputError`.
        """
        if self._baseline is None:
            return 0
        with output_errors(self._layout.dest):
            left = self._baseline.left(beside=self._options.add)
            return write_left(self._layout.left, left, fsync=self._fsync)

    def left_bodies(self) -> Iterator[Known]:
        """Yield the records of URLs that only earlier lists had, where the body is as it was.

        Raises OSError, sqlite3.Error.
        """
        if self._baseline is not None:
            for each in self._baseline.left(beside=self._options.add):
                if self._baseline.has_body(each):
                    yield each.known

    def is_foreign(self, path: str) -> bool:
        """Tell whether *path*, relative to DEST, was there before fetchpool; from any thread."""
        return path in self._foreign

    def settle(
        self,
        read_list: ReadList | None = None,
        read_body: ReadBody | None = None,
        stock: Stock | None = None,
    ) -> Settled:
        """Make `results.jsonl` today's ledger and open it.

        *read_list* reads today's list once more from its beginning each time it is called; it is
        needed for lists that can be (files and URLs), and called only if the list has changed.
        What it raises comes out. *read_body* reads what earlier runs have put into containers, for
        a run that compares with them; *stock* is where all of it is, if not in DEST. Raises
        `OutputError` if the ledger can't be written.
        """
        standing, state = self._settle(read_list)
        self.replaces_everything = state.anew
        layout = self._layout
        with output_errors(layout.dest):
            self._ledger = Ledger(layout, state, standing, durability=self._options.durability)
            self._ledger.checkpoint()
            self._waiting = self._find_waiting(state)
            if state.refresh:
                self._baseline = self._compared(state, read_body or _no_body, stock)
        return Settled(
            self._ledger,
            standing.totals.without(state.others or Totals()),
            None if state.stamps is None else standing.done,
            self._waiting,
            state.offset,
            self._baseline,
        )

    def close(self) -> None:
        """Close everything and let DEST go; may be called again."""
        with ExitStack() as last_first:
            if self._lock is not None:
                last_first.callback(self._lock.release)
            last_first.callback(self._foreign.close)
            if self._waiting is not None:
                last_first.callback(self._waiting.close)
            if self._baseline is not None:
                last_first.callback(self._baseline.close)
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
            named=self._options.add or len(self._sources) > 1,
            added=self._options.add,
            refresh=self.refreshes,
            sheet=self._options.sheet,
            shard=self._options.shard,
        )
        anew = self.kept is Kept.NOTHING
        goes_on = self.previous is Previous.STOPPED and old is not None and old.anew
        state.anew = not state.refresh and (self.begins_anew or goes_on)
        state.take_names_from(old, anew=anew)
        state.carries = state.refresh or (old is not None and old.carries)
        if old is not None:
            state.before = old.body if anew else old.before
        if anew:
            self._prepare_comparison(state)
        if self._options.add and any(each is not self._own for each in self._lists):
            assert old is not None
            return self._join(old, state, read_list)
        settling = Settling(self._layout, self._keeping(), fsync=self._fsync)
        if self.kept is Kept.NOTHING:
            return settling.start_anew(state), state
        if self._stamps is None:
            return settling.let_wait(state), state
        same_list = old is not None and not old.earlier and old.stamps == self._stamps
        if old is None or not same_list or not self._fits_in_place(old, state):
            return settling.match(state, _needed(read_list)), state
        state.requests, state.lines = old.requests, old.lines
        state.without_request = old.without_request
        with output_errors(self._layout.dest):
            standing = self._take_stock()
        if self._is_all_kept(standing, standing.totals):
            return self._go_on_in_place(old, state, standing), state
        return settling.filter(state), state

    def _prepare_comparison(self, state: State) -> None:
        """Put down what the ledger before the last one knows, which the next steps replace."""
        layout = self._layout
        with output_errors(layout.dest):
            remove(layout.left)
            if state.carries and layout.ledger.exists():
                write_carried(layout, fsync=self._fsync)

    def _compared(self, state: State, read_body: ReadBody, stock: Stock | None) -> Baseline:
        today, before = self._options.body, state.before or self._options.body
        return Baseline(
            self._layout,
            read_body,
            bodies=not today.no_body,
            comparable=today.as_received == before.as_received,
            stock=stock,
        )

    def _join(self, old: State, state: State, read_list: ReadList | None) -> tuple[Standing, State]:
        """Do what `_settle` does where records of other lists stay beside those of today's."""
        with output_errors(self._layout.dest):
            standing = self._take_stock()
            others = self._others(old)
        state.earlier, state.offset = others.lists, others.last
        in_place = self._fits_in_place(old, state) and not standing.unfit and not is_hiding()
        if self._own is None and in_place:
            state.others = standing.totals.copy()
            return self._go_on_in_place(old, state, standing), state
        settling = Settling(self._layout, self._keeping(), fsync=self._fsync, others=others)
        if self._own is None or self.kept is Kept.NOTHING:
            return settling.start_anew(state, archive=self._own is not None), state
        if self._own is not self._lists[-1] or old.stamps != self._stamps or not in_place:
            return settling.match(state, _needed(read_list)), state
        state.requests, state.lines, state.others = old.requests, old.lines, old.others
        own = standing.totals.without(old.others or Totals())
        if self._is_all_kept(standing, own):
            return self._go_on_in_place(old, state, standing), state
        state.others = None
        return settling.filter(state), state

    def _others(self, old: State) -> Others:
        waiting = 0
        if self._layout.waiting.exists():
            for block in read_blocks(self._layout.waiting):
                numbers = (entry.seq for entry in block.entries if entry is not None)
                waiting = max(waiting, max(numbers, default=0))
        name = None if old.names_sources or not old.sources else old.sources[0]
        return Others(self._lists, self._own, name=name, waiting=waiting)

    def _fits_in_place(self, old: State, state: State) -> bool:
        """Tell whether the records there are can stay where they are, as far as their form goes."""
        return old.names_sources == state.names_sources and not self._layout.waiting.exists()

    def _is_all_kept(self, standing: Standing, own: Totals) -> bool:
        # An earlier run may have written in the clear what is secret by now.
        clean = not standing.unfit and not standing.secrets and not is_hiding()
        return clean and (self._keeping().everything or not own.failed)

    def _go_on_in_place(self, old: State, state: State, standing: Standing) -> Standing:
        """Let the ledger be as it is: only *state* is put down."""
        state.run = old.run
        if self._own is not None or not self._options.add:
            state.started_at = old.started_at
        with output_errors(self._layout.dest):
            write_state(self._layout.state, state, fsync=self._fsync)
        return standing

    def _find_waiting(self, state: State) -> Waiting | None:
        """Return where a stream's lines find their records; None where there are none."""
        layout = self._layout
        if state.waiting:
            return Waiting(layout.waiting, layout.index, self._keeping())
        if state.stamps is not None or not state.earlier:
            return None
        lists = self._lists_of_stream(state.earlier)
        if not lists:
            return None
        return Waiting(layout.ledger, layout.index, Answered(lists), in_place=True)

    def _lists_of_stream(self, lists: Sequence[ListState] | None = None) -> tuple[ListState, ...]:
        """Return those of *lists* whose records answer the lines of today's, if it is a stream."""
        key, every = list_key(self._sources), self._options.flag is Flag.ONCE
        return tuple(
            each
            for each in (self._lists if lists is None else lists)
            if each.stream and each.key == key and (every or not each.finished)
        )

    def _keeping(self) -> Keeping:
        return Keeping(self.kept, self._options.retry_kinds)

    def _recover(self) -> State | None:
        """Bring what a killed process was about to its end; return the state, if there is one."""
        layout = self._layout
        state = read_state(layout.state)
        if not layout.foreign.exists():
            if state is None:
                if layout.ledger.exists():
                    raise not_ours(layout)
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
        if state.requests is None:
            return Previous.STOPPED
        recorded = self._take_stock().answered - state.records_beside
        return Previous.FINISHED if recorded == state.requests else Previous.STOPPED

    def _find_lists(self) -> tuple[ListState, ...]:
        """Return the lists whose records are in the ledger."""
        state = self._state
        if state is None or self.previous is Previous.NONE or self._options.flag is Flag.FRESH:
            return ()
        finished = self.previous is Previous.FINISHED
        last = self._take_stock().last if self._options.add else 0
        lists = lists_of(state, last, finished=finished)
        if not all(each.finished for each in lists):
            self.previous = Previous.STOPPED
        return lists

    def _find_own(self) -> ListState | None:
        """Return the one of the lists that the command gives again; a stream is always new."""
        if not self._options.add or self._stamps is None:
            return None
        key = list_key(self._sources)
        return next((each for each in self._lists if each.key == key and not each.stream), None)

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
        """Raise `CannotGoOnError` if this command does not fit what the directory holds."""
        state, options = self._state, self._options
        if options.add and options.flag is Flag.RETRY_FAILED and self._stamps is None:
            raise CannotGoOnError(
                "--add --retry-failed needs a list that can be read again, as no index of sitemaps "
                "can: put it into a file"
            )
        if state is not None and state.shard != options.shard:
            there = f"shard {state.shard}" if state.shard else "a run of a whole list"
            raise CannotGoOnError(
                f"{self._layout.dest} holds {there}, and this command is "
                f"{f'shard {options.shard}' if options.shard else 'over a whole list'}: choose "
                "another directory with --output"
            )
        if options.flag is Flag.FRESH or self.previous is Previous.NONE:
            return
        if state is None:
            if options.add:
                raise CannotGoOnError(
                    f"nothing says which lists the records in {self._layout.dest} are of: choose "
                    "another directory with --output, or start over with --fresh"
                )
            return
        self._check_lists(state, named=named)
        body = state.body if self._own is None else self._own.body
        asks_alike = (body.asked, body.store) == (options.body.asked, options.body.store)
        same = asks_alike or self.kept is Kept.NOTHING
        if (self.previous is Previous.STOPPED and body != options.body) or not same:
            what = "stopped" if self.previous is Previous.STOPPED else "finished"
            raise CannotGoOnError(
                f"{self._layout.dest} holds a {what} run with {body}, this command has "
                f"{options.body}: go on with the same options, or start over with --fresh"
            )

    def _check_lists(self, state: State, *, named: bool) -> None:
        """Raise `CannotGoOnError` if this command would replace the records of another list."""
        if self._options.add or (len(self._lists) == 1 and self._is_same_run(state)):
            return
        if is_covered(self._lists, self._sources):
            return
        dest, stopped = self._layout.dest, self.previous is Previous.STOPPED
        if not stopped or len(self._lists) > 1:
            names = [name for each in self._lists for name in each.names]
            names = [name for name in names if name not in self._sources] or names
            alone = len(self._lists) == 1
            what = "the finished run of another list" if alone else "records of other lists"
            raise CannotGoOnError(
                f"{dest} holds {what} ({_listed(names)}): bring this list to it with --add, "
                "replace it with --fresh, or choose another directory with --output"
            )
        if not named:
            raise CannotGoOnError(
                f"{dest} holds a stopped run of {_listed(state.sources)}: choose another directory "
                "with --output, bring this list to it with --add, or start over with --fresh"
            )

    def _is_same_run(self, state: State) -> bool:
        """Tell whether the command is over all the sources there were."""
        return set(state.sources) <= set(self._sources)


def _no_body(path: str | None, place: tuple[str, int, int] | None) -> Iterator[bytes]:
    raise NoSuchBodyError


def _previous_of(own: ListState | None) -> Previous:
    if own is None:
        return Previous.NONE
    return Previous.FINISHED if own.finished else Previous.STOPPED


def _needed(read_list: ReadList | None) -> ReadList:
    if read_list is None:
        raise ValueError("a list that can be read again needs read_list")
    return read_list


def _listed(sources: Sequence[str]) -> str:
    names = ["standard input" if each == "-" else each for each in dict.fromkeys(sources)]
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "") if names else "a program"


def _make(layout: Layout) -> None:
    """Create DEST and the private directory; raise if either is something else."""
    check_dest(layout)
    dest, private = layout.dest, layout.private
    try:
        found = private.lstat()
    except FileNotFoundError:
        dest.mkdir(parents=True, exist_ok=True)
        private.mkdir(parents=True, exist_ok=True)
        found = private.lstat()
    if not modes.S_ISDIR(found.st_mode):
        raise OutputError(f"{private} is no directory: choose another one with --output")


def _check_state(layout: Layout) -> None:
    """Raise `CannotGoOnError` where a directory is the state of a DEST in an object store."""
    if layout.remote is None and layout.published.exists():
        raise CannotGoOnError(
            f"{layout.dest} is the state of a run whose bodies are in an object store: give that "
            "with --output, or choose another directory"
        )


def check_dest(layout: Layout) -> None:
    """Raise `OutputError` where DEST is no directory, or holds another program's records."""
    if layout.dest.exists() and not layout.dest.is_dir():
        raise OutputError(f"--output needs a directory; {str(layout.dest)!r} is a file")
    is_ours = layout.private.exists() or layout.private.is_symlink()
    if not is_ours and (layout.ledger.exists() or layout.ledger.is_symlink()):
        raise not_ours(layout)


def not_ours(layout: Layout) -> OutputError:
    return OutputError(
        f"{layout.ledger} is not fetchpool's: choose another directory with --output"
    )

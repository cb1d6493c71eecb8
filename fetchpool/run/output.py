"""Where a run's results go: takes the directory, opens the sink, settles an earlier run."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct

from fetchpool.config import Config
from fetchpool.model.bodies import Sink, StoreError
from fetchpool.model.values import Request
from fetchpool.network.descriptors import make_budget
from fetchpool.output.ledger import Kept, OutputError, RunDirectory, Settled
from fetchpool.output.ledger.claims import Claims
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.naming import forget_renamed, renamed, unnamed
from fetchpool.output.ledger.receipts import read_receipts
from fetchpool.output.sinks import Place, open_sink
from fetchpool.output.sinks.directory import DirectoryStore
from fetchpool.output.sinks.reading import Reach, read_body
from fetchpool.run.choices import run_options
from fetchpool.sources import Sources

if TYPE_CHECKING:
    from fetchpool.output.remote.run import RemoteRun

_OUTDATED_AT_ONCE = 100_000
"""Paths that are looked up together, each time in all records: some 20 MB."""


class Output(Struct, frozen=True):
    """DEST, held by this run.

    Until `settle` the records of an earlier run are as they were: whatever may refuse this run has
    to be checked before.
    """

    directory: RunDirectory
    sink: Sink
    goes_on: bool = False
    """Whether bodies that broke off in an earlier run may be resumed."""
    claims: Claims | None = None
    """Which names lists wish for them; None where there are no files."""
    remote: RemoteRun | None = None
    """What is done in an object store, where DEST is in one."""

    @property
    def layout(self) -> Layout:
        """Where the files of the run are."""
        return self.directory.layout

    @property
    def spill_directory(self) -> str:
        """Where requests wait that don't fit into memory."""
        return str(self.layout.private)

    async def settle(self, read_list: Callable[[], Iterable[Request]]) -> Settled:
        """Make `results.jsonl` today's ledger, and leave of bodies what its records name.

        *read_list* reads today's list from its beginning. Raises what `RunDirectory.settle` does.
        """
        settled = await asyncio.to_thread(
            self.directory.settle,
            read_list,
            self._read_body,
            None if self.remote is None else self.remote.stock(),
        )
        settled.ledger.before_sync = self.sink.sync
        try:
            await self.recover(goes_on=self.goes_on, at_end=False)
            if self.remote is not None:
                await asyncio.to_thread(self.remote.begin, self.sink)
        except StoreError as error:
            raise OutputError(str(error)) from error
        if self.claims is not None and self.directory.begins_anew:
            self.claims.forget()
        return settled

    async def recover(self, *, goes_on: bool, at_end: bool) -> None:
        """Remove bodies, and parts of containers, that no record names.

        With *goes_on*, bodies that may be resumed stay. Containers of an earlier run stay until the
        end of one that has fetched everything anew. Raises `StoreError`.
        """
        anew = at_end and self.directory.replaces_everything
        receipts = read_receipts(self.layout, earlier=not anew)
        recover = partial(self.sink.recover, receipts, goes_on=goes_on, anew=anew)
        await asyncio.to_thread(recover)

    def _read_body(self, path: str | None, place: tuple[str, int, int] | None) -> Iterator[bytes]:
        return read_body(self.layout.dest, path, place)

    def finish_remote(self, *, complete: bool) -> None:
        """Send up all that has a record, and the state; what is *complete* is tidied up there.

        To be called once the ledger is closed and nothing is stored any more. Raises OSError,
        `StoreError`, `LeaseLostError`.
        """
        if self.remote is not None:
            self.sink.close()
            anew = self.directory.replaces_everything
            self.remote.finish(complete=complete, anew=anew)

    def give_up(self) -> None:
        """Try nothing again in an object store: the run is to end at once."""
        self.sink.give_up()
        if self.remote is not None:
            self.remote.give_up()

    def prune(self) -> int:
        """Move away the bodies of URLs that lists have no more; return how many were moved.

        Files that a record names stay, and those that are not as they were stored. What can't be
        moved now is by a later run. To be called once everything has its record.
        """
        if not isinstance(self.sink, DirectoryStore):
            return 0
        moved = 0
        with suppress(OSError, StoreError, sqlite3.Error):
            bodies = self.directory.left_bodies()
            while paths := {each.path or "" for each in islice(bodies, _OUTDATED_AT_ONCE)}:
                for path in sorted(unnamed(self.layout, paths)):
                    moved += self.sink.move_away(path)
        return moved

    def remove_outdated(self) -> None:
        """Delete files that bodies of the same URLs under other names have replaced.

        Files that a record names stay. What can't be deleted now is deleted by a later run. To be
        called by the process that holds the directory, after all bodies have been stored.
        """
        if not isinstance(self.sink, DirectoryStore):
            return
        with suppress(OSError, StoreError):
            outdated = self.sink.outdated()
            while paths := set(islice(outdated, _OUTDATED_AT_ONCE)):
                self.sink.remove_outdated(unnamed(self.layout, paths))
            self.sink.forget_outdated()
            self._remove_renamed(self.sink)

    def _remove_renamed(self, files: DirectoryStore) -> None:
        """Delete replaced bodies that an earlier version of fetchpool named otherwise."""
        layout, is_done = self.layout, True
        for found in renamed(layout, _OUTDATED_AT_ONCE):
            files.remove_outdated(unnamed(layout, found.replaced))
            is_done &= found.replaced == found.paths
        if is_done:  # else a later run may fetch what failed now
            forget_renamed(layout)


async def open_output(
    stack: AsyncExitStack,
    config: Config,
    layout: Layout,
    names: Sequence[str],
    *,
    named: bool,
    lists: Sources | None = None,
) -> Output:
    """Take the directories of *layout* until *stack* is unwound, for the lists *names*.

    *lists* are the same, opened.

    *named* says that the user chose DEST. Raises what `RunDirectory.open` does.
    """
    remote = None
    if layout.remote is not None:
        from fetchpool.output.remote.run import RemoteRun

        remote = RemoteRun(layout, config.outage_patience)
        stack.callback(remote.release)  # where the directory can't be taken
    options = run_options(config, lists)
    directory = await asyncio.to_thread(
        RunDirectory.open,
        layout,
        options,
        named=named,
        sources=names,
        prepare=None if remote is None else remote.take,
        has_place=Reach(layout.dest).holds if config.in_containers else None,
    )
    stack.callback(_close_quietly, directory)
    if remote is not None:
        stack.callback(remote.release)
    directories = make_budget(config.limit).directories
    try:
        sink = open_sink(config, Place(layout, directory.is_foreign, directories))
    except StoreError as error:
        raise OutputError(str(error)) from error
    stack.callback(sink.close)
    claims = None
    if not (config.no_body or config.in_containers):
        claims = Claims(directory.layout.claims)
        stack.callback(claims.close)
    goes_on = config.add or directory.kept is not Kept.NOTHING
    output = Output(directory, sink, goes_on, claims, remote)
    stack.callback(output.remove_outdated)
    return output


def _close_quietly(directory: RunDirectory) -> None:
    """Release the directory; trouble with it has been reported by then."""
    with suppress(OSError):
        directory.close()

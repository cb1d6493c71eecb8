"""Where a run's results go: the directory taken, the store opened, an earlier run settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from itertools import islice
from pathlib import Path

from msgspec import Struct

from fetchpool.config import Config
from fetchpool.model.bodies import StoreError
from fetchpool.model.values import Request
from fetchpool.output.ledger import Kept, OutputError, RunDirectory, Settled
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.naming import forget_renamed, renamed, unnamed
from fetchpool.output.sinks.directory import DirectoryStore
from fetchpool.run.choices import run_options
from fetchpool.scaling.setup import open_bodies

_OUTDATED_AT_ONCE = 100_000
"""Paths that are looked up together, each time in all records: some 20 MB."""


class Output(Struct, frozen=True):
    """DEST, held by this run. Until `settle` the records of an earlier one are as they were: what
    may refuse the run is to be looked at before."""

    directory: RunDirectory
    files: DirectoryStore | None
    """Where bodies go; None with `--no-body`."""

    @property
    def layout(self) -> Layout | None:
        """The same for other processes."""
        return None if self.files is None else self.directory.layout

    @property
    def spill_directory(self) -> str:
        """Where what doesn't fit into memory may wait."""
        return str(self.directory.layout.private)

    async def settle(self, read_list: Callable[[], Iterable[Request]]) -> Settled:
        """Make `results.jsonl` today's ledger; *read_list* reads today's list from its beginning.

        Raises what `RunDirectory.settle` does.
        """
        settled = await asyncio.to_thread(self.directory.settle, read_list)
        if self.files is not None:
            settled.ledger.before_sync = self.files.sync
        return settled

    def remove_outdated(self) -> None:
        """Delete files whose place bodies of the same URLs under other names have taken.

        Those that a record names stay. What can't be done now, a later run does. To be called by
        whoever holds the directory, once nobody stores bodies any more.
        """
        if self.files is None:
            return
        with suppress(OSError, StoreError):
            outdated = self.files.outdated()
            while paths := set(islice(outdated, _OUTDATED_AT_ONCE)):
                self.files.remove_outdated(unnamed(self.directory.layout, paths))
            self.files.forget_outdated()
            self._remove_renamed(self.files)

    def _remove_renamed(self, files: DirectoryStore) -> None:
        """Do the same for bodies that an earlier version of fetchpool named otherwise."""
        layout, is_done = self.directory.layout, True
        for found in renamed(layout, _OUTDATED_AT_ONCE):
            files.remove_outdated(unnamed(layout, found.replaced))
            is_done &= found.replaced == found.paths
        if is_done:  # else a later command brings what failed, or was not asked for
            forget_renamed(layout)


async def open_output(
    stack: AsyncExitStack, config: Config, dest: Path, names: Sequence[str], *, named: bool
) -> Output:
    """Take *dest* until *stack* is unwound, for a run over the lists *names*.

    *named* says that the user chose *dest*. Raises what `RunDirectory.open` does.
    """
    directory = await asyncio.to_thread(
        RunDirectory.open, dest, run_options(config), named=named, sources=names
    )
    stack.callback(_close_quietly, directory)
    if config.no_body:
        return Output(directory, None)
    try:
        store = open_bodies(config, directory.layout, directory.is_foreign)
        stack.callback(store.close)
        goes_on = config.add or directory.kept is not Kept.NOTHING
        await asyncio.to_thread(partial(store.remove_leftovers, keep_parts=goes_on))
    except StoreError as error:
        raise OutputError(str(error)) from error
    output = Output(directory, store)
    stack.callback(output.remove_outdated)
    return output


def _close_quietly(directory: RunDirectory) -> None:
    """Let the directory go; what is wrong with it was told by then."""
    with suppress(OSError):
        directory.close()

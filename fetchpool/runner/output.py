"""Where a run's results go: the directory taken, an earlier run settled, the store opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

from msgspec import Struct

from fetchpool.config import Config
from fetchpool.ledger import Kept, Ledger, OutputError, RunDirectory, Settled
from fetchpool.ledger.layout import Layout
from fetchpool.models import Request
from fetchpool.runner.choices import run_options
from fetchpool.stores import StoreError
from fetchpool.stores.directory import DirectoryStore
from fetchpool.workers.setup import open_bodies


class Output(Struct, frozen=True):
    """What there is of it; all None: nothing stays on disk."""

    found: Settled | None = None
    files: DirectoryStore | None = None
    """Where bodies go; None with `--no-body`."""
    layout: Layout | None = None
    """The same for other processes."""
    spill_directory: str | None = None

    @property
    def ledger(self) -> Ledger | None:
        """Where records go."""
        return None if self.found is None else self.found.ledger

    @property
    def settled(self) -> Settled:
        """What the run begins with, where there is a directory."""
        assert self.found is not None
        return self.found


async def open_output(
    stack: AsyncExitStack,
    config: Config,
    dest: Path,
    names: Sequence[str],
    read_list: Callable[[], Iterable[Request]],
    *,
    named: bool,
) -> Output:
    """Take *dest* until *stack* is unwound; settle there what an earlier run of *names* left.

    *named* says that the user chose *dest*, *read_list* reads today's list from its beginning.
    Raises what `RunDirectory.open` and `settle` do.
    """
    directory = await asyncio.to_thread(
        RunDirectory.open, dest, run_options(config), named=named, sources=names
    )
    stack.callback(_close_quietly, directory)
    spill_directory = str(directory.layout.private)
    settled = await asyncio.to_thread(directory.settle, read_list)
    if config.no_body:
        return Output(settled, spill_directory=spill_directory)
    try:
        store = open_bodies(config, directory.layout, directory.is_foreign)
        stack.callback(store.close)
        goes_on = directory.kept is not Kept.NOTHING
        await asyncio.to_thread(partial(store.remove_leftovers, keep_parts=goes_on))
    except StoreError as error:
        raise OutputError(str(error)) from error
    settled.ledger.before_sync = store.sync
    return Output(settled, store, directory.layout, spill_directory)


def _close_quietly(directory: RunDirectory) -> None:
    """Let the directory go; what is wrong with it was told by then."""
    with suppress(OSError):
        directory.close()

"""`fetchpool merge DEST`: that all shards of a list are complete, and their records in one file."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import partial

from fetchpool.cli.screens import complain
from fetchpool.model.bodies import RemoteStoreError
from fetchpool.model.exits import ExitStatus
from fetchpool.output.export.files import Replacement, open_stream, write_whole
from fetchpool.output.ledger.errors import LedgerError
from fetchpool.output.shards.gathering import Gathered, gather
from fetchpool.output.shards.merging import Manifest, look_at, write_records
from fetchpool.reporting.terminal import formats
from fetchpool.reporting.terminal.plain import shown
from fetchpool.reporting.terminal.terminal import Writer, glyphs_for

_TROUBLE = (OSError, LedgerError, RemoteStoreError)


def merge(names: Sequence[str], manifest: str | None, records: str | None) -> int:
    """Prove that the shards in *names* are complete, and write manifest and *records*.

    Returns 0; 1, with a line for each thing that is missing or double, and nothing is written; 2
    where a name has no shard's run; 74 where something can't be read or written. Raises
    BrokenPipeError.
    """
    try:
        gathered = gather(names, manifest)
    except (*_TROUBLE, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        what = f"cannot merge {', '.join(names)}: {reason}"
        return complain(f"{what}. Name the DEST of fetchpool get --shard", ExitStatus.USAGE)
    try:
        found = look_at(gathered.parts, gathered.count)
    except _TROUBLE as error:
        return complain(f"cannot read the shards: {error}", ExitStatus.IO_ERROR)
    if found.manifest is None:
        for problem in found.problems:
            complain(problem)
        return complain("not complete: nothing was written", ExitStatus.URLS_FAILED)
    return _write(gathered, found.manifest, records)


def _write(gathered: Gathered, manifest: Manifest, records: str | None) -> int:
    try:
        if records is not None:
            _write_records(gathered, records)
    except BrokenPipeError:
        raise
    except _TROUBLE as error:
        return complain(f"cannot write {records}: {error}", ExitStatus.IO_ERROR)
    try:
        gathered.write(manifest)
    except _TROUBLE as error:
        return complain(f"cannot write {gathered.manifest}: {error}", ExitStatus.IO_ERROR)
    glyphs = glyphs_for(sys.stderr, os.environ)
    counts = (
        f"{formats.counted(manifest.shards, 'shard')}, {formats.counted(manifest.lines, 'line')}: "
        f"{formats.count(manifest.ok)} ok, {formats.count(manifest.failed)} failed"
    )
    where = shown(gathered.manifest, glyphs)
    Writer(sys.stderr).write(f"fetchpool: {counts}, each once {glyphs.arrow} {where}\n")
    return ExitStatus.OK


def _write_records(gathered: Gathered, records: str) -> None:
    fill = partial(write_records, gathered.parts)
    if records != "-":
        Replacement(records).write(fill)
        return
    fd = open_stream(records)
    try:
        fill(lambda data: write_whole(fd, data))
    finally:
        os.close(fd)

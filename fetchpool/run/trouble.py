"""What on our side can end a run early, in words for a person and as an exit status."""

from __future__ import annotations

import errno
import os
from typing import NamedTuple

from fetchpool.model.bodies import RemoteStoreError, StoreError
from fetchpool.model.exits import ExitStatus
from fetchpool.output.ledger.errors import LeaseLostError
from fetchpool.output.records import OutputClosedError, RecordsError
from fetchpool.pipeline.fetching import NoDescriptorsError, OurSideDownError
from fetchpool.scaling.link import NoWorkersError
from fetchpool.sources import SourceReadError

OurTrouble = (
    *(OSError, StoreError, SourceReadError),
    *(OurSideDownError, NoDescriptorsError, NoWorkersError, LeaseLostError),
)
"""What fetching and recording raise when it is nobody else's fault."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Trouble(NamedTuple):
    """Why a run can't go on."""

    what: str | None
    """A sentence without its full stop; None: nobody is to be told."""
    stopped_by: str | None
    """What follows "stopped by"."""
    status: ExitStatus
    is_remote: bool = False
    """Whether it is about DEST in an object store."""
    remedy: str = "Run the same command again to go on."
    """What to do, where there is a DEST."""


def trouble_of(error: BaseException, where: str) -> Trouble:
    """Return what *error*, one of `OurTrouble` or of the errors of `records`, means for the run.

    *where* is what an OSError without a file's name is about: files that have none.
    """
    if isinstance(error, OutputClosedError):
        return Trouble(None, None, ExitStatus.PIPE_CLOSED)
    if isinstance(error, OurSideDownError):
        return Trouble(str(error), "trouble with our own network", ExitStatus.STOPPED_EARLY)
    if isinstance(error, NoDescriptorsError):
        return Trouble(str(error), "a want of file descriptors", ExitStatus.STOPPED_EARLY)
    if isinstance(error, NoWorkersError):
        return Trouble(str(error), "trouble with worker processes", ExitStatus.STOPPED_EARLY)
    if isinstance(error, LeaseLostError):
        return Trouble(str(error), "another run", ExitStatus.STOPPED_EARLY, is_remote=True)
    if isinstance(error, RemoteStoreError):
        cause = "trouble with the object store"
        return Trouble(str(error), cause, ExitStatus.IO_ERROR, is_remote=True)
    if isinstance(error, SourceReadError):
        return Trouble(str(error), "trouble with the list", ExitStatus.IO_ERROR)
    if isinstance(error, RecordsError):
        return Trouble(str(error), "trouble with --records", ExitStatus.IO_ERROR)
    code = getattr(error, "errno", None)
    cause = "a full disk" if code in _FULL else "trouble with the output"
    return Trouble(_sentence(error, where), cause, ExitStatus.IO_ERROR)


def _sentence(error: BaseException, where: str) -> str:
    if not isinstance(error, OSError):
        return str(error)
    place = os.fsdecode(error.filename) if error.filename else where
    return f"cannot write {place}: {os.strerror(error.errno) if error.errno else error}"

"""`fetch_shard`: what an executor runs for each shard, in another process or on another machine.

What goes there and what comes back can be pickled, whatever went wrong.
"""

from __future__ import annotations

import pickle
from typing import NamedTuple

from fetchpool.config import Config
from fetchpool.model.shards import Shard
from fetchpool.output.ledger import DirectoryBusyError
from fetchpool.reporting.stats import Summary
from fetchpool.run.runner import run


class ShardTask(NamedTuple):
    """One shard that is to be fetched."""

    config: Config
    sources: tuple[str, ...]
    output: str
    shard: Shard


class Busy(NamedTuple):
    """Another run holds the shard's directory: it may be free later."""

    reason: str


class Refused(NamedTuple):
    """`run` has raised: no other try will help."""

    error: Exception


def fetch_shard(task: ShardTask) -> Summary | Busy | Refused:
    """Run one shard and return what came of it.

    What `run` raises is returned, so that whatever the executor raises is the executor's.
    """
    try:
        return run(task.config, task.sources, task.output, shard=task.shard)
    except DirectoryBusyError as error:
        return Busy(str(error))
    except Exception as error:  # noqa: BLE001 - the caller raises it
        return Refused(_picklable(error))


def _picklable(error: Exception) -> Exception:
    """Return *error*, or one that says the same where it would not survive the way back."""
    try:
        same = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    except Exception:  # noqa: BLE001 - a foreign class may raise anything
        same = None
    if type(same) is type(error) and str(same) == str(error):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}")

"""Where the records of DEST are, for the commands that only read: there, in an object store, or in
the directories of shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fetchpool.config.values import ConfigError
from fetchpool.model.remote import remote_of
from fetchpool.output.ledger.errors import NotARunError, OutputError
from fetchpool.output.ledger.layout import SHARDS
from fetchpool.output.shards.finding import Shards, shards_at


def shards_or_none(dest: str) -> Shards | None:
    """Return the shards of *dest*, if it has any; what can't be read is for others to say.

    Raises `ConfigError` where it can't be told what shards they are.
    """
    try:
        return shards_at(dest)
    except OutputError as error:
        raise ConfigError(str(error)) from None
    except (OSError, ValueError, NotARunError):
        return None


@contextmanager
def records_of(dest: str) -> Iterator[Path | None]:
    """Have the records of *dest* in a directory for a block; None: they are in *dest* itself.

    Raises `ConfigError` where *dest* has shards, each with records of its own, or is in an object
    store and has no run, or can't be read.
    """
    try:
        remote = remote_of(dest)
    except ValueError as error:
        raise ConfigError(f"{dest} {error}: write it as s3://bucket/prefix") from None
    if remote is None:
        if Path(dest, SHARDS).exists():
            raise ConfigError(
                f"{dest} holds shards: name one, as {dest}/shard-00000-of-…, or bring their "
                f"records together with fetchpool merge {dest} --records FILE"
            )
        yield None
        return
    from fetchpool.output.remote.reading import as_directory

    try:
        with as_directory(remote) as place:
            yield place
    except NotARunError as error:
        raise ConfigError(f"{error}. Name the prefix that fetchpool get wrote to.") from None

"""Where the records of DEST are, for the commands that only read: there, or in an object store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fetchpool.config.values import ConfigError
from fetchpool.model.remote import remote_of
from fetchpool.output.ledger.errors import NotARunError


@contextmanager
def records_of(dest: str) -> Iterator[Path | None]:
    """Have the records of *dest* in a directory for a block; None: they are in *dest* itself.

    Raises `ConfigError` where *dest* is in an object store and has no run, or can't be read.
    """
    try:
        remote = remote_of(dest)
    except ValueError as error:
        raise ConfigError(f"{dest} {error}: write it as s3://bucket/prefix") from None
    if remote is None:
        yield None
        return
    from fetchpool.output.remote.reading import as_directory

    try:
        with as_directory(remote) as place:
            yield place
    except NotARunError as error:
        raise ConfigError(f"{error}. Name the prefix that fetchpool get wrote to.") from None

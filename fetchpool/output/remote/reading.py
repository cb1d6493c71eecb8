"""A run in an object store, looked at from anywhere: its ledger as a directory."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from fetchpool.model.bodies import RemoteStoreError
from fetchpool.model.remote import Remote
from fetchpool.output.ledger.errors import NotARunError
from fetchpool.output.ledger.holding import Lock
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.remote.bucket import Bucket
from fetchpool.output.remote.lease import is_taken
from fetchpool.output.remote.published import Published, read_manifest, write_published
from fetchpool.output.remote.restoring import restore
from fetchpool.output.remote.stored import PATIENCE_S


@contextmanager
def as_directory(remote: Remote) -> Iterator[Path]:
    """Have the records of the run at *remote* in a directory for a block; nothing there is changed.

    It is that of a run that is on where somebody holds the prefix. Raises `ConfigError`,
    `NotARunError`, OSError.
    """
    bucket = Bucket(remote, PATIENCE_S)
    with tempfile.TemporaryDirectory(prefix="fetchpool-") as folder:
        layout = Layout(Path(folder), remote=remote)
        layout.private.mkdir()
        try:
            running = is_taken(bucket, time.time())
            found = read_manifest(bucket)
            if found is None:
                raise NotARunError(f"{remote} holds no run: there is no _fetchpool/run.json")
            published = Published(str(remote))
            write_published(
                layout.published, restore(bucket, found[0], layout, published, earlier=False)
            )
        except (RemoteStoreError, msgspec.DecodeError) as error:
            raise NotARunError(str(error)) from error
        lock = Lock(layout) if running else None
        try:
            yield layout.home
        finally:
            if lock is not None:
                lock.release()

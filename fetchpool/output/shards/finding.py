"""The shards of a DEST: which there are, and the records of each in a directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fetchpool.model.bodies import RemoteStoreError
from fetchpool.model.remote import Remote, remote_of
from fetchpool.model.shards import Shard, shard_named
from fetchpool.output.ledger.errors import NotARunError, OutputError
from fetchpool.output.ledger.layout import SHARDS, Layout
from fetchpool.output.ledger.state import read_state
from fetchpool.output.shards import agreement
from fetchpool.output.shards.agreement import Agreement


class Shards:
    """The shards of one DEST, in a directory or in an object store."""

    def __init__(self, dest: str, agreed: Agreement, remote: Remote | None) -> None:
        self.dest = dest
        self.agreed = agreed
        self._remote = remote

    def __iter__(self) -> Iterator[Shard]:
        """Yield all that there are to be, begun or not."""
        return (Shard(index, self.agreed.shards) for index in range(self.agreed.shards))

    @contextmanager
    def records_of(self, shard: Shard) -> Iterator[Path | None]:
        """Have the records of *shard* in a directory for a block; None: it has none yet.

        Raises OSError, and `NotARunError` where an object store can't be read.
        """
        if self._remote is None:
            layout = Layout(Path(self.dest, shard.directory))
            yield layout.home if layout.ledger.exists() else None
            return
        from fetchpool.output.remote.bucket import Bucket
        from fetchpool.output.remote.published import MANIFEST
        from fetchpool.output.remote.reading import as_directory
        from fetchpool.output.remote.stored import PATIENCE_S

        below = self._below(shard)
        try:
            is_begun = Bucket(below, PATIENCE_S).size(MANIFEST) is not None
        except RemoteStoreError as error:
            raise NotARunError(str(error)) from error
        if not is_begun:
            yield None
            return
        with as_directory(below) as place:
            yield place

    @property
    def is_remote(self) -> bool:
        """Whether they are in an object store."""
        return self._remote is not None

    def size_of(self, shard: Shard, name: str) -> int | None:
        """Return the length of an object that *shard* has; None: it isn't there."""
        from fetchpool.output.remote.bucket import Bucket
        from fetchpool.output.remote.stored import PATIENCE_S

        return Bucket(self._below(shard), PATIENCE_S).size(name)

    def put(self, name: str, data: bytes) -> None:
        """Store *data* as an object beside the shards. Raises `RemoteStoreError`."""
        from fetchpool.output.remote.bucket import Bucket
        from fetchpool.output.remote.stored import PATIENCE_S

        assert self._remote is not None
        Bucket(self._remote, PATIENCE_S).put(name, lambda: iter((data,)), len(data))

    def _below(self, shard: Shard) -> Remote:
        below = Layout(Path(), remote=self._remote).below(shard.directory).remote
        assert below is not None
        return below

    @property
    def of_another_n(self) -> list[str]:
        """Directories in DEST that are shards of another N."""
        if self._remote is not None:
            return []
        found = ((path.name, shard_named(path.name)) for path in sorted(Path(self.dest).iterdir()))
        return [name for name, shard in found if shard and shard.count != self.agreed.shards]


def shards_at(dest: str) -> Shards | None:
    """Return the shards of *dest*; None: it has none, as a run of a whole list hasn't.

    Raises OSError, ValueError for no possible name, `OutputError` where it can't be understood,
    `NotARunError` where an object store can't be read.
    """
    remote = remote_of(dest)
    if remote is None:
        agreed = agreement.read(Path(dest, SHARDS))
        return None if agreed is None else Shards(dest, agreed, None)
    from fetchpool.output.remote.bucket import Bucket
    from fetchpool.output.remote.stored import PATIENCE_S

    try:
        found = Bucket(remote, PATIENCE_S).read(SHARDS)
    except RemoteStoreError as error:
        raise NotARunError(str(error)) from error
    return None if found is None else Shards(dest, agreement.decode(dest, found.data), remote)


def shard_in(directory: Path) -> Shard | None:
    """Return which shard's run is in *directory*; None: none is. Raises OSError."""
    state = read_state(Layout(directory).state)
    if state is None or not state.shard:
        return None
    index, _, count = state.shard.partition("/")
    try:
        return Shard(int(index), int(count))
    except ValueError:
        raise OutputError(
            f"{directory} says that it is shard {state.shard}, which is none"
        ) from None

"""`RemoteRun`: what a run with DEST in an object store does there, in its order.

    take ─▶ (settle, recover) ─▶ begin ─▶ publish, publish, … ─▶ finish ─▶ release

`take` gets the lease, and the ledger where another machine went on with it; `begin` says in
`run.json` which ledger is today's; `publish` sends up sealed containers, and behind them the pieces
of the ledger that name what is in the store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

import msgspec
from msgspec.structs import replace

from fetchpool.model.bodies import RemoteStoreError, Sink, StoreError
from fetchpool.output.ledger.errors import (
    CannotGoOnError,
    DirectoryBusyError,
    LeaseLostError,
    OutputError,
)
from fetchpool.output.ledger.layout import Layout
from fetchpool.output.ledger.state import State, read_state
from fetchpool.output.remote.bucket import Bucket, Version
from fetchpool.output.remote.lease import FOLDER, Lease
from fetchpool.output.remote.leave import Leave
from fetchpool.output.remote.pieces import is_at, new_session, put_file, put_piece, whole_lines
from fetchpool.output.remote.published import (
    MANIFEST,
    Manifest,
    Part,
    Published,
    read_manifest,
    read_published,
    write_published,
)
from fetchpool.output.remote.restoring import restore, stored_state
from fetchpool.output.remote.shipping import Shipping
from fetchpool.output.remote.stock import Stock
from fetchpool.output.sinks.segments import pieces_of

PATIENCE_AT_START_S = 20.0
"""For how long a store is tried that nothing was heard of yet."""
PIECE_EVERY_S = 30.0
"""A record is in the store after so long, once its body is."""


class RemoteRun:
    """The prefix of a run. From one thread at a time, but for the lease's own."""

    def __init__(self, layout: Layout, patience_s: float) -> None:
        """Open the bucket; nothing is sent. Raises `ConfigError`."""
        assert layout.remote is not None
        self._layout = layout
        self._bucket = Bucket(layout.remote, patience_s, Leave(layout.lease))
        self._holder = token_hex(8)
        own = Bucket(layout.remote, PATIENCE_AT_START_S)
        self._lease = Lease(own, self._holder, layout.lease)
        self._published = Published(str(layout.remote))
        self._manifest: tuple[Manifest, Version] | None = None
        self._is_restored = False
        self._shipping: Shipping | None = None
        self._lost: LeaseLostError | None = None
        self._on_lost: Callable[[LeaseLostError], None] = lambda error: None
        self._piece_at = time.monotonic()

    def take(self) -> None:
        """Take the prefix for this run; the lock of the directory is held already.

        Raises `DirectoryBusyError` if another run has it, `CannotGoOnError` if the directory is not
        its state, `OutputError` if it can't be used.
        """
        patience = self._bucket.patience_s
        self._bucket.patience_s = min(patience, PATIENCE_AT_START_S)
        try:
            self._take()
        except RemoteStoreError as error:
            raise OutputError(f"{error}") from error
        finally:
            self._bucket.patience_s = patience

    def tell(self, on_lost: Callable[[LeaseLostError], None]) -> None:
        """Have *on_lost* called, in another thread, if the lease is lost."""
        self._on_lost = on_lost
        if self._lost is not None:
            on_lost(self._lost)

    def begin(self, sink: Sink) -> None:
        """Make the ledger here, settled and recovered, that of the store.

        Raises `OutputError`, `LeaseLostError`.
        """
        self._shipping = Shipping(self._bucket, self._layout, sink)
        try:
            state = read_state(self._layout.state)
            assert state is not None
            self._shipping.ship_new()
            goes_on = self._published.run == state.run and self._manifest is not None
            if goes_on and not self._is_restored:
                assert self._manifest is not None
                self._renew_manifest(state, self._manifest[0].left)
                self._save()
            else:
                self._begin_session(state, goes_on=goes_on)
            self._shipping.replace()
            if not self._published.is_cut:
                self._shipping.cut()
                self._published.is_cut = True
                self._save()
        except StoreError as error:
            raise OutputError(f"{error}") from error

    def publish(self, *, rest: bool = False) -> None:
        """Put up what is complete; with *rest* all that is, however little.

        Raises `RemoteStoreError`, `LeaseLostError`, OSError.
        """
        assert self._shipping is not None
        self._shipping.ship_sealed()
        is_time = time.monotonic() - self._piece_at >= PIECE_EVERY_S
        for data in self._complete():
            if rest or is_time or len(data) >= 1 << 20:
                self._put(data)
        if is_time:
            self._piece_at = time.monotonic()

    def finish(self, *, complete: bool, anew: bool) -> None:
        """Put up the rest, and the state; raises as `publish`.

        *anew* says that nothing is needed of an earlier run.
        """
        self.publish(rest=True)
        state = read_state(self._layout.state)
        if state is not None and self._manifest is not None:
            left = self._put_if_any(self._layout.left) if complete else self._manifest[0].left
            self._renew_manifest(state, left)
        self._put_handover()
        if complete:
            assert self._shipping is not None
            self._shipping.remove_unnamed(anew=anew)
            self._sweep()

    def stock(self) -> Stock:
        """Return what lies in the store, to be looked at."""
        return Stock(self._bucket)

    def give_up(self) -> None:
        """Have nothing tried again from now on."""
        self._bucket.give_up()

    def release(self) -> None:
        """Let the prefix go; may be called again."""
        self._lease.release()

    def _take(self) -> None:
        layout, url = self._layout, str(self._layout.remote)
        there = read_published(layout.published)
        if there is None and layout.state.exists():
            raise CannotGoOnError(
                f"{layout.home} holds a run of its own: name another directory with --state"
            )
        if there is not None and there.url != url and not layout.state.exists():
            there = None  # nothing came of it: that name was mistaken
        if there is not None and there.url != url:
            raise CannotGoOnError(
                f"{layout.home} is the state of {there.url}: name another directory with --state"
            )
        self._published = there or self._published
        dead = self._published.holders
        self._published.holders = (*dead, self._holder)
        self._save()
        try:
            self._lease.take(dead)
        except DirectoryBusyError:
            self._published.holders = dead
            self._save()
            raise
        self._lease.keep(self._has_lost)
        self._published.holders = (self._holder,)
        self._save()
        self._manifest = self._read_manifest()
        if self._manifest is None:
            self._check_empty()
            return
        manifest = self._manifest[0]
        if self._published.session != manifest.ledger[-1].session or not self._is_ahead():
            self._published = restore(self._bucket, manifest, layout, self._published)
            self._is_restored = True
            self._save()

    def _has_lost(self, error: LeaseLostError) -> None:
        self._lost = error
        self._on_lost(error)

    def _read_manifest(self) -> tuple[Manifest, Version] | None:
        try:
            return read_manifest(self._bucket)
        except msgspec.DecodeError as error:
            raise OutputError(
                f"{self._bucket.remote}/{MANIFEST} is none that this version understands: {error}"
            ) from error

    def _check_empty(self) -> None:
        """Raise unless the prefix, which has no run, is ours to begin one in."""
        remote = self._bucket.remote
        if self._published.session:
            raise CannotGoOnError(
                f"{remote} holds no run any more, and {self._layout.home} is the state of one: "
                "delete that directory, or name another with --state"
            )
        names = self._bucket.names(most=50)
        if any(not name.startswith(f"{FOLDER}/") for name in names):
            raise OutputError(
                f"{remote} holds objects that are not fetchpool's: name an empty prefix"
            )

    def _is_ahead(self) -> bool:
        """Tell whether the ledger here has all that is in the pieces; count those not yet noted."""
        published, ledger = self._published, self._layout.ledger
        state = read_state(self._layout.state)
        if state is None:
            return False
        if state.run != published.run:
            return True  # settled anew since: what was in pieces is in it, as far as it was kept
        if not ledger.exists() or ledger.stat().st_size < published.offset:
            return False
        part = Part(published.session)
        while (found := self._bucket.read(part.name(published.pieces))) is not None:
            if not is_at(ledger, published.offset, found.data):
                return False
            published.offset += len(found.data)
            published.pieces += 1
        return True

    def _begin_session(self, state: State, *, goes_on: bool) -> None:
        """Put pieces under a new name from now on; unless it *goes_on*, all of the ledger first."""
        layout = self._layout
        if goes_on:
            assert self._manifest is not None
            *before, last = self._manifest[0].ledger
            parts = (*before, Part(last.session, self._published.pieces))
            old = self._manifest[0]
            waiting, earlier = old.waiting, (old.previous, old.carried)
        else:
            part, self._published.offset = put_file(self._bucket, layout.ledger)
            parts, waiting = (part,), ()
            if state.waiting and layout.waiting.exists():
                waiting = (put_file(self._bucket, layout.waiting)[0],)
            earlier = (), ()
            if state.carries:
                earlier = self._put_if_any(layout.previous), self._put_if_any(layout.carried)
        own = Part(new_session())
        parts = tuple(each for each in parts if each.pieces)
        self._write_manifest(
            Manifest(
                self._stored(state), (*parts, own), waiting, *earlier, archived=self._archived()
            )
        )
        self._published.session, self._published.run = own.session, state.run
        self._published.pieces = 0
        self._published.is_cut &= goes_on
        self._save()
        self._sweep()

    def _put_handover(self) -> None:
        """Put up the list of redirects that were handed over, if there is one."""
        path = self._layout.handover
        if path.exists():
            size = path.stat().st_size
            self._bucket.put(path.name, lambda: pieces_of(path, 0, None), size)

    def _renew_manifest(self, state: State, left: tuple[Part, ...]) -> None:
        """Say in the manifest what is so today."""
        assert self._manifest is not None
        manifest = replace(
            self._manifest[0], state=self._stored(state), left=left, archived=self._archived()
        )
        self._write_manifest(manifest)

    def _put_if_any(self, path: Path) -> tuple[Part, ...]:
        """Put a file of records up, if there is one with any; return its part."""
        if not path.exists() or not path.stat().st_size:
            return ()
        return (put_file(self._bucket, path)[0],)

    def _archived(self) -> tuple[str, ...]:
        path = self._layout.archived
        return tuple(path.read_text("utf-8").splitlines()) if path.exists() else ()

    def _write_manifest(self, manifest: Manifest) -> None:
        data = msgspec.json.encode(manifest)
        if self._manifest is None:
            version = self._bucket.create(MANIFEST, data)
        else:
            version = self._bucket.swap(MANIFEST, data, self._manifest[1])
        if version is None:
            raise LeaseLostError(f"another run has gone on with {self._bucket.remote}")
        self._manifest = manifest, version

    def _complete(self) -> Iterator[bytes]:
        """Yield what of the ledger isn't in pieces and names only what is in the store."""
        assert self._shipping is not None
        for data in whole_lines(self._layout.ledger, self._published.offset):
            ready = self._shipping.ready(data)
            if ready:
                yield data[:ready]
            if ready < len(data):
                return

    def _put(self, data: bytes) -> None:
        published = self._published
        put_piece(self._bucket, Part(published.session), published.pieces, data)
        published.pieces += 1
        published.offset += len(data)
        self._save()
        self._piece_at = time.monotonic()

    def _sweep(self) -> None:
        """Delete the pieces of sessions that don't count any more; what fails is left."""
        assert self._manifest is not None
        counts = self._manifest[0].sessions
        with _leaving_it():
            for name in self._bucket.names(f"{FOLDER}/"):
                _, _, rest = name.partition("/results-")
                if rest and rest.rpartition("-")[0] not in counts:
                    self._bucket.remove(name)

    def _stored(self, state: State) -> State:
        return stored_state(state, waiting=state.waiting and self._layout.waiting.exists())

    def _save(self) -> None:
        write_published(self._layout.published, self._published)


@contextmanager
def _leaving_it() -> Iterator[None]:
    try:
        yield
    except RemoteStoreError:
        return

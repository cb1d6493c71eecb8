"""Which run is at a prefix: an object that says so, renewed while the run is on.

    none ──put if absent──▶ held ──(every 20 s: swap)──▶ held ──swap──▶ released
                              │                                            │ swap
                              └─(not renewed for 60 s: swap)──▶ held by another

Every change is a swap: it fails if the object is not what was last seen. How old a lease is, the
store's own clock says: the times of two objects that it wrote. No two machines' clocks need agree.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import msgspec

from fetchpool.model.bodies import RemoteStoreError
from fetchpool.output.ledger.errors import DirectoryBusyError, LeaseLostError, OutputError
from fetchpool.output.remote.bucket import Bucket, Fetched, Version
from fetchpool.output.remote.leave import allow, forbid, now

FOLDER = "_fetchpool"
LOCK = f"{FOLDER}/lock"
CLOCK = f"{FOLDER}/clock"

LEASE_S = 60.0
"""A run that has not renewed its lease for so long may be taken for dead."""
RENEW_S = 20.0
MARGIN_S = 5.0
"""So much before the end of the lease nothing is begun to be put any more."""
_RELEASE_TRIES = 3
"""One right after the other: a run that has ended waits for nothing."""


class _Held(msgspec.Struct):
    """What the lock object says."""

    holder: str | None = None
    """Made up by each run; None: nobody holds it."""
    host: str = ""
    pid: int = 0
    since: float = 0.0
    lease_s: float = LEASE_S
    beat: int = 0
    """Counts up, so that no two contents are the same."""


def is_taken(bucket: Bucket, now: float) -> bool:
    """Tell whether a run seems to be on, by our own clock *now*: only to be shown."""
    found = bucket.read(LOCK)
    there = _decoded(found)
    return found is not None and there.holder is not None and now - found.modified < there.lease_s


class Lease:
    """The right to write below a prefix, from `take` to `release`."""

    def __init__(
        self, bucket: Bucket, holder: str, leave: Path, *, renew_s: float = RENEW_S
    ) -> None:
        """Take over *bucket*, whose patience is shorter than the lease.

        The file *leave* says until when the run may write (see `leave`).
        """
        self._bucket = bucket
        self._leave = leave
        self._held = _Held(holder, socket.gethostname(), os.getpid(), time.time())
        self._version: Version | None = None
        self._renew_s = renew_s
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, dead: Collection[str] = ()) -> None:
        """Take the prefix; *dead* are holders that are known to be none any more.

        Raises `DirectoryBusyError` if another run has it, `OutputError` if the store does not do
        what keeps two runs apart, `RemoteStoreError`.
        """
        began = now()
        found = self._bucket.read(LOCK)
        if found is None:
            self._version = self._bucket.create(LOCK, msgspec.json.encode(self._held))
        else:
            there = _decoded(found)
            if there.holder not in (None, *dead) and self._age(found) < there.lease_s:
                raise self._busy(there)
            self._version = self._bucket.swap(LOCK, msgspec.json.encode(self._held), found.version)
        if self._version is None:
            there = _decoded(self._bucket.read(LOCK))
            raise self._busy(there)
        self._check_store()
        allow(self._leave, began + self._held.lease_s - MARGIN_S)

    def keep(self, on_lost: Callable[[LeaseLostError], None]) -> None:
        """Renew the lease in a thread of its own; *on_lost* is called there, once."""
        self._thread = threading.Thread(
            target=self._keep, args=(on_lost,), name="fetchpool-lease", daemon=True
        )
        self._thread.start()

    def renew(self) -> None:
        """Renew it. Raises `LeaseLostError` if it was lost, `RemoteStoreError` if that is open."""
        assert self._version is not None
        began = now()
        self._held.beat += 1
        data = msgspec.json.encode(self._held)
        version = self._bucket.swap(LOCK, data, self._version)
        if version is None:
            found = self._bucket.read(LOCK)
            there = _decoded(found)
            if found is not None and there.holder == self._held.holder:
                # An earlier renewal got there, and its answer did not come.
                version = self._bucket.swap(LOCK, data, found.version)
        if version is None:
            self._version = None
            lost = LeaseLostError(f"{self._whose(there)} has taken {self._bucket.remote} over")
            forbid(self._leave, str(lost))
            raise lost
        self._version = version
        allow(self._leave, began + self._held.lease_s - MARGIN_S)

    def release(self) -> None:
        """Say that nobody holds the prefix; may be called again. Never raises.

        A lease that can't be released runs out.
        """
        self._ending.set()
        self._bucket.give_up()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        version, self._version = self._version, None
        if version is None:
            return
        free = msgspec.json.encode(_Held(since=time.time()))
        for _ in range(_RELEASE_TRIES):
            with suppress(RemoteStoreError):
                self._bucket.swap(LOCK, free, version)
                return

    def _keep(self, on_lost: Callable[[LeaseLostError], None]) -> None:
        while not self._ending.wait(self._renew_s):
            try:
                self.renew()
            except LeaseLostError as error:
                on_lost(error)
                return
            except (RemoteStoreError, OSError):
                # Whether another took it over meanwhile, the next swap tells. Until then neither
                # bodies nor pieces get there, and no piece of ours counts after that.
                continue

    def _check_store(self) -> None:
        """Raise `OutputError` if the store puts an object that it was told not to put.

        Some that speak S3 pass over the conditions.
        """
        assert self._version is not None
        other = msgspec.json.encode(_Held())
        stale = Version('"00000000000000000000000000000000"', "1")
        if self._bucket.create(LOCK, other) or self._bucket.swap(LOCK, other, stale):
            self._bucket.remove(LOCK)
            raise OutputError(
                f"the store of {self._bucket.remote} passes over If-None-Match and If-Match, "
                "without which two runs can't be kept apart: name another, or a directory"
            )

    def _age(self, found: Fetched) -> float:
        """Return for how many seconds the lock has been as it was *found*."""
        self._bucket.put(CLOCK, lambda: iter((self._held.holder or "").encode().splitlines()), 1)
        clock = self._bucket.read(CLOCK)
        return 0.0 if clock is None else clock.modified - found.modified

    def _busy(self, there: _Held) -> DirectoryBusyError:
        return DirectoryBusyError(
            f"another run holds {self._bucket.remote}: {self._whose(there)}; try again later "
            f"(if it is dead, after {there.lease_s:.0f} s)"
        )

    def _whose(self, there: _Held) -> str:
        return f"process {there.pid} on {there.host or '?'}" if there.holder else "another run"


def _decoded(found: Fetched | None) -> _Held:
    if found is None:
        return _Held()
    try:
        return msgspec.json.decode(found.data, type=_Held)
    except msgspec.DecodeError:
        return _Held("?")

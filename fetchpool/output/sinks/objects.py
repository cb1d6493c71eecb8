"""Bodies as objects in an object store, each whole or not there at all.

    put, open…commit ──▶ spool ──append──▶ PREFIX/HOST/PATH…   a batch at once, then its records

An object is put in one step, and the name is that of its URL: what a killed run had put and not
recorded, the next one puts again. It says the SHA-256 of the body of itself: so a later run knows
what is there (`remote/stock`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import Any

from fetchpool.config import Config
from fetchpool.model.bodies import Stored, StoreError
from fetchpool.model.disposition import suggested_filename
from fetchpool.model.values import Earlier, Head, Outcome, Target
from fetchpool.output.names import body_path
from fetchpool.output.remote.bucket import Bucket
from fetchpool.output.remote.lease import FOLDER
from fetchpool.output.remote.leave import Leave
from fetchpool.output.remote.stock import SHA256
from fetchpool.output.sinks.place import Place
from fetchpool.output.sinks.spool import Spool, Spooled, SpoolingSink

AT_ONCE = 32
"""Bodies that are put at the same time, those in memory;"""
LARGE_AT_ONCE = 2
"""and those in files, of which several parts go at a time."""

_HEADERS = (("content-type", "Content-Type"), ("content-language", "Content-Language"))
_LONGEST_HEADER = 256


class _Waiting(Spooled):
    """A body that waits to be put."""

    path: str = ""
    attributes: tuple[tuple[str, str], ...] = ()
    sha256: str | None = None


class ObjectsSink(SpoolingSink):
    """Puts each body as an object of its own before its outcome is recorded."""

    def __init__(self, config: Config, place: Place) -> None:
        """Store the bodies of a run in *place*. Raises `ConfigError`."""
        super().__init__(place)
        assert place.layout.remote is not None
        leave = Leave(place.layout.lease)
        self._bucket = Bucket(place.layout.remote, config.outage_patience, leave)
        self._by_server = config.content_disposition
        self._as_received = config.as_received
        self._small = ThreadPoolExecutor(AT_ONCE, "fetchpool-put")
        self._large = ThreadPoolExecutor(LARGE_AT_ONCE, "fetchpool-put-large")

    def spooled(self, target: Target, head: Head, spool: Spool) -> Stored:
        """See `SpoolingSink.spooled`."""
        filename = suggested_filename(head) if self._by_server else None
        path = _path(target, head.get("content-type"), filename)
        return Stored(
            path, receipt=_Waiting(body=spool, path=path, attributes=(*self._told(head).items(),))
        )

    def append(self, outcomes: Sequence[Outcome], records: Sequence[Any]) -> None:
        """See `Sink.append`: put the bodies; of several with one name, the last."""
        waiting: dict[str, _Waiting] = {}
        for outcome in outcomes:
            receipt = outcome.receipt
            if isinstance(receipt, _Waiting) and receipt.body is not None:
                receipt.sha256 = outcome.sha256
                waiting[receipt.path] = receipt
        puts = [
            (self._large if each.body.in_file else self._small).submit(self._put, each)
            for each in waiting.values()
        ]
        self._wait(puts)
        for outcome in outcomes:
            if isinstance(outcome.receipt, _Waiting):
                outcome.receipt.body = None

    def has(self, target: Target, earlier: Earlier) -> bool:
        """See `Sink.has`: that it is there, the store was asked before the request."""
        path = earlier.path
        if path is None or target.name is None:
            return path is not None
        return path == _path(target, earlier.content_type, None)

    def give_up(self) -> None:
        """See `Sink.give_up`."""
        self._bucket.give_up()

    def sync(self) -> None:
        """See `Store.sync`: what was put is as safe as the store makes it."""
        return

    def close(self) -> None:
        """See `Store.close`."""
        self._bucket.give_up()
        self._small.shutdown(cancel_futures=True)
        self._large.shutdown(cancel_futures=True)

    def _put(self, waiting: _Waiting) -> None:
        spool: Spool = waiting.body
        try:
            told = {**dict(waiting.attributes), SHA256: waiting.sha256 or _sha256(spool)}
            self._bucket.put(waiting.path, spool.pieces, spool.length, told)
        except OSError as error:
            raise self.spool_error(error) from error

    def _wait(self, puts: list[Future[None]]) -> None:
        done, others = wait(puts, return_when=FIRST_EXCEPTION)
        failed = [error for each in done if (error := each.exception()) is not None]
        if not failed:
            return
        for each in others:
            each.cancel()
        wait(others)
        raise next((each for each in failed if isinstance(each, StoreError)), failed[0])

    def _told(self, head: Head) -> dict[str, str]:
        """Return what the object says of itself: what the response said of its body."""
        told = {}
        for name, attribute in _HEADERS:
            value = head.get(name)
            if value and len(value) <= _LONGEST_HEADER and value.isascii() and value.isprintable():
                told[attribute] = value
        coding = head.get("content-encoding")
        if self._as_received and coding and coding.isascii() and coding.isprintable():
            told["Content-Encoding"] = coding
        return told


def _path(target: Target, content_type: str | None, filename: str | None) -> str:
    """Return the name of an object, which is none of ours."""
    path = body_path(target, content_type, filename)
    host, slash, rest = path.partition("/")
    return f"{host}~2{slash}{rest}" if host.lower() == FOLDER else path  # a host may be called so


def _sha256(spool: Spool) -> str:
    found = hashlib.sha256()
    for piece in spool.pieces():
        found.update(piece)
    return found.hexdigest()

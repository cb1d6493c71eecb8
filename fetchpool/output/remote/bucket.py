"""`Bucket`: all that is asked of an object store, through obstore, tried again within a time.

Nothing of obstore is imported before one is opened. Credentials and endpoints come from where
obstore looks for them (the environment, a profile, the machine's own role) and are in no message:
what an error says of a URL is cut before its query.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from fetchpool.config.values import ConfigError
from fetchpool.model.bodies import RemoteStoreError
from fetchpool.model.remote import Remote

if TYPE_CHECKING:
    from obstore.store import ObjectStore

T = TypeVar("T")

SINGLE = 8 << 20
"""Bytes up to which an object goes up with one request, and of one part beyond it."""
_MOST_PARTS = 9000
"""S3 takes 10,000 parts."""
_PARTS_AT_ONCE = 4

_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 10.0
_ONE_REQUEST_S = 180
"""Time for one request, its answer included: a part over a slow line takes that."""
_STATUS = re.compile(r"status code: (\d{3})([ \w]*)")
_CODE = re.compile(r"<Code>([\w.]{1,80})</Code>")
_QUERY = re.compile(r"\?[^\s\"']*")
_MISTAKEN = "builder error"
"""What the client says of a URL that it may not use: plain http without leave to do so."""
_ENVIRONMENT = {"s3": "AWS", "gs": "GOOGLE", "az": "AZURE"}
_TRUE = ("1", "true", "on", "yes", "y")
_PASSING = frozenset({408, 429})


class Version(NamedTuple):
    """Which content of an object, for a swap."""

    e_tag: str | None
    version: str | None


class Fetched(NamedTuple):
    """An object that was read."""

    data: bytes
    version: Version
    modified: float
    """When it was put, by the store's clock, in seconds since the epoch."""


class Facts(NamedTuple):
    """What is known of an object that wasn't read."""

    size: int
    attributes: dict[str, str]
    """What was said of it when it was put, each name as it was given."""


class MissingError(RemoteStoreError):
    """The bucket isn't there, or (in `read`) the object."""


class RefusedError(RemoteStoreError):
    """The store knows us not, or we may not do that there."""


class Bucket:
    """A prefix of a bucket. From any thread.

    Methods raise `RemoteStoreError` when trouble lasts for longer than the patience, and at once
    where trying again can't help (`MissingError`, `RefusedError`).
    """

    def __init__(
        self, remote: Remote, patience_s: float, may_put: Callable[[], bool] = lambda: True
    ) -> None:
        """Open *remote*; no request is sent. Raises `ConfigError` where settings are wanting.

        *patience_s*: for how long a request is tried again; 0 = for ever. `put` waits as long until
        *may_put* allows it; what that raises comes out.
        """
        self.remote = remote
        self.patience_s = patience_s or float("inf")
        self._may_put = may_put
        self._ended = threading.Event()
        self._store = _open(remote)

    def give_up(self) -> None:
        """Have nothing tried again from now on: the run is to end."""
        self._ended.set()

    def put(
        self,
        name: str,
        body: Callable[[], Iterator[bytes]],
        size: int,
        attributes: dict[str, str] | None = None,
    ) -> None:
        """Store *size* bytes, which *body* yields anew for each try, as object *name*.

        It is replaced in one step if it exists; in parts where it is large.
        """
        import obstore

        def once() -> None:
            self._wait_for_leave(name)
            given: Any = attributes or {}
            if size <= SINGLE:
                obstore.put(
                    self._store, name, b"".join(body()), attributes=given, use_multipart=False
                )
                return
            obstore.put(
                self._store,
                name,
                body(),
                attributes=given,
                use_multipart=True,
                chunk_size=max(SINGLE, -(-size // _MOST_PARTS)),
                max_concurrency=_PARTS_AT_ONCE,
            )

        self._again("cannot put", name, once)

    def create(self, name: str, data: bytes) -> Version | None:
        """Store *data* as object *name* if there is none; None if there is, with other content.

        One of the same content is taken for ours: the answer to putting it was lost.
        """
        return self._put_if(name, data, "create")

    def swap(self, name: str, data: bytes, version: Version) -> Version | None:
        """Replace object *name* if its content is *version*; None if it is another.

        If it is *data* already, the answer to an earlier try was lost.
        """
        known = {key: value for key, value in version._asdict().items() if value is not None}
        return self._put_if(name, data, known)

    def read(self, name: str) -> Fetched | None:
        """Return object *name*; None if there is none."""
        import obstore

        def once() -> Fetched:
            found = obstore.get(self._store, name)
            meta = found.meta
            version = Version(meta["e_tag"], meta["version"])
            return Fetched(bytes(found.bytes()), version, meta["last_modified"].timestamp())

        try:
            return self._again("cannot read", name, once)
        except MissingError:
            return None

    def size(self, name: str) -> int | None:
        """Return the length of object *name*; None if there is none."""
        found = self.look(name)
        return None if found is None else found.size

    def look(self, name: str) -> Facts | None:
        """Return what there is to be known of object *name*; None if there is none."""
        import obstore

        def once() -> Facts:
            found = obstore.get(self._store, name, options={"head": True})
            told = {key: str(value) for key, value in found.attributes.items()}
            return Facts(found.meta["size"], told)

        try:
            return self._again("cannot look at", name, once)
        except MissingError:
            return None

    def pieces(self, name: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield object *name*, or *length* bytes of it from *offset* on, piece by piece."""
        import obstore

        if length is None:
            size = self.size(name)
            if size is None:
                raise MissingError(
                    "cannot read", self.remote.object(name), "there is no such object"
                )
            length = size - offset
        end = offset + length
        while offset < end:
            until = min(offset + SINGLE, end)

            def once(start: int = offset, end: int = until) -> bytes:
                return bytes(obstore.get_range(self._store, name, start=start, end=end))

            data = self._again("cannot read", name, once)
            if len(data) != until - offset:
                raise RemoteStoreError("cannot read", self.remote.object(name), "it ends too early")
            yield data
            offset = until

    def names(self, folder: str = "", most: int | None = None) -> list[str]:
        """Return the names of the objects below *folder*; with *most*, so many at least."""
        return list(self.sizes(folder, most))

    def sizes(self, folder: str = "", most: int | None = None) -> dict[str, int]:
        """Return the lengths of the objects below *folder*, by name; as `names`."""
        import obstore

        def once() -> dict[str, int]:
            found: dict[str, int] = {}
            for some in obstore.list(self._store, folder or None, chunk_size=most or 1000):
                found |= {each["path"]: each["size"] for each in some}
                if most is not None and len(found) >= most:
                    break
            return found

        return self._again("cannot list", folder, once)

    def remove(self, name: str) -> None:
        """Delete object *name*, if there is one."""
        import obstore

        try:
            self._again("cannot delete", name, lambda: obstore.delete(self._store, name))
        except MissingError:
            return

    def _wait_for_leave(self, name: str) -> None:
        give_up_at = time.monotonic() + self.patience_s
        while not self._may_put():
            if time.monotonic() > give_up_at or self._ended.wait(_FIRST_DELAY_S):
                where = self.remote.object(name)
                raise RemoteStoreError("cannot put", where, "the lease could not be renewed")

    def _put_if(self, name: str, data: bytes, mode: Any) -> Version | None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        def once() -> Version | None:
            try:
                done = obstore.put(self._store, name, data, mode=mode, use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return None
            return Version(done["e_tag"], done["version"])

        put = self._again("cannot put", name, once)
        if put is not None:
            return put
        there = self.read(name)
        return there.version if there is not None and there.data == data else None

    def _again(self, what: str, name: str, call: Callable[[], T]) -> T:
        """Return what *call* returns, tried again while what it raises may pass."""
        from obstore.exceptions import (
            BaseError,
            NotFoundError,
            PermissionDeniedError,
            UnauthenticatedError,
        )

        give_up_at = time.monotonic() + self.patience_s
        delay = _FIRST_DELAY_S
        while True:
            try:
                return call()
            except (NotFoundError, FileNotFoundError) as error:
                raise MissingError(what, self.remote.object(name), told(error)) from None
            except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
                raise RefusedError(what, self.remote.object(name), told(error)) from None
            except (BaseError, OSError) as error:
                wait = random.uniform(delay / 2, delay)  # noqa: S311
                late = time.monotonic() + wait > give_up_at
                if late or not _may_pass(error) or self._ended.wait(wait):
                    raise RemoteStoreError(what, self.remote.object(name), told(error)) from None
                delay = min(delay * 2, _LONGEST_DELAY_S)


def _open(remote: Remote) -> ObjectStore:
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError:
        raise ConfigError(
            f"{remote} is in an object store, which needs obstore: pip install 'fetchpool[remote]'"
        ) from None
    try:
        # Few tries of its own, and short ones: what may be tried again is decided here.
        return from_url(
            str(remote),
            client_options=_client_options(remote),
            retry_config={
                "max_retries": 2,
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=1),
                    "base": 2,
                },
                "retry_timeout": timedelta(seconds=30),
            },
        )
    except (BaseError, ValueError) as error:
        raise ConfigError(
            f"cannot open {remote}: {told(error)}: set what it needs in the environment"
        ) from None


def _client_options(remote: Remote) -> Any:
    """Return how to talk to the store; given at all, these take the place of the environment's."""
    options: dict[str, Any] = {"timeout": timedelta(seconds=_ONE_REQUEST_S)}
    for name in ("allow_http", "allow_invalid_certificates", "proxy_url"):
        value = os.environ.get(f"{_ENVIRONMENT[remote.scheme]}_{name}".upper())
        if value:
            options[name] = value if name == "proxy_url" else value.lower() in _TRUE
    return options


def _may_pass(error: BaseException) -> bool:
    """Tell whether *error* is one that later tries may not meet."""
    text = str(error)
    if _MISTAKEN in text:
        return False
    status = _STATUS.search(text)
    return status is None or status[1][0] == "5" or int(status[1]) in _PASSING


def told(error: BaseException) -> str:
    """Return what a store's *error* says, in a line without what might be secret."""
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    if status is not None:
        return f"{status[1]}{status[2]}".strip() + (f" ({code[1]})" if code else "")
    if _MISTAKEN in text:
        return "plain http is not allowed: AWS_ALLOW_HTTP=true allows it"
    line = _QUERY.sub("", text.split("\n", 1)[0]).strip()
    return line[:300] or type(error).__name__

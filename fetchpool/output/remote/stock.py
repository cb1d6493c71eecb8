"""What lies in the store, looked at for a run that compares with the one before (`--refresh`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor

from fetchpool.output.remote.bucket import Bucket

SHA256 = "sha256"
"""What an object that is a body says of itself: who puts another one there doesn't say it."""
_LOOKS_AT_ONCE = 32


class Stock:
    """Bodies and containers at a prefix, as `ledger.baseline` asks for them."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._containers: dict[str, Collection[str]] = {}

    def bodies(self, paths: Collection[str]) -> Mapping[str, tuple[int, str | None]]:
        """Return length and SHA-256 of the bodies at *paths*, of those that are there.

        Raises `RemoteStoreError`.
        """
        if not paths:
            return {}
        with ThreadPoolExecutor(min(_LOOKS_AT_ONCE, len(paths)), "fetchpool-look") as pool:
            found = zip(paths, pool.map(self._bucket.look, paths), strict=True)
            return {
                path: (each.size, each.attributes.get(SHA256))
                for path, each in found
                if each is not None
            }

    def has_container(self, name: str) -> bool:
        """Tell whether a container is there; each folder is listed once.

        Raises `RemoteStoreError`.
        """
        folder = name.rpartition("/")[0]
        names = self._containers.get(folder)
        if names is None:
            names = self._containers[folder] = frozenset(self._bucket.names(f"{folder}/"))
        return name in names

"""The name of a place in an object store, `s3://bucket/prefix`: what it may be."""

from __future__ import annotations

import re
from typing import NamedTuple

SCHEMES = ("s3", "gs", "az")
"""Amazon S3 and all that speak as it does, Google Cloud Storage, Azure Blob Storage."""

_NAMED = re.compile(rf"({'|'.join(SCHEMES)})://(.*)", re.IGNORECASE | re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{2,62}")
_PART = re.compile(r"[^\x00-\x1f\x7f?#\\]+")


class Remote(NamedTuple):
    """A prefix in a bucket of an object store."""

    scheme: str
    bucket: str
    prefix: str = ""
    """Without `/` at either end; empty: the whole bucket."""

    def __str__(self) -> str:
        """Return it as it is written on a command line."""
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")

    def object(self, path: str) -> str:
        """Return the full name of the object *path*, for a person."""
        return f"{self}/{path}"


def is_remote(path: str) -> bool:
    """Tell whether *path* is meant for an object store, rightly written or not."""
    return _NAMED.fullmatch(path) is not None


def remote_of(path: str) -> Remote | None:
    """Return the place that *path* names; None if it is no name of an object store's.

    Raises ValueError, with what is wrong, where it is one that can't be.
    """
    found = _NAMED.fullmatch(path)
    if found is None:
        return None
    bucket, _, prefix = found[2].partition("/")
    if "@" in bucket:
        raise ValueError("has credentials, which come from the environment")
    if not bucket:
        raise ValueError("has no name of a bucket behind '://'")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError(
            "has a name of a bucket that no store takes: it has 3 to 63 letters, digits, '.', '-' "
            "and '_', and begins with a letter or digit"
        )
    prefix = prefix.rstrip("/")
    parts = prefix.split("/") if prefix else []
    if any(part in ("", ".", "..") or not _PART.fullmatch(part) for part in parts):
        raise ValueError("has a prefix with an empty part, '.', '..', '?', '#' or a control")
    return Remote(found[1].lower(), bucket, prefix)

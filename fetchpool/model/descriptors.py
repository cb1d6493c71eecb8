"""Paths that name a descriptor which is already open: `/dev/stdout`, `/dev/fd/3`.

Opening such a path opens the file behind it again, at its beginning, whatever others have written
there; and it fails for a socket, as under systemd.
"""

from __future__ import annotations

import os
import re

_STREAMS = {"stdin": 0, "stdout": 1, "stderr": 2}
_PATH = re.compile(r"/dev/(?P<name>stdin|stdout|stderr)|/(?:dev|proc/self)/fd/(?P<number>[0-9]+)")


def descriptor_of(path: str | os.PathLike[str]) -> int | None:
    """Return the number of the descriptor that *path* names; None for any other path."""
    found = _PATH.fullmatch(os.path.abspath(path))  # noqa: PTH100 - follows no link
    if found is None:
        return None
    return _STREAMS[found["name"]] if found["name"] else int(found["number"])

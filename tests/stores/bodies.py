"""What the tests of the stores share: targets, heads, and a look at what is on disk."""

from __future__ import annotations

import os
from pathlib import Path

from fetchpool.model.values import Head, Target
from fetchpool.output.names import body_path

CONTENT_TYPE = "image/jpeg"
HEAD = Head(200, (("server", "test"), ("content-type", CONTENT_TYPE)))


def target_of(path: str = "/img/a.jpg", host: str = "example.org") -> Target:
    return Target(f"http://{host}{path}", "http", host, 80, path, host)


def path_of(target: Target) -> str:
    return body_path(target, CONTENT_TYPE)


def files_in(root: Path) -> dict[str, bytes]:
    """Contents of the regular files below *root*, `.fetchpool` left out; no symlink followed."""
    found = {}
    for directory, directories, names in os.walk(root):
        directories[:] = [name for name in directories if name != ".fetchpool"]
        for name in names:
            path = Path(directory, name)
            if not path.is_symlink():
                found[path.relative_to(root).as_posix()] = path.read_bytes()
    return found


def parts_in(root: Path) -> list[str]:
    return sorted(os.listdir(root / ".fetchpool" / "parts"))


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))
